# SPDX-License-Identifier: MIT
"""`autotune cc` in a CI job: which service it is, the summary of the job, and `--fail-if-slower`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from autotune.commands.printing import say
from autotune.errors import AutotuneError, SlowerError, UsageError

if TYPE_CHECKING:
    from autotune.records import Session
    from autotune.session.comparison import SessionChange
    from autotune.views.ci import Service

SUMMARY = "GITHUB_STEP_SUMMARY"
"""Variable with the file that GitHub shows as the summary of a job; each step appends to it."""
MOST_SUMMARY_BYTES = 1 << 20
"""GitHub shows nothing of a step's summary that is larger."""


def service(environ: Mapping[str, str]) -> Service:
    """Return the CI service whose job this is."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return "github"
    return "gitlab" if environ.get("GITLAB_CI") == "true" else ""


def share_of(text: str | None) -> float | None:
    """Return the value of `--fail-if-slower` as a share; None when it is not given. Raises UsageError."""
    from autotune.quantities import parse_share

    try:
        return None if text is None else parse_share(text)
    except ValueError as error:
        raise UsageError(f"--fail-if-slower: {error}") from None


def summarise(session: Session, given: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Append the report to the summary of the job, where the service has one. Return whether that worked, after an
    error line otherwise."""
    from autotune.report import markup

    path = environ.get(SUMMARY)
    if not path:
        return True
    text = markup.markdown(session, given).encode("utf-8", "backslashreplace") + b"\n"
    try:
        with open(path, "ab") as file:
            if file.tell() + len(text) <= MOST_SUMMARY_BYTES:
                file.write(text)
            else:
                file.write(b"autotune: the report is too large for a summary; --export-markdown writes it to a file.\n")
    except OSError as error:
        hint = f"check {SUMMARY}, which the CI service sets"
        say(AutotuneError(f"the summary of the job could not be written: {error.strerror}", hint=hint, stage="report"))
        return False
    return True


def refuse_slower(session: Session, allowed: float, stream: TextIO) -> None:
    """Compare the session with the newest earlier one of the same command on such a machine, and say what is found.
    Raises SlowerError when something is slower by more than `allowed`, and its runs show that."""
    from autotune.knowledge.store import Knowledge
    from autotune.session import comparison
    from autotune.verdict.regression import is_worse

    with Knowledge() as knowledge:
        found = comparison.with_earlier(session, knowledge)
    if not found:
        print("Nothing to compare with: no earlier session of this command on such a machine.", file=stream)
        return
    is_time = session.workload.metric_regex is None
    for one in found:
        print(_sentence(one, is_time), file=stream)
    worse = [one for one in found if is_worse(one.change, allowed)]
    if worse:
        from autotune.quantities import share_flag

        raise SlowerError(
            f"more than {share_flag(allowed)} {'slower' if is_time else 'worse'} than before: "
            f"{'; '.join(_changed(one, is_time) for one in worse)}",
            hint="'autotune history' lists the sessions",
        )


def _sentence(one: SessionChange, is_time: bool) -> str:
    import time

    day = time.strftime("%Y-%m-%d", time.gmtime(one.then.started_at))
    return f"Compared with the session of {day} (Linux {one.then.kernel}): {_changed(one, is_time)}."


def _changed(one: SessionChange, is_time: bool) -> str:
    """Say how many times as fast, or good, something is, with the interval of that."""
    from autotune.records import BASELINE
    from autotune.report.text import printable
    from autotune.verdict.stats import ratio_text

    name = "EEVDF" if one.key == BASELINE else printable(one.key)
    low, high = ratio_text(one.change.low), ratio_text(one.change.high)
    what = "fast" if is_time else "good"
    return f"{name} is {ratio_text(one.change.estimate)} times as {what} [{low}, {high}]"
