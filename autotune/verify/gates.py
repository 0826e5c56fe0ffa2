# SPDX-License-Identifier: MIT
"""Takes a scheduler's source through the four gates and, if it passes them all, seals and keeps it.

Parser and compiler read the text first, on this machine, inside the sandbox. Only an object that passed both is loaded,
and only into a micro-VM of its own that is discarded afterwards: a session's machine is never at stake.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotune import durable, frozen, reading, resources
from autotune.deadline import Deadline
from autotune.errors import AutotuneError
from autotune.machine.base import Place
from autotune.machine.vm import microvm
from autotune.machine.vm.kernels import Kernel
from autotune.records import AttachSpec, GuideSpec, Identity, Seal
from autotune.schedext import build, seal
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.ancestry import ancestors
from autotune.schedext.catalogue.knobs import Knob
from autotune.schedext.catalogue.origin import Maker, Origin
from autotune.verify.behaviour import expected, shapes
from autotune.verify.behaviour import gate as behaviour_gate
from autotune.verify.compile import Compiled, compile_source
from autotune.verify.findings import GATES, Finding, Gate, GateReport
from autotune.verify.load import gate as load_gate
from autotune.verify.source import gate as source_gate
from autotune.verify.submission import PARTIAL, Submission, ends, entry, knobs_of, may_expect

Progress = Callable[[str], None]
PERSON = Maker("person")
VM_MEMORY_BYTES = 1 << 30
SYSTEM_LIBBPF = "libbpf.so.1"
"""The library where the kernel set has none of its own."""


@frozen.dataclass(frozen=True)
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
    submission: Submission,
    kernel: Kernel,
    progress: Progress,
    deadline: Deadline | None = None,
    *,
    made_in: Path | None = None,
    maker: Maker = PERSON,
    claims: Mapping[str, Any] | None = None,
) -> Verification:
    """Verify a source under a kernel. Faults of the source are in the result. Raises BusyError when its name is being
    verified already, BuildError without compiler or sandbox, NoMachineError without a micro-VM. The micro-VM is given
    up at the `deadline`. One that passes is proposed in sessions of `made_in`, by default the current directory.
    `maker` wrote it, or imported it with these `claims`. Raises UsageError for an ancestor that does not exist."""
    started = time.monotonic()
    reports: list[GateReport] = []
    origin = Origin(
        maker=maker,
        made_at=time.time(),
        made_from=ancestors(submission.made_from, submission.name),
        unfair_by_design=submission.unfair_by_design,
    )
    keep = functools.partial(custom.keep, made_in=made_in or Path.cwd(), origin=origin, claims=claims)
    with custom.reserved(submission.name), _scratch() as scratch:
        steps = _Steps(reports, progress, deadline)
        kept = _through_all(submission, kernel, scratch, steps, keep)
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


def _through_all(
    submission: Submission, kernel: Kernel, scratch: Path, steps: _Steps, keep: Callable[..., custom.Custom]
) -> custom.Custom | None:
    headers = build.find_headers(Path(kernel.headers) if kernel.headers else None)
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
    if not _proven(submission, kernel, object_path, knobs, steps):
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
            settings={name: (int(low), int(high)) for name, (low, high) in ends(knobs).items()},
        )
    )
    listed, reports = entry(submission, knobs), steps.reports
    return keep(submission.name, submission.source, content, listed, token, reports)


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


def _proven(submission: Submission, kernel: Kernel, object_path: Path, knobs: tuple[Knob, ...], steps: _Steps) -> bool:
    """Run gates 3 and 4. An emulated kernel dies now and then by itself, so a VM lost under the long loads is tried
    once more; `shapes` does so itself."""
    proof = _Proof(submission, kernel, object_path, steps)
    before = len(steps.reports)
    for _ in range(2):
        del steps.reports[before:]
        if proof.passes(knobs):
            return True
        if not proof.lost_vm:
            return False
    return False


class _Proof:
    """Gates 3 and 4 of one object."""

    def __init__(self, submission: Submission, kernel: Kernel, object_path: Path, steps: _Steps) -> None:
        self._submission = submission
        self._kernel = kernel
        self._object_path = object_path
        self._steps = steps
        self._libbpf = str(kernel.libbpf or SYSTEM_LIBBPF)
        self.lost_vm = False
        """Whether the VM of the long loads was lost last time."""

    def passes(self, knobs: tuple[Knob, ...]) -> bool:
        steps, self.lost_vm = self._steps, False
        steps.begin("load", f"the verifier of Linux {self._kernel.version}, in a micro-VM")
        with closing(self._booted(shapes.USUAL)) as vm:
            loaded = load_gate.check(
                self._object_path, self._submission.name, self._submission.source, vm, self._libbpf
            )
            if not self._passed(loaded):
                return False
            steps.begin("behaviour", "under loads that are known to break schedulers, beside EEVDF")
            report = self._long_loads(vm)
            if not report.passed:
                return self._passed(report)
            return steps.passed(self._in_shapes(report, vm, knobs))

    def _booted(self, machine: shapes.MachineShape) -> microvm.MicroVM:
        return booted(self._kernel, self._object_path.parent, machine, deadline=self._steps.deadline)

    def _passed(self, report: GateReport) -> bool:
        self.lost_vm = any(finding.rule == shapes.VM_LOST for finding in report.findings)
        return self._steps.passed(report)

    def _spec(self) -> AttachSpec:
        digest = seal.sha256(reading.data(self._object_path, most_bytes=reading.MOST_OBJECT_BYTES))
        return AttachSpec(self._submission.name, str(self._object_path), {}, object_sha256=digest)

    def _long_loads(self, vm: microvm.MicroVM) -> GateReport:
        return behaviour_gate.check(
            self._spec(),
            vm,
            reference=behaviour_gate.reference(vm, self._steps.within),
            declared_unfair=self._submission.unfair_by_design,
            progress=self._steps.within,
            libbpf=self._libbpf,
        )

    def _in_shapes(self, long: GateReport, vm: microvm.MicroVM, knobs: tuple[Knob, ...]) -> GateReport:
        """Return the report of gate 4 with that of the shapes. Those of the usual machine run in `vm`."""
        started, ready = time.monotonic(), [vm]

        @contextmanager
        def boot(machine: shapes.MachineShape) -> Iterator[microvm.MicroVM]:
            if machine == shapes.USUAL and ready:
                yield ready.pop()
                return
            with closing(self._booted(machine)) as other:
                yield other

        guide = self._guide()
        proven = ends(knobs)
        can_be_partial = proven.pop(PARTIAL.name, None) is not None
        findings, numbers, log = shapes.check(
            self._spec(),
            shapes.shapes(proven, can_be_partial=can_be_partial, can_expect=guide is not None),
            boot,
            progress=self._steps.within,
            libbpf=self._libbpf,
            guide=guide,
        )
        took_s = long.took_s + time.monotonic() - started
        settings = {name: [low, high] for name, (low, high) in proven.items()}
        more = {**long.numbers, "shapes": numbers, "settings": settings}
        return GateReport(long.gate, (*long.findings, *findings), more, took_s, log or long.log)

    def _guide(self) -> GuideSpec | None:
        """Return the guide for a scheduler that asks what to expect of tasks, as every such session has one; None for
        all others. Raises BuildError."""
        if not may_expect(self._object_path, str(self._kernel.libbpf) if self._kernel.libbpf else None):
            return None
        headers = Path(self._kernel.headers) if self._kernel.headers else None
        return build.guide(expected.expectations(), headers=headers)


def booted(
    kernel: Kernel,
    directory: Path,
    machine: shapes.MachineShape,
    *,
    run_margin_s: float = microvm.RUN_MARGIN_S,
    deadline: Deadline | None = None,
) -> microvm.MicroVM:
    """Boot a machine of gate 4. `directory` is where its commands begin; an answer that is late by more than
    `run_margin_s` means that the machine hangs."""
    place = Place(str(directory), False, Identity(0, 0, (0,)))
    options = microvm.VmOptions(
        machine.cpus,
        VM_MEMORY_BYTES,
        process_1=machine.process_1,
        open_memory=machine != shapes.USUAL,
        run_margin_s=run_margin_s,
    )
    return microvm.boot(kernel, place, options, "verifying a scheduler", deadline=deadline)


@contextmanager
def _scratch() -> Iterator[Path]:
    """Yield a directory that a micro-VM sees as well."""
    base = resources.cache_dir() / "verify"
    base.mkdir(parents=True, exist_ok=True)
    with closing(durable.Scratch(base, "gate")) as scratch:
        yield scratch.path
