# SPDX-License-Identifier: MIT
"""The racing policy, step by step: who runs, who leaves, who is confirmed, what is claimed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.records import BASELINE, Goal
from autotune.verdict.confirm import FIRST_LOOK_PAIRS, MOST_PAIRS
from autotune.verdict.race import BASELINE_ROUNDS, MAX_ROUNDS, MIN_ROUNDS, TAIL_RUNS, Race, Round
from autotune.verdict.standing import Standing

Value = float | None
NOISE = [0.004, -0.006, 0.001, 0.007, -0.003, -0.005, 0.006, 0.002, -0.001, 0.003, -0.004]
"""Relative noise, dealt out in turn: small beside the differences of these tests, and not zero."""


def race(*keys: str, goal: Goal = "min", seed: int = 1, **numbers: Any) -> Race:
    return Race(keys, goal=goal, rng=random.Random(seed), **numbers)


class Runs:
    """Values of runs: each key has its typical value, and None where it has none."""

    def __init__(self, typical: Mapping[str, Value]) -> None:
        self.typical = typical
        self.count = 0

    def of(self, opened: Round) -> dict[str, Value]:
        return {key: self.one(key) for key in opened.order}

    def one(self, key: str) -> Value:
        self.count += 1
        value = self.typical[key]
        return None if value is None else value * (1 + NOISE[self.count % len(NOISE)])


def run_set(race: Race, values: Callable[[Round], Mapping[str, Value]]) -> list[Round]:
    """Run until nothing more is to be run: the end of a set, or of the confirmation."""
    rounds = []
    while (opened := race.next_round()) is not None:
        rounds.append(opened)
        race.record(values(opened))
    return rounds


def standing(race: Race, key: str) -> Standing:
    return next(standing for standing in race.standings() if standing.key == key)


# --- a whole session -------------------------------------------------------------------------------------


def test_a_better_candidate_is_raced_confirmed_and_wins() -> None:
    tried = race("a", "b", "c")
    runs = Runs({BASELINE: 10.0, "a": 10.0, "b": 8.0, "c": 10.1})
    raced = run_set(tried, runs.of)
    assert [r.phase for r in raced] == ["race"] * 2
    assert tried.set_finished
    assert not tried.done
    assert tried.winner is None
    assert tried.begin_confirm() == "b"
    after = run_set(tried, runs.of)
    fresh = [r for r in after if r.phase == "confirm"]
    assert [r.number for r in fresh] == list(range(1, FIRST_LOOK_PAIRS + 1))
    assert all(set(r.order) == {BASELINE, "b"} for r in fresh)
    assert tried.done
    assert tried.winner == "b"
    best = tried.standings()[0]
    assert (best.key, best.verdict, best.confirmed, best.pairs) == ("b", "faster", True, FIRST_LOOK_PAIRS)
    assert best.interval is not None
    assert best.interval.estimate == pytest.approx(1.25, rel=0.01)


def test_a_winner_runs_alone_until_its_slow_tail_is_known() -> None:
    tried = race("a", "b")
    runs = Runs({BASELINE: 10.0, "a": 8.0, "b": 10.0})
    raced = run_set(tried, runs.of)
    tried.begin_confirm()
    after = run_set(tried, runs.of)
    alone = [r for r in after if r.phase == "tail"]
    assert all(r.order == ("a",) for r in alone)
    assert [r.number for r in alone] == list(range(1, len(alone) + 1))
    assert {r.at_most for r in alone} == {len(alone)}
    assert len(raced) + FIRST_LOOK_PAIRS + len(alone) == TAIL_RUNS
    found = standing(tried, "a")
    assert found.tail is not None
    assert found.tail.runs == TAIL_RUNS
    assert found.pairs == FIRST_LOOK_PAIRS


def test_rare_stalls_cost_a_win() -> None:
    """It is 5 % faster, but for one run in ten that takes twice as long: slower on the whole."""
    tried = race("a")
    runs = Runs({BASELINE: 10.0, "a": 9.5})
    run_set(tried, runs.of)
    tried.begin_confirm()

    def stalling(opened: Round) -> dict[str, Value]:
        found = runs.of(opened)
        stalls = opened.phase == "tail" and opened.number % 8 == 0
        return {key: value * 2 if stalls and value else value for key, value in found.items()}

    run_set(tried, stalling)
    assert tried.done
    assert tried.winner is None
    found = standing(tried, "a")
    assert not found.confirmed
    assert str(found.dropped).startswith("stalls: 2 of 24 runs took far longer")


def test_a_stall_that_was_seen_costs_the_win_when_the_budget_ends_before_the_last_run_alone() -> None:
    tried = race("a")
    runs = Runs({BASELINE: 10.0, "a": 9.5})
    run_set(tried, runs.of)
    tried.begin_confirm()
    for stalled in [False] * 6 + [True]:
        while (opened := tried.next_round()) is not None and opened.phase == "confirm":
            tried.record(runs.of(opened))
        assert opened is not None
        tried.record({"a": 19.0 if stalled else 9.5})
    assert not tried.done, "more runs may still show that it was the only one"
    assert tried.winner is None
    found = standing(tried, "a")
    assert not found.confirmed
    assert str(found.dropped).startswith("stalls: 1 of ")


def test_a_winner_that_has_no_valid_runs_alone_is_none() -> None:
    tried = race("a")
    runs = Runs({BASELINE: 10.0, "a": 8.0})
    run_set(tried, runs.of)
    tried.begin_confirm()
    run_set(tried, lambda opened: {**runs.of(opened), **({"a": None} if opened.phase == "tail" else {})})
    assert tried.done
    assert tried.winner is None
    assert standing(tried, "a").verdict == "invalid"


def test_a_metric_to_be_raised_is_won_by_the_greatest() -> None:
    tried = race("slow", "fast", goal="max")
    runs = Runs({BASELINE: 100.0, "slow": 80.0, "fast": 120.0})
    run_set(tried, runs.of)
    tried.begin_confirm()
    run_set(tried, runs.of)
    assert tried.winner == "fast"
    assert standing(tried, "slow").interval.estimate == pytest.approx(0.8, rel=0.02)  # type: ignore[union-attr]


def test_when_all_are_slower_nothing_is_confirmed() -> None:
    tried = race("a", "b")
    run_set(tried, Runs({BASELINE: 10.0, "a": 14.0, "b": 20.0}).of)
    assert tried.begin_confirm() is None
    assert tried.done
    assert tried.winner is None
    assert tried.next_round() is None
    assert [s.key for s in tried.standings()] == ["a", "b"]
    assert [s.verdict for s in tried.standings()] == ["slower", "slower"]
    assert " % behind a after 2 rounds" in str(standing(tried, "b").dropped)


def test_a_single_candidate_that_is_slower_is_said_to_be_slower_than_eevdf() -> None:
    tried = race("a")
    run_set(tried, Runs({BASELINE: 10.0, "a": 14.0}).of)
    assert " % slower than eevdf after 3 rounds" in str(standing(tried, "a").dropped)
    assert tried.begin_confirm() is None


def test_a_leader_by_luck_is_not_confirmed() -> None:
    """It leads in the race by what then turns out to be noise: the fresh rounds decide alone."""
    tried = race("lucky")
    run_set(tried, Runs({BASELINE: 10.0, "lucky": 8.0}).of)
    assert tried.begin_confirm() == "lucky"
    fresh = run_set(tried, Runs({BASELINE: 10.0, "lucky": 10.2}).of)
    assert len(fresh) == FIRST_LOOK_PAIRS
    assert tried.winner is None
    found = standing(tried, "lucky")
    assert (found.fresh, found.confirmed) == (True, False)
    assert found.verdict in ("undecided", "slower")
    assert found.interval is not None
    assert found.interval.estimate < 1.0


def test_a_confirmation_uses_the_pairs_that_were_planned_and_no_more() -> None:
    tried = race("a", alpha=1e-12)  # so strict that no look wins
    run_set(tried, Runs({BASELINE: 10.0, "a": 9.0}).of)
    tried.begin_confirm(12)
    doubtful = [9.0, 9.6, 9.3, 9.7, 9.2, 9.8]
    fresh = run_set(tried, lambda r: {key: 10.0 if key == BASELINE else doubtful[r.number % 6] for key in r.order})
    assert [opened.at_most for opened in fresh] == [12] * 12
    assert tried.done
    assert tried.winner is None
    found = standing(tried, "a")
    assert (found.pairs, found.fresh, found.confirmed, found.verdict) == (len(fresh), True, False, "undecided")


def test_with_room_for_few_pairs_one_look_risks_all() -> None:
    tried = race("a")
    runs = Runs({BASELINE: 10.0, "a": 9.0})
    run_set(tried, runs.of)
    tried.begin_confirm(3)
    fresh = [opened for opened in run_set(tried, runs.of) if opened.phase == "confirm"]
    assert [opened.at_most for opened in fresh] == [3, 3, 3]
    found = standing(tried, "a")
    assert found.interval is not None
    assert found.interval.confidence == pytest.approx(0.95)
    assert (found.rounds, found.fresh, found.confirmed) == ((1, 2, 3), True, True)


def test_a_confirmation_that_was_cut_short_is_shown_and_claims_nothing() -> None:
    tried = race("a")
    opened = tried.next_round()
    assert opened is not None
    tried.record({BASELINE: 10.0, "a": 8.0})
    tried.begin_confirm(5)
    for number in range(3):
        assert tried.next_round() is not None
        tried.record({BASELINE: 10.0, "a": 8.0 + number / 100})
    found = standing(tried, "a")
    assert (found.pairs, found.fresh, found.confirmed, found.verdict) == (3, True, False, "undecided")
    assert found.interval is not None
    assert found.interval.low > 1.0


@pytest.mark.parametrize("pairs", [-1, 0, 1])
def test_there_is_no_confirmation_with_less_than_two_pairs(pairs: int) -> None:
    tried = race("a")
    run_set(tried, Runs({BASELINE: 10.0, "a": 9.0}).of)
    with pytest.raises(ValueError, match="no confirmation"):
        tried.begin_confirm(pairs)


def test_a_later_look_may_win() -> None:
    tried = race("a", alpha=1e-4)
    run_set(tried, Runs({BASELINE: 10.0, "a": 9.0}).of)
    tried.begin_confirm(8)
    scatter = [9.1, 9.6, 9.2, 9.6] + [9.4] * 30
    after = run_set(tried, lambda r: {key: 10.0 if key == BASELINE else scatter[r.number - 1] for key in r.order})
    fresh = [opened for opened in after if opened.phase == "confirm"]
    assert FIRST_LOOK_PAIRS < len(fresh) <= 8
    assert tried.winner == "a"


def test_when_a_leader_is_given_up_the_next_best_is_confirmed_with_half_the_risk() -> None:
    tried = race("first", "second", max_rounds=3)
    run_set(tried, Runs({BASELINE: 10.0, "first": 9.0, "second": 9.01}).of)
    leader = str(tried.begin_confirm(20))
    other = "second" if leader == "first" else "first"
    lucky = Runs({BASELINE: 10.0, leader: 10.2, other: 9.0})
    after = run_set(tried, lucky.of)
    assert [leader in opened.order for opened in after[:FIRST_LOOK_PAIRS]] == [True] * FIRST_LOOK_PAIRS
    assert tried.winner == other
    lost, won = standing(tried, leader), standing(tried, other)
    assert (lost.fresh, lost.confirmed, lost.fresh_pairs) == (True, False, FIRST_LOOK_PAIRS)
    assert won.interval is not None
    assert lost.interval is not None
    assert won.interval.confidence > lost.interval.confidence
    assert tried.shown_leader is not None
    assert tried.shown_leader.key == other, "the best by fresh rounds, though another one was confirmed first"


def test_all_leaders_together_get_the_pairs_that_were_planned() -> None:
    tried = race(*"abc", max_rounds=3)
    run_set(tried, Runs({BASELINE: 10.0, "a": 9.0, "b": 9.01, "c": 9.02}).of)
    tried.begin_confirm(10)
    fresh = run_set(tried, Runs(dict.fromkeys([BASELINE, *"abc"], 10.0) | {BASELINE: 9.9}).of)
    assert len(fresh) <= 10
    assert tried.done
    assert tried.winner is None


def test_one_candidate_gets_no_more_than_the_most_pairs() -> None:
    tried = race("a")
    run_set(tried, Runs({BASELINE: 10.0, "a": 9.0}).of)
    tried.begin_confirm(500)
    opened = tried.next_round()
    assert opened is not None
    assert opened.at_most == MOST_PAIRS


# --- rounds ----------------------------------------------------------------------------------------------


def test_rounds_are_numbered_and_say_how_many_there_may_be() -> None:
    tried = race("a", "b")
    rounds = run_set(tried, Runs({BASELINE: 10.0, "a": 10.0, "b": 10.0}).of)
    assert [(r.number, r.at_most) for r in rounds] == [(n, MAX_ROUNDS) for n in range(1, MAX_ROUNDS + 1)]


def test_the_order_is_drawn_anew_for_each_round() -> None:
    tried = race("a", "b", "c", "d", "e", "f", max_rounds=30, min_rounds=30)
    rounds = run_set(tried, lambda opened: dict.fromkeys(opened.order, 10.0))
    assert len({r.order for r in rounds}) > 25
    assert len({r.order.index(BASELINE) for r in rounds}) == 7


def test_the_same_seed_gives_the_same_session() -> None:
    def rounds(seed: int) -> list[Round]:
        return run_set(race("a", "b", "c", seed=seed), Runs(dict.fromkeys([BASELINE, *"abc"], 10.0)).of)

    assert rounds(4) == rounds(4)
    assert rounds(4) != rounds(5)


def test_a_single_candidate_is_raced_until_a_cold_start_has_shown() -> None:
    tried = race("only")
    assert len(run_set(tried, Runs({BASELINE: 10.0, "only": 10.0}).of)) == BASELINE_ROUNDS


def test_a_race_without_candidates_is_finished_at_once() -> None:
    tried = race()
    assert tried.next_round() is None
    assert tried.set_finished
    assert tried.begin_confirm() is None
    assert tried.done
    assert tried.standings() == []


# --- leaving the race ------------------------------------------------------------------------------------


def test_whoever_is_clearly_behind_leaves_and_the_reason_says_behind_whom() -> None:
    tried = race("good", "fair", "poor", max_rounds=6)
    typical = {BASELINE: 10.0, "good": 8.0, "fair": 8.05, "poor": 9.5}
    rounds = run_set(tried, Runs(typical).of)
    assert "poor" not in rounds[MIN_ROUNDS].order
    assert {"good", "fair"} <= set(rounds[MIN_ROUNDS].order)
    poor = standing(tried, "poor")
    assert poor.rounds == tuple(range(1, MIN_ROUNDS + 1))
    assert " % behind " in str(poor.dropped)


def test_equal_candidates_stay_until_the_set_ends() -> None:
    tried = race("a", "b", "c")
    rounds = run_set(tried, lambda opened: dict.fromkeys(opened.order, 10.0 + opened.number))
    assert len(rounds) == MAX_ROUNDS
    assert all(s.dropped is None for s in tried.standings())


def test_nobody_is_dropped_before_the_rounds_that_were_requested() -> None:
    tried = race("good", "poor", min_rounds=5, max_rounds=8)
    rounds = run_set(tried, Runs({BASELINE: 10.0, "good": 8.0, "poor": 14.0}).of)
    assert len(rounds) == 5
    assert all("poor" in opened.order for opened in rounds)


def test_a_round_in_which_all_started_cold_is_left_out_for_all_alike() -> None:
    tried = race(*"abcd")

    def values(opened: Round) -> dict[str, Value]:
        cold = 1.3 if opened.number == 1 else 1.0
        return {key: 10.0 if key == BASELINE else 9.0 * cold + opened.number / 100 for key in opened.order}

    run_set(tried, values)
    assert {s.rounds for s in tried.standings()} == {(2, 3, 4)}
    assert tried.begin_confirm() in list("abcd")


def test_a_later_set_that_starts_cold_leaves_out_its_own_first_round() -> None:
    tried = race("a", "b")
    run_set(tried, lambda opened: {key: 10.0 if key == BASELINE else 9.5 for key in opened.order})
    tried.add(["c", "d"])

    def values(opened: Round) -> dict[str, Value]:
        cold = 1.3 if opened.number == MAX_ROUNDS + 1 else 1.0
        return {key: 9.5 * cold if key in "cd" else 10.0 if key == BASELINE else 9.5 for key in opened.order}

    run_set(tried, values)
    assert standing(tried, "c").rounds == (MAX_ROUNDS + 2, MAX_ROUNDS + 3, MAX_ROUNDS + 4)
    assert MAX_ROUNDS + 1 not in standing(tried, str(tried.leader)).rounds


# --- invalid trials --------------------------------------------------------------------------------------


def test_two_invalid_runs_in_a_row_drop_a_candidate() -> None:
    tried = race("good", "bad", "fine")
    rounds = run_set(tried, lambda r: {key: None if key == "bad" else 10.0 for key in r.order})
    assert ["bad" in r.order for r in rounds[:3]] == [True, True, False]
    bad = standing(tried, "bad")
    assert (bad.verdict, bad.dropped, bad.invalid, bad.pairs) == ("invalid", "2 invalid runs", 2, 0)
    assert bad.interval is None
    assert tried.standings()[-1].key == "bad"


def test_three_invalid_runs_in_all_drop_a_candidate() -> None:
    tried = race("good", "flaky", min_rounds=8, max_rounds=8)
    rounds = run_set(
        tried, lambda r: {key: None if key == "flaky" and r.number % 2 else 10.0 + r.number for key in r.order}
    )
    assert sum("flaky" in r.order for r in rounds) == 5
    assert standing(tried, "flaky").dropped == "3 invalid runs"


def test_an_invalid_run_costs_only_its_own_pair() -> None:
    tried = race("a", "b", min_rounds=4)
    run_set(tried, lambda r: {k: None if k == "a" and r.number == 2 else 10.0 + r.number for k in r.order})
    assert standing(tried, "a").pairs == 3
    assert standing(tried, "a").invalid == 1
    assert standing(tried, "b").pairs == 4


@pytest.mark.parametrize("odd", [0.0, -3.0, float("nan"), float("inf")])
def test_a_value_no_ratio_can_be_taken_of_is_invalid(odd: float) -> None:
    tried = race("a", goal="max")
    run_set(tried, lambda opened: dict.fromkeys(opened.order, odd) | {BASELINE: 10.0})
    assert standing(tried, "a").verdict == "invalid"


def test_without_a_valid_baseline_the_pairs_of_the_round_do_not_count() -> None:
    tried = race("a", "b", min_rounds=4)
    run_set(tried, lambda r: {k: None if k == BASELINE and r.number == 2 else 10.0 for k in r.order})
    assert [s.pairs for s in tried.standings()] == [3, 3]
    assert [s.invalid for s in tried.standings()] == [0, 0]
    assert not tried.baseline_failed


def test_a_baseline_that_keeps_failing_ends_everything() -> None:
    tried = race("a", "b")
    rounds = run_set(tried, Runs({BASELINE: None, "a": 10.0, "b": 10.0}).of)
    assert len(rounds) == 2
    assert tried.baseline_failed
    assert tried.done
    assert tried.winner is None


def test_a_candidate_dropped_in_the_middle_of_a_round_may_be_left_out_of_it() -> None:
    tried = race("a", "b")
    assert tried.next_round() is not None
    tried.drop("a", "ejected: runnable task stall")
    tried.drop("a", "a later reason")
    tried.record({BASELINE: 10.0, "b": 10.0})
    assert standing(tried, "a").dropped == "ejected: runnable task stall"
    second = tried.next_round()
    assert second is not None
    assert set(second.order) == {BASELINE, "b"}


def test_the_value_of_a_dropped_candidate_does_not_count() -> None:
    tried = race("a", "b")
    tried.next_round()
    tried.drop("a", "exit code 2")
    tried.record({BASELINE: 10.0, "a": 1.0, "b": 10.0})
    assert standing(tried, "a").pairs == 0


def test_pairs_lost_in_a_confirmation_are_made_up_for() -> None:
    tried = race("a")
    runs = Runs({BASELINE: 10.0, "a": 8.0})
    run_set(tried, runs.of)
    tried.begin_confirm(10)
    after = run_set(tried, lambda r: {**runs.of(r), **({"a": None} if r.phase == "confirm" and r.number == 2 else {})})
    fresh = [opened for opened in after if opened.phase == "confirm"]
    assert len(fresh) == FIRST_LOOK_PAIRS + 1
    assert [r.at_most for r in fresh[:4]] == [10, 10, 11, 11]
    assert tried.winner == "a"


def test_when_the_leader_fails_in_its_confirmation_the_next_best_takes_its_place() -> None:
    tried = race("first", "second")
    runs = Runs({BASELINE: 10.0, "first": 8.0, "second": 8.01})
    run_set(tried, runs.of)
    leader = tried.begin_confirm()
    other = "second" if leader == "first" else "first"
    assert tried.next_round() is not None
    tried.drop(str(leader), "ejected: runnable task stall")
    tried.record({BASELINE: 10.0})
    assert tried.leader == other
    fresh = [opened for opened in run_set(tried, runs.of) if opened.phase == "confirm"]
    assert len(fresh) == FIRST_LOOK_PAIRS
    assert tried.winner == other
    assert tried.standings()[0].key == other
    assert standing(tried, str(leader)).verdict == "invalid"
    assert not standing(tried, str(leader)).confirmed


@pytest.mark.parametrize(("pairs_before", "risk"), [(1, 0.025), (FIRST_LOOK_PAIRS, 0.0125)])
def test_a_leader_that_fails_hands_on_its_risk_only_before_its_first_look(pairs_before: int, risk: float) -> None:
    tried = race("first", "second")
    run_set(tried, Runs({BASELINE: 10.0, "first": 8.0, "second": 8.01}).of)
    leader = str(tried.begin_confirm(pairs_before + 2))
    for value in [8.0, 9.9, 8.2, 10.8][:pairs_before]:  # promising, not won
        assert tried.next_round() is not None
        tried.record({BASELINE: 10.0, leader: value})
    assert not tried.done
    tried.drop(leader, "ejected")
    run_set(tried, Runs({BASELINE: 10.0, "first": 8.0, "second": 8.01}).of)
    other = standing(tried, str(tried.leader))
    assert other.key != leader
    assert other.interval is not None
    assert other.interval.confidence == pytest.approx(1 - 2 * risk)


def test_a_lost_confirmation_is_final() -> None:
    tried = race("a")
    run_set(tried, Runs({BASELINE: 10.0, "a": 8.0}).of)
    tried.begin_confirm()
    run_set(tried, Runs({BASELINE: 10.0, "a": 11.0}).of)
    tried.drop("a", "too late")
    assert tried.done
    assert tried.winner is None
    assert tried.next_round() is None


def test_a_winner_that_is_dropped_has_not_won() -> None:
    tried = race("a")
    runs = Runs({BASELINE: 10.0, "a": 8.0})
    run_set(tried, runs.of)
    tried.begin_confirm()
    run_set(tried, runs.of)
    assert tried.winner == "a"
    tried.drop("a", "ejected after its last run")
    assert tried.winner is None


# --- more sets -------------------------------------------------------------------------------------------


def test_candidates_added_later_race_against_the_leader_alone() -> None:
    tried = race("a", "b", "c")
    typical = {BASELINE: 10.0, "a": 9.7, "b": 9.7, "c": 9.7, "d": 9.0, "e": 9.6}
    first = run_set(tried, lambda r: {key: typical[key] for key in r.order})
    leader = tried.leader
    tried.add(["d", "e"])
    assert not tried.set_finished
    second = run_set(tried, lambda r: {key: typical[key] for key in r.order})
    assert all(set(r.order) <= {BASELINE, str(leader), "d", "e"} for r in second)
    assert second[0].number == len(first) + 1
    assert standing(tried, "d").rounds[0] == len(first) + 1
    resting = next(key for key in "abc" if key != leader)
    assert standing(tried, resting).dropped is None
    assert standing(tried, resting).rounds[-1] == len(first)
    assert tried.begin_confirm() == "d"


def test_a_resting_candidate_may_still_be_confirmed() -> None:
    tried = race("a", "b")
    run_set(tried, Runs({BASELINE: 10.0, "a": 9.0, "b": 9.01}).of)
    leader = str(tried.leader)
    tried.add(["c"])
    tried.next_round()
    tried.drop(leader, "ejected")
    tried.drop("c", "cannot be attached")
    tried.record({BASELINE: 10.0})
    assert tried.set_finished
    assert tried.begin_confirm() == ("b" if leader == "a" else "a")


def test_a_new_candidate_does_not_lead_on_fewer_rounds_than_requested() -> None:
    tried = race("a", "b")
    run_set(tried, Runs({BASELINE: 10.0, "a": 9.5, "b": 9.51}).of)
    tried.add(["lucky"])
    opened = tried.next_round()
    assert opened is not None
    tried.record({key: 5.0 if key == "lucky" else 10.0 for key in opened.order})
    assert tried.leader in ("a", "b")


def test_the_verdicts_of_a_set_do_not_change_when_more_candidates_come() -> None:
    tried = race("a", "b")
    run_set(tried, Runs({BASELINE: 10.0, "a": 14.0, "b": 13.0}).of)
    before = tried.standings()
    tried.add(["c", "d"])
    assert [s for s in tried.standings() if s.key in "ab"] == before


def test_intervals_are_wider_the_more_candidates_and_looks_share_the_risk() -> None:
    def confidence(*keys: str, more_rounds: int = 0) -> float:
        tried = race(*keys, max_rounds=MAX_ROUNDS + more_rounds)
        run_set(tried, Runs(dict.fromkeys([BASELINE, *keys], 10.0)).of)
        interval = standing(tried, keys[0]).interval
        assert interval is not None
        return interval.confidence

    assert 0.95 < confidence("a", "b") < confidence("a", "b", "c") < confidence("a", "b", "c", more_rounds=3)


def test_all_looks_of_all_candidates_of_all_sets_spend_no_more_than_alpha() -> None:
    """Five sets, one candidate that leads through all of them: the risks of all its looks, and of all others'."""
    tried = race("leader", "x0", min_rounds=3, max_rounds=3)
    spent: dict[tuple[str, int], float] = {}
    for number in range(1, 6):
        while (opened := tried.next_round()) is not None:
            steps = [0.0, 0.1, -0.1, 0.2, -0.15]
            tried.record(
                {k: (9.9 if k == "leader" else 10.0) + steps[(opened.number + len(k)) % 5] for k in opened.order}
            )
            for s in tried.standings():
                if s.interval is not None:
                    spent[s.key, s.pairs] = 1 - s.interval.confidence
        tried.add([f"x{number}"])
    assert len(spent) >= 5 * 3
    assert 0.03 < sum(spent.values()) <= 0.05


# --- when time runs out ----------------------------------------------------------------------------------


def test_confirmation_may_begin_before_a_set_is_finished() -> None:
    tried = race("a", "b")
    opened = tried.next_round()
    assert opened is not None
    tried.record({BASELINE: 10.0, "a": 8.0, "b": 9.0})
    assert tried.begin_confirm() == "a"
    assert standing(tried, "b").interval is None
    assert standing(tried, "b").verdict == "undecided"


def test_a_confirmation_cut_short_claims_nothing() -> None:
    tried = race("a")
    runs = Runs({BASELINE: 10.0, "a": 9.0})
    run_set(tried, runs.of)
    tried.begin_confirm()
    for _ in range(FIRST_LOOK_PAIRS - 1):
        opened = tried.next_round()
        assert opened is not None
        tried.record(runs.of(opened))
    assert tried.winner is None
    assert not tried.done
    assert not standing(tried, "a").confirmed
    assert standing(tried, "a").pairs == BASELINE_ROUNDS


# --- mistakes of the program -----------------------------------------------------------------------------


def test_calls_out_of_turn_are_refused() -> None:
    tried = race("a")
    with pytest.raises(ValueError, match="no round is open"):
        tried.record({BASELINE: 1.0, "a": 1.0})
    tried.next_round()
    for call in (tried.next_round, tried.begin_confirm, lambda: tried.add(["b"])):
        with pytest.raises(ValueError, match="has not been recorded"):
            call()
    tried.record({BASELINE: 10.0, "a": 9.0})
    tried.begin_confirm()
    with pytest.raises(ValueError, match="begun already"):
        tried.begin_confirm()
    with pytest.raises(ValueError, match="no candidate can join"):
        tried.add(["b"])


@pytest.mark.parametrize("values", [{}, {BASELINE: 1.0}, {"a": 1.0}, {BASELINE: 1.0, "a": 1.0, "other": 1.0}])
def test_values_must_be_those_of_the_round(values: dict[str, Value]) -> None:
    tried = race("a")
    tried.next_round()
    with pytest.raises(ValueError, match="do not fit"):
        tried.record(values)
    tried.record({BASELINE: 1.0, "a": 1.0})


def test_candidates_are_named_once_and_are_not_the_baseline() -> None:
    for keys in (["a", "a"], [BASELINE]):
        with pytest.raises(ValueError, match="named once"):
            race(*keys)
    tried = race("a")
    with pytest.raises(ValueError, match="named once"):
        tried.add(["a"])
    with pytest.raises(ValueError, match="not a candidate"):
        tried.drop(BASELINE, "no")


@pytest.mark.parametrize(
    "numbers", [{"min_rounds": 1}, {"min_rounds": 5, "max_rounds": 4}, {"alpha": 0.0}, {"alpha": 1.0}]
)
def test_numbers_that_cannot_be_are_refused(numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no race"):
        race("a", **numbers)


# --- what holds in every session -------------------------------------------------------------------------

events = st.lists(st.sampled_from(["run", "run", "run", "drop", "drop mid-round", "add"]), max_size=12)


@given(
    keys=st.lists(st.sampled_from("abcdef"), unique=True, max_size=6),
    events=events,
    seed=st.integers(0, 10**6),
    goal=st.sampled_from(["min", "max"]),
    invalid=st.floats(0, 0.5),
)
def test_whatever_happens_rounds_are_proper_and_the_session_ends(
    keys: list[str], events: list[str], seed: int, goal: Goal, invalid: float
) -> None:
    chance = random.Random(seed)
    tried = Race(keys, goal=goal, rng=random.Random(seed))
    known, gone = list(keys), set[str]()
    valid_runs = dict.fromkeys([*keys, "g", "h"], 0)

    def drop_one() -> None:
        if known:
            gone.add(chosen := chance.choice(known))
            tried.drop(chosen, "by the user")

    def one_round(drop: bool) -> bool:
        opened = tried.next_round()
        if opened is None:
            return False
        assert sorted(opened.order) == sorted(set(opened.order))
        assert (BASELINE in opened.order) == (opened.phase != "tail")
        assert not gone & set(opened.order), "only who was behind one that did not win comes back"
        assert 1 <= opened.number <= opened.at_most
        if drop:
            drop_one()
        values = {key: None if chance.random() < invalid else chance.lognormvariate(0, 0.1) for key in opened.order}
        for key in opened.order:
            valid_runs[key] = valid_runs.get(key, 0) + (values[key] is not None)
        tried.record(values)
        gone.update(one.key for one in tried.standings() if one.dropped and " behind " not in one.dropped)
        return True

    for event in events:
        if event == "drop":
            drop_one()
        elif event == "add" and len(known) < len(keys) + 2:
            known.append("gh"[len(known) - len(keys)])
            tried.add(known[-1:])
        else:
            one_round(drop=event == "drop mid-round")
    for phase in range(2):
        for count in range(100):
            assert count < 99, "the phase does not end"
            if not one_round(drop=False):
                break
        if phase == 0 and not tried.done:
            tried.begin_confirm()
    assert tried.done
    standings = tried.standings()
    assert sorted(s.key for s in standings) == sorted(known)
    assert all((s.interval is None) == (s.pairs < 2) for s in standings)
    assert all(s.pairs <= valid_runs[s.key] for s in standings)
    assert gone <= {s.key for s in standings if s.dropped}
    if tried.winner is not None:
        assert standings[0].key == tried.winner
        assert standings[0].confirmed
        assert standings[0].verdict == "faster"


@given(seed=st.integers(0, 10**6))
def test_inverted_values_and_the_other_goal_give_the_same_session(seed: int) -> None:
    def play(goal: Goal) -> tuple[list[Round], str | None]:
        chance = random.Random(seed)
        tried = Race("abc", goal=goal, rng=random.Random(seed))

        def values(opened: Round) -> dict[str, Value]:
            times = {key: chance.lognormvariate(0, 0.05) for key in opened.order}
            return dict(times) if goal == "min" else {key: 1 / time for key, time in times.items()}

        rounds = run_set(tried, values)
        tried.begin_confirm()
        return rounds + run_set(tried, values), tried.winner

    assert play("min") == play("max")


# --- several baselines -----------------------------------------------------------------------------------


def with_rivals(times: Mapping[str, Value], *rivals: str) -> tuple[Race, list[Round]]:
    """A race of `a` beside EEVDF at jobs=8 and, in the confirmation, the rivals; and its rounds."""
    own = race("a", baseline="eevdf jobs=8", rivals=rivals)
    runs = Runs(times)
    rounds = run_set(own, runs.of)
    own.begin_confirm(8)
    return own, rounds + run_set(own, runs.of)


def test_the_rivals_run_in_the_confirmation_only() -> None:
    own, rounds = with_rivals({"a": 8.0, "eevdf jobs=8": 10.0, "eevdf jobs=4": 10.0}, "eevdf jobs=4")
    assert {frozenset(one.order) for one in rounds if one.phase == "race"} == {frozenset({"a", "eevdf jobs=8"})}
    assert {frozenset(one.order) for one in rounds if one.phase == "confirm"} == {
        frozenset({"a", "eevdf jobs=8", "eevdf jobs=4"})
    }
    assert own.winner == "a"


@pytest.mark.parametrize(("rival", "won"), [(10.0, True), (8.4, True), (8.0, False), (7.5, False)])
def test_a_winner_beats_every_rival_and_what_is_shown_is_the_least(rival: float, won: bool) -> None:
    own, _ = with_rivals({"a": 8.0, "eevdf jobs=8": 10.0, "eevdf jobs=4": rival}, "eevdf jobs=4")
    shown = standing(own, "a")
    assert (own.winner == "a") is won
    assert shown.interval is not None
    assert shown.interval.estimate == pytest.approx(min(10.0, rival) / 8.0, rel=0.01)
    assert (shown.interval.low > 1.0) is won
    assert shown.verdict == ("faster" if won else "slower" if rival < 8.0 else shown.verdict)
    if rival < 10.0:
        assert shown.against == "eevdf jobs=4"


def test_a_round_in_which_a_rival_fails_has_no_pair_and_a_rival_that_keeps_failing_ends_the_race() -> None:
    own, _ = with_rivals({"a": 8.0, "eevdf jobs=8": 10.0, "eevdf jobs=4": None}, "eevdf jobs=4")
    assert own.baseline_failed
    assert own.winner is None
    assert standing(own, "a").fresh_pairs == 0


def test_stalls_are_judged_against_each_rival() -> None:
    """Every tenth run takes twice as long: the mean is better than one baseline's, and not than the other's."""
    own = race("a", baseline="eevdf jobs=8", rivals=("eevdf jobs=4",))
    count = 0

    def values(opened: Round) -> dict[str, Value]:
        nonlocal count
        count += 1
        noise = 1 + NOISE[count % len(NOISE)]
        times = {"a": 8.0 * (2 if count % 10 == 0 else 1), "eevdf jobs=8": 12.0, "eevdf jobs=4": 8.6}
        return {key: times[key] * noise for key in opened.order}

    run_set(own, values)
    own.begin_confirm(8)
    run_set(own, values)
    assert own.winner is None
    assert "stalls" in (standing(own, "a").dropped or "")


def test_no_candidate_has_the_key_of_a_baseline() -> None:
    with pytest.raises(ValueError, match="candidates must be new"):
        race("eevdf jobs=4", baseline="eevdf jobs=8", rivals=("eevdf jobs=4",))


def test_who_was_behind_a_leader_that_is_given_up_may_be_confirmed_and_who_was_dropped_for_good_may_not() -> None:
    tried = Race(list("abcdx"), goal="min", rng=random.Random(1))
    first = {BASELINE: 10.0, "a": 9.9, "b": 10.0, "c": 10.1, "d": 9.95, "x": 8.0}
    assert tried.next_round() is not None
    tried.record(first)
    dropped = {one.key: one.dropped for one in tried.standings() if one.dropped}
    assert dropped.keys() == set("abcd")
    assert all(reason is not None and reason.endswith("behind x after 1 round") for reason in dropped.values())
    tried.drop("d", "left out by the user")
    assert tried.next_round() is not None
    tried.record({BASELINE: 10.0, "x": 8.1})
    assert tried.begin_confirm(20) == "x"
    while tried.confirming and tried.leader == "x":
        assert tried.next_round() is not None
        tried.record({BASELINE: 10.0, "x": 11.0})

    assert tried.leader == "a", "the best of those that were behind it"


def test_a_leader_barely_below_eevdf_is_confirmed_and_one_far_below_is_not() -> None:
    def leader_of(gain: float) -> str | None:
        tried = Race(["a"], goal="min", rng=random.Random(1))
        for number in range(4):
            if tried.next_round() is None:
                break
            tried.record({BASELINE: 10.0 + 0.2 * (number % 2), "a": (10.0 + 0.2 * ((number + 1) % 2)) / (1 + gain)})
        return tried.begin_confirm(20)

    assert leader_of(-0.001) == "a"
    assert leader_of(-0.05) is None
