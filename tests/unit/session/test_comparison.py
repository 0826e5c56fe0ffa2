# SPDX-License-Identifier: MIT
"""A session beside the newest earlier one of the same command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autotune.knowledge.store import Knowledge
from autotune.records import BASELINE, Session, Trial
from autotune.session.comparison import SessionChange, with_earlier
from tests.support import sessions

WINNER = sessions.BATCH.key


@pytest.fixture
def knowledge(tmp_path: Path) -> Iterator[Knowledge]:
    with Knowledge(tmp_path / "history.sqlite3") as store:
        yield store


def trials(key: str, *wall_s: float) -> tuple[Trial, ...]:
    return tuple(
        sessions.trial(key, round=number, run=sessions.run(wall_s=value)) for number, value in enumerate(wall_s)
    )


def session(name: str, eevdf_s: float, winner_s: float | None = None, **changed: Any) -> Session:
    runs = trials(BASELINE, *(eevdf_s * one for one in (0.99, 1.0, 1.01)))
    if winner_s is not None:
        runs += trials(WINNER, *(winner_s * one for one in (0.99, 1.0, 1.01)))
    warm_up = sessions.trial(phase="warmup", run=sessions.run(wall_s=50.0))
    return sessions.session(id=name, trials=(warm_up, *runs), **{"winner": WINNER if winner_s else None, **changed})


def compared(now: Session, knowledge: Knowledge) -> dict[str, SessionChange]:
    return {one.key: one for one in with_earlier(now, knowledge)}


def test_eevdf_and_the_earlier_winner_are_each_compared_with_themselves(knowledge: Knowledge) -> None:
    knowledge.record(session("aaaa0001", 2.0, 1.8))
    now = session("aaaa0002", 2.2, 1.8)
    knowledge.record(now)

    found = compared(now, knowledge)

    assert found[BASELINE].change.estimate == pytest.approx(2.0 / 2.2, rel=1e-3)
    assert found[WINNER].change.estimate == pytest.approx(1.0, rel=1e-3)
    assert found[WINNER].then.name == "aaaa0001"


def test_an_earlier_winner_that_did_not_run_now_is_left_out(knowledge: Knowledge) -> None:
    knowledge.record(session("aaaa0001", 2.0, 1.8))

    assert list(compared(session("aaaa0002", 2.0), knowledge)) == [BASELINE]


def test_the_newest_counts_and_the_first_session_has_nothing_beside_it(knowledge: Knowledge) -> None:
    first = session("aaaa0001", 4.0, started_at=1.0)
    assert compared(first, knowledge) == {}
    knowledge.record(first)
    assert compared(first, knowledge) == {}, "a session is not compared with itself"
    knowledge.record(session("aaaa0002", 2.0, started_at=2.0))

    assert compared(session("aaaa0003", 2.0), knowledge)[BASELINE].then.name == "aaaa0002"


@pytest.mark.parametrize(
    "machine", [{"cpus": 64}, {"cpu_model": "another"}, {"kind": "host", "acceleration": "none"}], ids=str
)
def test_what_another_machine_measured_is_not_compared(knowledge: Knowledge, machine: dict[str, Any]) -> None:
    knowledge.record(session("aaaa0001", 2.0, machine=sessions.machine(**machine)))

    assert compared(session("aaaa0002", 9.0), knowledge) == {}


def test_another_kernel_is_compared_since_it_may_be_what_made_it_slower(knowledge: Knowledge) -> None:
    knowledge.record(session("aaaa0001", 2.0, machine=sessions.machine(kernel="6.0")))

    assert compared(session("aaaa0002", 2.0), knowledge)[BASELINE].then.kernel == "6.0"


def test_another_command_and_a_session_without_a_baseline_are_not_compared(knowledge: Knowledge) -> None:
    knowledge.record(session("aaaa0001", 2.0, workload=sessions.workload(command="make other", argv=("x",))))
    knowledge.record(session("aaaa0002", 2.0, baseline=None))

    assert compared(session("aaaa0003", 2.0), knowledge) == {}
