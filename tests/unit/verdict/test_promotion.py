# SPDX-License-Identifier: MIT
"""Promotion by evidence: what raises a scheduler's standing, what takes it back, and what makes no difference."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.verdict.promotion import STRIKES_TO_BAR, Behaviour, Outcome, Standing, promotion

WIN = Outcome("make", "here", "custom:a", 10.0, "faster", True)
GOOD = Behaviour(canary_passed=True)

findings = st.builds(
    Outcome,
    workload=st.sampled_from(["make", "ninja", "sort"]),
    surroundings=st.sampled_from(["here", "vm"]),
    settings=st.sampled_from(["custom:a", "custom:a:x=1"]),
    at_s=st.integers(0, 50).map(float),
    verdict=st.sampled_from([None, "faster", "slower", "same", "undecided", "invalid"]),
    confirmed=st.booleans(),
    ejected=st.booleans(),
)
histories = st.lists(findings, max_size=12)
behaviours = st.builds(
    Behaviour,
    canary_passed=st.booleans(),
    strikes_at_s=st.lists(st.integers(0, 50).map(float), max_size=4).map(tuple),
)


@pytest.mark.parametrize(
    ("told", "behaviour", "standing", "said"),
    [
        ([], GOOD, "candidate", "nothing was confirmed"),
        ([replace(WIN, confirmed=False)], GOOD, "candidate", "nothing was confirmed"),
        ([WIN], GOOD, "proven", "on 1 workload here; trusted from 2 on"),
        ([WIN, replace(WIN, at_s=20.0, settings="custom:a:x=1")], GOOD, "proven", "1 workload"),
        ([WIN, replace(WIN, workload="sort")], GOOD, "trusted", "2 workloads here; no strike, canary passed"),
        ([WIN, replace(WIN, workload="sort")], Behaviour(), "proven", "no canary passed"),
        ([WIN, replace(WIN, workload="sort")], Behaviour(True, (5.0,)), "proven", "1 strike on this host"),
        ([WIN, replace(WIN, workload="sort")], Behaviour(True, (15.0,)), "candidate", "a strike since"),
        ([WIN], Behaviour(True, (1.0, 2.0, 3.0)), "barred", "3 strikes"),
        ([WIN, replace(WIN, at_s=11.0, verdict="same")], GOOD, "candidate", "a later session refuted"),
        ([WIN, replace(WIN, at_s=9.0, verdict="slower")], GOOD, "proven", "1 workload"),
        ([WIN, replace(WIN, at_s=11.0, verdict="slower", surroundings="vm")], GOOD, "proven", "1 workload"),
        ([WIN, replace(WIN, workload="sort"), replace(WIN, workload="x", verdict="invalid", ejected=True)], GOOD,
         "proven", "the kernel ejected it"),
    ],
)  # fmt: skip
def test_what_it_takes(told: list[Outcome], behaviour: Behaviour, standing: Standing, said: str) -> None:
    found = promotion(told, behaviour)
    assert (found.standing, said in found.text) == (standing, True), found.text


def test_without_a_seal_nothing_counts() -> None:
    found = promotion([WIN, replace(WIN, workload="sort")], GOOD, unsealed="its source has changed")
    assert (found.standing, found.text) == ("unsealed", "unsealed: its source has changed")


@given(histories, behaviours, st.randoms())
def test_the_order_in_which_things_are_told_makes_no_difference(told, behaviour, random) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(told)
    random.shuffle(shuffled)
    assert promotion(shuffled, behaviour) == promotion(told, behaviour)


@given(histories, behaviours)
def test_what_decides_nothing_changes_nothing(told: list[Outcome], behaviour: Behaviour) -> None:
    decided = [one for one in told if one.is_win or one.refutes]
    assert promotion(decided, behaviour) == promotion(told, behaviour)


@given(histories, behaviours, findings)
def test_a_new_win_never_demotes(told: list[Outcome], behaviour: Behaviour, new: Outcome) -> None:
    win = replace(new, at_s=51.0, verdict="faster", confirmed=True, ejected=False)
    assert promotion([*told, win], behaviour).rank >= promotion(told, behaviour).rank


@given(histories, behaviours, findings, st.sampled_from(["slower", "same", "invalid"]), st.booleans())
def test_a_refutation_never_promotes(
    told: list[Outcome], behaviour: Behaviour, new: Outcome, verdict: str, ejected: bool
) -> None:
    against = replace(new, verdict=verdict, confirmed=False, ejected=ejected)
    assert promotion([*told, against], behaviour).rank <= promotion(told, behaviour).rank


@given(histories, behaviours, st.integers(0, 60))
def test_a_strike_never_promotes_and_leaves_no_trust(told: list[Outcome], behaviour: Behaviour, at: int) -> None:
    struck = replace(behaviour, strikes_at_s=(*behaviour.strikes_at_s, float(at)))
    found = promotion(told, struck)
    barred = found.standing == "barred"
    assert barred == (len(struck.strikes_at_s) >= STRIKES_TO_BAR)
    assert barred or found.rank <= promotion(told, behaviour).rank
    assert found.standing != "trusted"


@given(histories, behaviours)
def test_trust_rests_on_several_workloads_and_a_clean_record(told: list[Outcome], behaviour: Behaviour) -> None:
    found = promotion(told, behaviour)
    won = {one.workload for one in told if one.is_win}
    assert set(found.workloads) <= won
    if found.standing == "trusted":
        assert len(found.workloads) >= 2
        assert behaviour.canary_passed
        assert not behaviour.strikes_at_s
        assert not any(one.ejected for one in told)
    if found.standing == "proven":
        assert found.workloads
