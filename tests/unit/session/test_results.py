# SPDX-License-Identifier: MIT
"""Guards, further metrics and the least gain in whole sessions, on a machine whose runs are given."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from autotune.errors import UsageError, WorkloadError
from autotune.events import BaselineKnown, Event
from autotune.lease import handover
from autotune.machine.base import OutputHandler
from autotune.quantities import parse_duration
from autotune.records import BASELINE, Found, Measurement, Metric, RunSpec, Session, SideEffects, Workload
from autotune.report import commands, json_document, sentences, session_table
from autotune.schedext.catalogue import custom
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.tuner import tune
from autotune.verdict import guards
from tests.support.list_planner import ListPlanner, resolve
from tests.support.scripted_machine import ScriptedMachine

GIB = 1 << 30
P99 = Metric("p99", "p99: ([0-9.]+)")
Side = Callable[[str, Measurement], Measurement]


class SideMachine(ScriptedMachine):
    """Runs have the side effects that `side` gives them."""

    def __init__(self, times: dict[str, float], side: Side) -> None:
        super().__init__(times)
        self._side = side

    def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Measurement:
        measured = super().measure(spec, ops, on_output)
        return self._side(ops or BASELINE, measured)


def with_memory(**of: float) -> Side:
    """Peak memory in GiB, by candidate, with 1 % of noise."""
    rng = random.Random(4)

    def side(key: str, measured: Measurement) -> Measurement:
        size = int(of.get(key, 1.0) * GIB * rng.gauss(1.0, 0.01))
        return replace(measured, run=replace(measured.run, max_rss_bytes=size))

    return side


def with_p99(**of: str) -> Side:
    def side(key: str, measured: Measurement) -> Measurement:
        text = of.get(key, "10")
        return replace(measured, run=replace(measured.run, found=(Found((text,) if text else (), bool(text)),)))

    return side


def session(
    times: dict[str, float],
    side: Side = lambda _key, one: one,
    *texts: str,
    metrics: tuple[Metric, ...] = (),
    defaults: bool = True,
    events: list[Event] | None = None,
    **options: object,
) -> Session:
    chosen = guards.chosen(texts, metrics=metrics, defaults=defaults)
    workload = Workload("true", ("true",), "/", guards=chosen, metrics=metrics)
    heard: list[Event] = [] if events is None else events
    names = [key for key in times if key != BASELINE]
    machine = SideMachine(times, side)
    settings = SessionOptions(seed=3, **options)  # type: ignore[arg-type]
    return tune(workload, SessionParts(machine, ListPlanner([names]), heard.append, resolve), settings)


FASTER = {BASELINE: 1.0, "a": 0.8}
TWO = {BASELINE: 1.0, "a": 0.8, "b": 0.9}


def row(done: Session, name: str) -> list[str]:
    return next(list(one.cells) for one in session_table.session_table(done).rows if one.scheduler == name)


# --- guards ----------------------------------------------------------------------------------------------


def test_a_winner_that_breaks_a_guard_is_faster_but_not_recommended() -> None:
    done = session(FASTER, with_memory(a=1.6))
    assert done.winner is None
    result = next(one for one in done.results if one.candidate.key == "a")
    assert (result.verdict, result.confirmed) == ("faster", False)
    assert {one.name: one.outcome for one in result.guards} == {
        "memory": "broken",
        "cpu": "kept",
        "energy": "not judged",
        "latency": "not judged",
    }
    assert "faster, but" in row(done, "a")
    assert row(done, "a")[-1].startswith("peak memory is 1.59 x EEVDF's [1.5")
    assert done.recommendation.startswith("Stay with EEVDF: what is faster here breaks a guard. a is faster, 1.2")
    assert "but peak memory is 1.59" in done.recommendation


def test_the_next_step_accepts_what_it_costs_and_then_it_wins() -> None:
    done = session(FASTER, with_memory(a=1.6))
    says, command = commands.next_step(done)
    assert says == "Next: keep EEVDF; or, if you accept what a costs:"
    assert "--guard memory:max+65%" in command
    assert "--scheduler a" in command
    again = session(FASTER, with_memory(a=1.6), "memory:max+65%")
    assert again.winner == "a"
    assert commands.next_step(again) == []


def test_the_next_best_is_confirmed_instead() -> None:
    done = session(TWO, with_memory(a=1.6))
    assert done.winner == "b"
    assert done.recommendation.startswith("Use b:")
    assert "a is faster, 1.2" in done.recommendation
    assert done.results[0].candidate.key == "b"


@pytest.mark.parametrize(
    ("side", "texts", "defaults"),
    [
        (with_memory(a=1.1), (), True),  # a default does not scare about little
        (with_memory(a=1.6), ("memory:off",), True),
        (with_memory(a=1.6), ("memory:max+70%",), True),
        (with_memory(a=1.6), (), False),
        (with_memory(a=1.6), ("memory:max=2G",), True),
        (with_memory(a=0.2), ("memory:max-50%",), True),
    ],
)
def test_a_guard_that_is_kept_or_off_takes_no_win(side: Side, texts: tuple[str, ...], defaults: bool) -> None:
    done = session(FASTER, side, *texts, defaults=defaults)
    assert done.winner == "a"
    assert "faster, but" not in row(done, "a")
    assert "Guards" not in done.recommendation, "what is on by default and cannot be read is no news"


def test_a_number_in_the_output_can_be_guarded() -> None:
    guard = f"p99={P99.regex}:max+5%"
    assert session(FASTER, with_p99(a="12"), guard).winner is None
    assert session(FASTER, with_p99(a="10.2"), guard).winner == "a"
    assert session(FASTER, with_p99(a="12"), "p99:max+5%", metrics=(P99,)).winner is None


def test_a_bystanders_latency_and_energy_are_guarded() -> None:
    def side(key: str, measured: Measurement) -> Measurement:
        slow = key == "a"
        return replace(measured, side=SideEffects(0.03 if slow else 0.002, 20, 0.001, 30.0 if slow else 20.0))

    done = session(FASTER, side)
    assert "a bystander's wake-up latency is 3.00 x EEVDF's" in done.recommendation
    assert "energy is 1.50 x EEVDF's" in done.recommendation


def test_a_guard_that_the_user_gave_and_nobody_can_judge_is_reported() -> None:
    done = session(FASTER, lambda _key, one: one, "energy:max+5%")
    assert done.winner == "a"
    assert "Guards that could not be judged: energy (it was not measured here)." in done.recommendation


def test_too_few_runs_to_judge_are_reported() -> None:
    done = session(FASTER, with_memory(a=1.6), most_pairs=3)
    assert done.winner == "a"
    assert "memory (3 pairs are too few; it takes 4)" in done.recommendation


def test_an_expression_that_finds_nothing_ends_the_session_at_once() -> None:
    with pytest.raises(WorkloadError, match="--guard p99 cannot be measured: it matched nothing in the output"):
        session(FASTER, with_p99(**{BASELINE: ""}), f"p99={P99.regex}:max+5%")
    with pytest.raises(WorkloadError, match="--metric 'p99"):
        session(FASTER, with_p99(**{BASELINE: ""}), metrics=(P99,))


def test_the_probe_runs_only_where_its_guard_is_on() -> None:
    specs: list[RunSpec] = []

    class Noting(ScriptedMachine):
        def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Measurement:
            specs.append(spec)
            return super().measure(spec, ops, on_output)

    for texts, probe in (((), True), (("latency:off",), False)):
        workload = Workload("true", ("true",), "/", guards=guards.chosen(texts))
        options = SessionOptions(seed=3)
        tune(workload, SessionParts(Noting(FASTER), ListPlanner([["a"]]), lambda _event: None, resolve), options)
        assert {one.probe for one in specs} == {probe}
        specs.clear()


def test_what_is_not_recommended_is_not_applied() -> None:
    said: list[str] = []
    handover.keep_winner(session(FASTER, with_memory(a=1.6)), custom.catalog(), 30.0, said.append)
    assert said[0].startswith("Nothing is applied: a is faster, but peak memory is 1.59")


# --- further metrics -------------------------------------------------------------------------------------


def test_further_metrics_are_reported_with_medians_of_the_same_rounds() -> None:
    done = session(FASTER, with_p99(a="12", **{BASELINE: "10"}), metrics=(P99,), defaults=False)
    assert done.winner == "a", "it is not judged"
    assert "p99 12 (EEVDF 10)" in row(done, "a")[-1]
    assert "p99 10" in row(done, "EEVDF")[-1]
    result = json_document.session_json(done)["results"][0]
    assert result["metrics"] == [{"name": "p99", "median": 12.0, "baseline_median": 10.0}]
    assert f"--metric '{P99.regex}'" in commands.repeat_command(done)


def test_a_run_without_the_number_counts_all_the_same() -> None:
    done = session(FASTER, with_p99(a=""), metrics=(P99,))
    assert done.winner == "a"
    assert "p99" not in row(done, "a")[-1]


# --- the least gain --------------------------------------------------------------------------------------


def test_a_winner_that_gains_less_than_is_wanted_is_reported_as_such_and_not_applied() -> None:
    done = session({BASELINE: 1.0, "a": 0.97}, min_effect=0.025)
    assert done.winner == "a", "3.1 %"
    assert done.is_worth_it
    done = replace(session({BASELINE: 1.0, "a": 0.97}), min_effect=0.05, recommendation="")
    assert "but that is less than the 5.0 % of --min-effect" in sentences.conclusion(done)
    assert commands.keep_command(replace(done, machine=replace(done.machine, kind="host"))) is None
    said: list[str] = []
    handover.keep_winner(done, custom.catalog(), 30.0, said.append)
    assert said == ["Nothing is applied: a gains less than the 5.0 % of --min-effect."]


def test_a_leader_that_cannot_gain_what_is_wanted_is_given_up_early() -> None:
    small = {BASELINE: 1.0, "a": 0.998}
    alone, wanted = session(small), session(small, min_effect=0.05)
    assert wanted.winner is None
    assert len(wanted.trials) < len(alone.trials)
    assert "So is the 5.0 % of --min-effect." in wanted.recommendation
    assert commands.next_step(wanted)[0].startswith("Next: keep EEVDF")


def test_before_the_race_the_budget_is_compared_with_the_least_gain() -> None:
    events: list[Event] = []
    noisy = random.Random(5)

    def side(_key: str, measured: Measurement) -> Measurement:
        wall_s = 10.0 * noisy.gauss(1.0, 0.03)
        return replace(measured, run=replace(measured.run, wall_s=wall_s))

    session(FASTER, side, events=events, min_effect=0.02)
    known = next(one.baseline for one in events if isinstance(one, BaselineKnown))
    sentence = sentences.baseline_sentence(known, is_time=True)
    assert known.min_effect == 0.02
    assert ("--min-effect) with --budget" in sentence) == (known.wanted_s is not None)


# --- another statistic -----------------------------------------------------------------------------------


def test_a_percentile_is_judged_and_shown_in_all_places() -> None:
    done = session(TWO, statistic="p90")
    assert done.winner == "a"
    assert session_table.session_table(done).header[2].startswith("p90")
    assert "p90" in session_table.session_footnote(done)
    assert done.recommendation.startswith("Use a: the p90 of the command's runs is 1.2")
    won = done.results[0]
    assert won.speedup is not None
    assert won.median is not None
    assert won.baseline_median is not None
    assert won.baseline_median / won.median == pytest.approx(won.speedup.estimate)
    assert won.fresh_pairs >= 20
    loser = next(one for one in done.results if one.candidate.key == "b")
    assert loser.speedup is None
    again = session(TWO, statistic="p90")
    assert again.results[0].speedup == won.speedup, "the seed is the same"


def percentile_session(budget_s: float) -> Session:
    """A session that judges the p95; its clock is moved by the runs alone, of about a second each."""
    now = [0.0]

    def side(_key: str, measured: Measurement) -> Measurement:
        now[0] += measured.run.wall_s
        return measured

    workload = Workload("true", ("true",), "/")
    options = SessionOptions(seed=3, statistic="p95", budget_s=budget_s)
    planner = ListPlanner([["a"]])
    return tune(
        workload,
        SessionParts(SideMachine(FASTER, side), planner, lambda _event: None, resolve, clock=lambda: now[0]),
        options,
    )


def test_a_budget_without_room_for_a_percentile_is_refused_with_one_that_has() -> None:
    with pytest.raises(UsageError, match=r"--statistic p95 needs 40 pairs .* has room for 13") as refused:
        percentile_session(60.0)
    budget = refused.value.hint.removeprefix("give --budget ").partition(",")[0]
    assert percentile_session(parse_duration(budget)).winner == "a"
