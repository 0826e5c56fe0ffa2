# SPDX-License-Identifier: MIT
"""What the offline planner proposes, and why."""

from __future__ import annotations

from dataclasses import replace

from autotune.planner.base import Situation
from autotune.planner.offline import OfflinePlanner
from autotune.records import (
    Baseline,
    Candidate,
    CandidateResult,
    Expectations,
    Interval,
    MachineInfo,
    Observation,
    Workload,
)
from autotune.schedext.catalogue.catalog import Catalog
from autotune.verdict.promotion import Promotion
from tests.support import sessions
from tests.support.generated_schedulers import an_entry
from tests.support.sessions import run

CATALOG = Catalog.load()
BUSY = Observation(2.0, 0.95, 1.9, 0.5, 0.6, 0.0, 500.0, 0.7, 10.0, 2)
IDLE = replace(BUSY, cpu_utilisation=0.2, pressure_cpu_share=0.01, involuntary_share=0.05)


def situation(seen: Observation, *results: CandidateResult, affordable: int = 9) -> Situation:
    machine = MachineInfo("vm", "", "6.18", 2, 1 << 30, "", "tcg")
    baseline = Baseline(2.0, 3, 0.01, 0.02)
    return Situation(machine, Workload("x", ("x",), "/"), baseline, seen, run(), results, 300.0, affordable)


def result(text: str, speedup: float) -> CandidateResult:
    interval = Interval(speedup, speedup * 0.99, speedup * 1.01, 0.95)
    return CandidateResult(CATALOG.parse_candidate(text), "", "undecided", interval, 1.0, 4, 0, False)


def test_busy_cpus_with_waiting_tasks_speak_for_throughput() -> None:
    proposals = OfflinePlanner(CATALOG).propose(situation(BUSY))
    assert len(proposals) >= 4
    assert "throughput" in CATALOG.get(proposals[0].candidate.scheduler).tags
    assert "95%" in proposals[0].reason


def test_idle_cpus_speak_for_latency() -> None:
    proposals = OfflinePlanner(CATALOG).propose(situation(IDLE))
    assert "latency" in CATALOG.get(proposals[0].candidate.scheduler).tags


def test_later_sets_turn_the_leaders_knobs_within_their_range_and_never_repeat() -> None:
    planner = OfflinePlanner(CATALOG)
    tried = [result("at_batch", 1.1), result("at_fifo", 0.99)]
    for _ in range(3):
        proposals = planner.propose(situation(BUSY, *tried))
        keys = [proposal.candidate.key for proposal in proposals]
        assert 0 < len(keys) <= 3
        assert not set(keys) & {item.candidate.key for item in tried}
        for proposal in proposals:
            CATALOG.validate(proposal.candidate)
            tried.append(result(proposal.candidate.key, 1.0))
    assert tried[2].candidate.scheduler == "at_batch"


def test_no_more_is_proposed_than_the_budget_affords() -> None:
    planner = OfflinePlanner(CATALOG)
    assert len(planner.propose(situation(BUSY, affordable=2))) == 2
    assert list(planner.propose(situation(BUSY, result("at_fifo", 1.1), affordable=0))) == []


def test_nothing_is_proposed_when_the_budget_affords_nothing() -> None:
    assert list(OfflinePlanner(CATALOG).propose(situation(BUSY, affordable=0))) == []


def test_what_was_refused_is_not_proposed_again() -> None:
    planner = OfflinePlanner(CATALOG)
    refused = planner.propose(situation(BUSY, result("at_batch", 1.1)))
    after = planner.propose(situation(BUSY, result("at_batch", 1.1)))
    assert refused
    assert after
    assert not {one.candidate for one in refused} & {one.candidate for one in after}


def test_a_leader_that_is_in_no_catalogue_is_left_alone_and_the_next_are_varied() -> None:
    """A model wrote it meanwhile, or another planner chose among more."""
    stranger = replace(result("at_fifo", 1.3), candidate=Candidate("custom:stranger"))
    proposals = OfflinePlanner(CATALOG).propose(situation(BUSY, stranger, result("at_batch", 1.1)))
    assert {one.candidate.scheduler for one in proposals} == {"at_batch"}


def test_a_scheduler_that_joined_the_catalogue_meanwhile_is_varied_too() -> None:
    catalog = Catalog([CATALOG.get("at_batch")])
    planner = OfflinePlanner(catalog)
    planner.propose(situation(BUSY))
    catalog.add(CATALOG.get("at_fifo"))
    proposals = planner.propose(situation(BUSY, result("at_fifo", 1.3)))
    assert {one.candidate.scheduler for one in proposals} == {"at_fifo"}


def test_settings_that_were_tried_with_a_default_named_are_not_proposed_again() -> None:
    default = CATALOG.get("at_fifo").knob("slice_us").default
    named = result(f"at_fifo:slice_us={default}", 1.1)
    other = result("at_fifo:slice_us=1000", 1.2)
    planner = OfflinePlanner(CATALOG)
    for _ in range(9):
        proposals = planner.propose(situation(BUSY, other, named))
        assert Candidate("at_fifo") not in {one.candidate for one in proposals}


def test_what_failed_or_is_slower_is_not_varied() -> None:
    slow = replace(result("at_fifo", 0.5), verdict="slower")
    broken = CandidateResult(Candidate("at_batch"), "", "invalid", None, None, 0, 2, False)
    assert list(OfflinePlanner(CATALOG).propose(situation(BUSY, slow, broken))) == []


def watched(possible: float, *by_order: str) -> Situation:
    profile = replace(sessions.profile(), possible=possible)
    return replace(situation(BUSY), profile=profile, expected=Expectations({"7": 10**9, "8": 10**8}, 10**9, by_order))


def test_where_an_order_of_tasks_can_win_the_scheduler_that_knows_one_comes_first() -> None:
    first = OfflinePlanner(CATALOG).propose(watched(0.24))[0]

    assert first.candidate == Candidate("at_guided")
    assert "can save up to 24%" in first.reason
    assert "how long 2 tasks" in first.reason


def test_the_proposal_says_that_tasks_are_known_by_their_order() -> None:
    assert "1 of them by their order of start" in OfflinePlanner(CATALOG).propose(watched(0.24, "8"))[0].reason


def test_it_is_not_proposed_where_nothing_can_be_won_or_nothing_is_known_of_the_tasks() -> None:
    for known in (watched(0.01), replace(watched(0.24), expected=None), situation(BUSY)):
        proposals = OfflinePlanner(CATALOG).propose(replace(known, candidates_affordable=50))
        assert "at_guided" not in {one.candidate.scheduler for one in proposals}


# --- what generated schedulers have shown before ---


def test_a_proven_scheduler_goes_before_others_like_it_and_a_trusted_one_before_that() -> None:
    names = ("plain", "proven", "trusted")
    catalog = Catalog([*CATALOG.schedulers, *map(an_entry, names)])
    standings = {
        "custom:plain": Promotion("candidate", ("it passed the gates",)),
        "custom:proven": Promotion("proven", ("confirmed faster on 1 workload here", "trusted from 2 on"), ("a",)),
        "custom:trusted": Promotion("trusted", ("confirmed faster on 2 workloads here",), ("a", "b")),
    }
    for seen in (BUSY, IDLE):
        proposals = OfflinePlanner(catalog, (), standings).propose(situation(seen))
        order = [one.candidate.scheduler for one in proposals]
        assert order.index("custom:trusted") < order.index("custom:proven")
        assert "custom:plain" not in order
        reasons = {one.candidate.scheduler: one.reason for one in proposals}
        assert "it is proven (confirmed faster on 1 workload here)" in reasons["custom:proven"]
    plain = OfflinePlanner(catalog).propose(situation(BUSY))
    assert not any(one.candidate.scheduler.startswith("custom:") for one in plain)
