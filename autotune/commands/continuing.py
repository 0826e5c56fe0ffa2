# SPDX-License-Identifier: MIT
"""`autotune cc --continue`: finds the session to continue, and refuses options that do not go with it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autotune.commands.arguments import CcArguments
from autotune.commands.workloads import current_directory, flags
from autotune.errors import UsageError

if TYPE_CHECKING:
    from autotune.config import Settings
    from autotune.knowledge.chains import Kept
    from autotune.knowledge.store import Knowledge
    from autotune.records import Workload
    from autotune.session.continuation import TakenUp

MAY_BE_GIVEN = frozenset(
    {"command", "continue_", "budget", "runs", "seed", "apply", "replace_current", "keep_writes"}
    | {"style", "show_output", "plot", "verbose", "debug", "json"}
    | {"export_html", "export_markdown", "export_asciidoc", "export_orgmode", "export_csv", "export_json"}
)
"""Fields that change nothing of what is measured."""

_FLAGS = {"name": "--command-name", "no_shell": "-N"}
_ID = re.compile(r"[0-9a-f]{8}")


def taken_up(arguments: CcArguments) -> TakenUp:
    """Return the session that the arguments mean. Raises UsageError when there is none, or it cannot be continued,
    AutotuneError when the knowledge store cannot be read."""
    from autotune.knowledge.store import Knowledge
    from autotune.session import continuation

    _refuse_other_options(arguments)
    with Knowledge() as knowledge:
        kept = _meant(knowledge, arguments.command or ())
    continuation.require(kept)
    _require_here(kept.session.workload)
    return continuation.TakenUp(kept.session)


OF_TODAY = frozenset({"budget", "runs", "seed", "style", "lease", "scheduler_dirs"})
"""Settings that are not the session's: how long to run, how it looks, and what belongs to the machine."""


def settings_of(taken: TakenUp, arguments: CcArguments) -> Settings:
    """Return the settings of the session, with those of today that change nothing of what is measured."""
    import os

    from autotune import config

    today = config.load(flags(arguments), cwd=current_directory(), environ=os.environ, only=OF_TODAY)
    by_flag = {key.flag: key for key in config.KEYS.values()}
    options = taken.chain.options
    kept = {
        by_flag[flag].name: by_flag[flag].parse(value) for flag, value in zip(options[::2], options[1::2], strict=True)
    }
    return dataclasses.replace(today, **kept)


def workload_of(taken: TakenUp) -> Workload:
    """Return the session's workload in the environment of today: none is kept."""
    import os

    from autotune.machine.local import invoking_environment

    return dataclasses.replace(taken.session.workload, env=invoking_environment(os.environ))


def _refuse_other_options(arguments: CcArguments) -> None:
    for field in dataclasses.fields(arguments):
        given = getattr(arguments, field.name)
        if field.name in MAY_BE_GIVEN or given == field.default or given in (None, (), [], False):
            continue
        flag = _FLAGS.get(field.name, "--" + field.name.replace("_", "-"))
        if field.name == "dry_run":
            raise UsageError("--dry-run has nothing to plan with --continue", hint="leave out one of the two")
        hint = f"leave out {flag}, or start a new session"
        raise UsageError(f"--continue measures what the session before did, and {flag} may change that", hint=hint)


# --- which session ---------------------------------------------------------------------------------------


def _meant(knowledge: Knowledge, words: Sequence[str]) -> Kept:
    """Return the session that is named by its ID, by its report, or by its command; without words, the latest undecided
    one of this directory."""
    word = words[0] if len(words) == 1 else ""
    if _ID.fullmatch(word):
        return _named(knowledge, word, f"session {word} is not known here")
    if word.endswith(".json"):
        name = _id_in(Path(word))
        return _named(knowledge, name, f"session {name} of {word} is not in this user's knowledge store")
    return _latest(knowledge, words)


def _named(knowledge: Knowledge, name: str, unknown: str) -> Kept:
    kept: Kept | None = knowledge.session_named(name)
    if kept is None:
        raise UsageError(unknown, hint="start a new session; only the store knows which risk is left")
    return kept


def _id_in(path: Path) -> str:
    from autotune import reading

    try:
        name = reading.record(lambda found: str(found.get("id") or ""), path, most_bytes=reading.MOST_OBJECT_BYTES)
    except OSError as error:
        raise UsageError(f"--continue {path}: {error.strerror}", hint="name a report of --json") from None
    except ValueError as error:
        raise UsageError(f"--continue {path}: {error}", hint="name a report of --json") from None
    if not _ID.fullmatch(name):
        raise UsageError(f"--continue {path}: it names no session", hint="name a report that this autotune wrote")
    return name


def _latest(knowledge: Knowledge, words: Sequence[str]) -> Kept:
    import shlex

    from autotune.session import continuation

    command = words[0] if len(words) == 1 else shlex.join(words) if words else None
    found: list[Kept] = knowledge.sessions_in(str(current_directory()), command)
    undecided = next((kept for kept in found if continuation.refusal(kept) is None), None)
    if undecided is not None:
        return undecided
    of = "this command in this directory" if words else "this directory"
    newest = next((continuation.refusal(kept) for kept in found), None)
    if newest is not None:
        raise UsageError(f"no session of {of} can be continued; of the latest: {newest.message}", hint=newest.hint)
    raise UsageError(f"no session of {of} is known that could be continued", hint="start one: autotune cc COMMAND")


def _require_here(workload: Workload) -> None:
    here = str(current_directory())
    if workload.cwd != here:
        raise UsageError(f"that session ran in {workload.cwd}, not here", hint=f"go there: cd {workload.cwd}")
