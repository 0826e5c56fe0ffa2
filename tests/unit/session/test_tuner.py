# SPDX-License-Identifier: MIT
"""A whole session on a scripted machine: the times are given, so what is claimed can be told to the digit."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

import pytest

from autotune.errors import (
    AttachError,
    DetachError,
    HolderLost,
    Interrupted,
    MachineLost,
    RunnerLost,
    WorkloadError,
)
from autotune.events import (
    BaselineKnown,
    Detached,
    Event,
    Finished,
    Proposed,
    RacePlanned,
    RoundStarted,
    RunFinished,
    RunStarted,
    Warned,
    WorkloadSeen,
)
from autotune.machine.base import OutputHandler
from autotune.planner.base import Situation
from autotune.quantities import parse_duration
from autotune.records import (
    BASELINE,
    Attachment,
    AttachSpec,
    Candidate,
    Detachment,
    Measurement,
    Parameter,
    ProbeSpec,
    Proposal,
    RawTasks,
    Run,
    RunSpec,
    Session,
    Workload,
)
from autotune.records import Watched as WatchedRun
from autotune.report import sentences
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.tuner import tune
from tests.support.list_planner import ListPlanner, resolve
from tests.support.scripted_machine import WATCHED, ScriptedMachine, a_run
from tests.support.watched_tasks import a_task, a_turn, raw


def session(machine: ScriptedMachine, *sets: list[str], workload: Workload | None = None, **options: object) -> Session:
    heard: list[Event] = []
    result = tune(
        workload or Workload("true", ("true",), "/"),
        SessionParts(machine, ListPlanner(list(sets)), heard.append, resolve),
        SessionOptions(seed=3, **options),  # type: ignore[arg-type]
    )
    assert isinstance(heard[-1], Finished)
    assert machine.attached is None, "a scheduler was left attached"
    return result


class Clock:
    """A clock that only the runs of a machine move."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class TimedMachine(ScriptedMachine):
    """Takes the time of its runs, and a little for each switch, on the clock of the session."""

    def __init__(self, times: dict[str, float], clock: Clock) -> None:
        super().__init__(times)
        self._clock = clock

    def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Measurement:
        measured = super().measure(spec, ops, on_output)
        self._clock.now_s += measured.run.wall_s
        return measured

    def attach(self, spec: AttachSpec) -> Attachment:
        self._clock.now_s += 0.1
        return super().attach(spec)


SIX = ["a", "b", "c", "d", "e", "f"]


def timed_session(run_s: float, budget_s: float, names: list[str], fast: str | None = None) -> Session:
    """A session whose candidates equal EEVDF, but for one that is 1.3 times as fast."""
    clock = Clock()
    times = {BASELINE: run_s, **dict.fromkeys(names, run_s)}
    if fast is not None:
        times[fast] = run_s / 1.3
    machine = TimedMachine(times, clock)
    options = SessionOptions(seed=3, budget_s=budget_s)
    workload = Workload("true", ("true",), "/")
    done = tune(
        workload, SessionParts(machine, ListPlanner([list(names)]), lambda _event: None, resolve, clock=clock), options
    )
    assert machine.attached is None
    assert clock.now_s <= budget_s + 3 * run_s + 1.0, "the budget was overrun"
    return done


BASELINE_RUNS_IN_ALL = 4
RUN_LENGTHS_S = (1.0, 2.0, 5.0, 10.0, 14.0, 20.0, 25.0, 30.0, 45.0, 60.0, 90.0, 120.0)
BUDGETS_MIN = (1, 2, 3, 5, 10, 15, 20, 30, 45, 60)


def room_for(runs: int) -> list[tuple[float, float]]:
    """Lengths of a run and budgets in seconds, where so many runs fit after the baseline."""
    every = ((run_s, 60.0 * minutes) for run_s in RUN_LENGTHS_S for minutes in BUDGETS_MIN)
    return [(run_s, budget_s) for run_s, budget_s in every if budget_s >= (BASELINE_RUNS_IN_ALL + runs) * run_s]


@pytest.mark.slow
@pytest.mark.parametrize("names", [pytest.param(["a"], id="one"), pytest.param(SIX, id="six", marks=pytest.mark.slow)])
def test_whenever_a_baseline_and_six_runs_fit_a_candidate_is_tried(names: list[str]) -> None:
    for run_s, budget_s in room_for(6):
        done = timed_session(run_s, budget_s, names)
        tried = [one for one in done.results if one.runs and one.verdict is not None]
        assert tried, (run_s, budget_s)
        assert done.winner is None, (run_s, budget_s)


@pytest.mark.slow
@pytest.mark.parametrize("fast", ["a", "c", "f"])
def test_a_scheduler_that_is_much_faster_is_found_wherever_15_runs_fit(fast: str) -> None:
    for run_s, budget_s in room_for(15):
        assert timed_session(run_s, budget_s, SIX, fast).winner == fast, (run_s, budget_s)


@pytest.mark.slow
def test_a_single_scheduler_that_is_much_faster_is_found_wherever_15_runs_fit() -> None:
    for run_s, budget_s in room_for(15):
        assert timed_session(run_s, budget_s, ["a"], "a").winner == "a", (run_s, budget_s)


def test_what_does_not_fit_the_budget_is_named_before_the_race_with_the_budget_that_it_needs() -> None:
    done = timed_session(60.0, 600.0, SIX)
    heard = [warning for warning in done.warnings if "Not tried" in warning]
    assert len(heard) == 1
    assert "room for 1 of 6 candidates" in heard[0]
    assert "--budget 1h1m has room for all" in heard[0]
    assert heard[0].endswith("Not tried: b, c, d, e, f.")


def test_a_planner_is_not_asked_where_nothing_is_affordable_and_the_user_hears_which_budget_is_enough() -> None:
    clock = Clock()
    machine, planner = TimedMachine({BASELINE: 20.0, "a": 20.0}, clock), ListPlanner([["a"]])
    options = SessionOptions(seed=3, budget_s=100.0)
    done = tune(
        Workload("true", ("true",), "/"),
        SessionParts(machine, planner, lambda _event: None, resolve, clock=clock),
        options,
    )
    assert planner.seen == []
    assert done.failure is None
    early, late = (warning for warning in done.warnings if "budget" in warning)
    assert early.startswith("a run takes about 20.")
    assert early.endswith(" s, so the budget of 1m40s is too small for a verdict; --budget 21m has room for one")
    assert late == "the budget has no room for a candidate; --budget 21m has room for 6"


@pytest.mark.first
@pytest.mark.parametrize(("run_s", "budget_s"), [(2.0, 60.0), (5.0, 600.0), (1.0, 3600.0), (30.0, 900.0)])
@pytest.mark.parametrize("sets", [[SIX], [["a", "b"], ["c"], ["d", "e"]]], ids=["one set", "three sets"])
@pytest.mark.parametrize("fast", ["b", None])
def test_the_time_left_counts_the_sets_to_come_and_the_confirmation(
    run_s: float, budget_s: float, sets: list[list[str]], fast: str | None
) -> None:
    clock = Clock()
    times = {BASELINE: run_s, **dict.fromkeys(SIX, run_s)} | ({fast: run_s / 1.1} if fast else {})
    seen: list[tuple[float, float, str]] = []

    def note(event: Event) -> None:
        if isinstance(event, RoundStarted):
            assert event.left_s is not None
            seen.append((clock.now_s, event.left_s, event.phase))

    options = SessionOptions(seed=3, budget_s=budget_s)
    workload = Workload("true", ("true",), "/")
    tune(
        workload,
        SessionParts(TimedMachine(times, clock), ListPlanner([list(one) for one in sets]), note, resolve, clock=clock),
        options,
    )
    for at_s, left_s, phase in seen:
        assert left_s <= budget_s - at_s + 1e-6
        if phase != "tail":
            assert clock.now_s - at_s <= 1.1 * left_s + 2 * run_s, "an upper bound, as far as runs take what they took"
    last_of_race = [left_s for _, left_s, phase in seen if phase == "race"][-1]
    first_to_confirm = [left_s for _, left_s, phase in seen if phase == "confirm"][:1]
    assert all(last_of_race > left_s for left_s in first_to_confirm), "the confirmation was counted before"


@pytest.mark.parametrize(
    ("run_s", "budget_s", "names"),
    [(10.0, 60.0, ["a"]), (10.0, 80.0, SIX), (30.0, 200.0, ["a", "b"]), (1.0, 8.0, ["a"]), (40.0, 60.0, ["a"])],
)
def test_a_budget_too_small_for_a_verdict_says_so_at_once_with_one_that_is_not(
    run_s: float, budget_s: float, names: list[str]
) -> None:
    def warnings(given_s: float) -> tuple[list[str], int]:
        clock = Clock()
        times = {BASELINE: run_s, **dict.fromkeys(names, run_s / 1.3)}
        said: list[str] = []
        at_run: list[int] = []
        machine = TimedMachine(times, clock)

        def note(event: Event) -> None:
            at_run.extend([0] if isinstance(event, RunFinished) else [])
            if isinstance(event, Warned) and "--budget" in event.text:
                said.append(f"{len(at_run)}: {event.text}")

        options = SessionOptions(seed=3, budget_s=given_s, user_candidates=tuple(map(Candidate, names)))
        try:
            done = tune(
                Workload("true", ("true",), "/"),
                SessionParts(machine, ListPlanner([]), note, resolve, clock=clock),
                options,
            )
        except WorkloadError as error:
            return [f"{len(at_run)}: {error.hint}"], 0
        sentence = sentences.baseline_sentence(done.baseline, is_time=True) if done.baseline else ""
        assert ("no room to confirm" in sentence) == bool(said and "too small for a verdict" in said[0]), sentence
        return said, sum(one.verdict == "faster" for one in done.results)

    said, _ = warnings(budget_s)
    assert said[0].split(":")[0] in ("2", "0"), said
    (named,) = set(re.findall(r"--budget (\w+)", said[0]))
    heard, found = warnings(parse_duration(named))
    assert heard == []
    assert found >= 1


def test_where_switching_costs_as_much_as_a_run_race_and_confirmation_share_the_loss() -> None:
    """Before the race only EEVDF's runs are known, which need no switch."""
    clock = Clock()

    class SlowToAttach(TimedMachine):
        def attach(self, spec: AttachSpec) -> Attachment:
            clock.now_s += 2.0
            return super().attach(spec)

    names = SIX[:4]
    machine = SlowToAttach({BASELINE: 2.0, **dict.fromkeys(names, 2.0)}, clock)
    heard: list[Event] = []
    options = SessionOptions(seed=3, budget_s=150.0)
    tune(
        Workload("true", ("true",), "/"),
        SessionParts(machine, ListPlanner([names]), heard.append, resolve, clock=clock),
        options,
    )
    phases = [event.phase for event in heard if isinstance(event, RoundStarted)]
    assert phases.count("race") >= 3


def test_the_time_that_planning_took_is_not_promised_to_candidates() -> None:
    clock = Clock()

    class SlowPlanner(ListPlanner):
        def propose(self, situation: Situation) -> Sequence[Proposal]:
            clock.now_s += situation.budget_left_s / 2
            return super().propose(situation)

    heard: list[Event] = []
    machine = TimedMachine({BASELINE: 10.0, **dict.fromkeys(SIX, 10.0)}, clock)
    options = SessionOptions(seed=3, budget_s=600.0)
    tune(
        Workload("true", ("true",), "/"),
        SessionParts(machine, SlowPlanner([SIX]), heard.append, resolve, clock=clock),
        options,
    )
    (planned,) = [event.allotted for event in heard if isinstance(event, RacePlanned)]
    rounds = [event for event in heard if isinstance(event, RoundStarted) and event.phase == "race"]
    assert planned.rounds == len(rounds) < planned.most_rounds


def test_a_row_shows_the_medians_of_the_rounds_that_its_speedup_rests_on() -> None:
    """EEVDF got slower between baseline and race; a row never sets a median beside a speedup that contradicts it."""
    machine = ScriptedMachine({BASELINE: 1.0, "fast": 1.2, "slow": 2.2})
    state = iter([0.5] * BASELINE_RUNS_IN_ALL)
    machine.faults[BASELINE] = lambda: a_run(next(state, 1.5))
    result = session(machine, ["fast", "slow"])
    assert result.winner == "fast"
    for key, speedup in (("fast", 1.5 / 1.2), ("slow", 1.5 / 2.2)):
        found = row(result, key)
        assert found.baseline_median == pytest.approx(1.5)  # type: ignore[attr-defined]
        assert found.baseline_median / found.median == pytest.approx(speedup, rel=0.02)  # type: ignore[attr-defined]
    assert row(result, BASELINE).baseline_median is None  # type: ignore[attr-defined]


def test_only_the_winner_is_called_confirmed() -> None:
    """A leader that its fresh rounds do not bear out is told as such."""
    machine = ScriptedMachine({BASELINE: 1.0, "lucky": 1.0})
    runs = iter([0.9] * 4)
    machine.faults["lucky"] = lambda: a_run(next(runs, 1.0))
    result = session(machine, ["lucky"])
    assert result.winner is None
    assert not any(one.confirmed for one in result.results)
    assert row(result, "lucky").note.startswith("not confirmed in ")  # type: ignore[attr-defined]


def row(result: Session, key: str) -> object:
    return next(item for item in result.results if item.candidate.key == key)


def test_a_faster_scheduler_wins_on_rounds_that_did_not_choose_it() -> None:
    machine = ScriptedMachine({BASELINE: 1.0, "fast": 0.8, "slow": 1.3})
    result = session(machine, ["fast", "slow"])
    assert result.winner == "fast"
    best = result.results[0]
    assert (best.candidate.key, best.verdict, best.confirmed) == ("fast", "faster", True)
    assert best.speedup is not None
    assert best.speedup.low < 1.25 < best.speedup.high
    assert "Use fast" in result.recommendation


@pytest.mark.parametrize("runs", [2, 4, 7])
def test_a_given_number_of_runs_holds_in_every_phase(runs: int) -> None:
    """With a budget for hundreds of runs, and a winner whose tail would run on."""
    machine = ScriptedMachine({BASELINE: 1.0, "fast": 0.5, "slow": 1.9, "equal": 1.0})
    result = session(machine, ["fast", "slow", "equal"], min_rounds=runs, max_rounds=runs, most_pairs=runs)
    counts = {one.candidate.key: one.runs for one in result.results}
    assert (counts["slow"], counts["equal"]) == (runs, runs)
    assert runs + 2 <= counts["fast"] <= 2 * runs
    assert result.winner == ("fast" if runs >= 4 else result.winner)


def test_equal_schedulers_make_no_winner() -> None:
    machine = ScriptedMachine({BASELINE: 1.0, "a": 1.0, "b": 1.0})
    assert session(machine, ["a", "b"]).winner is None


def test_the_order_of_a_trial_is_the_safe_one() -> None:
    machine = ScriptedMachine({BASELINE: 1.0, "x": 1.0})
    session(machine, ["x"], workload=Workload("true", ("true",), "/", prepare="make clean"))
    starts = [index for index, entry in enumerate(machine.log) if entry == "attach x"]
    assert starts
    for at in starts:
        assert machine.log[at - 2 : at + 3] == ["fresh", "make clean", "attach x", "run x", "detach x"]


def test_setup_runs_once_before_and_cleanup_once_after_everything() -> None:
    machine = ScriptedMachine({BASELINE: 1.0, "x": 1.0})
    session(machine, ["x"], workload=Workload("true", ("true",), "/", setup="set up", cleanup="clean up"))
    assert machine.log[0] == "set up"
    assert machine.log[-1] == "clean up"
    assert machine.log.count("set up") == machine.log.count("clean up") == 1


def test_an_ejected_scheduler_is_invalid_with_its_reason_and_runs_no_more() -> None:
    machine = ScriptedMachine({BASELINE: 1.0, "bad": 0.1, "x": 1.0}, ejects=frozenset({"bad"}))
    result = session(machine, ["bad", "x"])
    bad = row(result, "bad")
    assert (bad.verdict, bad.runs, bad.note) == ("invalid", 0, "ejected: runnable task stall")  # type: ignore[attr-defined]
    assert machine.log.count("run bad") == 1


def test_an_exit_code_unlike_the_baselines_never_counts_as_time() -> None:
    machine = ScriptedMachine({BASELINE: 1.0}, faults={"x": lambda: a_run(0.01, 2)})
    result = session(machine, ["x"])
    assert result.winner is None
    assert row(result, "x").verdict == "invalid"  # type: ignore[attr-defined]
    assert "exit code 2" in row(result, "x").note  # type: ignore[attr-defined]


def test_a_scheduler_the_kernel_refuses_is_a_row_and_not_the_end() -> None:
    machine = ScriptedMachine({BASELINE: 1.0, "x": 0.8})
    result = session(machine, ["refused", "x"])
    assert result.winner == "x"
    assert "cannot be attached" in row(result, "refused").note  # type: ignore[attr-defined]


def test_a_run_that_was_lost_is_repeated_and_does_not_count_against_the_candidate() -> None:
    faults = iter([HolderLost("the holder died")])
    machine = ScriptedMachine({BASELINE: 1.0, "x": 0.8})
    attach = machine.attach

    def once_lost(spec: AttachSpec) -> Attachment:
        for fault in faults:
            raise fault
        return attach(spec)

    machine.attach = once_lost  # type: ignore[method-assign]
    result = session(machine, ["x"])
    assert result.winner == "x"
    assert any("holder died" in warning for warning in result.warnings)


def test_a_failing_workload_is_an_error_before_anything_is_attached() -> None:
    machine = ScriptedMachine({}, faults={BASELINE: lambda: a_run(1.0, 2)})
    with pytest.raises(WorkloadError, match="exit code 2"):
        session(machine, ["x"])
    assert not any(entry.startswith("attach") for entry in machine.log)


def test_unless_failure_is_to_be_ignored() -> None:
    machine = ScriptedMachine({}, faults={BASELINE: lambda: a_run(1.0, 2), "x": lambda: a_run(1.0, 2)})
    result = session(machine, ["x"], workload=Workload("f", ("f",), "/", ignore_failure=True))
    assert row(result, "x").runs > 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("matches", "count", "said"),
    [
        ((), 0, "matched nothing"),
        (("1", "2"), 2, "matched 2 times"),
        (("abc",), 1, "not a number"),
        (("0",), 1, "above 0"),
    ],
)
def test_a_metric_must_be_one_number(matches: tuple[str, ...], count: int, said: str) -> None:
    machine = ScriptedMachine({}, faults={BASELINE: lambda: a_run(1.0, metric_matches=matches, metric_count=count)})
    with pytest.raises(WorkloadError, match=said):
        session(machine, ["x"], workload=Workload("b", ("b",), "/", metric_regex="(.*)"))


def test_a_larger_metric_can_be_the_better_one() -> None:
    def rate(value: float) -> Callable[[], Run]:
        noise = random.Random(2)
        return lambda: a_run(1.0, metric_matches=(f"{value * noise.gauss(1, 0.005)}",), metric_count=1)

    machine = ScriptedMachine({}, faults={BASELINE: rate(100.0), "x": rate(130.0)})
    result = session(machine, ["x"], workload=Workload("b", ("b",), "/", metric_regex="(.*)", goal="max"))
    assert result.winner == "x"


def test_ctrl_c_gives_the_machine_back_and_keeps_what_is_known() -> None:
    runs = iter(range(3))

    def pressed() -> Run:
        if next(runs, None) is None:
            raise KeyboardInterrupt
        return a_run(0.8)

    machine = ScriptedMachine({BASELINE: 1.0}, faults={"x": pressed})
    result = session(machine, ["x"], workload=Workload("b", ("b",), "/", cleanup="clean up"))
    assert result.interrupted
    assert machine.released
    assert machine.log[-1] == "clean up"
    assert len(result.trials) > 3


def test_quitting_at_the_question_is_an_interruption() -> None:
    def quit_at_once(_candidate: Candidate, _proposal: Proposal, *, editable: bool) -> Candidate | None:
        del editable
        raise Interrupted("quit")

    machine = ScriptedMachine({BASELINE: 1.0, "x": 1.0})
    assert session(machine, ["x"], approve=quit_at_once).interrupted
    assert not any(entry.startswith("attach") for entry in machine.log)


def test_a_candidate_that_the_user_declines_is_left_out_but_not_called_a_failure() -> None:
    machine = ScriptedMachine({BASELINE: 1.0, "x": 0.5, "y": 0.9})

    def decline_x(candidate: Candidate, _proposal: Proposal, *, editable: bool) -> Candidate | None:
        del editable
        return None if candidate.key == "x" else candidate

    result = session(machine, ["x", "y"], approve=decline_x)
    assert result.winner == "y"
    assert row(result, "x").verdict == "undecided"  # type: ignore[attr-defined]
    assert row(result, "x").note == "left out by the user"  # type: ignore[attr-defined]
    assert "attach x" not in machine.log


def test_a_candidate_whose_knobs_the_user_changed_runs_in_its_place() -> None:
    machine = ScriptedMachine({BASELINE: 1.0, "x": 0.8, "y": 1.1})
    offered: list[bool] = []

    def change_x(candidate: Candidate, _proposal: Proposal, *, editable: bool) -> Candidate | None:
        offered.append(editable)
        return Candidate("x", (("k", 2),)) if candidate.key == "x" else candidate

    result = session(machine, ["x", "y"], approve=change_x)
    assert result.winner == "x:k=2"
    assert "changed by the user, from x" in row(result, "x:k=2").reason  # type: ignore[attr-defined]
    assert "x" not in [one.candidate.key for one in result.results]
    assert set(offered[:2]) == {True}
    assert not offered[-1]


def test_a_machine_that_is_lost_for_good_ends_the_session_with_what_it_has() -> None:
    machine = ScriptedMachine({BASELINE: 1.0}, faults={"x": lambda: MachineLost("the micro-VM is lost")})
    result = session(machine, ["x"])
    assert result.failure is not None
    assert "lost" in result.failure
    assert result.baseline is not None


@pytest.mark.parametrize("when", ["detach", "release"])
def test_a_scheduler_that_does_not_go_ends_the_session_and_nothing_is_measured_beside_it(when: str) -> None:
    """It is no fault of one candidate: no run after it would be what it says."""

    class Stuck(ScriptedMachine):
        def detach(self) -> Detachment:
            if self.attached == "x" and when == "detach":
                self.log.append("stuck")
                raise DetachError("the kernel is not back on its own scheduler", hint="do this")
            return super().detach()

        def release(self) -> None:
            super().release()
            if when == "release":
                raise DetachError("x could not be detached", hint="do this")

    times = {BASELINE: 1.0, "x": 0.5}
    faults = {"x": lambda: Interrupted("interrupted")} if when == "release" else {}
    machine = Stuck(times, faults=faults)  # type: ignore[arg-type]
    result = session(machine, ["x"])
    assert result.winner is None
    assert result.failure is not None
    assert "do this" in result.failure
    assert result.baseline is not None
    assert not any(line.startswith(("run", "attach")) for line in machine.log[machine.log.index("run x") + 1 :])


def test_the_planner_hears_what_its_first_set_showed() -> None:
    machine = ScriptedMachine({BASELINE: 1.0, "a": 1.1, "b": 0.8})
    planner = ListPlanner([["a"], ["b"]])
    heard: list[Event] = []
    result = tune(
        Workload("t", ("t",), "/"), SessionParts(machine, planner, heard.append, resolve), SessionOptions(seed=1)
    )
    assert [item.candidate.key for item in planner.seen[1].results] == ["a"]
    assert result.winner == "b"


def test_a_budget_that_is_used_up_ends_without_a_claim_and_says_so() -> None:
    result = timed_session(60.0, 130.0, ["x"], "x")
    assert result.winner is None
    assert [one.phase for one in result.trials] == ["warmup", "baseline", "baseline"]
    assert any("budget" in warning for warning in result.warnings)


def test_a_budget_that_ends_before_the_baseline_is_an_error_that_says_so() -> None:
    with pytest.raises(WorkloadError, match="the baseline was not measured within the budget of 50s"):
        timed_session(60.0, 50.0, ["x"], "x")


def test_the_same_seed_gives_the_same_order_of_runs() -> None:
    orders = []
    for _ in range(2):
        heard: list[Event] = []
        machine = ScriptedMachine({BASELINE: 1.0, "a": 1.0, "b": 1.0, "c": 1.0})
        tune(
            Workload("t", ("t",), "/"),
            SessionParts(machine, ListPlanner([["a", "b", "c"]]), heard.append, resolve),
            SessionOptions(seed=9),
        )
        orders.append([event.candidate for event in heard if isinstance(event, RunStarted)])
        assert any(isinstance(event, Detached) for event in heard)
        assert not any(isinstance(event, Warned) and "lost" in event.text for event in heard)
    assert orders[0] == orders[1]


# --- what the command does ---

BATCH = raw(
    [a_task(1, end_s=1.0, cpu_s=0.0, sleep_s=1.0, arguments=("make", "-j2")),
     *(a_task(pid, 1, end_s=1.0, cpu_s=0.7, arguments=("cc", f"{pid}.c")) for pid in (2, 3))],
)  # fmt: skip
ALONE = raw([a_task(1, end_s=1.02, arguments=("sort", "x"))], [a_turn(1, 0.0, 1.02)])


class Watched:
    """A session in which a probe sees `tasks`, or fails with them."""

    def __init__(self, tasks: RawTasks | Exception, *, fast: float = 0.8, **options: object) -> None:
        self.machine = ScriptedMachine({BASELINE: 1.0, "fast": fast}, tasks=tasks)
        self.planner = ListPlanner([["fast"]])
        self.events: list[Event] = []
        workload = Workload("make", ("make",), "/", **options.pop("workload", {}))  # type: ignore[arg-type]
        asked = SessionOptions(seed=3, **options)  # type: ignore[arg-type]
        probe = ProbeSpec("tasks.o", "0" * 64)
        listener = self.events.append
        self.session = tune(
            workload, SessionParts(self.machine, self.planner, listener, resolve, probe=lambda: probe), asked
        )

    @property
    def seen(self) -> list[WorkloadSeen]:
        return [event for event in self.events if isinstance(event, WorkloadSeen)]


def test_one_run_is_watched_after_the_baseline_and_before_anybody_proposes_and_it_is_no_trial() -> None:
    done = Watched(BATCH, workload={"prepare": "clean", "conclude": "put away"})

    runs = [entry for entry in done.machine.log if entry.startswith(("run", "watch", "attach"))]
    assert runs[: runs.index("attach fast")] == [f"run {BASELINE}"] * BASELINE_RUNS_IN_ALL + ["watch"]
    at = done.machine.log.index("watch")
    assert done.machine.log[at - 2 : at + 2] == ["fresh", "clean", "watch", "put away"]
    assert len([trial for trial in done.session.trials if trial.phase in ("warmup", "baseline")]) == 4
    assert done.session.winner == "fast"
    kinds = [type(event) for event in done.events]
    assert kinds.index(BaselineKnown) < kinds.index(WorkloadSeen) < kinds.index(Proposed)


def test_planners_listeners_and_the_record_get_the_profile() -> None:
    done = Watched(BATCH)

    (event,) = done.seen
    assert event.watched is not None
    assert event.watched == done.planner.seen[0].profile == done.session.watched
    assert (event.watched.tasks, event.watched.cpus, event.not_watched) == (3, 2, "")
    assert done.session.not_watched == ""


def test_a_probe_that_cannot_be_loaded_costs_the_session_nothing() -> None:
    done = Watched(AttachError("tasks.o was refused by the kernel: no BTF"))

    assert done.session.winner == "fast"
    assert done.session.watched is None
    assert done.seen == [WorkloadSeen(None, "tasks.o was refused by the kernel: no BTF")]
    assert done.session.not_watched == "tasks.o was refused by the kernel: no BTF"


def test_a_user_who_wants_no_run_watched_gets_none() -> None:
    done = Watched(BATCH, not_watched="--no-observe")

    assert "watch" not in done.machine.log
    assert done.session.winner == "fast"


def test_what_an_earlier_session_saw_is_used_where_no_run_is_watched() -> None:
    before = Watched(BATCH).session.watched

    done = Watched(BATCH, not_watched="--no-observe", known=before)

    assert done.seen == [WorkloadSeen(before, "--no-observe")]
    assert done.planner.seen[0].profile == before


@pytest.mark.parametrize(("budget_s", "watched"), [(30.0, True), (20.0, False)])
def test_no_run_is_watched_where_it_would_be_a_large_share_of_the_budget(budget_s: float, watched: bool) -> None:
    clock = Clock()
    machine = TimedMachine({BASELINE: 1.0, "a": 1.0}, clock)
    machine.tasks = BATCH
    workload, options = Workload("make", ("make",), "/"), SessionOptions(seed=3, budget_s=budget_s)
    probe = ProbeSpec("tasks.o", "0" * 64)
    planner, heard = ListPlanner([["a"]]), list[Event]()

    done = tune(
        workload, SessionParts(machine, planner, heard.append, resolve, clock=clock, probe=lambda: probe), options
    )

    assert ("watch" in machine.log) == watched
    assert done.not_watched == ("" if watched else "a run is too large a share of the budget")


def test_a_command_that_nothing_can_make_faster_ends_the_session_early_and_well() -> None:
    done = Watched(ALONE, early_end=True)

    assert done.planner.seen == []
    assert not [entry for entry in done.machine.log if entry.startswith("attach")]
    assert done.session.failure is None
    assert done.session.winner is None
    assert done.session.recommendation == done.session.ended_early
    assert done.session.recommendation.startswith("Keep EEVDF: no scheduler can make this command faster here.")


@pytest.mark.parametrize(
    "asked",
    [
        {"early_end": False},
        {"early_end": True, "workload": {"parameters": (Parameter("jobs", ("1", "2")),)}},
        {"early_end": True, "not_watched": "--no-observe", "known": Watched(ALONE).session.watched},
    ],
    ids=["unwanted", "parameters", "seen by an earlier session"],
)
def test_otherwise_candidates_are_tried(asked: dict[str, object]) -> None:
    assert Watched(ALONE, **asked).planner.seen  # type: ignore[arg-type]


def test_a_metric_that_is_not_wall_time_never_ends_a_session_early() -> None:
    run = a_run(1.0, metric_matches=("5",), metric_count=1)
    machine = ScriptedMachine({}, faults={key: lambda: run for key in (BASELINE, "fast", WATCHED)}, tasks=ALONE)
    planner, options = ListPlanner([["fast"]]), SessionOptions(seed=3, early_end=True)
    workload, probe = Workload("x", ("x",), "/", metric_regex="(.)"), ProbeSpec("tasks.o", "0" * 64)

    done = tune(workload, SessionParts(machine, planner, lambda _event: None, resolve, probe=lambda: probe), options)

    assert planner.seen
    assert done.ended_early == ""


# --- why it won ---


def test_one_run_under_the_winner_is_watched_once_it_is_confirmed_and_is_no_trial() -> None:
    done = Watched(BATCH)

    assert done.session.winner == "fast"
    at = done.machine.log.index("watch fast")
    assert done.machine.log[at - 1 : at + 2] == ["attach fast", "watch fast", "detach fast"]
    assert not [entry for entry in done.machine.log[at + 2 :] if entry.startswith("run")]
    assert done.session.watched_winner is not None
    assert done.session.watched_winner.wall_s == pytest.approx(0.8 * 1.03)
    assert len([one for one in done.session.trials if one.candidate == "fast"]) == done.session.results[0].runs


@pytest.mark.parametrize(
    ("asked", "fast"),
    [
        ({"explain": False}, 0.8),
        ({"not_watched": "--no-observe"}, 0.8),
        ({"approve": lambda candidate, _proposal, *, editable: candidate}, 0.8),  # noqa: ARG005
        ({}, 1.2),
    ],
    ids=["unwanted", "nothing to compare with", "each switch is asked for", "no winner"],
)
def test_otherwise_none_is(asked: dict[str, object], fast: float) -> None:
    done = Watched(BATCH, fast=fast, **asked)

    assert "watch fast" not in done.machine.log
    assert done.session.watched_winner is None


def test_a_budget_without_room_for_it_is_no_problem() -> None:
    clock = Clock()
    machine = TimedMachine({BASELINE: 1.0, "a": 0.5}, clock)
    machine.tasks = BATCH
    options = SessionOptions(seed=3, budget_s=24.0)
    probe = ProbeSpec("tasks.o", "0" * 64)
    heard: list[Event] = []

    def note(event: Event) -> None:
        heard.append(event)
        if isinstance(event, RoundStarted) and event.phase == "confirm":
            clock.now_s = max(clock.now_s, 20.0)  # what is left is for the confirmation alone

    done = tune(
        Workload("x", ("x",), "/"),
        SessionParts(machine, ListPlanner([["a"]]), note, resolve, clock=clock, probe=lambda: probe),
        options,
    )

    assert "watch" in machine.log
    assert "watch a" not in machine.log
    assert done.failure is None


@pytest.mark.parametrize(
    "fault", [RunnerLost("the helper died"), MachineLost("the micro-VM died"), WorkloadError("no")]
)
def test_a_look_at_the_winner_that_fails_costs_the_verdict_nothing(fault: Exception) -> None:
    class Fails(ScriptedMachine):
        def watch(self, spec: RunSpec, probe: ProbeSpec, on_output: OutputHandler | None = None) -> WatchedRun:
            if self.attached is not None:
                raise fault
            return super().watch(spec, probe, on_output)

    machine = Fails({BASELINE: 1.0, "fast": 0.8}, tasks=BATCH)
    probe, options = ProbeSpec("tasks.o", "0" * 64), SessionOptions(seed=3)
    planner = ListPlanner([["fast"]])

    done = tune(
        Workload("x", ("x",), "/"),
        SessionParts(machine, planner, lambda _e: None, resolve, probe=lambda: probe),
        options,
    )

    assert machine.attached is None
    assert (done.winner, done.failure, done.watched_winner) == ("fast", None, None)
    assert any(f"it is not known why fast won: {fault}" in warning for warning in done.warnings)


def test_a_winner_that_was_ejected_while_it_was_watched_explains_nothing() -> None:
    class Ejects(ScriptedMachine):
        def watch(self, spec: RunSpec, probe: ProbeSpec, on_output: OutputHandler | None = None) -> WatchedRun:
            seen = super().watch(spec, probe, on_output)
            self.enabled += self.attached is not None  # somebody else was attached meanwhile
            return seen

    machine = Ejects({BASELINE: 1.0, "fast": 0.8}, tasks=BATCH)
    probe, options = ProbeSpec("tasks.o", "0" * 64), SessionOptions(seed=3)
    planner = ListPlanner([["fast"]])

    done = tune(
        Workload("x", ("x",), "/"),
        SessionParts(machine, planner, lambda _e: None, resolve, probe=lambda: probe),
        options,
    )

    assert (done.winner, done.watched_winner) == ("fast", None)
    assert any("it attached itself again during the run" in warning for warning in done.warnings)
