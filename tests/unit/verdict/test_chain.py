# SPDX-License-Identifier: MIT
"""What a race leaves to the one that continues it."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from autotune.records import BASELINE
from autotune.verdict.chain import Carried, Remainder, scaled, shrunken
from autotune.verdict.confirm import Scatter
from autotune.verdict.race import ALPHA, Race
from autotune.verdict.statistic import Statistic
from autotune.verdict.tail import Tail


def race(keys: str = "ab", **more: Any) -> Race:
    """A race that drops nobody in its first three rounds."""
    return Race(list(keys), goal="min", rng=random.Random(1), min_rounds=4, **more)


def play(one: Race, times: dict[str, float], rounds: int, noise: float = 0.01) -> None:
    rng = random.Random(5)
    for _ in range(rounds):
        opened = one.next_round()
        if opened is None:
            return
        one.record({key: times[key] * math.exp(rng.gauss(0.0, noise)) for key in opened.order})


TIMES = {BASELINE: 1.0, "a": 0.975, "b": 0.97}


def confirmed(pairs: int, noise: float = 0.02) -> Race:
    one = race()
    play(one, TIMES, 3)
    one.begin_confirm(pairs)
    play(one, TIMES, 3 * pairs, noise)
    return one


def test_before_a_confirmation_all_alpha_is_left() -> None:
    one = race()
    play(one, TIMES, 3)
    left = one.remainder()
    assert left.alpha == ALPHA
    assert [carried.key for carried in left.carried] == ["b", "a"]
    assert all(len(carried.pairs) == 3 == len(carried.tail.compared) for carried in left.carried)


def test_a_confirmation_that_is_cut_off_has_its_alpha_however_few_pairs_it_ran() -> None:
    one = race()
    play(one, TIMES, 3)
    one.begin_confirm(20)
    assert one.remainder().alpha == ALPHA / 2
    play(one, TIMES, 1)
    assert one.remainder().alpha == ALPHA / 2


def test_each_leader_that_is_given_up_leaves_half() -> None:
    one = race("abc")
    play(one, TIMES | {"c": 0.98}, 3)
    first = one.begin_confirm(40)
    assert one.remainder().alpha == ALPHA / 2
    play(one, TIMES | {str(first): 1.1}, 5)  # four until the first look, and one of the next best
    assert one.leader != first
    assert one.remainder().alpha == ALPHA / 4
    assert first not in {carried.key for carried in one.remainder().carried}  # it is behind by all its pairs


def test_a_continuation_begins_with_half_of_what_is_left_and_the_best_by_all_pairs() -> None:
    left = confirmed(6).remainder()
    after = race("".join(one.key for one in left.carried), alpha=left.alpha)
    after.take_up(left)
    assert after.begin_confirm(10) == left.carried[0].key
    assert after.remainder().alpha == left.alpha / 2


def test_the_pairs_of_a_confirmation_are_carried_on_and_judge_nothing() -> None:
    first = confirmed(6)
    left = first.remainder()
    assert sum(len(one.fresh) for one in left.carried) >= 4
    after = race("".join(one.key for one in left.carried), alpha=left.alpha)
    after.take_up(left)
    key = after.begin_confirm(6)
    assert all(standing.fresh_pairs == 0 for standing in after.standings())
    play(after, TIMES | {str(key): 1.0}, 4)
    [judged] = [standing for standing in after.standings() if standing.key == key]
    assert judged.fresh_pairs == 4
    again = {one.key: one for one in after.remainder().carried}
    before = {one.key: one for one in left.carried}
    assert len(again[str(key)].fresh) == len(before[str(key)].fresh) + 4


def test_the_noise_of_all_is_known_to_the_continuation() -> None:
    first = race("abc")
    play(first, TIMES | {"c": 1.02}, 3)
    left = first.remainder()
    after = race("".join(one.key for one in left.carried), alpha=left.alpha)
    after.take_up(left)
    assert after.pair_deviation == pytest.approx(first.pair_deviation)


def test_what_failed_or_was_dropped_is_not_carried_on() -> None:
    one = race()
    play(one, TIMES, 3)
    one.drop("b", "ejected")
    assert [carried.key for carried in one.remainder().carried] == ["a"]


def test_with_another_statistic_those_behind_by_the_typical_run_may_be_ahead() -> None:
    one = race(statistic=Statistic.named("p90"))
    play(one, {BASELINE: 1.0, "a": 1.01, "b": 1.01}, 3)
    assert {carried.key for carried in one.remainder().carried} == {"a", "b"}


def test_another_race_takes_nothing_up() -> None:
    left = Remainder(ALPHA, (Carried("a", (0.1, 0.1)),), Scatter())
    for other in (race("ab"), race("a", alpha=0.01)):
        with pytest.raises(ValueError, match="does not continue"):
            other.take_up(left)


def test_few_lucky_pairs_count_less_than_many_good_ones() -> None:
    assert shrunken([0.03]) < shrunken([0.02] * 20)
    assert shrunken([]) == -math.inf


def test_costs_in_another_unit_have_the_same_stalls() -> None:
    tail = Tail([(1.0, 0.9), (1.0, 1.8)], [0.9])
    other = scaled(tail, 3.0)
    assert [cost for pair in other.compared for cost in pair] == pytest.approx([3.0, 2.7, 3.0, 5.4])
    assert other.stalls == tail.stalls == 1
    assert other.slowest == pytest.approx(tail.slowest)
