# SPDX-License-Identifier: MIT
"""Gate 4: how a scheduler treats tasks. Runs the loads of `loads` in the micro-VM under it and under EEVDF, and has
`judge` compare.

What always holds:
- every run inside has a deadline on this side; a VM that dies or hangs is a finding, not an exception;
- a finding about time counts only if it recurs each time the same load is repeated, with EEVDF measured again
  beside it: the machine may have been busy before. Ejections need no second look.
Standard library only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autotune.errors import AutotuneError, MachineLost, RunnerLost
from autotune.frozen import dataclass
from autotune.records import AttachSpec
from autotune.verify.behaviour.judge import TIMED, LoadFinding, Seen, jain, judge
from autotune.verify.behaviour.loads import LOADS, SHORT
from autotune.verify.findings import Finding, GateReport
from autotune.verify.inside import VM, run_inside
from autotune.wire import to_json

SECONDS = 2.5
"""Length of most loads. All nine take 28 s under emulation, attaching included; with EEVDF's and a boot about 62 s."""
MARGIN_S = 30.0
"""Time that a run inside may take beyond its loads: attaching up to three times, and a kernel whose watchdog takes up
to 30 s to eject a scheduler that starves everything, the watching process included."""
MORE_LOOKS = 2
"""How often doubtful loads are repeated. Each costs 8 s, and only where there is doubt."""
AHEAD_S = 50 * 86400
"""How far the clock is set ahead: past the 49.7 days after which milliseconds in 32 bits begin anew."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Patience:
    """How long a run inside may take beyond its loads, how often it begins when the VM dies (an emulated kernel dies
    now and then by itself: `machine/resilient`), and how often doubtful loads are repeated."""

    margin_s: float = MARGIN_S
    tries: int = 2
    more_looks: int = MORE_LOOKS


USUAL_PATIENCE = Patience()


@dataclass(frozen=True)
class Reference:
    """EEVDF's numbers, by load, valid for the boot they were measured on (`generation` of the VM)."""

    loads: Mapping[str, Mapping[str, Any]]
    generation: int


class LostVM(Exception):
    """The VM was lost, under a load of the scheduler or (`theirs`) of EEVDF. `again` is false when it hung: repeating
    that would only hang again."""

    def __init__(self, error: AutotuneError, begun: str, *, theirs: bool, again: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.begun = begun
        self.theirs = theirs
        self.again = again


def reference(vm: VM, progress: Progress, *, only: Sequence[str] | None = None) -> Reference:
    """Measure EEVDF. `only` names the loads; None: all. Raises AutotuneError when the VM is lost."""
    try:
        return _LoadsInVM(vm, progress).reference(_names(only))
    except LostVM as lost:
        raise lost.error from lost


def check(
    spec: AttachSpec,
    vm: VM,
    *,
    reference: Reference | None,
    declared_unfair: bool,
    progress: Progress,
    libbpf: str,
    only: Sequence[str] | None = None,
    patience: Patience = USUAL_PATIENCE,
) -> GateReport:
    """Run the loads under the scheduler. `reference` is measured again if it is of another boot or lacks a load. `only`
    names the loads to run (None: all long ones). Raises AutotuneError when the gate itself cannot work."""
    started = time.monotonic()
    gate = _Gate(spec, vm, _names(only), declared_unfair, progress, libbpf, patience)
    lost = None
    for _ in range(patience.tries):
        try:
            found, numbers, log = gate.verdict(reference)
            return GateReport("behaviour", tuple(found), numbers, time.monotonic() - started, log)
        except LostVM as error:
            lost = error
            progress(f"the micro-VM was lost under load '{error.begun}'")
            if not error.again:
                break
    assert lost is not None
    if lost.theirs:
        raise lost.error
    finding = Finding(
        "vm-lost",
        f"the micro-VM {'died' if lost.again else 'hung'} under load '{lost.begun}': {lost.error.message}",
        "a scheduler must not keep the kernel's own threads from running",
    )
    return GateReport("behaviour", (finding,), {"begun": lost.begun}, time.monotonic() - started, lost.error.detail)


def _names(only: Sequence[str] | None) -> list[str]:
    everything = [*LOADS, *SHORT]
    unknown = sorted(set(only or ()) - set(everything))
    if unknown:
        known = ", ".join(everything)
        raise AutotuneError(f"there is no load '{unknown[0]}'", hint=f"there are: {known}", stage="verify")
    return list(LOADS) if only is None else [name for name in everything if name in only]


@dataclass(frozen=True)
class _Gate:
    """One check: the scheduler, the VM, and the loads."""

    spec: AttachSpec
    vm: VM
    names: list[str]
    declared_unfair: bool
    progress: Progress
    libbpf: str
    patience: Patience

    def verdict(self, given: Reference | None) -> tuple[list[Finding], dict[str, Any], str]:
        """Return findings, numbers, and the kernel's log. Raises LostVM."""
        known = given is not None and given.generation == self.vm.generation and set(self.names) <= set(given.loads)
        eevdf = given if known and given is not None else self._reference(self.names)
        seen = self._measure(self.names)
        found = judge(seen, eevdf.loads, declared_unfair=self.declared_unfair)
        numbers = _numbers(seen, eevdf)
        if not seen.end.get("gone"):
            found = self._confirmed(found, numbers)
        return [item.finding for item in found], numbers, _log(seen)

    def _measure(self, names: list[str]) -> Seen:
        self.progress(f"loads under {self.spec.ops}")
        return self._inside().loads(names, self.spec, self.libbpf)

    def _reference(self, names: list[str]) -> Reference:
        return self._inside().reference(names)

    def _inside(self) -> _LoadsInVM:
        return _LoadsInVM(self.vm, self.progress, self.spec.partial, self.patience.margin_s)

    def _confirmed(self, found: list[LoadFinding], numbers: dict[str, Any]) -> list[LoadFinding]:
        """Return the findings that recur each time the doubtful loads are repeated; those not about time stay."""
        looks: list[dict[str, Any]] = []
        for _ in range(self.patience.more_looks):
            doubtful = [name for name in self.names if name in {item.load for item in found if _is_doubtful(item)}]
            if not doubtful:
                break
            self.progress(f"once more: {', '.join(doubtful)}")
            eevdf = self._reference(doubtful)
            seen = self._measure(doubtful)
            looks.append(_numbers(seen, eevdf))
            again = judge(seen, eevdf.loads, declared_unfair=self.declared_unfair)
            found = _both(found, again)
            if seen.end.get("gone"):
                break
        if looks:
            numbers["more_looks"] = looks
        return found


def _both(found: list[LoadFinding], again: list[LoadFinding]) -> list[LoadFinding]:
    """Return the doubtful findings that were found both times, with the newer numbers, and all other findings of either
    time."""
    before = {(item.load, item.finding.rule) for item in found}
    sure = [item for item in found if not _is_doubtful(item)]
    new = [item for item in again if not _is_doubtful(item) and (item.load, item.finding.rule) not in before]
    return sure + new + [item for item in again if _is_doubtful(item) and (item.load, item.finding.rule) in before]


def _is_doubtful(item: LoadFinding) -> bool:
    return item.finding.rule in TIMED and item.finding.severity == "error"


# --- running ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _LoadsInVM:
    """Runs of loads in a VM. `partial`: their tasks ask for SCHED_EXT."""

    vm: VM
    progress: Progress
    partial: bool = False
    margin_s: float = MARGIN_S

    def reference(self, names: list[str]) -> Reference:
        self.progress("loads under EEVDF")
        return Reference(self.loads(names, None, None).loads, self.vm.generation)

    def loads(self, names: list[str], spec: AttachSpec | None, libbpf: str | None) -> Seen:
        """Run loads. Raises LostVM when the VM is lost, AutotuneError when the program inside failed."""
        request = {
            "spec": None if spec is None else to_json(spec),
            "loads": names,
            "seconds": SECONDS,
            "libbpf": libbpf,
            "partial": self.partial,
        }
        timeout_s = len(names) * SECONDS * 1.5 + self.margin_s
        started = time.monotonic()
        heard = _Heard(self.vm, self.progress)
        try:
            run = run_inside(self.vm, "autotune.verify.behaviour.loads", request, timeout_s=timeout_s, hear=heard.hear)
        except (MachineLost, RunnerLost) as error:
            died = time.monotonic() - started < timeout_s
            raise LostVM(error, heard.begun, theirs=spec is None, again=died) from error
        if run.timed_out:
            late = MachineLost(f"the loads did not end within {timeout_s:.0f} s", stage="verify")
            raise LostVM(late, heard.begun, theirs=spec is None, again=False)
        if "end" not in heard.end:
            output = (run.stderr.tail or run.stderr.head).strip()
            raise AutotuneError("the loads failed inside the micro-VM", stage="verify", detail=output)
        return Seen(heard.loads, heard.begun, heard.end)


class _Heard:
    """What the program inside reported so far."""

    def __init__(self, vm: VM, progress: Progress) -> None:
        self._vm = vm
        self._progress = progress
        self.loads: dict[str, Any] = {}
        self.end: dict[str, Any] = {}
        self.begun = "attaching"

    def hear(self, message: dict[str, Any]) -> None:
        if "begin" in message:
            self.begun = message["begin"]
            self._progress(self.begun)
        elif "load" in message:
            self.loads[message["load"]] = message["numbers"]
        elif "clock" in message:
            _set_clock_ahead(self._vm, message["clock"], self._progress)
        else:
            self.end.update(message)


def _set_clock_ahead(vm: VM, address: int, progress: Progress) -> None:
    """Set the clock that schedulers see ahead; where that fails, the load is skipped."""
    try:
        vm.add_to_memory(address, AHEAD_S * 1_000_000_000)
    except AutotuneError as error:
        progress(error.message)


# --- the report ------------------------------------------------------------------------------------------


def _numbers(seen: Seen, eevdf: Reference) -> dict[str, Any]:
    """Return the numbers to report: both sides of each load, and how the scheduler came and went."""
    loads = {
        name: {"scheduler": _with_index(name, numbers), "eevdf": _with_index(name, eevdf.loads.get(name, {}))}
        for name, numbers in seen.loads.items()
    }
    restarts = seen.loads.get("hotplug", {}).get("restarts")
    properties = {"restarts_when_cpus_are_plugged": bool(restarts)} if restarts is not None else {}
    return {
        "loads": loads,
        "attach_s": seen.end.get("attach_s", []),
        "detachment": seen.end.get("detachment"),
        "properties": properties,
    }


def _with_index(name: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    if name != "equal_hogs" or "tasks" not in numbers:
        return dict(numbers)
    return {**numbers, "jain": round(jain([task["cpu_s"] for task in numbers["tasks"]]), 4)}


def _log(seen: Seen) -> str:
    """Return the kernel's log while the scheduler was attached, and the end of its messages about an ejection."""
    record = seen.end.get("exit") or {}
    return "\n".join([*seen.end.get("kernel_log", ()), record.get("message", "")]).strip()
