# SPDX-License-Identifier: MIT
"""Each faulty scheduler says in its head which gate stops it and by which rule; the gates before let it through.

What needs a kernel (gates 3 and 4) goes on in tests/vm/test_load_gate and tests/vm/test_behaviour_gate.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autotune.machine.vm import kernels
from autotune.schedext.build import find_headers
from autotune.verify.compile import compile_source
from autotune.verify.findings import GATES, Finding, GateReport
from autotune.verify.source import gate as source_gate

pytestmark = pytest.mark.bpf
HERE = Path(__file__).parent
FAULTY = sorted((HERE / "faulty").glob("*.bpf.c"))
GOOD = sorted((HERE / "good").glob("*.bpf.c"))
HEAD = re.compile(r"/\* fault: (?P<fault>[^;]+); gate: (?P<gate>\w+); rule: (?P<rule>[\w-]+)")


@pytest.fixture(scope="module")
def headers() -> Path:
    fetched = next(iter(kernels.installed()), None)
    return find_headers(fetched.headers if fetched else None)


def first_gates(path: Path, headers: Path) -> list[GateReport]:
    text, name = path.read_text(), path.name.removesuffix(".bpf.c")
    return [source_gate.check(text, name, headers=headers), compile_source(text, name, headers).report]


def errors(report: GateReport) -> list[Finding]:
    return [finding for finding in report.findings if finding.severity == "error"]


def test_there_are_at_least_twelve_faults_and_each_gate_has_some() -> None:
    heads = [HEAD.search(path.read_text()) for path in FAULTY]
    assert len(FAULTY) >= 12
    assert {head["gate"] for head in heads if head} == set(GATES)


@pytest.mark.parametrize("path", FAULTY, ids=lambda path: path.name)
def test_a_fault_is_stopped_at_its_gate_and_not_before(path: Path, headers: Path) -> None:
    head = HEAD.search(path.read_text())
    assert head is not None, "its head must name fault, gate and rule"
    for report in first_gates(path, headers):
        if report.gate == head["gate"]:
            assert {finding.rule for finding in errors(report)} == {head["rule"]}
            assert all(finding.line for finding in errors(report)), "a place to look at"
            return
        assert errors(report) == []


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_a_good_one_passes_the_gates_that_need_no_kernel(path: Path, headers: Path) -> None:
    for report in first_gates(path, headers):
        assert report.findings == ()


def test_what_turns_bad_only_on_a_host_passes_here(headers: Path) -> None:
    """So that what lets go of it there is what is tested with it (tests/vm/test_generated_on_host)."""
    for report in first_gates(HERE / "at_gate_escape.bpf.c", headers):
        assert errors(report) == []
