# SPDX-License-Identifier: MIT
"""What the search proposes: the first set, the division of later ones, and what it makes of results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from autotune.planner import knob_model, knob_search
from autotune.planner.base import Situation
from autotune.planner.knob_model import Learned
from autotune.planner.knob_search import KnobSearch
from autotune.planner.offline import OfflinePlanner
from autotune.records import Candidate, CandidateResult, Interval, Proposal, Verdict
from autotune.schedext.catalogue.catalog import Catalog
from tests.support.sessions import a_situation

CATALOG = Catalog.load()
PROGRAMS = frozenset(one.name for one in CATALOG.schedulers if one.kind == "binary")

pytestmark = pytest.mark.slow


def result(text: str, speedup: float | None, verdict: Verdict = "undecided") -> CandidateResult:
    interval = None if speedup is None else Interval(speedup, speedup * 0.99, speedup * 1.01, 0.95)
    return CandidateResult(CATALOG.parse_candidate(text), "", verdict, interval, 1.0, 4, 0, False)


def situation(*results: CandidateResult, affordable: int = 9) -> Situation:
    best_first = sorted(results, key=lambda one: -(one.speedup.estimate if one.speedup else 0.0))
    return a_situation(results=tuple(best_first), candidates_affordable=affordable)


def planner(**given: object) -> KnobSearch:
    return KnobSearch(CATALOG, PROGRAMS, **given)  # type: ignore[arg-type]


def keys(proposals: Sequence[Proposal]) -> list[str]:
    return [one.candidate.key for one in proposals]


def schedulers(proposals: Sequence[Proposal]) -> list[str]:
    return [one.candidate.scheduler for one in proposals]


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Learned]]:
    """What the model was given last, by scheduler."""
    seen: dict[str, list[Learned]] = {}
    real = knob_model.suggestions

    def watched(space, given, seed, wanted):  # type: ignore[no-untyped-def]
        seen[space.scheduler.name] = list(given)
        return real(space, given, seed, wanted)

    monkeypatch.setattr(knob_search, "suggestions", watched)
    return seen


# --- the first set ---


def test_the_first_set_is_that_of_the_offline_planner() -> None:
    assert keys(planner().propose(situation())) == keys(OfflinePlanner(CATALOG, PROGRAMS).propose(situation()))


# --- later sets ---


def test_most_places_go_to_the_best_scheduler_and_more_in_each_set() -> None:
    search = planner()
    results = [result("at_batch", 1.1), result("at_fifo", 1.05), result("at_vtime", 1.02)]
    shares = []
    for _ in range(3):
        proposals = search.propose(situation(*results, affordable=18))
        shares.append(schedulers(proposals).count("at_batch") / len(proposals))
        results += [result(one.candidate.key, 1.01) for one in proposals]
    assert shares == [3 / 6, 4 / 6, 1.0]


@pytest.mark.parametrize(("affordable", "expected"), [(1, 1), (2, 2), (3, 3), (5, 3), (12, 4), (18, 6), (60, 6)])
def test_a_set_leaves_room_for_those_to_come(affordable: int, expected: int) -> None:
    assert len(planner().propose(situation(result("at_batch", 1.1), affordable=affordable))) == expected


def test_profiles_of_a_leader_are_tried_but_take_no_more_than_half() -> None:
    proposals = KnobSearch(CATALOG).propose(situation(result("scx_bpfland", 1.1), affordable=18))
    of_profiles = [one for one in proposals if one.candidate.profile]
    assert len(of_profiles) == 3
    assert len(proposals) == 6
    assert "its profile for" in of_profiles[0].reason


def test_what_was_slower_or_failed_is_searched_no_further() -> None:
    search = planner()
    slower = result("at_batch", 0.5, "slower")
    proposals = planner().propose(situation(slower, result("at_vtime", 0.99), result("at_fifo", None, "invalid")))
    assert set(schedulers(proposals)) == {"at_vtime"}
    assert list(search.propose(situation(result("at_fifo", None, "invalid")))) == []
    assert list(search.propose(situation(result("at_vtime", 1.1)))) == []  # an empty list ended planning


def test_where_all_were_slower_the_nearest_is_searched() -> None:
    """Its defaults may be what makes it slow."""
    proposals = planner().propose(situation(result("at_batch", 0.8, "slower"), result("at_vtime", 0.9, "slower")))
    assert set(schedulers(proposals)) == {"at_vtime"}
    assert "at_vtime is nearest to EEVDF" in proposals[0].reason


def test_a_leader_without_knobs_leaves_its_places_to_the_next() -> None:
    proposals = KnobSearch(CATALOG).propose(situation(result("scx_simple", 1.1), result("at_fifo", 1.05)))
    assert set(schedulers(proposals)) == {"at_fifo"}


def test_strangers_are_left_alone() -> None:
    stranger = replace(result("at_fifo", 1.3), candidate=Candidate("custom:stranger"))
    assert set(schedulers(planner().propose(situation(stranger, result("at_batch", 1.1))))) == {"at_batch"}


def test_a_small_grid_is_used_up_without_a_repetition_and_that_ends_planning() -> None:
    search, results = planner(), [result("at_fifo", 1.1)]
    for _ in range(40):
        proposals = search.propose(situation(*results))
        if not proposals:
            break
        assert not set(keys(proposals)) & {one.candidate.key for one in results}
        results += [result(one.candidate.key, 1.0) for one in proposals]
    assert list(search.propose(situation(*results))) == []
    assert 10 < len(results) <= 21


# --- what it learns ---


def test_the_model_learns_the_latest_estimate_of_each_candidate(learned: dict[str, list[Learned]]) -> None:
    search = planner()
    search.propose(situation(result("at_batch", 1.2)))
    assert [round(one.value or 0, 3) for one in learned["at_batch"]] == [0.182]
    search.propose(situation(result("at_batch", 1.1)))
    assert round(learned["at_batch"][0].value or 0, 3) == 0.095
    assert sum(one.settings == {} for one in learned["at_batch"]) == 1


def test_failures_ejections_and_refusals_are_bad_results_and_never_proposed_again(
    learned: dict[str, list[Learned]],
) -> None:
    search = planner()
    refused = search.propose(situation(result("at_batch", 1.1)))
    ejected = result("at_batch:slice_us=200000", None, "invalid")
    failed_late = result("at_batch:slice_us=100000", 1.4, "invalid")
    unfinished = result("at_batch:slice_us=700", None)
    after = search.propose(situation(result("at_batch", 1.1), ejected, failed_late, unfinished))
    of_batch = {tuple(one.settings.items()): one.value for one in learned["at_batch"]}
    for gone in [*(one.candidate for one in refused), ejected.candidate, failed_late.candidate]:
        assert of_batch[gone.knobs] is None
        assert gone.key not in keys(after)
    assert unfinished.candidate.knobs not in of_batch


# --- the rest ---


def test_the_same_seed_proposes_the_same() -> None:
    def proposed(seed: int) -> list[str]:
        search, results, found = planner(seed=seed), [result("at_batch", 1.1)], []
        for _ in range(3):
            proposals = search.propose(situation(*results))
            found += keys(proposals)
            results += [result(one.candidate.key, 1.0 + len(results) / 100) for one in proposals]
        return found

    assert proposed(1) == proposed(1)
    assert proposed(1) != proposed(2)


def test_no_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    planner().propose(situation(result("at_batch", 1.1)))
    assert list(tmp_path.iterdir()) == []


def test_where_optuna_cannot_be_imported_leaders_are_varied_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    search = planner()
    first = search.propose(situation(result("at_batch", 1.1)))
    assert first
    assert "optuna cannot be used" in "".join(search.remarks())
    second = search.propose(situation(result("at_batch", 1.1)))
    assert list(search.remarks()) == []
    assert not set(keys(first)) & set(keys(second))


def test_values_of_the_workloads_parameters_are_no_knobs() -> None:
    """The same settings with another value of a parameter were tried, and are learned too."""
    of_jobs = [
        replace(one, candidate=replace(one.candidate, params=(("jobs", jobs),)))
        for jobs in ("2", "8")
        for one in (result("at_batch", 1.1), result("at_batch:slice_us=1000", 1.05))
    ]
    proposals = planner().propose(situation(*of_jobs))
    assert proposals
    assert not {"at_batch", "at_batch:slice_us=1000"} & set(keys(proposals))
    assert all(one.candidate.params == () for one in proposals)
