# SPDX-License-Identifier: MIT
"""No output of a session contradicts itself, whatever the machine does: laws over scripted sessions."""

from __future__ import annotations

import csv
import io
import itertools
import json
import random
import re
from collections.abc import Callable
from functools import partial
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autotune.errors import WorkloadError
from autotune.records import BASELINE, CandidateResult, Found, Guard, Metric, Run, Session, Workload
from autotune.report import csv_document, formats, json_document, markup, session_table
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.results import MEDIANS_DIFFER
from autotune.session.tuner import tune
from autotune.verdict.stats import log_speedup, ratio_text
from tests.support.list_planner import ListPlanner, resolve
from tests.support.scripted_machine import ScriptedMachine, a_run


def scripted(seed: int, gains: list[float], noise: float, swing: float, drift: float) -> Session:
    """A session whose runs scatter, whose machine changes its speed from time to time, and gets slower all along."""
    rng = random.Random(seed)
    state = {"runs": 0, "level": 1.0}

    def runs(gain: float) -> Callable[[], Run]:
        def one() -> Run:
            state["runs"] += 1
            if rng.random() < 0.2:
                state["level"] = rng.choice((1.0, 1.0 + swing))
            slower = state["level"] * (1.0 + drift * state["runs"])
            return a_run(slower / gain * max(0.05, rng.gauss(1.0, noise)))

        return one

    speeds = {BASELINE: 1.0} | {f"s{number}": gain for number, gain in enumerate(gains)}
    machine = ScriptedMachine({}, faults={key: runs(gain) for key, gain in speeds.items()})
    names = [key for key in speeds if key != BASELINE]
    options = SessionOptions(seed=seed)
    return tune(
        Workload("x", ("x",), "/"), SessionParts(machine, ListPlanner([names]), lambda _event: None, resolve), options
    )


SESSIONS = st.builds(
    scripted,
    st.integers(0, 2**32 - 1),
    st.lists(st.sampled_from((0.8, 0.98, 1.0, 1.005, 1.03, 1.3)), min_size=1, max_size=4),
    st.sampled_from((0.0, 0.001, 0.02, 0.1)),
    st.sampled_from((0.0, 0.3, 4.0)),
    st.sampled_from((0.0, 0.01)),
)


def side(low: float, high: float) -> str | None:
    return "faster" if low > 1.0 else "slower" if high < 1.0 else None


def printed(text: str) -> str | None:
    """The side of 1 of an interval as people read it."""
    found = re.search(r"\[(\S+), (\S+)\]", text)
    assert found is not None, text
    low, high = (float(bound.lstrip(">\\")) for bound in found.groups())
    return side(low, high)


def medians_fit(result: CandidateResult) -> bool:
    if result.median is None or result.baseline_median is None or MEDIANS_DIFFER in result.note:
        return True
    gain = log_speedup(result.baseline_median, result.median, "min")
    return gain >= 0.0 if result.verdict == "faster" else gain <= 0.0


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(SESSIONS)
def test_faster_stands_exactly_where_the_interval_excludes_1_in_every_format(session: Session) -> None:
    document = json.loads(json_document.json_text(session))
    lines = list(csv.DictReader(io.StringIO(csv_document.csv_text(session))))
    markdown = markup.markdown(session).splitlines()
    rows = session_table.session_table(session).rows
    for row, line, one in zip(rows, lines, document["results"], strict=True):
        if one["speedup"] is None or row.kind == "invalid":
            continue
        claimed = one["verdict"] if one["verdict"] in ("faster", "slower") else None
        assert side(one["speedup"]["low"], one["speedup"]["high"]) == claimed
        assert (
            side(float(line["speedup_low"]), float(line["speedup_high"]))
            == claimed
            == (line["verdict"] if line["verdict"] in ("faster", "slower") else None)
        )
        assert printed(row.speedup) == claimed
        (in_markdown,) = [text for text in markdown if text.startswith("|") and f"| {row.name} |" in text]
        assert printed(in_markdown.replace("\\", "")) == claimed


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(SESSIONS)
def test_no_row_contradicts_itself_and_only_the_winner_is_confirmed(session: Session) -> None:
    assert {one.candidate.key for one in session.results if one.confirmed} == ({session.winner} - {None})
    assert all(medians_fit(one) for one in session.results if one.verdict in ("faster", "slower"))
    for row, result in zip(session_table.session_table(session).rows, session.results, strict=True):
        assert row.rank.isdigit() == (result.verdict in (None, "faster", "slower"))
    leader = session.outlook
    if session.winner is None and leader is not None:
        named = next(one for one in session.results if one.candidate.key == leader.candidate)
        group = [one.candidate.key for one in session.results if one.verdict in _GROUP.get(str(named.verdict), ())]
        assert group[0] == named.candidate.key


_GROUP = {
    "faster": ("faster",),
    "same": ("same", "undecided"),
    "undecided": ("same", "undecided"),
    "slower": ("slower",),
}


@given(st.floats(0.001, 900.0))
def test_no_ratio_is_printed_on_the_other_side_of_1_or_at_it(ratio: float) -> None:
    shown = float(ratio_text(ratio))
    if abs(ratio - 1.0) > 1e-9:
        assert (shown > 1.0) == (ratio > 1.0), (shown, ratio)
        assert shown != 1.0
    assert abs(shown / ratio - 1.0) < 0.01 or ratio < 0.05


def test_an_interval_just_above_1_reads_so_in_the_sentence_too() -> None:
    assert ratio_text(1.0002) == "1.0002"
    assert ratio_text(0.99996) == "0.99996"
    assert ratio_text(1.0) == "1.000"
    assert ratio_text(1.00004) == "1.00004"


def test_drift_and_outliers_of_all_baseline_runs_are_warned_of_once() -> None:
    session = scripted(3, [1.0, 1.0, 1.0], noise=0.002, swing=0.0, drift=0.01)
    assert [text for text in session.warnings if "Runs got slower by" in text], session.warnings
    assert len({text.split(" by ")[0] for text in session.warnings if "Runs got" in text}) == 1
    calm = scripted(3, [1.0, 1.0, 1.0], noise=0.002, swing=0.0, drift=0.0)
    assert not [text for text in calm.warnings if "Runs got" in text or "far more" in text]


def test_rare_slow_runs_of_the_baseline_are_warned_of_at_the_end() -> None:
    count = iter(range(1, 1000))

    def every_fourth() -> Run:
        return a_run(3.0 if next(count) % 4 == 0 else 1.0)

    machine = ScriptedMachine({"a": 1.0, "b": 1.0}, faults={BASELINE: every_fourth})
    options = SessionOptions(seed=1)
    session = tune(
        Workload("x", ("x",), "/"), SessionParts(machine, ListPlanner([["a", "b"]]), lambda _e: None, resolve), options
    )
    assert any("runs took far more or less time than the rest" in text for text in session.warnings)


def test_a_slow_warm_up_run_is_no_outlier() -> None:
    walls = iter([30.0])
    machine = ScriptedMachine({"a": 1.0}, faults={BASELINE: lambda: a_run(next(walls, 1.0))})
    options = SessionOptions(seed=1, warmup=1)
    session = tune(
        Workload("x", ("x",), "/"), SessionParts(machine, ListPlanner([["a"]]), lambda _e: None, resolve), options
    )
    assert session.trials[0].run.wall_s == 30.0
    assert not any("far more or less" in text for text in session.warnings), session.warnings


NUMBERS = st.sampled_from(
    ["1e-320", "1e-300", "1e-50", "1e-9", "0", "-0", "1", "1e9", "1e50", "1e200", "1e308", "inf", "nan"]
)
FEW = st.lists(NUMBERS, min_size=1, max_size=3)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(FEW, FEW, st.sampled_from(["min", "max"]))
@example(["1e308"], ["1e308"], "min")
@example(["1e-50", "1e50"], ["1e50", "1e-50"], "max")
def test_whatever_number_a_command_prints_the_session_ends_in_words(
    of_eevdf: list[str], of_fifo: list[str], goal: Literal["min", "max"]
) -> None:
    """The same number is the metric, a further metric and a guard's."""
    printed = {BASELINE: itertools.cycle(of_eevdf), "at_fifo": itertools.cycle(of_fifo)}

    def run_of(key: str) -> Run:
        text = next(printed[key])
        found = Found((text,), 1)
        return a_run(1.0, metric_count=1, metric_matches=(text,), found=(found, found))

    machine = ScriptedMachine({}, {key: partial(run_of, key) for key in printed})
    guard = Guard("g", "max", 1.05, relative=True, regex="g (.)")
    work = Workload("x", ("x",), "/", metric_regex="m (.)", goal=goal, metrics=(Metric("n", "n (.)"),), guards=(guard,))
    options = SessionOptions(budget_s=3600.0, seed=1, max_rounds=6)
    try:
        session = tune(work, SessionParts(machine, ListPlanner([["at_fifo"]]), lambda _event: None, resolve), options)
    except WorkloadError:
        return
    for kind in formats.OPTIONS:
        assert formats.text(kind, session, ())
