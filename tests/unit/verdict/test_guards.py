# SPDX-License-Identifier: MIT
"""Guards: how they are written, and when they are broken."""

from __future__ import annotations

import random

import pytest

from autotune.errors import UsageError
from autotune.records import DEFAULT_GUARDS, Guard, GuardResult, Metric, SideEffects
from autotune.verdict import guards
from tests.support.scripted_machine import a_run

P99 = Metric("p99", "p99: ([0-9.]+)")

# --- the grammar -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("memory:max+20%", Guard("memory", "max", 1.2, relative=True, chosen=True)),
        ("memory:max=2G", Guard("memory", "max", float(2 << 30), relative=False, chosen=True)),
        ("cpu:max=90s", Guard("cpu", "max", 90.0, relative=False, chosen=True)),
        ("latency:max=5ms", Guard("latency", "max", 0.005, relative=False, chosen=True)),
        ("energy:max-5%", Guard("energy", "max", 0.95, relative=True, chosen=True)),
        ("p99:max+5%", Guard("p99", "max", 1.05, relative=True, regex=P99.regex, chosen=True)),
        ("lost=lost: ([0-9]+):max=0", Guard("lost", "max", 0.0, relative=False, regex="lost: ([0-9]+)", chosen=True)),
        ("rate=a=([0-9]+):min-5%", Guard("rate", "min", 0.95, relative=True, regex="a=([0-9]+)", chosen=True)),
        ("t=x: (-?[0-9.]+):min=-1.5", Guard("t", "min", -1.5, relative=False, regex="x: (-?[0-9.]+)", chosen=True)),
    ],
)
def test_a_guard_is_read_and_written_alike(text: str, expected: Guard) -> None:
    chosen = guards.chosen([text], metrics=[P99], defaults=False)
    assert chosen == (expected,)
    again = guards.chosen([guards.flag_text(chosen[0])], metrics=[P99], defaults=False)
    assert again == chosen


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not NAME:BOUND"),
        ("memory", "is not NAME:BOUND"),
        ("memory:", "is not a bound"),
        ("memory:max", "is not a bound"),
        ("memory:max+5", "is not a bound"),
        ("memory:5%", "is not a bound"),
        ("memory:max+5%%", "is not a bound"),
        ("memory:max=2", "is not a size"),
        ("memory:min-100%", "leaves nothing"),
        ("latency:max=soon", "is not a time"),
        ("energy:max=nan", "is no bound"),
        ("memory=rss ([0-9]+):max=5", "is built in"),
        ("p98:max+5%", "is none of memory, cpu, energy, latency"),
        ("p98:off", "is none of"),
        ("p99:off", "is not a bound"),
        ("9=x([0-9]):max=1", "is not NAME:BOUND"),
        ("x=p99:max=1", "has 0 groups"),
        ("x=(a)(b):max=1", "has 2 groups"),
        ("x=(:max=1", "is not a regular expression"),
    ],
)
def test_what_is_no_guard_is_refused_in_one_line_with_an_example(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        guards.chosen([text], metrics=[P99])
    assert "\n" not in str(refused.value)
    assert refused.value.hint


def test_a_guard_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="given twice"):
        guards.chosen(["memory:max+5%", "memory:off"])


@pytest.mark.parametrize(
    ("texts", "defaults", "names", "flags"),
    [
        ([], True, ["memory", "cpu", "energy", "latency"], []),
        ([], False, [], ["--no-guards"]),
        (["cpu:off"], True, ["memory", "energy", "latency"], ["--guard", "cpu:off"]),
        (["cpu:max+50%"], True, ["memory", "energy", "latency", "cpu"], ["--guard", "cpu:max+50%"]),
    ],
)
def test_defaults_can_be_changed_and_switched_off(
    texts: list[str], defaults: bool, names: list[str], flags: list[str]
) -> None:
    chosen = guards.chosen(texts, defaults=defaults)
    assert [one.name for one in chosen] == names
    assert guards.flags(chosen) == flags


def test_one_guard_alone_is_repeated_by_the_same_options() -> None:
    chosen = guards.chosen(["memory:max+5%"], defaults=False)
    flags = guards.flags(chosen)
    assert flags == [
        "--guard",
        "cpu:off",
        "--guard",
        "energy:off",
        "--guard",
        "latency:off",
        "--guard",
        "memory:max+5%",
    ]
    assert guards.chosen(flags[1::2]) == chosen


# --- the judgement ---------------------------------------------------------------------------------------


def judged(text: str, pairs: list[tuple[float, float]]) -> GuardResult:
    (guard,) = guards.chosen([text], metrics=[P99], defaults=False)
    name = guard.name
    return guards.judge([guard], [({name: eevdf}, {name: own}) for eevdf, own in pairs])[0]


@pytest.mark.parametrize(
    ("text", "pairs", "outcome"),
    [
        ("p99:max+5%", [(10, 11.0), (10, 11.1), (10, 10.9), (10, 11.0)], "broken"),
        ("p99:max+5%", [(10, 10.4), (10, 10.5), (10, 10.4), (10, 10.5)], "kept"),
        ("p99:max+5%", [(10, 10.0), (10, 15.0), (10, 8.0), (10, 14.0)], "kept"),  # noise
        ("p99:max+5%", [(10, 20.0)] * 3, "not judged"),
        ("p99:max+5%", [], "not judged"),
        ("p99:min-5%", [(10, 9.0), (10, 9.1), (10, 8.9), (10, 9.0)], "broken"),
        ("p99:min-5%", [(10, 20.0)] * 5, "kept"),
        ("p99:max=10", [(10, 10.5), (10, 10.6), (10, 10.4), (10, 10.5)], "broken"),
        ("p99:max=10", [(1, 10.0)] * 4, "kept"),
        ("p99:max=0", [(0, 0.0)] * 4, "kept"),
        ("p99:max=0", [(0, 1.0), (0, 2.0), (0, 1.0), (0, 2.0)], "broken"),
        ("p99:max+5%", [(0, 3.0), (0, 2.0), (0, 4.0), (0, 3.0)], "broken"),  # EEVDF has none
        ("p99:max+5%", [(0, 0.0), (0, 1.0), (1, 0.0), (0, 0.0)], "kept"),
        ("memory:max+25%", [(1e6, 9e6)] * 6, "kept"),  # both below what is noticed
        ("memory:max+25%", [(1e9, 2e9)] * 6, "broken"),
        ("memory:max=1G", [(1e9, 2e9)] * 6, "broken"),
        ("latency:max+100%", [(6e-5, 3e-3)] * 6, "kept"),
        ("latency:max+100%", [(6e-5, 4e-2)] * 6, "broken"),
    ],
)
def test_a_guard_is_broken_when_the_whole_interval_lies_beyond(
    text: str, pairs: list[tuple[float, float]], outcome: str
) -> None:
    result = judged(text, pairs)
    assert result.outcome == outcome
    assert bool(result.reason) == (outcome != "kept")


def test_what_is_broken_is_said_in_words() -> None:
    assert judged("memory:max+10%", [(1e9, 1.3e9), (1e9, 1.31e9), (1e9, 1.29e9), (1e9, 1.3e9)]).reason.startswith(
        "peak memory is 1.30 x EEVDF's [1.2"
    )
    assert judged("p99:max+5%", [(1, 2.0)] * 3).reason == "3 pairs are too few; it takes 4"


@pytest.mark.parametrize("spread", [0.02, 0.3])
def test_noise_alone_breaks_a_guard_in_at_most_5_of_100_candidates(spread: float) -> None:
    """The strictest bound there is, max+0%, on four guards of which none is truly changed."""
    rng, names, broken = random.Random(7), "abcd", 0
    chosen = [Guard(name, "max", 1.0, relative=True, regex="(x)") for name in names]
    for _ in range(1000):
        pairs = [tuple({n: rng.lognormvariate(0.0, spread) for n in names} for _ in "ab") for _ in range(6)]
        broken += any(one.outcome == "broken" for one in guards.judge(chosen, pairs))  # type: ignore[arg-type]
    assert broken <= 0.07 * 1000


def test_bounds_are_widened_to_what_a_candidate_costs() -> None:
    chosen = guards.chosen(["memory:max+5%", "lost=x([0-9]+):max=0"], defaults=False)
    rounds = [({"memory": 1e9, "lost": 0.0}, {"memory": 1.33e9, "lost": 2.0})] * 4
    wider = guards.widened(chosen, guards.judge(chosen, rounds))
    assert [guards.flag_text(one) for one in wider] == ["memory:max+35%"]
    assert all(one.outcome != "broken" for one in guards.judge(wider, rounds))


def test_what_a_run_does_not_show_has_no_value() -> None:
    run = a_run(2.0)
    assert guards.values(DEFAULT_GUARDS, run, SideEffects()) == {"memory": float(1 << 20), "cpu": 2.0}
    side = SideEffects(wake_late_s=0.002, energy_j=40.0)
    assert guards.values(DEFAULT_GUARDS, run, side)["latency"] == 0.002
    assert guards.values(DEFAULT_GUARDS, run, side)["energy"] == 40.0
