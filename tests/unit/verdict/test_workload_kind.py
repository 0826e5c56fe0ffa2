# SPDX-License-Identifier: MIT
"""What kind of work a command does: laws, and what real commands did in the emulated micro-VM with two CPUs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.records import Observation, Profile, ProfileSlot
from autotune.verdict.workload_kind import NAMES, WorkloadKind, classify, likeness, tail_share
from tests.support import sessions

BUILD = Observation(2.75, 0.83, 1.64, 0.84, 0.59, 0.0, 1490.6, 0.39, 14.3, 2)
"""`make -C scripts/demo -j4`, measured."""
BATCH = Observation(13.8, 0.84, 1.73, 10.47, 0.77, 0.01, 297.9, 0.74, 3.3, 2)
"""40 gzip at once, the last of which takes ten times as long; measured."""

SHARES = st.floats(0.0, 1.0)
RATES = st.floats(0.0, 1e6)
CPUS = st.integers(1, 512)
KINDS = st.sets(st.sampled_from(list(NAMES))).map(lambda kinds: WorkloadKind(tuple(kinds), ()))


@st.composite
def observations(draw: Any) -> Observation:
    cpus = draw(CPUS)
    return Observation(
        draw(st.floats(0.001, 1e5)), draw(SHARES), draw(st.floats(0.0, float(cpus))), draw(st.none() | RATES),
        draw(st.none() | SHARES), draw(st.none() | SHARES), draw(RATES), draw(SHARES), draw(RATES), cpus,
    )  # fmt: skip


def slots(text: str) -> tuple[ProfileSlot, ...]:
    pairs = (part.split("/") for part in text.split())
    return tuple(ProfileSlot(float(busy), float(waiting)) for busy, waiting in pairs)


def profile(parts: tuple[ProfileSlot, ...], cpus: int = 2) -> Profile:
    return sessions.profile(slots=parts, cpus=cpus)


# --- laws ------------------------------------------------------------------------------------------------


@given(observations())
def test_every_kind_has_its_reason_and_those_that_exclude_one_another_do_not_meet(seen: Observation) -> None:
    found = classify(seen)
    assert len(found.because) == len(found.kinds) == len(set(found.kinds))
    assert len({"parallel", "single", "idle"} & set(found.kinds)) <= 1
    assert list(found.kinds) == [kind for kind in NAMES if kind in found.kinds]
    assert "tail" not in found.kinds
    if seen.cpus == 1:
        assert "parallel" not in found.kinds


@given(observations(), st.sampled_from(["forks_per_s", "context_switches_per_s"]), st.floats(1.0, 100.0))
def test_more_of_something_never_takes_its_kind_away(seen: Observation, name: str, factor: float) -> None:
    more = replace(seen, **{name: getattr(seen, name) * factor})
    assert set(classify(seen).kinds) <= set(classify(more).kinds)


@given(observations(), st.integers(2, 8))
def test_a_larger_machine_doing_as_much_more_does_the_same_kind_of_work(seen: Observation, factor: int) -> None:
    scaled = replace(
        seen,
        cpus=seen.cpus * factor,
        parallelism=seen.parallelism * factor,
        forks_per_s=seen.forks_per_s * factor,
        context_switches_per_s=seen.context_switches_per_s * factor,
    )
    rates = {"processes", "chatty", "io"}
    if seen.parallelism >= 0.15:  # below it nothing is divided by
        assert set(classify(seen).kinds) & rates == set(classify(scaled).kinds) & rates


@given(st.lists(st.builds(ProfileSlot, st.floats(0, 8), st.floats(0, 100)), max_size=80), CPUS)
def test_a_tail_is_a_share_and_one_cpu_has_none(parts: list[ProfileSlot], cpus: int) -> None:
    share = tail_share(profile(tuple(parts), cpus))
    assert 0.0 <= share < 1.0
    assert share == 0.0 or cpus > 1


@given(st.integers(1, 60), st.integers(0, 60), st.integers(2, 64))
def test_a_tail_is_where_the_tasks_want_few_cpus_at_the_end_alone(full: int, last: int, cpus: int) -> None:
    few, many = ProfileSlot(0.5, 0.0), ProfileSlot(float(cpus), 1.0)
    assert tail_share(profile((few, *[many] * full, *[few] * last), cpus)) == pytest.approx(last / (1 + full + last))


@given(KINDS, KINDS)
def test_likeness_is_the_same_both_ways_and_whole_for_the_same_kinds(one: WorkloadKind, other: WorkloadKind) -> None:
    assert likeness(one, other) == likeness(other, one)
    assert 0.0 <= likeness(one, other) <= 1.0
    assert (likeness(one, other) == 1.0) == (set(one.kinds) == set(other.kinds))


# --- real commands ---------------------------------------------------------------------------------------

BUILD_SLOTS = """
0.4/0.0 0.7/0.1 0.7/0.4 1.8/3.1 1.6/4.1 1.2/2.2 1.6/2.6 2.1/2.1 2.1/2.1 2.1/2.1 2.1/2.1 2.0/2.4 2.1/2.3 2.0/2.6 2.0/2.4
2.0/2.2 1.8/2.5 2.0/2.7 2.0/2.7 1.9/2.3 1.9/2.5 2.1/2.9 2.0/2.2 1.8/2.2 1.8/2.2 2.0/1.9 1.9/2.2 1.7/2.0 1.7/2.1 1.9/2.7
2.0/2.5 1.8/2.3 2.1/1.9 1.9/2.2 1.9/2.9 1.6/1.4 2.0/2.1 2.0/2.5 2.0/2.0 1.8/1.3 1.8/1.0 1.9/2.7 2.0/2.3 1.8/2.2 1.9/1.5
2.0/1.2 2.1/1.1 2.1/1.1 2.1/1.2 1.5/0.7 2.0/0.1 1.5/0.1 1.1/0.0 1.1/0.1 1.1/0.0 1.1/0.0 1.1/0.1 1.1/0.1 1.0/0.0 0.8/0.0
"""
BATCH_SLOTS = """
1.4/0.5 2.0/6.7 2.0/9.8 2.0/11.0 2.0/15.9 2.0/17.4 2.0/17.9 2.0/19.6 2.0/20.7 2.0/21.3 2.0/22.0 2.0/23.6 1.8/22.5
1.9/23.4 2.0/23.8 1.7/24.5 2.0/29.1 2.0/33.0 2.0/35.4 2.0/36.7 2.0/37.0 2.0/36.7 2.0/36.9 2.0/36.0 2.0/37.4 1.9/37.4
2.0/37.7 2.0/37.5 2.0/36.7 1.9/36.5 1.8/35.7 1.9/34.5 1.9/33.6 1.9/31.7 1.9/30.0 2.0/28.6 1.8/27.7 1.9/25.9 1.9/25.1
1.9/24.6 1.9/21.6 1.9/18.7 2.0/18.0 1.8/16.4 1.8/13.0 1.7/9.0 1.8/7.6 1.5/4.4 1.8/2.7 1.7/1.0 1.1/0.0 1.0/0.0 1.0/0.0
1.0/0.0 1.0/0.0 1.0/0.0 1.0/0.0 1.0/0.0 1.0/0.0 0.8/0.0
"""
"""What the probe saw of both: busy and waiting tasks in sixty parts of a run."""


@pytest.mark.parametrize(("text", "share"), [(BUILD_SLOTS, 8 / 60), (BATCH_SLOTS, 10 / 60)])
def test_real_runs_that_end_with_one_long_task_have_a_tail(text: str, share: float) -> None:
    assert tail_share(profile(slots(text))) == pytest.approx(share)


@pytest.mark.parametrize(
    ("seen", "text", "kinds"),
    [
        (BUILD, BUILD_SLOTS, ("parallel", "processes", "tail")),
        (BATCH, BATCH_SLOTS, ("parallel", "tail")),
    ],
)
def test_real_commands_that_were_watched(seen: Observation, text: str, kinds: tuple[str, ...]) -> None:
    assert classify(seen, profile(slots(text))).kinds == kinds


IN_VM = {
    "sleep 3": Observation(3.35, 0.05, 0.04, 0.04, 0.05, 0.0, 154.6, 0.01, 0.3, 2),
    "a loop": Observation(4.7, 0.46, 0.97, 0.01, 0.01, 0.0, 79.2, 0.2, 0.2, 2),
    "eight loops": Observation(4.59, 0.88, 1.87, 2.65, 0.89, 0.0, 208.5, 0.91, 1.9, 2),
    "true in a loop": Observation(5.64, 0.39, 0.72, 0.07, 0.07, 0.0, 601.2, 0.04, 10.8, 2),
    "true in four loops": Observation(8.83, 0.66, 1.51, 0.8, 0.56, 0.0, 559.7, 0.26, 14.1, 2),
    "threads under a lock": Observation(7.13, 0.17, 0.5, 0.06, 0.09, 0.0, 1065.3, 0.03, 1.2, 2),
}
"""Measured without a probe, in the emulated micro-VM."""
ON_BUSY_HOST = {
    "a loop": Observation(4.1, 1.0, 0.22, None, 1.0, 0.002, 4594.7, 0.998, 1.2, 2),
    "a pipe": Observation(4.35, 1.0, 0.2, None, 1.0, 0.007, 47722.9, 0.43, 3.7, 2),
    "four pipes": Observation(4.1, 1.0, 0.18, None, 1.0, 0.022, 30411.6, 0.04, 9.8, 2),
    "dd dsync": Observation(2.91, 1.0, 0.025, None, 1.0, 0.197, 5339.8, 0.001, 31.3, 2),
}
"""Measured on a host that others kept busy: switches and forks are theirs too."""


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("sleep 3", ("idle",)),
        ("a loop", ("single",)),
        ("eight loops", ("parallel",)),
        ("true in a loop", ("single", "processes")),
        ("true in four loops", ("parallel", "processes")),
        ("threads under a lock", ()),
    ],
)
def test_real_commands_in_the_micro_vm(name: str, kinds: tuple[str, ...]) -> None:
    assert classify(IN_VM[name]).kinds == kinds


@pytest.mark.parametrize(
    ("name", "kind"), [("a loop", None), ("a pipe", "chatty"), ("four pipes", "chatty"), ("dd dsync", "io")]
)
def test_real_commands_on_a_busy_host(name: str, kind: str | None) -> None:
    assert {"chatty", "io"} & set(classify(ON_BUSY_HOST[name]).kinds) == ({kind} if kind else set())


def test_nothing_is_claimed_of_what_was_not_seen() -> None:
    assert classify(None) == WorkloadKind((), ())
    assert classify(None).text == ""
