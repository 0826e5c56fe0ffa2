# SPDX-License-Identifier: MIT
"""Who ranks above EEVDF, and what is recommended."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.records import BASELINE, Candidate, CandidateResult, Interval, Outlook
from autotune.report import table
from autotune.verdict import ranking
from tests.support import sessions

# --- rank ---


def test_only_a_proven_gain_ranks_above_eevdf() -> None:
    better, worse = sessions.interval(1.3, 0.9, 1.9), sessions.interval(0.8, 0.7, 0.9)
    proven = sessions.interval(1.05, 1.02, 1.08)
    unordered = [
        sessions.result(Candidate("invalid"), "invalid", median=None),
        sessions.result(Candidate("slower"), "slower", speedup=worse),
        sessions.result(Candidate("lucky"), "undecided", speedup=better),
        sessions.result(Candidate(BASELINE), None),
        sessions.result(Candidate("large"), "faster", speedup=sessions.interval(1.2, 1.1, 1.3)),
        sessions.result(Candidate("won"), "faster", speedup=proven, confirmed=True),
    ]
    ranked = ranking.rank(unordered, "won")
    assert [r.candidate.scheduler for r in ranked] == ["won", "large", BASELINE, "lucky", "slower", "invalid"]


def test_without_a_winner_the_leader_that_was_confirmed_in_vain_comes_before_luckier_ones() -> None:
    unordered = [
        sessions.result(Candidate("lucky"), "undecided", speedup=sessions.interval(1.3, 0.9, 1.9)),
        sessions.result(Candidate(BASELINE), None),
        sessions.result(Candidate("leader"), "undecided", speedup=sessions.interval(1.04, 0.99, 1.09), fresh_pairs=10),
    ]
    assert [r.candidate.scheduler for r in ranking.rank(unordered, None)] == [BASELINE, "leader", "lucky"]


def test_the_leader_that_the_sentence_names_is_the_first_candidate_of_its_group() -> None:
    unordered = [
        sessions.result(Candidate("second"), "undecided", speedup=sessions.interval(1.1, 0.99, 1.2), fresh_pairs=4),
        sessions.result(Candidate("first"), "undecided", speedup=sessions.interval(1.04, 0.99, 1.09), fresh_pairs=10),
        sessions.result(Candidate(BASELINE), None),
    ]
    assert [r.candidate.scheduler for r in ranking.rank(unordered, None, "first")] == [BASELINE, "first", "second"]


# --- recommendation ---


def test_without_a_comparison_nothing_is_claimed() -> None:
    results = (
        sessions.result(Candidate(BASELINE), None),
        sessions.result(sessions.FIFO, "undecided", median=None, runs=0),
    )
    text = ranking.recommend(results, None, sessions.BASE, is_time=True)
    assert text == "Nothing can be said: no scheduler ran often enough to be compared with EEVDF."
    assert table.table(results, is_time=True).rows[1].note == "not run"


def leader(**changed: Any) -> tuple[CandidateResult, ...]:
    speedup = changed.pop("speedup", sessions.interval(1.042, 0.998, 1.087))
    return (
        sessions.result(sessions.FIFO, "undecided", speedup=speedup, fresh_pairs=10, **changed),
        sessions.result(Candidate(BASELINE), None),
    )


def test_without_a_winner_it_says_what_is_excluded_and_what_would_show_the_gain() -> None:
    outlook = Outlook(sessions.FIFO.key, more_pairs=15, more_s=99.4, budget_s=420.0)
    text = ranking.recommend(leader(), None, sessions.BASE, outlook, is_time=True)
    assert text == (
        "Stay with EEVDF. Not shown: the leader at_fifo:slice_us=5000 is at 1.042 [0.998, 1.087] after 10 fresh pairs; "
        "gains over 8.7 % are excluded. If its gain is real, 15 more pairs (about 1:40) would show it."
    )


def test_a_leader_without_a_gain_is_not_worth_more_runs() -> None:
    outlook = Outlook(sessions.FIFO.key, more_pairs=None, more_s=None, budget_s=None)
    text = ranking.recommend(
        leader(speedup=sessions.interval(0.97, 0.95, 0.99)), None, sessions.BASE, outlook, is_time=True
    )
    assert text.endswith("after 10 fresh pairs; a gain is excluded.")


def test_a_leader_that_lost_by_its_stalls_is_said_to_and_no_more_runs_are_advised() -> None:
    outlook = Outlook(sessions.FIFO.key, more_pairs=None, more_s=None, budget_s=None)
    results = leader(speedup=sessions.interval(1.05, 1.02, 1.08), note="stalls: 2 of 24 runs took far longer")
    text = ranking.recommend(results, None, sessions.BASE, outlook, is_time=True)
    assert text.endswith(
        "the typical run of at_fifo:slice_us=5000 is faster, at 1.050 [1.020, 1.080]; "
        "stalls: 2 of 24 runs took far longer."
    )


def test_without_a_confirmation_nothing_is_said_of_a_leader() -> None:
    text = ranking.recommend(leader(), None, sessions.BASE, None, is_time=True)
    assert text == "Stay with EEVDF: no scheduler was shown to beat it here."


def test_a_winner_says_what_its_runs_could_not_have_shown() -> None:
    won = sessions.result(
        sessions.FIFO, "faster", speedup=sessions.interval(1.1, 1.05, 1.15), runs=24, slowest=1.02, confirmed=True
    )
    text = ranking.recommend((won,), sessions.FIFO.key, sessions.BASE, is_time=True)
    assert text.endswith(
        "The slowest of its 24 runs took 1.02 x the median; stalls in fewer than 1 of 8 runs could not have shown."
    )


@pytest.mark.parametrize(
    ("estimate", "deviation", "had", "expected"),
    [
        (1.042, 0.051, 10, 4),  # 12 pairs show it; at least a first look more
        (1.02, 0.051, 10, 43),
        (1.0, 0.05, 10, None),
        (0.9, 0.05, 10, None),
        (1.05, None, 10, None),
        (1.001, 0.05, 10, None),  # nobody runs twenty thousand pairs
    ],
)
def test_more_pairs_are_those_that_80_percent_power_needs(
    estimate: float, deviation: float | None, had: int, expected: int | None
) -> None:
    speedup = Interval(estimate, estimate - 0.04, estimate + 0.04, 0.95)
    assert ranking.more_pairs(speedup, deviation, had) == expected


@pytest.mark.parametrize(
    ("least", "expected"),
    [
        (0.0, 43),
        (0.04, 4),  # 13 pairs show 4 %, and ten are there
        (0.07, None),  # such a gain is excluded
    ],
)
def test_more_pairs_are_for_the_least_gain_that_is_wanted(least: float, expected: int | None) -> None:
    assert ranking.more_pairs(Interval(1.02, 0.98, 1.06, 0.95), 0.051, 10, least) == expected
