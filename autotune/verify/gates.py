# SPDX-License-Identifier: MIT
"""Takes a scheduler's source through the four gates and, if it passes them all, seals and keeps it.

Parser and compiler read the text first, on this machine, inside the sandbox. Only an object that passed both is loaded,
and only into a micro-VM of its own that is discarded afterwards: a session's machine is never at stake.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from autotune import durable, reading, resources
from autotune.deadline import Deadline
from autotune.errors import AutotuneError
from autotune.machine.base import Place
from autotune.machine.vm import microvm
from autotune.machine.vm.kernels import Kernel
from autotune.records import AttachSpec, Identity, Seal
from autotune.schedext import seal
from autotune.schedext.build import find_headers
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.knobs import Knob
from autotune.verify.behaviour import gate as behaviour_gate
from autotune.verify.compile import Compiled, compile_source
from autotune.verify.findings import GATES, Finding, Gate, GateReport
from autotune.verify.load import gate as load_gate
from autotune.verify.source import gate as source_gate
from autotune.verify.submission import Submission, entry, knobs_of

Progress = Callable[[str], None]
VM_CPUS = 2
VM_MEMORY_BYTES = 1 << 30
SYSTEM_LIBBPF = "libbpf.so.1"
"""The library where the kernel set has none of its own."""
VM_LOST = "vm-lost"
"""The rule of a finding that the micro-VM died or hung."""


@dataclass(frozen=True)
class Verification:
    """The result of a verification. `custom` is the new catalogue entry; None when a gate stopped it."""

    reports: tuple[GateReport, ...]
    custom: custom.Custom | None
    took_s: float
    rejected: Path | None = None
    """Directory of the full reports, when a gate stopped it."""

    @property
    def failed(self) -> GateReport | None:
        return next((report for report in self.reports if not report.passed), None)


def verify(
    submission: Submission, kernel: Kernel, progress: Progress, deadline: Deadline | None = None
) -> Verification:
    """Verify a source under a kernel. Faults of the source are in the result. Raises BusyError when its name is being
    verified already, BuildError without compiler or sandbox, NoMachineError without a micro-VM. The micro-VM is given
    up at the `deadline`."""
    started = time.monotonic()
    reports: list[GateReport] = []
    with custom.reserved(submission.name), _scratch() as scratch:
        kept = _through_all(submission, kernel, scratch, _Steps(reports, progress, deadline))
        rejected = custom.keep_rejected(submission.name, submission.source, reports) if kept is None else None
    return Verification(tuple(reports), kept, time.monotonic() - started, rejected)


@dataclass
class _Steps:
    """Collects the gates' reports, and shows the progress of each gate."""

    reports: list[GateReport]
    progress: Progress
    deadline: Deadline | None = None

    def begin(self, gate: Gate, what: str) -> None:
        self.progress(f"Gate {GATES.index(gate) + 1} of {len(GATES)}, {gate}: {what}")

    def within(self, text: str) -> None:
        """Show progress within a gate."""
        self.progress(f"    {text}")

    def passed(self, report: GateReport) -> bool:
        self.reports.append(report)
        errors = sum(finding.severity == "error" for finding in report.findings)
        word = "passed" if report.passed else f"failed, {errors} finding{'' if errors == 1 else 's'}"
        self.progress(f"  {word} in {report.took_s:.1f} s")
        return report.passed


def _through_all(submission: Submission, kernel: Kernel, scratch: Path, steps: _Steps) -> custom.Custom | None:
    headers = find_headers(Path(kernel.headers) if kernel.headers else None)
    steps.begin("source", "reading it as the compiler does")
    if not steps.passed(source_gate.check(submission.source, submission.name, headers=headers)):
        return None
    steps.begin("compile", "in a sandbox")
    compiled = compile_source(submission.source, submission.name, headers)
    object_path = scratch / f"{submission.name}.o"
    object_path.write_bytes(compiled.content or b"")
    knobs, report = _with_knobs(submission, compiled, object_path, kernel)
    if not steps.passed(report):
        return None
    if not _proven(submission, kernel, object_path, steps):
        return None
    content = reading.data(object_path, most_bytes=reading.MOST_OBJECT_BYTES)
    token = seal.sign(
        Seal(
            name=submission.name,
            source_sha256=seal.sha256(submission.source.encode()),
            object_sha256=seal.sha256(content),
            clang=compiled.clang.version,
            gates=seal.GATES_VERSION,
            kernel=kernel.version,
        )
    )
    return custom.keep(submission.name, submission.source, content, entry(submission, knobs), token, steps.reports)


def _with_knobs(
    submission: Submission, compiled: Compiled, object_path: Path, kernel: Kernel
) -> tuple[tuple[Knob, ...], GateReport]:
    """Return the knobs of the object. Misfits are findings of the compile gate."""
    report = compiled.report
    if not report.passed:
        return (), report
    try:
        knobs, misfits = knobs_of(submission, object_path, str(kernel.libbpf) if kernel.libbpf else None)
    except AutotuneError as error:
        knobs, misfits = (), [Finding("object-unreadable", error.message, error.hint)]
    findings = (*report.findings, *misfits)
    return knobs, GateReport(report.gate, findings, report.numbers, report.took_s, report.log)


def _proven(submission: Submission, kernel: Kernel, object_path: Path, steps: _Steps) -> bool:
    """Run gates 3 and 4. An emulated kernel dies now and then by itself, so a lost VM is tried once more."""
    before = len(steps.reports)
    for _ in range(2):
        del steps.reports[before:]
        if _in_a_vm(submission, kernel, object_path, steps):
            return True
        if not any(finding.rule == VM_LOST for finding in steps.reports[-1].findings):
            return False
    return False


def _in_a_vm(submission: Submission, kernel: Kernel, object_path: Path, steps: _Steps) -> bool:
    library = str(kernel.libbpf or SYSTEM_LIBBPF)
    steps.begin("load", f"the verifier of Linux {kernel.version}, in a micro-VM")
    place = Place(str(object_path.parent), False, Identity(0, 0, (0,)))
    options = microvm.VmOptions(VM_CPUS, VM_MEMORY_BYTES)
    with closing(microvm.boot(kernel, place, options, "verifying a scheduler", deadline=steps.deadline)) as vm:
        if not steps.passed(load_gate.check(object_path, submission.name, submission.source, vm, library)):
            return False
        steps.begin("behaviour", "under loads that are known to break schedulers, beside EEVDF")
        reference = behaviour_gate.reference(vm, steps.within)
        spec = AttachSpec(
            submission.name,
            str(object_path),
            {},
            object_sha256=seal.sha256(reading.data(object_path, most_bytes=reading.MOST_OBJECT_BYTES)),
        )
        report = behaviour_gate.check(
            spec,
            vm,
            reference=reference,
            declared_unfair=submission.unfair_by_design,
            progress=steps.within,
            libbpf=library,
        )
        return steps.passed(report)


@contextmanager
def _scratch() -> Iterator[Path]:
    """Yield a directory that a micro-VM sees as well."""
    base = resources.cache_dir() / "verify"
    base.mkdir(parents=True, exist_ok=True)
    with closing(durable.Scratch(base, "gate")) as scratch:
        yield scratch.path
