# SPDX-License-Identifier: MIT
"""What earlier sessions say of candidates: the best known, the known bad, and what came closest."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autotune.knowledge import best, experience, versions
from autotune.knowledge.experience import Experience
from autotune.knowledge.store import Knowledge
from autotune.records import Candidate, MachineInfo, MeasuredScheduler, Session, Verdict
from tests.support import sessions

FIFO, VTIME, BATCH = Candidate("at_fifo"), Candidate("at_vtime"), Candidate("at_batch")
HERE = sessions.machine(topology="1 socket")
THIS_FILE = Path(__file__)


def same_build() -> MeasuredScheduler:
    """Of a file that does not change while tests run."""
    status, digest = THIS_FILE.stat(), versions.of_file(str(THIS_FILE))
    return MeasuredScheduler("binary", "x", "1", digest, str(THIS_FILE), status.st_size, status.st_mtime_ns)


def session(at: float, outcomes: dict[Candidate, tuple[Verdict, float | None]], **changed: Any) -> Session:
    """A session that came to an end; the first `faster` won."""
    results = [sessions.result(Candidate("eevdf"), None)]
    winner = None
    for candidate, (verdict, speedup) in outcomes.items():
        interval = None if speedup is None else sessions.interval(speedup, speedup - 0.02, speedup + 0.02)
        note = "ejected: runnable task stall" if verdict == "invalid" else ""
        one = sessions.result(candidate, verdict, speedup=interval, note=note, attached=same_build())
        winner = winner or (candidate.key if verdict == "faster" else None)
        results.append(one)
    basis = sessions.session(
        started_at=at, machine=HERE, winner=winner, results=tuple(results), id=f"{int(at):08x}", trials=()
    )
    return replace(basis, **changed)


def learned(knowledge: Knowledge, *kept: Session, here: MachineInfo = HERE) -> Experience:
    for one in kept:
        knowledge.record(one)
    return experience.of_sessions(knowledge.sessions_of(sessions.workload(), 50), experience.here_of(here))


def keys(known: Any) -> list[str]:
    return [one.candidate.key for one in known]


# --- the best --------------------------------------------------------------------------------------------


def test_nothing_is_known_of_a_new_command(knowledge: Knowledge) -> None:
    found = learned(knowledge)
    assert found == Experience()
    assert found.known_best is None


def test_the_winner_is_the_known_best_with_the_session_it_comes_from(knowledge: Knowledge) -> None:
    found = learned(knowledge, session(256.0, {FIFO: ("faster", 1.1), VTIME: ("undecided", 1.0)}))
    assert found.known_best is not None
    assert found.known_best.candidate == FIFO
    assert found.known_best.why == "it was the best in session 00000100, with a speedup of 1.100"
    assert found.contenders == ()


def test_sessions_that_never_knew_their_baseline_do_not_hide_it(knowledge: Knowledge) -> None:
    ended = [session(300.0 + number, {}, baseline=None, results=()) for number in range(12)]
    assert keys(learned(knowledge, session(256.0, {FIFO: ("faster", 1.1)}), *ended).good) == ["at_fifo"]


@pytest.mark.parametrize("verdict", ["slower", "same", "invalid"])
def test_a_later_session_refutes_it(knowledge: Knowledge, verdict: Verdict) -> None:
    found = learned(knowledge, session(256.0, {FIFO: ("faster", 1.1)}), session(257.0, {FIFO: (verdict, 0.9)}))
    assert found.good == ()


def test_on_another_kernel_it_is_stale_and_comes_last(knowledge: Knowledge) -> None:
    newer = replace(HERE, kernel="7.0.0")
    kept = [session(256.0, {VTIME: ("faster", 1.1)}, machine=newer), session(257.0, {FIFO: ("faster", 1.1)})]
    found = learned(knowledge, *kept, here=newer)
    assert keys(found.good) == ["at_vtime", "at_fifo"]
    assert found.good[1].stale == ("the kernel was 6.18.15+deb13-amd64 and is 7.0.0",)
    assert found.known_best == found.good[0]


def test_one_of_another_build_is_no_known_best(knowledge: Knowledge, path: Path) -> None:
    learned(knowledge, session(256.0, {FIFO: ("faster", 1.1)}))
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("""UPDATE results SET attached = replace(attached, '"size_bytes": ', '"size_bytes": 1')""")
        db.execute("""UPDATE results SET attached = replace(attached, '"digest": "', '"digest": "0')""")
        db.commit()
    found = learned(knowledge)
    assert found.known_best is None
    assert "another build" in found.good[0].stale[0]


# --- the bad ---------------------------------------------------------------------------------------------


def test_the_slower_and_the_ejected_are_bad_and_it_is_said_how_often(knowledge: Knowledge) -> None:
    outcomes: Any = {FIFO: ("slower", 0.9), VTIME: ("invalid", None), BATCH: ("same", 1.0)}
    found = learned(knowledge, session(256.0, outcomes), session(257.0, outcomes))
    assert [(one.candidate, one.why) for one in found.bad] == [
        (FIFO, "it was shown slower twice here (sessions 00000101, 00000100), with a speedup of 0.900"),
        (
            VTIME,
            "it could not be used twice here (sessions 00000101, 00000100): ejected: runnable task stall",
        ),
    ]


@pytest.mark.parametrize("verdict", ["faster", "same"])
def test_the_newest_verdict_counts(knowledge: Knowledge, verdict: Verdict) -> None:
    kept = [session(256.0, {FIFO: ("slower", 0.9)}), session(257.0, {FIFO: (verdict, 1.0)})]
    assert learned(knowledge, *kept).bad == ()


def test_an_undecided_one_changes_nothing(knowledge: Knowledge) -> None:
    kept = [session(256.0, {FIFO: ("slower", 0.9)}), session(257.0, {FIFO: ("undecided", 1.0)})]
    assert keys(learned(knowledge, *kept).bad) == ["at_fifo"]


def test_under_other_conditions_or_of_another_build_nothing_counts_against_it(knowledge: Knowledge) -> None:
    newer = replace(HERE, kernel="7.0.0")
    unknown = session(257.0, {VTIME: ("slower", 0.9)})
    unknown = replace(unknown, results=tuple(replace(one, attached=None) for one in unknown.results))
    assert learned(knowledge, session(256.0, {FIFO: ("slower", 0.9)}), unknown, here=newer).bad == ()
    assert keys(learned(knowledge).bad) == ["at_fifo"]


# --- what came closest -----------------------------------------------------------------------------------


def test_without_a_winner_those_that_came_closest_are_worth_a_check(knowledge: Knowledge) -> None:
    others = {Candidate("at_interactive"): ("same", 0.99), BATCH: ("slower", 0.9), Candidate("x"): ("undecided", 1.0)}
    outcomes: Any = {FIFO: ("undecided", 1.01), VTIME: ("invalid", None), **others}
    found = learned(knowledge, session(256.0, outcomes))
    assert keys(found.contenders) == ["at_fifo"]
    assert found.contenders[0].why.startswith("it came closest to beating EEVDF in session 00000100")


@pytest.mark.parametrize("changed", [{"interrupted": True}, {"failure": "lost"}, {"results": ()}, {"baseline": None}])
def test_a_session_that_was_cut_short_is_no_answer(knowledge: Knowledge, changed: dict[str, Any]) -> None:
    assert learned(knowledge, session(256.0, {FIFO: ("undecided", 1.01)}, **changed)).contenders == ()


# --- the same as the quick look-up -----------------------------------------------------------------------

OUTCOMES = st.dictionaries(
    st.sampled_from([FIFO, VTIME, BATCH]),
    st.sampled_from([("faster", 1.1), ("slower", 0.9), ("same", 1.0), ("undecided", 1.0), ("invalid", None)]),
    max_size=3,
)


@example([({BATCH: ("faster", 1.1)}, "7.0", True), *[({VTIME: ("faster", 1.1)}, one, True) for one in ("7.0", "6.18")]])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(OUTCOMES, st.sampled_from(["6.18", "7.0"]), st.booleans()), max_size=5))
@pytest.mark.slow
def test_the_quick_look_up_finds_the_same_best(history: list[tuple[Any, str, bool]]) -> None:
    here = replace(HERE, kernel="7.0")
    with tempfile.TemporaryDirectory() as directory, Knowledge(Path(directory) / "k") as knowledge:
        kept = [
            session(256.0 + at, outcomes, machine=replace(HERE, kernel=kernel), **({} if known else {"baseline": None}))
            for at, (outcomes, kernel, known) in enumerate(history)
        ]
        found = learned(knowledge, *[one for one in kept if one.baseline is not None], here=here)
        quick = best.known_best(
            "make -j8", "/home/me/project", here=experience.here_of(here), store=str(Path(directory) / "k")
        )
    assert (quick.spec if quick is not None else None) == (found.good[0].candidate.key if found.good else None)
