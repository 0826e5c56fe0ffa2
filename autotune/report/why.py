# SPDX-License-Identifier: MIT
"""Why the winner won: what differs between a watched run under EEVDF and one under the winner, in a few lines. Pure.

One run each: a difference that is small, or a few per cent of the run, is left out, since it may be chance.
"""

from __future__ import annotations

from collections.abc import Iterator

from autotune.records import Profile, Session, TaskGroup
from autotune.report.text import duration_text, printable

MOST_LINES = 5
LEAST_CHANGE = 0.1
"""A number that changed by less than this share is the same."""
LEAST_OF_THE_RUN = 0.03
"""So is a time whose change is less than this share of the run."""
LEAST_MOVES = 10
LEAST_FACTOR_OF_WAITS = 2.0
"""Waits are known to a factor of two."""
MOST_TURNS = 0.99
OTHERS = "[others]"
KEY_CHARACTERS = 60


def lines(session: Session) -> list[str]:
    """Return why the winner won, MOST_LINES at most; none where no run under it was watched."""
    eevdf, won = session.watched, session.watched_winner
    if eevdf is None or won is None or session.winner is None:
        return []
    name = next((one.candidate.short for one in session.results if one.candidate.key == session.winner), session.winner)
    facts = [f"  {fact}" for fact in _facts(eevdf, won)][: MOST_LINES - 1]
    if not facts:
        return [f"What a watched run under each shows does not say why {printable(name)} won."]
    return [f"Why {printable(name)} won, by a watched run under it and one under EEVDF:", *facts]


def _facts(eevdf: Profile, won: Profile) -> Iterator[str]:
    """Yield what changed, what tells most first."""
    yield from _longest(eevdf, won)
    yield from _time("one CPU would have done for", eevdf.serial_s, won.serial_s, eevdf.wall_s)
    yield from _time("tasks waited for a CPU, all together,", eevdf.wait_s, won.wait_s, eevdf.wall_s)
    yield from _latency(eevdf, won)
    yield from _moves(eevdf.migrations, won.migrations)
    yield from _time("the work itself took", eevdf.work_s, won.work_s, eevdf.wall_s, least=0.02)


def _longest(eevdf: Profile, won: Profile) -> Iterator[str]:
    """Say when the longest task that both had was over, and how long it waited."""
    under = {one.key: one for one in won.groups if one.key != OTHERS}
    both = [(one, under[one.key]) for one in eevdf.groups if one.key in under]
    before, after = max(both, key=lambda pair: pair[0].longest_s, default=(None, None))
    if before is None or after is None or abs(before.ends_s - after.ends_s) < LEAST_OF_THE_RUN * eevdf.wall_s:
        return
    yield (
        f"the longest task, '{_cut(before)}', was over after {duration_text(after.ends_s)} instead of "
        f"{duration_text(before.ends_s)} (it waited {duration_text(after.wait_s)} for a CPU, not "
        f"{duration_text(before.wait_s)})"
    )


def _cut(group: TaskGroup) -> str:
    text = printable(group.key)
    return text if len(text) <= KEY_CHARACTERS else f"{text[: KEY_CHARACTERS - 3]}..."


def _time(what: str, before_s: float, after_s: float, wall_s: float, least: float = LEAST_CHANGE) -> Iterator[str]:
    change_s = abs(before_s - after_s)
    if change_s >= max(least * before_s, LEAST_OF_THE_RUN * wall_s, 1e-9):
        yield f"{what} {duration_text(after_s)} instead of {duration_text(before_s)}"


def _moves(before: int, after: int) -> Iterator[str]:
    if abs(before - after) >= max(LEAST_MOVES, LEAST_CHANGE * before):
        yield f"tasks moved to another CPU {after} times instead of {before}"


def _latency(eevdf: Profile, won: Profile) -> Iterator[str]:
    before, after = _most_waited_s(eevdf), _most_waited_s(won)
    if before is None or after is None or max(before, after) < LEAST_FACTOR_OF_WAITS * min(before, after):
        return
    yield f"99 of 100 turns waited less than {duration_text(after)} instead of {duration_text(before)}"


def _most_waited_s(seen: Profile) -> float | None:
    """Return what MOST_TURNS of the turns waited less than; None without turns."""
    left = sum(seen.waits.values()) * (1.0 - MOST_TURNS)
    for bucket in sorted(map(int, seen.waits), reverse=True):
        left -= seen.waits[str(bucket)]
        if left < 0.0:
            return float(2.0 ** (bucket + 1) * 1e-9)
    return None
