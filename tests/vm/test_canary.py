# SPDX-License-Identifier: MIT
"""The canary and the breaker on a host, played by the VM: real schedulers, the real holder, real lateness."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from autotune import canary as canary_module
from autotune import resources
from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.resilient import ResilientVM
from autotune.schedext.build import build
from tests.support.guest import guest_json

pytestmark = [pytest.mark.vm, pytest.mark.slow, pytest.mark.alone]

BPF = Path(__file__).parents[1] / "bpf"
REACTION_S = canary_module.DETACH_S
"""From the moment when a bound is passed until the kernel is back on its own scheduler, at the latest: a busy machine
may take most of it. On a quiet one all that was seen was below 1 s."""
CALM_S = 0.1
"""Where wake-ups were later than this before anything was attached, others took the CPUs."""
TRIES_BORNE = 3
"""An emulated machine stands still now and then; the canary then says that it is nobody's fault, and is repeated."""


def canary(
    vm: ResilientVM,
    kernel: Kernel,
    source: Path,
    *knobs: str,
    watch_s: float,
    partial: str = "yes",
    trigger_s: str = "none",
    tries: int = 1,
) -> Any:
    built = build(source, headers=kernel.headers)
    ops = source.name.removesuffix(".bpf.c")
    argv = (ops, str(built.object_path), str(kernel.libbpf), str(watch_s), partial, trigger_s, str(tries), *knobs)
    seen = guest_json(vm, "canary.py", *argv, timeout_s=300.0)
    print(seen)
    return seen


def fairly(vm: ResilientVM, kernel: Kernel, source: Path, *knobs: str, **how: Any) -> Any:
    """Again, as long as the canary says that the machine was too busy or stood still."""
    for _ in range(TRIES_BORNE):
        seen = canary(vm, kernel, source, *knobs, **how)
        tried = seen["tries"][-1]
        breach = tried["breach"]
        was_calm = tried["numbers"]["look"]["worst_s"] < CALM_S
        if tried["passed"] or (breach is not None and not breach["stood_still"] and was_calm):
            break
    return seen


def middle(values: list[float]) -> float:
    """The median: a whole emulated machine may be paused by its host at any moment, and sometimes is in just that."""
    return statistics.median(values)


def last_detached_s(tried: Any) -> float:
    """When the kernel's state became `disabled`, as the observer saw it."""
    at_s, state = tried["changes"][-1]
    assert state == "disabled"
    return float(at_s)


def test_a_good_scheduler_passes_partial_first_then_whole(vm: ResilientVM, kernel: Kernel) -> None:
    seen = fairly(vm, kernel, resources.bpf_source_dir() / "at_vtime.bpf.c", watch_s=10.0)
    tried = seen["tries"][-1]
    assert tried["passed"], tried
    assert tried["reason"] == ""
    assert [stage["mode"] for stage in tried["numbers"]["stages"]] == ["partial", "whole"]
    assert [state for _, state in tried["changes"]].count("enabled") == 2
    assert tried["state"] == "disabled"
    assert seen["passed"] is True
    assert seen["reasons"] == []


def test_one_that_delays_everybody_under_a_load_the_gates_lacked_is_detached_and_barred_the_third_time(
    vm: ResilientVM, kernel: Kernel
) -> None:
    source = BPF / "at_gate_escape.bpf.c"
    seen = canary(vm, kernel, source, watch_s=15.0, partial="no", trigger_s="1.5", tries=3 + 2 * TRIES_BORNE)
    faults = [tried for tried in seen["tries"] if tried["fault"]]
    assert len(faults) == 3
    for tried in faults:
        assert not tried["passed"]
        assert tried["reason"].startswith("wake-up latency"), tried
        assert tried["state"] == "disabled"
        assert tried["numbers"]["stages"][-1]["guard"] == "real-time"
    assert middle([tried["numbers"]["reaction"]["detached_after_s"] for tried in faults]) < REACTION_S
    assert middle([last_detached_s(tried) - tried["breach"]["since_s"] for tried in faults]) < REACTION_S
    assert seen["barred"] is True
    assert seen["reasons"] == [tried["reason"] for tried in faults]
    assert seen["mode"] == "0o600"


def test_one_that_delays_everybody_from_its_first_moment_is_detached_before_we_know_that_it_was_attached(
    vm: ResilientVM, kernel: Kernel
) -> None:
    """The answer that it was attached is delayed too: nobody can detach it, and the kernel ejects it."""
    source = BPF / "at_gate_escape.bpf.c"
    seen = fairly(vm, kernel, source, watch_s=15.0, partial="no", trigger_s="-1")
    tried = seen["tries"][-1]
    assert not tried["passed"]
    assert tried["reason"].startswith("wake-up latency"), tried
    assert tried["numbers"]["reaction"]["detached_after_s"] < REACTION_S
    assert last_detached_s(tried) - tried["breach"]["since_s"] < REACTION_S
    assert tried["state"] == "disabled"


def test_one_that_drops_tasks_is_ejected_and_the_kernel_s_reason_is_told(vm: ResilientVM, kernel: Kernel) -> None:
    source = BPF / "at_gate_escape.bpf.c"
    seen = fairly(vm, kernel, source, "drop=true", watch_s=20.0, partial="no", trigger_s="0.5")
    tried = seen["tries"][-1]
    assert not tried["passed"]
    assert tried["fault"]
    assert "ejected: runnable task stall" in tried["reason"]
    assert "trigger" in tried["reason"]
    assert tried["numbers"]["exit"]["kind"] == 1026
    assert tried["state"] == "disabled"
    assert len(seen["reasons"]) == 1
    assert seen["barred"] is False
