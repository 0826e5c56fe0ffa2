# SPDX-License-Identifier: MIT
"""Generated schedulers on a host, played by the VM: watched at first, detached past a bound, refused if changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.resilient import ResilientVM
from autotune.schedext.build import build
from tests.support.guest import guest_json

pytestmark = [pytest.mark.vm, pytest.mark.slow]

BPF = Path(__file__).parents[1] / "bpf"
ESCAPES = "at_gate_escape"
ESCAPE = BPF / f"{ESCAPES}.bpf.c"
"""Passes every gate and its canary; what it does under the workload is what is told here."""
SHORT = ["--warmup", "0", "--runs", "2"]
BUSY = "timeout 3 sh -c 'while :; do :; done'"
TRIGGERED = f"printf trigger > /proc/self/comm; for n in 1 2 3; do {BUSY} & done; {BUSY}; wait; true"
"""Becomes the program that at_gate_escape waits for, and has more tasks than there are CPUs."""


GOOD = BPF / "good" / "two_levels.bpf.c"
BOTH = ["--scheduler", "custom:two_levels", "--scheduler", "at_fifo", *SHORT, "--", "sleep", "0.2"]
BAD = ["--scheduler", "custom:at_gate_escape", *SHORT, TRIGGERED]
DROPS = ["--scheduler", "custom:at_gate_escape:drop=true", "--scheduler", "at_fifo", *SHORT, TRIGGERED]
CASES: dict[str, tuple[Path, dict[str, Any]]] = {
    "good": (GOOD, {"sessions": [BOTH, BOTH], "behaves": True}),
    "bad": (ESCAPE, {"sessions": [BAD, BAD], "strikes": {ESCAPES: 2}, "passed": [ESCAPES]}),
    "drops": (ESCAPE, {"sessions": [DROPS], "passed": [ESCAPES]}),
    "changed": (GOOD, {"sessions": [BOTH], "flip": "two_levels"}),
}
"""The scheduler of each, what it did before, and the sessions."""


@pytest.fixture(scope="module")
def on_host(vm: ResilientVM, kernel: Kernel) -> dict[str, Any]:
    """All that was seen: one script, since each start of Python takes ten to twenty seconds."""
    given = []
    for source, asked in CASES.values():
        built = build(source, headers=kernel.headers)
        given.append({"objects": {source.name.removesuffix(".bpf.c"): str(built.object_path)}, **asked})
    found = guest_json(vm, "generated_on_host.py", json.dumps(given), timeout_s=3600, TEST_LIBBPF=str(kernel.libbpf))
    return dict(zip(CASES, found, strict=True))


def sessions(seen: dict[str, Any]) -> list[Any]:
    assert "error" not in seen, seen["error"]
    for session in seen["sessions"]:
        print(session["said"][-3000:])
        assert session["state"] == "disabled"
    return list(seen["sessions"])


def row(session: Any, key: str) -> Any:
    return next(one for one in session["report"]["results"] if one["candidate"]["scheduler"] == key)


def test_a_good_one_is_a_candidate_like_any_other_after_its_canary(on_host: dict[str, Any]) -> None:
    first, second = sessions(on_host["good"])
    assert "two_levels runs as a canary for 10 s, since it is new on this host" in first["said"]
    assert "canary" not in second["said"], (first["said"][-3000:], second["said"][-3000:])
    for session in (first, second):
        assert session["exit_code"] == 0, session["said"][-3000:]
        assert row(session, "custom:two_levels")["runs"] >= 2, (row(session, "custom:two_levels"), session["said"])
    assert on_host["good"]["strikes"] == {"two_levels": 0}, (first["said"][-3000:], second["said"][-3000:])


def test_one_that_turns_bad_under_the_workload_is_detached_and_after_three_times_no_longer_tried(
    on_host: dict[str, Any],
) -> None:
    first, second = sessions(on_host["bad"])
    assert "does not count: detached by the watch: wake-up latency" in first["said"]
    assert row(first, "custom:at_gate_escape")["verdict"] == "invalid"
    assert on_host["bad"]["strikes"] == {ESCAPES: 3}
    assert "detached three times on this host, last for: detached by the watch: wake-up" in second["said"]
    assert row(second, "custom:at_gate_escape")["runs"] == 0


def test_one_that_the_kernel_ejects_under_the_workload_costs_its_row_only(on_host: dict[str, Any]) -> None:
    (session,) = sessions(on_host["drops"])
    assert session["exit_code"] == 0
    assert "runnable task stall" in row(session, "custom:at_gate_escape")["note"]
    assert row(session, "at_fifo")["runs"] >= 2
    assert on_host["drops"]["strikes"] == {ESCAPES: 1}


def test_one_that_was_changed_since_it_passed_is_refused(on_host: dict[str, Any]) -> None:
    (session,) = sessions(on_host["changed"])
    assert "custom:two_levels is left out: the generated scheduler is refused" in session["said"]
    assert row(session, "at_fifo")["runs"] >= 2
