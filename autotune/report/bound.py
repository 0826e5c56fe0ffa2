# SPDX-License-Identifier: MIT
"""Sentences on what a workload does: what no schedule beats, what was reached of that, and what helps whatever the
scheduler. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autotune.records import CandidateResult, Profile, ProfileSlot, Session
from autotune.report.text import duration_text, printable
from autotune.verdict.stats import percent_text

MOST_ADVICE_SHARE = 0.05
"""Advice is given for what is worth at least this share of the run."""
LATE_SHARE = 0.2
"""A task of the longest chain that starts later than this share of the run should have started earlier."""
ROUNDING = 0.005
"""What was reached may exceed the bound by as much, as it is shown."""


def bound_sentence(seen: Profile, *, is_time: bool) -> str:
    """Return what no schedule beats, and with which run that compares. For another metric than wall time there is no
    such bound."""
    if not is_time:
        return "What a scheduler could win is not bounded here: the metric is not wall time."
    return f"{_possible(seen)} ({bases(seen)})."


def bases(seen: Profile) -> str:
    """Return what the bound rests on, as a clause."""
    work, chain = duration_text(seen.work_s), duration_text(seen.chain_s)
    return f"the watched run took {duration_text(seen.wall_s)}: work {work}, longest chain {chain}"


def _possible(seen: Profile) -> str:
    cpus = "1 CPU" if seen.cpus == 1 else f"{seen.cpus} CPUs"
    return f"At most {percent_text(seen.possible)} less time is possible with the same work on {cpus}"


def reached_sentence(session: Session) -> str | None:
    """Return what was possible beside what was reached; None where there is no bound, and where nothing was tried."""
    seen = session.watched
    tried = any(one.verdict is not None and one.runs for one in session.results)
    if seen is None or session.workload.metric_regex is not None or not tried:
        return None
    before = f", as {EARLIER} saw it" if session.not_watched else ""
    reached = _reached(session.results, session.winner)
    if reached is None:
        return f"{_possible(seen)}{before}; none of it was shown."
    if reached <= seen.possible + ROUNDING:
        return f"{_possible(seen)}{before}; {percent_text(reached)} was reached."
    return (
        f"{_possible(seen)}{before}, and {percent_text(reached)} was reached: the work itself became less, or the "
        "watched run was quicker than most."
    )


EARLIER = "an earlier session"


def _reached(results: Sequence[CandidateResult], winner: str | None) -> float | None:
    """Return by how much less time the winner takes; None without one."""
    won = next((one.speedup for one in results if winner is not None and one.candidate.key == winner), None)
    return None if won is None or won.estimate <= 0.0 else 1.0 - 1.0 / won.estimate


def advice(seen: Profile) -> Iterator[str]:
    """Yield what helps whatever the scheduler: which task to start first, or that more should run at a time."""
    number, last = max(enumerate(seen.chain), key=lambda one: one[1].cpu_s, default=(0, None))
    if last is not None and _is_late(last.starts_s, last.ends_s, seen):
        of = f" of '{printable(seen.chain[number - 1].key)}'" if number > 1 else ""  # the first is the whole command
        yield (
            f"The longest task, '{printable(last.key)}'{of} ({duration_text(last.cpu_s)}), starts only after "
            f"{duration_text(last.starts_s)}: start it first."
        )
    if seen.possible >= MOST_ADVICE_SHARE and _wants_more(seen.slots, seen.cpus):
        more = "more jobs at a time (a higher -j) may do more than a scheduler"
        yield f"Most of the time it wants fewer CPUs than there are: {more}."


def _is_late(starts_s: float, ends_s: float, seen: Profile) -> bool:
    runs_to_the_end = ends_s >= seen.wall_s * (1.0 - MOST_ADVICE_SHARE)
    return seen.possible >= MOST_ADVICE_SHARE and runs_to_the_end and starts_s >= LATE_SHARE * seen.wall_s


def _wants_more(slots: Sequence[ProfileSlot], cpus: int) -> bool:
    fewer = sum(1 for slot in slots if slot.busy + slot.waiting < 0.8 * cpus)
    return fewer > len(slots) / 2
