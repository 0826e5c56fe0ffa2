# SPDX-License-Identifier: MIT
"""Sessions with parameters on a scripted machine: who wins, against which of EEVDF's values, and what every report
says of it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from autotune import prompt, records
from autotune.errors import BuildError, WorkloadError
from autotune.events import BaselineKnown, Event, RoundStarted, RunStarted, ValuesKnown, Warned
from autotune.lease import applied, handover
from autotune.records import BASELINE, AttachSpec, Candidate, CandidateResult, Parameter, Proposal, Session, Workload
from autotune.report import commands, csv_document, html, hyperfine, json_document, markup, plain_text, session_table
from autotune.schedext.catalogue import custom
from autotune.session.baselines import by_scheduler
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.tuner import tune
from autotune.views import plot, terminal_table
from tests.support import sessions
from tests.support.list_planner import ListPlanner, resolve
from tests.support.scripted_machine import ScriptedMachine, a_run

JOBS = (Parameter("jobs", ("2", "4", "8")),)
WORK = Workload("./work -j{jobs}", ("./work", "-j{jobs}"), "/", parameters=JOBS)


def times(**by_scheduler: tuple[float, ...]) -> dict[str, float]:
    """Times of each scheduler with -j2, -j4 and -j8."""
    return {
        f"{name} -j{jobs}": wall_s
        for name, several in by_scheduler.items()
        for jobs, wall_s in zip(("2", "4", "8"), several, strict=True)
    }


def session(
    machine: ScriptedMachine, *names: str, workload: Workload = WORK, **options: Any
) -> tuple[Session, list[Event]]:
    heard: list[Event] = []
    chosen = tuple(Candidate(name) for name in names)
    planner = options.pop("planner", ListPlanner([]))
    given = SessionOptions(**{"seed": 3, "user_candidates": chosen, **options})
    result = tune(workload, SessionParts(machine, planner, heard.append, resolve), given)
    assert machine.attached is None
    return result, heard


def row(done: Session, key: str) -> CandidateResult:
    return next(one for one in done.results if one.candidate.key == key)


# --- who wins ---


def test_a_scheduler_that_only_makes_up_for_a_bad_value_never_wins() -> None:
    """It makes -j2 as good as -j8 is under EEVDF: 1.6 times as fast there, and no gain for anyone who chooses well."""
    done, _ = session(ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.0, 1.0, 1.0))), "a")
    assert done.winner is None
    assert done.baseline is not None
    assert done.baseline.params == (("jobs", "8"),)
    assert row(done, "a jobs=2").verdict != "faster"
    assert "EEVDF does best with jobs=8." in done.recommendation


def test_a_scheduler_that_is_better_at_the_best_value_wins_with_it() -> None:
    done, _ = session(ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 1.2, 0.9))), "a")
    assert done.winner == "a jobs=8"
    assert re.match(
        r"Use a with jobs=8: the command runs 1\.1\d* times as fast as under EEVDF with jobs=8, its best",
        done.recommendation,
    )


def test_a_scheduler_that_needs_another_value_than_eevdf_wins_with_that() -> None:
    done, _ = session(ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 0.9, 1.1))), "a")
    assert done.winner == "a jobs=4"
    assert row(done, "a jobs=4").against == "eevdf jobs=8"
    assert row(done, "a jobs=8").verdict == "slower"


def test_every_value_that_may_be_the_best_is_a_rival_that_runs_in_each_round_of_the_confirmation() -> None:
    done, heard = session(ScriptedMachine(times(eevdf=(1.6, 1.001, 1.0), a=(1.6, 0.9, 0.95))), "a")
    orders = [set(one.order) for one in heard if isinstance(one, RoundStarted) and one.phase == "confirm"]
    assert orders
    assert all(one == {"a jobs=4", "eevdf jobs=4", "eevdf jobs=8"} for one in orders)
    assert done.winner == "a jobs=4"
    assert "may be EEVDF's best value: a winner must beat it too" in {one.note for one in done.results}
    assert "jobs=4 may be as good" in done.recommendation or "jobs=8 may be as good" in done.recommendation


def test_a_candidate_that_beats_the_chosen_value_and_not_its_rival_does_not_win() -> None:
    """EEVDF's best value had bad luck when the values were compared."""
    machine = ScriptedMachine(times(eevdf=(1.6, 1.0, 0.9), a=(1.6, 0.9, 0.9)))
    unlucky = iter([1.02] * 7)
    machine.faults["eevdf -j8"] = lambda: a_run(next(unlucky, 0.9) * machine.rng.gauss(1.0, 0.02))
    done, _ = session(machine, "a")
    assert done.baseline is not None
    assert done.baseline.params == (("jobs", "4"),)
    assert done.winner is None
    judged = [one for one in done.results if one.fresh_pairs]
    assert judged
    assert {one.against for one in judged if one.speedup and one.speedup.low < 1.0} == {"eevdf jobs=8"}
    assert all("compared with EEVDF jobs=8" in one.note for one in judged if one.against == "eevdf jobs=8")


def test_the_alpha_of_the_race_leaves_room_for_the_choice_of_the_value() -> None:
    """The interval of a row is at the level that the race was given: less with values to choose from."""
    several, _ = session(ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 1.2, 0.9))), "a")
    one = replace(WORK, parameters=(Parameter("jobs", ("8",)),))
    single, _ = session(ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 1.2, 0.9))), "a", workload=one)
    confidences = [row(done, "a jobs=8").speedup.confidence for done in (several, single)]  # type: ignore[union-attr]
    assert confidences[0] > confidences[1]


# --- what runs ---


def test_eevdf_runs_at_each_value_and_candidates_at_its_best_value_first() -> None:
    machine = ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 1.2, 0.9), b=(1.6, 1.2, 1.0)))
    done, heard = session(machine, "a", "b")
    started = [one for one in heard if isinstance(one, RunStarted)]
    assert [one.candidate for one in started if one.phase == "warmup"] == [
        "eevdf jobs=2",
        "eevdf jobs=4",
        "eevdf jobs=8",
    ]
    rounds = [one for one in heard if isinstance(one, RoundStarted) and one.phase == "baseline"]
    assert set(rounds[0].order) == {"eevdf jobs=2", "eevdf jobs=4", "eevdf jobs=8"}
    assert {one.candidate for one in started} >= {f"{name} jobs={value}" for name in "ab" for value in "248"}
    (known,) = [one for one in heard if isinstance(one, ValuesKnown)]
    assert [one.candidate.key for one in known.results] == ["eevdf jobs=8", "eevdf jobs=4", "eevdf jobs=2"]
    assert heard.index(known) < next(i for i, one in enumerate(heard) if isinstance(one, BaselineKnown))
    assert {one.candidate.key for one in done.results} >= {f"eevdf jobs={value}" for value in "248"}


def test_where_the_budget_has_room_for_few_they_run_at_the_best_value() -> None:
    machine = ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 1.2, 1.0), b=(1.6, 1.2, 1.0)))
    now = [0.0]

    def measured(wall_s: float) -> Any:
        def one() -> Any:
            now[0] += wall_s
            return a_run(wall_s)

        return one

    machine.faults = {key: measured(wall_s * 10) for key, wall_s in machine.times.items()}
    heard: list[Event] = []
    options = SessionOptions(seed=3, budget_s=300.0, user_candidates=(Candidate("a"), Candidate("b")))
    done = tune(WORK, SessionParts(machine, ListPlanner([]), heard.append, resolve, clock=lambda: now[0]), options)
    first = [one.candidate for one in heard if isinstance(one, RunStarted) and one.phase == "race"]
    tried = {one for one in first if not records.is_baseline(one)}
    assert tried
    assert {"a jobs=8", "b jobs=8"} & tried
    assert "jobs=2" not in "".join(tried)
    assert any("Not tried" in warning and "a jobs=2" in warning for warning in done.warnings)


def test_setup_and_cleanup_run_once_for_all_values_that_share_them_and_prepare_runs_with_the_value() -> None:
    shared = replace(WORK, setup="once", cleanup="the end", prepare="clean {jobs}", conclude="after {jobs}")
    machine = ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 1.2, 0.9)))
    session(machine, "a", workload=shared)
    assert machine.log.count("once") == machine.log.count("the end") == 1
    assert machine.log[0] == "once"
    assert machine.log[-1] == "the end"
    assert machine.log.count("clean 2") == machine.log.count("after 2") > 3
    own = replace(WORK, setup="for {jobs}", cleanup="of {jobs}")
    machine = ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 1.2, 0.9)))
    session(machine, "a", workload=own)
    assert machine.log[:3] == ["for 2", "for 4", "for 8"]
    assert sorted(machine.log[-3:]) == ["of 2", "of 4", "of 8"]


def test_a_value_with_which_the_command_fails_under_eevdf_is_named() -> None:
    machine = ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0)), faults={"eevdf -j4": lambda: a_run(0.1, 2)})
    with pytest.raises(WorkloadError, match=r"exit code 2 \(with jobs=4\)"):
        session(machine, "a")


def test_a_parameter_with_one_value_is_filled_in_and_costs_nothing_else() -> None:
    one = replace(WORK, parameters=(Parameter("jobs", ("8",)),))
    done, heard = session(ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 1.2, 0.9))), "a", workload=one)
    assert done.winner == "a jobs=8"
    assert not [one for one in heard if isinstance(one, ValuesKnown)]
    assert sum(isinstance(one, RunStarted) and one.phase == "baseline" for one in heard) == 3
    assert "EEVDF does best" not in done.recommendation


def test_two_parameters_run_in_all_combinations() -> None:
    both = replace(
        WORK, argv=("./{cc}", "-j{jobs}"), parameters=(Parameter("cc", ("gcc", "my cc")), Parameter("jobs", ("2", "4")))
    )
    done, _ = session(ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 1.0, 0.9))), "a", workload=both)
    assert {one.candidate.key for one in done.results if one.candidate.scheduler == BASELINE} == {
        "eevdf cc=gcc jobs=2", "eevdf cc=gcc jobs=4", "eevdf cc='my cc' jobs=2", "eevdf cc='my cc' jobs=4",
    }  # fmt: skip


def test_knobs_that_the_user_edits_keep_the_value() -> None:
    def approve(candidate: Candidate, _proposal: Proposal, *, editable: bool) -> Candidate:
        return Candidate("a", (("slice_us", 5),)) if editable else candidate

    machine = ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 1.2, 0.9)))
    done, _ = session(machine, "a", approve=approve)
    assert done.winner == "a:slice_us=5 jobs=8"


# --- planners ---


def test_a_planner_proposes_schedulers_and_hears_of_each_at_its_best_value() -> None:
    planner = ListPlanner([["a", "b"], ["c"]])
    machine = ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 1.2, 0.9), b=(1.6, 1.3, 1.1), c=(1.6, 1.2, 1.0)))
    session(machine, planner=planner, user_candidates=())
    heard = {one.candidate.key: one for one in planner.seen[1].results}
    assert set(heard) == {"a", "b"}
    assert heard["a"].note.startswith("at its best value, jobs=8")
    assert planner.seen[0].candidates_affordable >= 3


def test_results_without_parameters_stay_as_they_are() -> None:
    results = sessions.results()
    assert by_scheduler(results) == list(results)


# --- what reports say ---


def winning() -> Session:
    machine = ScriptedMachine(times(eevdf=(1.6, 1.001, 1.0), a=(1.6, 0.9, 0.95)))
    done, _ = session(machine, "a")
    assert done.winner == "a jobs=4"
    return done


def test_every_report_has_a_row_for_each_of_eevdfs_values_and_names_the_value_of_each_row() -> None:
    done = winning()
    names = [row.name for row in session_table.session_table(done).rows]
    assert names[0] == "a jobs=4"
    assert {"EEVDF jobs=2", "EEVDF jobs=4", "EEVDF jobs=8"} < set(names)
    document = json.loads(json_document.json_text(done))
    lines = list(csv.DictReader(io.StringIO(csv_document.csv_text(done))))
    texts = [
        plain_text.plain_text(done),
        markup.markdown(done),
        markup.asciidoc(done),
        markup.orgmode(done),
        html.page(done),
    ]
    for name, one, line in zip(names, document["results"], lines, strict=True):
        value = name.rpartition("=")[2]
        assert one["candidate"]["params"] == [["jobs", value]]
        assert line["parameter_jobs"] == value
        assert line["scheduler"] == one["candidate"]["scheduler"]
        plain = [re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), text) for text in texts]
        assert all(name in text.replace(r"\equal{}", "=").replace("\\", "") for text in plain), name
    assert document["baseline"]["params"] in ([["jobs", "4"]], [["jobs", "8"]])
    assert sum(one["verdict"] is None for one in document["results"]) == 1


def test_hyperfines_json_has_the_command_and_the_parameters_of_each_result() -> None:
    document = hyperfine.document(winning())
    first = document["results"][0]
    assert first["command"] == "./work -j4"
    assert first["parameters"] == {"scheduler": {"value": "a"}, "jobs": {"value": "4"}}
    assert {one["command"] for one in document["results"] if one["parameters"]["scheduler"]["value"] == BASELINE} == {
        "./work -j2", "./work -j4", "./work -j8",
    }  # fmt: skip


def test_the_commands_to_go_on_with_name_values_where_they_belong_and_nowhere_else() -> None:
    done = winning()
    repeat = commands.repeat_command(done)
    assert "--param jobs=2,4,8 --scheduler a --seed" in repeat
    assert repeat.endswith("-- ./work '-j{jobs}'")
    assert "The command at its best: ./work -j4" in plain_text.plain_text(done)
    on_host = replace(done, machine=replace(done.machine, kind="host"))
    assert (commands.keep_command(on_host) or "").endswith(" apply a")


def test_without_a_winner_the_command_is_shown_with_eevdfs_best_value() -> None:
    done, _ = session(ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 1.3, 1.1))), "a")
    assert "The command at its best: ./work -j8" in plain_text.plain_text(done)
    assert done.recommendation.endswith("EEVDF does best with jobs=8.")


@pytest.mark.parametrize("statistic", ["mean", "p75"])
def test_another_statistic_is_judged_against_every_value_too(statistic: str) -> None:
    machine = ScriptedMachine(times(eevdf=(1.6, 1.001, 1.0), a=(1.6, 0.8, 0.95)))
    done, _ = session(machine, "a", statistic=statistic)
    assert done.winner == "a jobs=4"


def test_a_session_with_parameters_goes_through_json_and_back() -> None:
    from autotune.wire import from_json, to_json

    done = winning()
    assert from_json(Session, to_json(done)) == done


def test_a_winner_is_kept_attached_without_its_value_and_its_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    done = winning()
    won = replace(row(done, "a jobs=4"), candidate=Candidate("at_fifo", params=(("jobs", "4"),)))
    done = replace(done, results=(won,), winner=won.candidate.key)
    attached: list[Candidate] = []

    @contextlib.contextmanager
    def host(*_given: Any) -> Iterator[Any]:
        yield SimpleNamespace(headers=None)

    monkeypatch.setattr(handover, "host", host)
    monkeypatch.setattr(handover, "CatalogResolver", lambda *_given: lambda _candidate: None)
    monkeypatch.setattr(applied, "keep", lambda *given: attached.append(given[2]))
    said: list[str] = []
    handover.keep_winner(done, custom.catalog(), 30.0, said.append)
    assert attached == [Candidate("at_fifo")]
    assert said == ["The command at its best: ./work -j4"]


def test_a_model_gets_the_values_and_learns_that_it_proposes_schedulers_only() -> None:
    text = prompt.workload_text(WORK, lambda one: one.replace("8", "[redacted]"))
    assert "Parameters: jobs = 2, 4, [redacted]; autotune tries every candidate with these values itself" in text
    assert "Parameters" not in prompt.workload_text(replace(WORK, parameters=()), str)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_shows_each_value_whatever_its_width(width: int) -> None:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(terminal_table.final_table(winning(), width))
    text = console.export_text()
    assert all(f"jobs={value}" in text for value in "248")
    assert max(map(len, text.splitlines())) <= width


def test_a_plot_has_a_letter_for_each_of_eevdfs_values_and_o_is_the_best() -> None:
    drawn = plot.text(winning(), 80)
    best = next(one for one in winning().results if one.verdict is None).candidate
    assert f"  o  EEVDF {records.point_text(best.params)}" in drawn
    assert drawn.count("  EEVDF jobs=") == 3


def test_a_budget_without_room_for_two_pairs_of_all_rivals_says_that_it_confirms_nothing() -> None:
    """A pair of runs takes five where four of EEVDF's values may be the best."""
    near = Parameter("jobs", ("1", "2", "4", "8"))
    clock = [0.0]
    heard: list[Event] = []

    def one() -> Any:
        clock[0] += 10.0
        return a_run(10.0)

    machine = ScriptedMachine({}, faults={"eevdf": one, "a": one})
    options = SessionOptions(seed=3, budget_s=260.0, user_candidates=(Candidate("a"),))
    work = replace(WORK, parameters=(near,))
    tune(work, SessionParts(machine, ListPlanner([]), heard.append, resolve, clock=lambda: clock[0]), options)
    (known,) = [one for one in heard if isinstance(one, BaselineKnown)]
    assert known.baseline.detectable is None


def test_a_scheduler_is_built_once_for_all_values_and_one_that_cannot_be_is_named_once() -> None:
    built: list[str] = []

    def build(candidate: Candidate) -> AttachSpec:
        built.append(candidate.key)
        if candidate.scheduler == "bad":
            raise BuildError("it does not compile")
        return resolve(candidate)

    machine = ScriptedMachine(times(eevdf=(1.6, 1.2, 1.0), a=(1.6, 1.2, 0.9)))
    options = SessionOptions(seed=3, user_candidates=(Candidate("bad"), Candidate("a")))
    done = tune(WORK, SessionParts(machine, ListPlanner([]), lambda _event: None, build), options)
    assert built == ["bad", "a"]
    assert [one for one in done.warnings if "left out" in one] == ["bad is left out: it does not compile"]
    assert done.winner == "a jobs=8"


@pytest.mark.parametrize(("budget_s", "is_warned"), [(150.0, True), (600.0, False)])
def test_a_budget_too_small_for_all_values_is_named_at_the_first_run(budget_s: float, is_warned: bool) -> None:
    """Nine runs of 10 s choose the value and six make a verdict, beside three warm-up runs."""
    clock = [0.0]
    heard: list[Event] = []

    def one() -> Any:
        clock[0] += 10.0
        return a_run(10.0)

    machine = ScriptedMachine({}, faults={"eevdf": one, "a": one})
    options = SessionOptions(seed=3, budget_s=budget_s, user_candidates=(Candidate("a"),))
    with contextlib.suppress(WorkloadError):
        tune(WORK, SessionParts(machine, ListPlanner([]), heard.append, resolve, clock=lambda: clock[0]), options)
    warned = [one.text for one in heard if isinstance(one, Warned) and "too small for a verdict" in one.text]
    assert bool(warned) is is_warned
