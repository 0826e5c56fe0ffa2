# SPDX-License-Identifier: MIT
"""Who ranks above EEVDF, and what is recommended."""

from __future__ import annotations

from autotune.records import BASELINE, Candidate
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


# --- recommendation ---


def test_without_a_comparison_nothing_is_claimed() -> None:
    results = (
        sessions.result(Candidate(BASELINE), None),
        sessions.result(sessions.FIFO, "undecided", median=None, runs=0),
    )
    text = ranking.recommend(results, None, sessions.BASE, is_time=True)
    assert text == "Nothing can be said: no scheduler ran often enough to be compared with EEVDF."
    assert table.table(results, is_time=True).rows[1].note == "not run"
