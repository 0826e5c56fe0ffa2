# SPDX-License-Identifier: MIT
"""Gate 3: the kernel's verifier. Loads, attaches and detaches an object for real in the micro-VM.

`check` is the host's side; `main` runs inside the VM as root. An object is loaded with the verifier's statistics; one
that is refused is loaded again with its whole trace, which is mapped back to lines of the source.
Standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import time
from collections.abc import Iterator
from ctypes import c_char_p, c_int, c_size_t, c_uint32, c_void_p
from pathlib import Path
from typing import Any

from autotune.errors import AttachError, AutotuneError, MachineLost, RunnerLost
from autotune.schedext.kernel import (
    KernelLog,
    exit_in_log,
    in_kernel_words,
    ops_matches,
    read_state,
    wait_for,
    without_own_words,
)
from autotune.schedext.libbpf import BpfObject, Libbpf
from autotune.verify.findings import Finding, GateReport
from autotune.verify.inside import VM, run_inside
from autotune.verify.load import verifier_log
from autotune.wire import to_json

LOAD_S = 60.0
"""Limit of the whole gate inside: a verifier that walks its full million instructions takes some 10 s under
emulation."""
CONFIRM_S = 15.0
"""How long the kernel may take to show a scheduler as attached or gone."""

LEVEL_TRACE, LEVEL_STATISTICS = 1, 4
"""The kernel's BPF_LOG_LEVEL1 and BPF_LOG_STATS."""
_STATISTICS_BYTES = 16 << 10
_TRACE_BYTES = 8 << 20
_TOLD_BYTES = 512 << 10
"""Bytes kept of the end of a trace: it may have megabytes, and the complaint comes last."""


# --- on the host -----------------------------------------------------------------------------------------


def check(object_path: Path, ops: str, source_text: str, vm: VM, libbpf: str) -> GateReport:
    """Load, attach with default knobs, detach. `libbpf` is the library of the VM's kernel set. Raises AutotuneError
    when the gate itself cannot work; a lost VM is a finding."""
    started = time.monotonic()
    heard: dict[str, Any] = {}
    request = {"object_path": str(object_path), "ops": ops, "libbpf": libbpf}
    try:
        run = run_inside(vm, __name__, request, timeout_s=LOAD_S, hear=heard.update)
    except (MachineLost, RunnerLost) as error:
        what = f"the micro-VM was lost while the scheduler was loaded: {error.message}"
        return _report(started, [Finding("vm-lost", what, "try again once")], {}, error.detail)
    if run.timed_out:
        slow = Finding("verifier", f"loading took over {LOAD_S:g} s", "make it smaller: fewer branches and loops")
        return _report(started, [slow], heard.get("numbers", {}), "")
    if "stage" not in heard:
        raise AutotuneError("the load gate failed inside the micro-VM", stage="verify", detail=run.stderr.head)
    return _report(started, judge(heard, source_text), heard["numbers"], heard["log"])


def _report(started: float, findings: list[Finding], numbers: dict[str, Any], log: str) -> GateReport:
    return GateReport("load", tuple(findings), numbers, time.monotonic() - started, log)


def judge(heard: dict[str, Any], source_text: str) -> list[Finding]:
    """Turn what the program inside reported into findings: `stage` (done, or where it ended), `said`, `log`,
    `program`."""
    if heard["stage"] == "done":
        return []
    if heard["stage"] == "load" and verifier_log.is_verifier_log(heard["log"]):
        return [verifier_log.explain(heard["log"], source_text, heard["program"])]
    advice = {
        "load": "use only what our own schedulers use: the kernel functions of at.h's vmlinux.h, maps, global data",
        "attach": "look at init: it must return 0, and create each queue once",
        "detach": "nothing may keep the kernel from detaching it",
    }
    return [Finding(heard["stage"], heard["said"], advice.get(heard["stage"], ""))]


# --- inside the VM ---------------------------------------------------------------------------------------

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "bpf_object__next_program": (c_void_p, [c_void_p, c_void_p]),
    "bpf_program__name": (c_char_p, [c_void_p]),
    "bpf_program__set_log_level": (c_int, [c_void_p, c_uint32]),
    "bpf_program__set_log_buf": (c_int, [c_void_p, c_void_p, c_size_t]),
}


class TracedObject(BpfObject):
    """An object whose programs' verifier logs can be requested."""

    def __init__(self, lib: Libbpf, path: str, library_path: str) -> None:
        super().__init__(lib, path)
        self._more = ctypes.CDLL(library_path, use_errno=True)
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self._more, name)
            function.restype, function.argtypes = result, arguments
        self._logs: dict[str, ctypes.Array[ctypes.c_char]] = {}

    def programs(self) -> Iterator[tuple[str, int]]:
        found = self._more.bpf_object__next_program(self._object, None)
        while found:
            yield self._more.bpf_program__name(found).decode(errors="replace"), found
            found = self._more.bpf_object__next_program(self._object, found)

    def request_logs(self, level: int, size: int, *, shared: bool) -> None:
        """Set, before `load`, what to log. Programs may share one buffer; then the last one in it was refused."""
        buffer = ctypes.create_string_buffer(size)
        for name, program in self.programs():
            own = buffer if shared else ctypes.create_string_buffer(size)
            self._logs[name] = own
            self._more.bpf_program__set_log_level(program, level)
            self._more.bpf_program__set_log_buf(program, ctypes.addressof(own), size)

    def logs(self) -> dict[str, str]:
        return {name: log.value.decode(errors="replace") for name, log in self._logs.items()}


def main(text: str) -> None:
    """Run the gate inside. `text` is JSON: `object_path`, `ops`, `libbpf`. Writes one line of JSON."""
    request = json.loads(text)
    result = _loaded(Libbpf(request["libbpf"]), request)
    data = memoryview(json.dumps(result).encode() + b"\n")
    while data:
        data = data[os.write(1, data) :]


def _loaded(lib: Libbpf, request: dict[str, str]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    result = {"stage": "done", "said": "", "log": "", "program": "", "numbers": numbers}
    started = time.monotonic()
    try:
        found = TracedObject(lib, request["object_path"], request["libbpf"])
        with found:
            found.request_logs(LEVEL_STATISTICS, _STATISTICS_BYTES, shared=False)
            result["stage"] = "load"
            found.load()
            numbers.update(_counted(found.logs()), load_ms=_ms(started))
            result["stage"] = "attach"
            _attach_and_detach(found, request["ops"], numbers, result)
    except AutotuneError as error:
        result.update(said=error.message, log=error.detail)
        if result["stage"] == "load":
            result.update(_traced(lib, request))
    return result


def _ms(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


def _counted(logs: dict[str, str]) -> dict[str, Any]:
    """Return instructions and time of each program, and of all."""
    programs = {
        name: {"instructions": verifier_log.verified_instructions(log), "ms": verifier_log.verification_ms(log)}
        for name, log in logs.items()
    }
    return {
        "verified_instructions": sum(program["instructions"] or 0 for program in programs.values()),
        "verification_ms": round(sum(program["ms"] or 0.0 for program in programs.values()), 2),
        "programs": programs,
    }


def _attach_and_detach(found: BpfObject, ops: str, numbers: dict[str, Any], result: dict[str, Any]) -> None:
    """Attach and detach. Raises AttachError, with the kernel's own reason, when either is not confirmed."""
    kernel_log = KernelLog()
    started = time.monotonic()
    try:
        found.attach()
        # "disabled" right after attaching means that the scheduler is gone already
        wait_for(lambda seen: seen.state in ("enabled", "disabled"), CONFIRM_S)
        state = read_state()
        if state.state != "enabled" or not ops_matches(ops, state.ops):
            raise AttachError(f"{ops} was not confirmed as attached: state {state.state}, ops {state.ops}")
        numbers["attach_ms"] = _ms(started)
    except AttachError as error:
        messages = kernel_log.read()
        why = in_kernel_words(found.exit_record(), exit_in_log(messages, ops))
        messages = without_own_words(messages, ops)
        more = f"; {why.reason}: {why.message}" if why else ""
        raise AttachError(f"{error.message}{more}", detail="\n".join([error.detail, *messages])) from error
    finally:
        kernel_log.close()
    result["stage"], started = "detach", time.monotonic()
    found.detach()
    gone, state = wait_for(lambda seen: seen.state == "disabled", CONFIRM_S)
    numbers["detach_ms"] = _ms(started)
    if not gone:
        raise AttachError(f"the kernel is not back on its own scheduler: state is {state.state}")
    numbers["exit"] = to_json(in_kernel_words(found.exit_record(), None))
    result["stage"] = "done"


def _traced(lib: Libbpf, request: dict[str, str]) -> dict[str, str]:
    """Load again for the whole trace; empty when the refusal was not the verifier's."""
    found = TracedObject(lib, request["object_path"], request["libbpf"])
    with found:
        found.request_logs(LEVEL_TRACE | LEVEL_STATISTICS, _TRACE_BYTES, shared=True)
        try:
            found.load()
        except AttachError as error:
            log = next(iter(found.logs().values()), "")
            if not verifier_log.is_verifier_log(log):
                return {}
            refused = [part.split("'")[1] for part in error.detail.splitlines() if part.startswith("libbpf: prog '")]
            return {"log": log[-_TOLD_BYTES:], "program": refused[-1] if refused else ""}
    return {}
