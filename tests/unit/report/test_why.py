# SPDX-License-Identifier: MIT
"""Why the winner won: what differs between two watched runs, in at most five lines, and nothing that may be chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from autotune.records import Profile, Session, TaskGroup
from autotune.report import plain_text, why
from tests.support import sessions
from tests.support.sessions import BATCH

BIG = TaskGroup("xz big", 1, 5.0, 5.0, 1.9, 0.0, 0.5, 9.6, 40, 3)
SMALL = TaskGroup("xz small", 10, 10.0, 1.0, 6.0, 0.0, 0.1, 6.0, 300, 20)
EEVDF = sessions.profile(
    wall_s=9.6, work_s=15.0, serial_s=3.0, wait_s=8.2, migrations=340, groups=(SMALL, BIG), waits={"20": 980, "25": 20}
)
WON = replace(
    EEVDF, wall_s=7.6, serial_s=0.2, wait_s=7.9, migrations=12, groups=(SMALL, replace(BIG, ends_s=7.5, wait_s=0.1)),
    waits={"20": 999, "25": 1},
)  # fmt: skip


def done(eevdf: Profile | None = EEVDF, won: Profile | None = WON, **changed: Any) -> Session:
    results = (sessions.result(BATCH, "faster", speedup=sessions.interval(1.2, 1.1, 1.3), confirmed=True),)
    given = {"results": results, "winner": BATCH.key, "watched": eevdf, "watched_winner": won, **changed}
    return sessions.session(**given)


def test_what_changed_is_told_with_what_tells_most_first() -> None:
    assert why.lines(done()) == [
        f"Why {BATCH.short} won, by a watched run under it and one under EEVDF:",
        "  the longest task, 'xz big', was over after 7.500 s instead of 9.600 s (it waited 100.0 ms for a CPU, not "
        "1.900 s)",
        "  one CPU would have done for 200.0 ms instead of 3.000 s",
        "  99 of 100 turns waited less than 2.10 ms instead of 67.1 ms",
        "  tasks moved to another CPU 12 times instead of 340",
    ]


def test_it_stands_in_the_report() -> None:
    assert "\n".join(why.lines(done())) in plain_text.plain_text(done())


def test_two_runs_that_are_alike_say_that_they_do_not_tell() -> None:
    assert why.lines(done(won=EEVDF)) == [f"What a watched run under each shows does not say why {BATCH.short} won."]


def test_without_a_winner_or_a_second_run_nothing_is_said() -> None:
    assert why.lines(done(won=None)) == []
    assert why.lines(done(eevdf=None)) == []
    assert why.lines(done(winner=None)) == []


NUMBERS = st.floats(0.0, 1e6)
COUNTS = st.dictionaries(st.integers(0, 63).map(str), st.integers(0, 10**9), max_size=64)


@given(NUMBERS, NUMBERS, NUMBERS, st.integers(0, 10**9), COUNTS)
def test_whatever_changed_it_is_at_most_five_lines(
    serial_s: float, wait_s: float, work_s: float, moves: int, waits: dict[str, int]
) -> None:
    won = replace(WON, serial_s=serial_s, wait_s=wait_s, work_s=work_s, migrations=moves, waits=waits)

    for lines in (why.lines(done(won=won)), why.lines(done(eevdf=won, won=EEVDF))):
        assert 1 <= len(lines) <= 5
        assert all(len(line) < 240 for line in lines)


def test_long_names_and_groups_that_only_one_run_had_do_no_harm() -> None:
    strange = replace(WON, groups=(replace(BIG, key="x\x1b" * 500), replace(BIG, key=why.OTHERS)))

    assert all("xz big" not in line and "\x1b" not in line for line in why.lines(done(won=strange)))
