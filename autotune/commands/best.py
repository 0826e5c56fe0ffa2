# SPDX-License-Identifier: MIT
"""`autotune best`: the known best scheduler of a command, with its evidence and age."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autotune.commands.printing import columns, print_json, print_lines
from autotune.errors import AutotuneError

if TYPE_CHECKING:
    from autotune.knowledge.best import KnownBest


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("best")(_best)


def _best(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND", show_default=False, help="As for 'autotune cc': one argument for sh, or several words."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print JSON.")] = False,
) -> int:
    """Show the known best scheduler of a command in this directory: its evidence, its age, and what has changed since.

    Exit 1 when none is known.
    """
    from autotune.commands.workloads import current_directory
    from autotune.knowledge import experience, swept
    from autotune.knowledge.archive import MOST_SEARCHED, History
    from autotune.knowledge.best import StoreProblem, known_best
    from autotune.knowledge.store import Knowledge
    from autotune.machine import select
    from autotune.report.text import shell_word
    from autotune.verdict.workload_kind import UNCLEAR
    from autotune.views import past
    from autotune.wire import to_json

    asked: str | list[str] = command[0] if len(command) == 1 else command
    directory, here = str(current_directory()), select.whereabouts()
    with Knowledge() as knowledge:  # one of an older version is migrated
        history = History(knowledge)
        bad = experience.of_sessions(history.of_command(asked, directory), here).bad
        values = swept.best_values(history.newest(directory, MOST_SEARCHED), asked)
        try:
            found = known_best(asked, directory, here=here)
        except StoreProblem as error:
            raise AutotuneError(str(error), hint="'autotune history' says more", stage="history") from error
        kind = history.named(found.session).kind if found is not None and found.session else UNCLEAR
    if as_json:
        print_json(
            {
                "best": _json(found),
                "kind": list(kind.kinds),
                "bad": [{"scheduler": one.candidate.key, "why": one.why} for one in bad],
                "best_values": to_json(values) if values is not None else None,
            }
        )
        return 0 if found is not None else 1
    text = asked if isinstance(asked, str) else " ".join(map(shell_word, asked))
    if found is None:
        print_lines([f"No scheduler is known to beat EEVDF for {text!r} here; 'autotune cc' looks for one."])
    else:
        print_lines(past.known(found, text, kind, width=columns(), now=time.time()))
    print_lines(past.best_values(values, width=columns()))
    print_lines(past.known_bad(bad, width=columns()))
    return 0 if found is not None else 1


def _json(found: KnownBest | None) -> dict[str, Any] | None:
    from autotune.knowledge.best import Whereabouts

    if found is None:
        return None
    fields = {name: getattr(found, name) for name in found.__slots__}
    where = found.where
    assert isinstance(where, Whereabouts)
    return {
        **fields,
        "where": {name: getattr(where, name) for name in where.__slots__},
        "settings": dict(found.settings),
        "age_s": max(0.0, time.time() - found.measured_at),
    }
