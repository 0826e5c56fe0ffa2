# SPDX-License-Identifier: MIT
"""Sessions that continue others, on a scripted machine: what they take up, leave, show and refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import AutotuneError, BusyError, UsageError, WorkloadError
from autotune.events import Event, Left, RoundStarted, RunFinished
from autotune.knowledge.chains import Kept
from autotune.knowledge.store import Knowledge
from autotune.machine import select
from autotune.machine.select import MachineChoice
from autotune.records import BASELINE, AttachSpec, Candidate, MachineInfo, Parameter, ProgramSpec, Session
from autotune.session import continuation
from autotune.verdict.race import ALPHA
from tests.support import sessions
from tests.support.chains import FASTER, TIMES, continued, kept, undecided
from tests.support.scripted_engine import ScriptedEngine
from tests.support.scripted_machine import ScriptedMachine, a_run


@pytest.fixture(autouse=True)
def _on_a_scripted_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "decide", lambda _kind: MachineChoice("vm", "a test"))


def row(session: Session, key: str) -> Any:
    return next(one for one in session.results if one.candidate.key == key)


def until_ctrl_c(runs: Iterator[float]) -> Any:
    wall_s = next(runs, None)
    if wall_s is None:
        raise KeyboardInterrupt
    return a_run(wall_s)


# --- what it takes up and leaves ---


def test_it_goes_straight_to_fresh_pairs_of_the_leader_and_finds_the_gain(tmp_path: Path) -> None:
    before, heard = undecided(tmp_path), list[Event]()
    assert before.winner is None
    after = continued(before.id, FASTER, listener=heard.append)
    assert after.winner == "at_fifo"
    assert after.continues == before.id != after.id
    rounds = [event for event in heard if isinstance(event, RoundStarted)]
    assert {event.phase for event in rounds if "at_vtime" in event.order} == set()
    assert [event.phase for event in rounds if event.phase != "tail"] == ["confirm"] * 4
    assert after.chain is None


def test_its_table_has_the_fresh_pairs_that_it_judged_by_and_the_rows_from_before(tmp_path: Path) -> None:
    before = undecided(tmp_path)
    after = continued(before.id)
    assert row(after, "at_vtime") == row(before, "at_vtime")
    assert row(after, "at_fifo").fresh_pairs == 4
    assert row(after, "at_fifo").runs == row(before, "at_fifo").runs + 4
    own = [one.value for one in after.trials if one.candidate == "at_fifo" and one.value is not None]
    assert len(own) == 4
    assert min(own) <= row(after, "at_fifo").median <= max(own)


@pytest.mark.slow
def test_each_session_of_a_chain_gets_half_of_what_is_left(tmp_path: Path) -> None:
    session = undecided(tmp_path)
    left = []
    for _ in range(4):
        assert session.chain is not None
        left.append(session.chain.alpha_left)
        session = continued(session.id)
    assert left == [ALPHA / 2, ALPHA / 4, ALPHA / 8, ALPHA / 16]
    assert row(session, "at_fifo").speedup.confidence > row(undecided(tmp_path), "at_fifo").speedup.confidence


def test_what_is_given_to_a_confirmation_is_kept_before_its_first_run(tmp_path: Path) -> None:
    """A kill at any moment finds the alpha in the store that was given by then."""
    before = undecided(tmp_path)
    seen: list[tuple[str, float | None]] = []

    def look(event: Event) -> None:
        if isinstance(event, (RoundStarted, RunFinished)):
            name = getattr(event, "phase", "") or event.trial.phase  # type: ignore[union-attr]
            found = kept_running()
            chain = found.chain if found is not None else None
            seen.append((name, chain.alpha_left if chain is not None else None))

    def kept_running() -> Session | None:
        with Knowledge() as knowledge:
            running = [one for one in knowledge.sessions_in(str(tmp_path)) if one.is_running]
        return running[0].session if running else None

    continued(before.id, listener=look)
    assert {alpha for phase, alpha in seen if phase == "confirm"} == {ALPHA / 4}


def test_a_machine_that_is_faster_today_makes_no_run_of_before_a_stall(tmp_path: Path) -> None:
    before = undecided(tmp_path)
    after = continued(before.id, {key: 0.5 * wall_s for key, wall_s in FASTER.items()})
    assert after.winner == "at_fifo"
    assert row(after, "at_fifo").slowest < 1.1


def test_a_stall_of_the_session_before_still_costs_the_win(tmp_path: Path) -> None:
    runs = iter([0.9, 0.9, 0.9, 0.9, 1.4, 0.9])
    machine = ScriptedMachine(dict(TIMES), faults={"at_fifo": lambda: a_run(next(runs))})
    before = undecided(tmp_path, machine=machine)
    assert before.winner is None
    after = continued(before.id, FASTER)
    assert after.winner is None
    assert "stalls" in row(after, "at_fifo").note


def test_a_leader_that_fails_now_is_invalid(tmp_path: Path) -> None:
    before = undecided(tmp_path)
    engine = ScriptedEngine(ScriptedMachine(dict(TIMES), ejects=frozenset({"at_fifo"})))
    after = continued(before.id, engine=engine)
    assert row(after, "at_fifo").verdict == "invalid"
    assert "stall" in row(after, "at_fifo").note


def test_a_session_that_was_stopped_in_its_race_is_confirmed_with_the_whole_risk(tmp_path: Path) -> None:
    machine = ScriptedMachine(dict(TIMES))
    runs = iter([1.0] * 6)

    machine.faults[BASELINE] = lambda: until_ctrl_c(runs)
    stopped = undecided(tmp_path, machine=machine)
    assert stopped.interrupted
    assert stopped.chain is not None
    assert stopped.chain.alpha_left == ALPHA
    assert continued(stopped.id, FASTER).winner == "at_fifo"


# --- forks ---


def test_a_session_is_continued_once_and_its_continuation_again(tmp_path: Path) -> None:
    before = undecided(tmp_path)
    after = continued(before.id)
    with pytest.raises(UsageError, match=f"session {before.id} is continued by session {after.id}"):
        continued(before.id)
    again = continued(after.id)
    with pytest.raises(UsageError, match=f"{after.id} is continued by session {again.id}"):
        continued(after.id)


def test_two_that_continue_the_same_session_at_once_are_one_too_many(tmp_path: Path) -> None:
    before = undecided(tmp_path)
    refused: list[AutotuneError] = []

    def at_the_same_time(event: Event) -> None:
        if isinstance(event, RunFinished) and not refused:
            with pytest.raises(UsageError, match="is continued by") as caught:
                continued(before.id)
            refused.append(caught.value)

    assert continued(before.id, FASTER, listener=at_the_same_time).winner == "at_fifo"
    assert refused


def test_a_continuation_that_confirmed_nothing_leaves_the_session_before_to_be_continued(tmp_path: Path) -> None:
    before = undecided(tmp_path)
    engine = ScriptedEngine(ScriptedMachine(dict(TIMES)))
    engine.scripted.faults[BASELINE] = lambda: a_run(1.0, 7)
    with pytest.raises(WorkloadError):
        continued(before.id, engine=engine)
    assert kept(before.id).continued_by is None
    assert continued(before.id, FASTER).winner == "at_fifo"


def test_one_that_was_stopped_before_its_first_fresh_pair_is_void(tmp_path: Path) -> None:
    before = undecided(tmp_path)
    machine = ScriptedMachine(dict(TIMES))
    runs = iter([1.0] * 3)

    machine.faults[BASELINE] = lambda: until_ctrl_c(runs)
    heard: list[Event] = []
    stopped = continued(before.id, engine=ScriptedEngine(machine), listener=heard.append)
    assert stopped.interrupted
    assert not any(isinstance(event, Left) for event in heard)
    with pytest.raises(UsageError, match=f"continues nothing of {before.id}"):
        continued(stopped.id)
    assert continued(before.id, FASTER).winner == "at_fifo"


def test_a_store_that_cannot_be_written_refuses_since_nobody_would_know_what_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, engine = undecided(tmp_path), ScriptedEngine()

    def full(*_given: object) -> None:
        raise AutotuneError("the knowledge store cannot be read or written: disk full", stage="history")

    monkeypatch.setattr(Knowledge, "take", full)
    with pytest.raises(AutotuneError, match="disk full"):
        continued(before.id, engine=engine)
    assert engine.started == 0


# --- another machine, another scheduler ---


class Elsewhere(ScriptedMachine):
    changed: dict[str, Any]

    @property
    def info(self) -> MachineInfo:
        return replace(super().info, **self.changed)


@pytest.mark.first
@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"kernel": "6.19"}, "ran on Linux 6.18, and this is Linux 6.19"),
        ({"cpus": 4}, "ran on 2 CPUs, and this is 4 CPUs"),
        ({"acceleration": "none"}, "ran on an emulated micro-VM, and this is the host"),
        ({"acceleration": "kvm"}, "ran on an emulated micro-VM, and this is a micro-VM"),
        ({"cpu_model": "another"}, "ran on scripted, and this is another"),
    ],
)
def test_another_machine_is_refused_and_takes_nothing(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    before = undecided(tmp_path)
    machine = Elsewhere(dict(TIMES))
    machine.changed = changed
    with pytest.raises(UsageError, match=says):
        continued(before.id, engine=ScriptedEngine(machine))
    assert not any(entry.startswith("run ") for entry in machine.log)
    assert continued(before.id, FASTER).winner == "at_fifo"


class Rebuilt(ScriptedEngine):
    """Builds its objects anew, with another content; or cannot."""

    def __init__(self, spec: Callable[[Candidate], AttachSpec]) -> None:
        super().__init__(ScriptedMachine(dict(TIMES)))
        self.spec = spec

    def resolver(self, *_given: Any) -> Callable[[Candidate], AttachSpec]:
        return self.spec


def _cannot(candidate: Candidate) -> AttachSpec:
    raise UsageError(f"{candidate.key} is gone")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (lambda one: AttachSpec(one.scheduler, "other.o"), "has changed since"),
        (lambda one: AttachSpec(one.scheduler, "x.o", partial=True), "has changed since"),
        (lambda one: AttachSpec(one.scheduler, program=ProgramSpec(("/bin/x",), 1, 2)), "has changed since"),
        (_cannot, "cannot be built any more"),
    ],
)
def test_a_scheduler_that_changed_is_refused(tmp_path: Path, spec: Any, says: str) -> None:
    before = undecided(tmp_path)
    with pytest.raises(UsageError, match=f"at_fifo {says}, which session {before.id} measured"):
        continued(before.id, engine=Rebuilt(spec))


def test_the_content_of_an_object_counts_and_not_its_name(tmp_path: Path) -> None:
    first, second = tmp_path / "a.o", tmp_path / "b.o"
    first.write_bytes(b"one")
    second.write_bytes(b"one")
    same = {continuation.digest_of(AttachSpec("x", str(path))) for path in (first, second)}
    assert len(same) == 1
    second.write_bytes(b"another")
    assert continuation.digest_of(AttachSpec("x", str(second))) not in same
    programs = [
        AttachSpec("x", program=ProgramSpec(("/bin/x", *more), 1, at)) for more, at in (((), 1), ((), 2), (("-v",), 1))
    ]
    assert len({continuation.digest_of(one) for one in programs}) == 3


# --- what is refused ---


def found(session: Session, **more: Any) -> Kept:
    return Kept(session, **{"is_running": False, "continued_by": None, "is_void": False, **more})


def test_each_refusal_is_one_line_that_says_why_and_what_to_do(tmp_path: Path) -> None:
    session = undecided(tmp_path)
    assert session.chain is not None
    assert continuation.refusal(found(session)) is None
    swept = replace(session.workload, parameters=(Parameter("jobs", ("1", "2")),))
    refused = {
        "is decided: at_fifo won it": found(replace(session, winner="at_fifo")),
        "swept parameters": found(replace(session, workload=swept)),
        "before any candidate was compared": found(replace(session, chain=None)),
        "no candidate ahead of EEVDF": found(replace(session, chain=replace(session.chain, contenders=()))),
        "judged by rule 0 of autotune": found(replace(session, chain=replace(session.chain, rule=0))),
        "still running": found(session, is_running=True),
        "is continued by session 12345678": found(session, continued_by="12345678"),
        "measured no fresh pair": found(session, is_void=True),
    }
    for says, one in refused.items():
        reason = continuation.refusal(one)
        assert isinstance(reason, (UsageError, BusyError))
        assert says in reason.message
        assert session.id in reason.message
        assert reason.hint
        assert "\n" not in str(reason)


def test_a_decided_session_leaves_nothing(tmp_path: Path) -> None:
    won = undecided(tmp_path, FASTER)
    assert won.winner == "at_fifo"
    assert won.chain is None
    with pytest.raises(UsageError, match="is decided"):
        continued(won.id)


def test_the_options_for_where_to_run_are_repeated_and_those_for_how_long_are_not() -> None:
    given = ["--machine", "vm", "--cpus", "4", "--budget", "3m", "--runs", "5", "--statistic", "mean"]
    assert continuation.kept_options(given) == ("--machine", "vm", "--cpus", "4", "--statistic", "mean")


def test_sessions_of_before_have_no_name_and_no_chain() -> None:
    assert (sessions.session().id, sessions.session().chain) == ("", None)
