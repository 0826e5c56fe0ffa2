# SPDX-License-Identifier: MIT
"""What the kernel counted while a scheduler was in charge, where that tells why it lost. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from autotune.records import CandidateResult, Session, Trial, is_baseline
from autotune.report.text import counted, printable

TELLING = {
    "select_cpu_fallback": (100.0, "it chose a CPU that could not be used"),
    "dispatch_local_dsq_offline": (1.0, "it sent a task to a CPU that was offline"),
    "bypass_dispatch": (10.0, "the kernel scheduled a task without it (bypass)"),
    "insert_not_owned": (1.0, "it queued a task that was not its own to queue"),
    "reenq_local_repeat": (1.0, "it queued a task again and again"),
    "reenq_repeat": (1.0, "it queued a task again and again"),
}
"""The kernel's counters (`enum scx_event_stats`, without SCX_EV_) that healthy schedulers keep near 0: from how many in
a run on they tell something, and what. The others count what is no fault, such as slices that the kernel refilled."""
MOST_LINES = 3


def sentences(session: Session) -> list[str]:
    """Return a sentence for each candidate that did not win and whose counters tell why, MOST_LINES at most."""
    found = [line for one in session.results if (line := _sentence(one, session.trials)) is not None]
    return found[:MOST_LINES]


def _sentence(result: CandidateResult, trials: Sequence[Trial]) -> str | None:
    key = result.candidate.key
    if is_baseline(key) or result.verdict == "faster":
        return None
    runs = [trial.events for trial in trials if trial.candidate == key and trial.events]
    facts = []
    for name, (least, what) in TELLING.items():
        mean = fmean([events.get(name, 0) for events in runs]) if runs else 0.0
        if mean >= least:
            facts.append(f"{counted(round(mean), 'time')} in a run {what} ({name})")
    return f"{printable(result.candidate.short)}, as the kernel counted: {'; '.join(facts)}." if facts else None
