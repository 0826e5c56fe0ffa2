# SPDX-License-Identifier: MIT
"""Gate 3 in a real kernel: its verifier takes our own schedulers, and refuses each faulty one by the rule that its head
names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.resilient import ResilientVM
from autotune.schedext.build import build
from autotune.verify.findings import GateReport
from autotune.verify.load import gate as load_gate
from tests.support.faulty_schedulers import OURS, source, stopped_by

pytestmark = [pytest.mark.vm, pytest.mark.slow]

Check = Callable[[str], GateReport]


@pytest.fixture
def loaded(vm: ResilientVM, kernel: Kernel) -> Check:
    def check(name: str) -> GateReport:
        path = source(name)
        built = build(path, headers=kernel.headers)
        return load_gate.check(built.object_path, name, path.read_text(), vm, str(kernel.libbpf))

    return check


@pytest.mark.parametrize("name", OURS)
def test_the_kernel_takes_our_own_and_their_cost_is_known(vm: ResilientVM, loaded: Check, name: str) -> None:
    report = loaded(name)
    assert report.passed, report.findings
    assert 10 < report.numbers["verified_instructions"] < 10_000
    assert report.numbers["verification_ms"] > 0
    assert report.numbers["load_ms"] >= report.numbers["verification_ms"]
    assert f"{name}_enqueue" in report.numbers["programs"]
    assert vm.state().state == "disabled"


@pytest.mark.parametrize(("name", "rule"), stopped_by("load"))
def test_the_kernel_refuses_faulty_ones_and_the_line_is_named(
    vm: ResilientVM, loaded: Check, name: str, rule: str
) -> None:
    report = loaded(name)
    (finding,) = report.findings
    assert finding.rule == rule
    assert finding.advice
    assert finding.line is not None
    assert 1 < finding.line <= len(source(name).read_text().splitlines())
    assert "processed " in report.log
    assert vm.state().state == "disabled"
