# SPDX-License-Identifier: MIT
"""Which schedulers of the catalogue are offered on a machine, by the offline planner and by Claude's tools, and what is
said of the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune import prompt
from autotune.knowledge.store import Knowledge
from autotune.planner.base import Situation
from autotune.planner.offline import FIRST_SET, LATER_SET, OfflinePlanner
from autotune.records import Baseline, Candidate, CandidateResult, Interval, MachineInfo, Observation, Workload
from autotune.redact import Redactor
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.tools.reasons import ELSEWHERE, unusable
from autotune.tools.toolbox import RESULT_CHARACTERS, Toolbox
from tests.support import scx_programs
from tests.support.generated_schedulers import kept
from tests.support.sessions import run

CATALOG = Catalog.load()
PLAIN = MachineInfo("vm", "", "6.18.15", 2, 1 << 30, "", "tcg", traits=())
EVERYTHING = replace(
    PLAIN, traits=("several_llcs", "numa", "core_types", "smt", "schedutil", "nohz_full"), kernel="7.2.0"
)
BUSY = Observation(2.0, 0.95, 1.9, 0.5, 0.6, 0.0, 500.0, 0.7, 10.0, 2)
IDLE = replace(BUSY, cpu_utilisation=0.2, pressure_cpu_share=0.01, involuntary_share=0.05)
NAMES = [one.name for one in CATALOG.schedulers if one.kind == "binary"]


def places(tmp_path: Path, *names: str) -> Any:
    """A directory with programs of these names; nothing else is looked at."""
    for name in names:
        scx_programs.put(tmp_path, "scx_good", called=name)
    return scx_programs.only(tmp_path)


def offered(machine: MachineInfo, found: Any) -> Catalog:
    """What `assembly` hands to the offline planner."""
    reasons = unusable(CATALOG, machine, found)
    return Catalog([one for one in CATALOG.schedulers if one.name not in reasons])


# --- reasons ---


@pytest.mark.parametrize(
    ("name", "machine", "reason"),
    [
        ("scx_flow", replace(PLAIN, kernel="6.17.2"), "it needs Linux 6.18, and this is 6.17.2"),
        ("scx_lavd", replace(PLAIN, kernel="6.16.9"), "Linux 6.16 is known to refuse it, and this is 6.16.9"),
        ("scx_p2dq", replace(PLAIN, cpus=600), "it is made for 512 CPUs at most, and this machine has 600"),
        ("scx_rusty", PLAIN, "it balances between last-level caches, and this machine has one"),
        ("scx_tickless", PLAIN, "it spares CPUs that were booted without ticks (nohz_full), and there are none here"),
        ("scx_pair", PLAIN, "it is made for SMT siblings, and the cores here have none"),
        ("scx_rlfifo", EVERYTHING, "its options cannot be read: it attaches itself whatever its arguments"),
    ],
)  # fmt: skip
def test_what_cannot_help_here_is_left_out_with_the_reason(
    tmp_path: Path, name: str, machine: MachineInfo, reason: str
) -> None:
    assert unusable(CATALOG, machine, places(tmp_path, name))[name] == reason


def test_with_everything_there_and_every_program_installed_only_one_is_left_out(tmp_path: Path) -> None:
    assert set(unusable(CATALOG, EVERYTHING, places(tmp_path, *NAMES))) == {"scx_rlfifo"}


def test_traits_that_are_not_known_speak_against_nobody(tmp_path: Path) -> None:
    reasons = unusable(CATALOG, replace(PLAIN, traits=None), places(tmp_path, *NAMES))
    assert set(reasons) == {"scx_rlfifo"}


def test_an_absent_program_is_left_out_with_the_way_to_get_it(tmp_path: Path) -> None:
    reasons = unusable(CATALOG, EVERYTHING, places(tmp_path, "scx_bpfland"))
    assert "scx_bpfland" not in reasons
    assert reasons["scx_cosmos"].startswith("not installed: autotune schedulers install scx_cosmos")
    assert reasons["scx_nest"] == "not installed: install your distribution's scx-scheds"


def test_nobody_is_told_to_install_what_would_not_help(tmp_path: Path) -> None:
    assert "installed" not in unusable(CATALOG, PLAIN, places(tmp_path))["scx_rusty"]


def test_what_cannot_run_in_a_micro_vm_is_left_out_there_and_only_there(tmp_path: Path) -> None:
    entry = CATALOG.get("scx_bpfland").model_dump()
    entry["program"]["not_in_vm"] = "it needs real caches"
    catalog, found = Catalog([Scheduler.model_validate(entry)]), places(tmp_path, "scx_bpfland")
    assert unusable(catalog, PLAIN, found) == {"scx_bpfland": "it cannot run in a micro-VM: it needs real caches"}
    assert unusable(catalog, replace(PLAIN, kind="host"), found) == {}


def test_a_program_that_others_could_change_is_left_out_with_that(tmp_path: Path) -> None:
    found = places(tmp_path, "scx_bpfland")
    (tmp_path / "scx_bpfland").chmod(0o777)
    assert "can be written by others" in unusable(CATALOG, PLAIN, found)["scx_bpfland"]


# --- the offline planner ---


def situation(seen: Observation, *results: CandidateResult, machine: MachineInfo = PLAIN) -> Situation:
    baseline = Baseline(2.0, 3, 0.01, 0.02)
    return Situation(machine, Workload("x", ("x",), "/"), baseline, seen, run(), results, 300.0, 9)


def result(text: str, speedup: float = 1.1) -> CandidateResult:
    interval = Interval(speedup, speedup * 0.99, speedup * 1.01, 0.95)
    return CandidateResult(CATALOG.parse_candidate(text), "", "undecided", interval, 1.0, 4, 0, False)


def proposed(catalog: Catalog, where: Situation) -> list[Candidate]:
    return [proposal.candidate for proposal in OfflinePlanner(catalog).propose(where)]


@pytest.mark.parametrize("seen", [BUSY, IDLE], ids=["busy", "idle"])
def test_the_first_set_is_our_own_and_installed_programs_by_turns(tmp_path: Path, seen: Observation) -> None:
    found = places(tmp_path, "scx_bpfland", "scx_cosmos", "scx_flash", "scx_beerland", "scx_p2dq")
    first = [candidate.scheduler for candidate in proposed(offered(PLAIN, found), situation(seen))]
    assert len(first) == FIRST_SET
    assert [name.partition("_")[0] for name in first] == ["at", "scx"] * 3


def test_what_is_absent_is_never_proposed(tmp_path: Path) -> None:
    first = proposed(offered(PLAIN, places(tmp_path, "scx_cosmos")), situation(BUSY))
    assert {candidate.scheduler for candidate in first if candidate.scheduler.startswith("scx_")} == {"scx_cosmos"}


@pytest.mark.parametrize("seen", [BUSY, IDLE], ids=["busy", "idle"])
def test_what_says_that_it_is_not_ready_is_never_proposed(tmp_path: Path, seen: Observation) -> None:
    unready = [name for name in NAMES if CATALOG.get(name).production_ready is False]
    assert "scx_forge" in unready
    first = proposed(offered(EVERYTHING, places(tmp_path, *unready)), situation(seen))
    assert not [candidate for candidate in first if candidate.scheduler.startswith("scx_")]


def test_a_program_for_which_nothing_speaks_is_not_proposed(tmp_path: Path) -> None:
    first = proposed(offered(PLAIN, places(tmp_path, "scx_flatcg")), situation(BUSY))
    assert "scx_flatcg" not in [candidate.scheduler for candidate in first]


def later(name: str, machine: MachineInfo = PLAIN) -> list[Candidate]:
    """All that is proposed while this one leads, set after set."""
    planner, results = OfflinePlanner(CATALOG), [result(name)]
    for _ in range(200):
        proposals = planner.propose(situation(BUSY, *results, machine=machine))
        assert len(proposals) <= LATER_SET
        if not proposals:
            break
        results += [result(proposal.candidate.key, 0.9) for proposal in proposals]
    return [one.candidate for one in results[1:]]


@pytest.mark.parametrize("name", ["scx_lavd", "scx_p2dq", "scx_bpfland", "scx_rusty", "scx_layered"])
def test_later_sets_change_numbers_and_take_profiles_that_go_together(name: str) -> None:
    one = CATALOG.get(name)
    tried = later(name)
    assert tried
    profiles = [one.modes[mode] for mode in ("lowlatency", "gaming", "server") if one.modes.get(mode)]
    for candidate in tried:
        CATALOG.validate(candidate)
        settings = dict(candidate.knobs)
        assert all(one.knob(knob).status == "active" for knob in settings)
        alone = [one.knob(knob) for knob in settings]
        if not any(set(settings) <= set(profile) for profile in profiles):
            assert any(knob.type in ("integer", "float") or knob.options for knob in alone)
    for profile in profiles:
        different = {knob: value for knob, value in profile.items() if value != one.knob(knob).default}
        assert Candidate(name, tuple(sorted(different.items()))) in tried


def test_a_knob_that_changes_nothing_on_this_machine_is_left_alone() -> None:
    assert "xmig_min_gain_us" not in {knob for one in later("scx_lavd") for knob, _ in one.knobs}
    assert "xmig_min_gain_us" in {knob for one in later("scx_lavd", EVERYTHING) for knob, _ in one.knobs}


# --- generated schedulers of other directories ---


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with one scheduler of each kind: made in `here`, in other directories, and before that was noted."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    here = tmp_path / "here"
    for place in (here, here / "below", tmp_path / "elsewhere"):
        place.mkdir()
    (tmp_path / "link").symlink_to(here)
    kept("ours", made_in=tmp_path / "link")
    kept("theirs", made_in=tmp_path / "elsewhere")
    kept("below", made_in=here / "below")
    kept("above", made_in=tmp_path)
    (kept("old", made_in=here).directory / custom.ORIGIN).unlink()
    for name, text in (
        ("torn", "{"),
        ("listed", "[]"),
        ("numbered", '{"directory": 3}'),
        ("relative", '{"directory": "."}'),
    ):
        (kept(name, made_in=here).directory / custom.ORIGIN).write_text(text)
    return here


@pytest.mark.parametrize("way", ["here", "link", "here/../here"])
def test_a_generated_scheduler_is_offered_where_it_was_made_and_nowhere_else(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.chdir(store)
    reasons = unusable(custom.catalog(), PLAIN, places(tmp_path), directory=tmp_path / way)
    generated = {one.name for one in custom.entries()}
    assert len(generated) == 9
    assert {name for name in generated if reasons.get(name) != ELSEWHERE} == {"custom:ours"}


@pytest.mark.usefixtures("store")
def test_no_planner_proposes_one_of_another_directory_nor_reads_its_texts(tmp_path: Path) -> None:
    catalog = custom.catalog()
    reasons = unusable(catalog, PLAIN, places(tmp_path), directory=tmp_path / "elsewhere")
    planner = OfflinePlanner(catalog, reasons)
    seen: set[str] = set()
    while more := planner.propose(replace(situation(BUSY), candidates_affordable=99)):
        seen |= {one.candidate.scheduler for one in more}
    assert "custom:theirs" in seen
    assert "custom:ours" not in seen
    with closing(Knowledge(tmp_path / "history")) as memory:
        box = Toolbox(catalog, None, memory, tmp_path, Redactor({}), unusable=reasons)
        box.begin_turn((), 8)
        names = [one["name"] for one in asked(box, "list_schedulers")["schedulers"]]
        assert "custom:theirs" in names
        assert "custom:ours" not in names
        for answer in (
            box.call("describe_scheduler", {"name": "custom:ours"}),
            submitted(box, "custom:ours"),
            box.call("run_scheduler", {"name": "custom:ours", "args": []}),
        ):
            assert answer.is_error
            assert "Keeps builders happy" not in answer.text


@pytest.mark.usefixtures("store")
def test_whoever_names_one_of_another_directory_gets_it() -> None:
    assert custom.catalog().parse_candidate("custom:theirs").scheduler == "custom:theirs"


# --- Claude's tools ---


@pytest.fixture
def toolbox(tmp_path: Path) -> Iterator[Toolbox]:
    reasons = unusable(CATALOG, PLAIN, places(tmp_path, "scx_bpfland", "scx_lavd", "scx_p2dq", "scx_rusty"))
    with closing(Knowledge(tmp_path / "history")) as memory:
        box = Toolbox(CATALOG, None, memory, tmp_path, Redactor({}), unusable=reasons)
        box.begin_turn((), 8)
        yield box


def asked(toolbox: Toolbox, tool: str, **given: Any) -> Any:
    answer = toolbox.call(tool, given)
    assert len(answer.text) < RESULT_CHARACTERS
    return json.loads(answer.text)


def submitted(toolbox: Toolbox, scheduler: str, **knobs: str) -> Any:
    settings = [{"name": name, "value": value} for name, value in knobs.items()]
    words = {"reason": "Because.", "hypothesis": "", "prediction": "faster"}
    return toolbox.call("submit_candidates", {"candidates": [{"scheduler": scheduler, "knobs": settings, **words}]})


def test_the_list_has_a_line_for_each_and_says_why_one_cannot_help(toolbox: Toolbox) -> None:
    listed = {one["name"]: one for one in asked(toolbox, "list_schedulers")["schedulers"]}
    assert list(listed) == [one.name for one in CATALOG.schedulers]
    assert "cannot_run_here" not in listed["scx_lavd"]
    assert "last-level caches" in listed["scx_rusty"]["cannot_run_here"]
    assert "autotune schedulers install scx_cosmos" in listed["scx_cosmos"]["cannot_run_here"]


@pytest.mark.parametrize("one", CATALOG.schedulers, ids=lambda one: one.name)
def test_each_scheduler_is_described_whole_within_the_bounds(toolbox: Toolbox, one: Scheduler) -> None:
    described = asked(toolbox, "describe_scheduler", name=one.name)
    active = {knob.name for knob in one.knobs if knob.status == "active"}
    assert set(described.get("tuning_parameters", {})) == active
    assert set(described.get("without_effect", [])) == {knob.name for knob in one.knobs} - active
    assert described.get("modes", {}) == one.modes
    assert len(described.get("must_hold", [])) == len(one.rules)


def test_the_description_tells_requirements_rules_notes_and_needs(toolbox: Toolbox) -> None:
    described = asked(toolbox, "describe_scheduler", name="scx_p2dq")
    assert described["requirements"]["kernel_min"] == "6.13"
    assert any("as many values as dumb_queues" in rule for rule in described["must_hold"])
    assert "Only where there is several_llcs." in described["tuning_parameters"]["fork_balance"]
    assert "Other than default it changes" in described["tuning_parameters"]["sched_mode"]
    assert "lb_mode" in described["without_effect"]


def test_one_that_cannot_help_is_refused_with_the_reason(toolbox: Toolbox) -> None:
    answer = submitted(toolbox, "scx_rusty")
    assert answer.is_error
    assert "scx_rusty cannot run here: it balances between last-level caches" in answer.text


def test_settings_that_do_not_go_together_are_refused_with_what_must_hold(toolbox: Toolbox) -> None:
    answer = submitted(toolbox, "scx_lavd", slice_max_us="2000")
    assert answer.is_error
    assert "pinned_slice_us must be at most slice_max_us" in answer.text


def test_a_profile_can_be_submitted_and_changed(toolbox: Toolbox) -> None:
    proposals = submitted(toolbox, "scx_lavd", mode="gaming", preempt_shift="4").proposals
    assert proposals is not None
    assert len(proposals) == 1
    assert proposals[0].candidate.key == "scx_lavd:performance=true,pinned_slice_us=500,preempt_shift=4"
    assert "has no mode 'fast'" in submitted(toolbox, "scx_lavd", mode="fast").text


def test_the_model_is_told_what_the_machine_has() -> None:
    assert "Has: none" in prompt.machine_text(PLAIN)
    assert "Has: several_llcs, numa," in prompt.machine_text(EVERYTHING)
    assert "Has:" not in prompt.machine_text(replace(PLAIN, traits=None))
