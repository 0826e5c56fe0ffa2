# SPDX-License-Identifier: MIT
"""With which values of its parameters a command did best."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.knowledge.archive import History
from autotune.knowledge.store import Knowledge
from autotune.knowledge.swept import best_values
from autotune.records import Candidate, Parameter, Session, Verdict
from tests.support import sessions

CWD = "/home/me/project"


def at(jobs: str, scheduler: str = "eevdf", verdict: Verdict | None = None) -> Any:
    speedup = sessions.interval(1.2, 1.1, 1.3) if scheduler != "eevdf" else None
    return sessions.result(Candidate(scheduler, params=(("jobs", jobs),)), verdict, speedup=speedup)


def swept(winner: str | None) -> Session:
    work = sessions.workload(
        cwd=CWD,
        command="make -j{jobs}",
        argv=("sh", "-c", "make -j{jobs}"),
        parameters=(Parameter("jobs", ("4", "8")),),
    )
    results = (at("4", "at_fifo", "faster"), at("8"), at("4", verdict="slower"))
    return sessions.session(workload=work, results=results, winner=winner)


@pytest.mark.parametrize("command", ["make -j4", "make -j8", "make -j{jobs}"])
def test_the_winners_values_are_told_for_all_of_them(knowledge: Knowledge, command: str) -> None:
    knowledge.record(swept("at_fifo jobs=4"))
    found = best_values(History(knowledge).newest(CWD), command)
    assert found is not None
    assert (found.scheduler, found.values, found.command) == ("at_fifo", "jobs=4", "make -j4")


def test_without_a_winner_eevdfs_best_values_are(knowledge: Knowledge) -> None:
    knowledge.record(swept(None))
    found = best_values(History(knowledge).newest(CWD), "make -j4")
    assert found is not None
    assert (found.scheduler, found.values, found.command) == ("eevdf", "jobs=8", "make -j8")


def test_other_commands_and_those_without_parameters_have_none(knowledge: Knowledge) -> None:
    knowledge.record(sessions.session())
    assert best_values(History(knowledge).newest(CWD), "make -j8") is None
    knowledge.record(swept(None))
    assert best_values(History(knowledge).newest(CWD), "make -j5") is None
