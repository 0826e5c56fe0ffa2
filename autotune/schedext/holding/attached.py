# SPDX-License-Identifier: MIT
"""A scheduler that the holder attaches: one of our objects with its BPF link, or a program. The holder treats both
alike: attach, exit record, detach, close. Standard library only; runs as root."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from autotune.errors import AttachError
from autotune.records import AttachSpec, KernelState, Output, ProgramSpec, SchedulerExit
from autotune.schedext.holding import guide, last_words
from autotune.schedext.holding.guide import Guide
from autotune.schedext.holding.program import RunningProgram
from autotune.schedext.holding.progress import Progress
from autotune.schedext.kernel import KernelLog, exit_in_log, in_kernel_words, kind_of, ops_matches, wait_for
from autotune.schedext.libbpf import BpfObject, Libbpf

CONFIRM_S = 15.0
"""How long the kernel may take to confirm a switch; an emulated machine under load is slow."""


class AttachedScheduler(Protocol):
    """A scheduler that the holder attaches and detaches."""

    ops: str

    @property
    def log(self) -> Output | None:
        """Output of a program; None for an object."""

    def attach(self, before: KernelState) -> KernelState:
        """Attach and confirm. Returns the kernel's state afterwards. Raises AttachError."""

    def detach(self) -> str:
        """Begin to detach. Returns a note about anything unusual, else an empty text."""

    def exit_record(self) -> SchedulerExit | None:
        """Return why it was detached; None while it is attached."""

    def close(self) -> None: ...


def attached_since(before: KernelState, ops: str) -> Callable[[KernelState], bool]:
    """Make a check that `ops` was attached after `before`."""
    return lambda seen: seen.state == "enabled" and ops_matches(ops, seen.ops) and seen.enable_seq > before.enable_seq


class AttachedObject:
    """One of our objects, opened, with the guide that it asks for."""

    log: Output | None = None

    def __init__(self, spec: AttachSpec, lib: Libbpf) -> None:
        self.ops = spec.ops
        self.found = lib.open(spec.object_path, spec.object_sha256)
        self._guide: Guide | None = None
        self._is_generated = spec.generated
        self._log = KernelLog()
        self._messages: list[str] = []
        try:
            _configure(self.found, spec)
            if spec.guide is not None and guide.asks(self.found):
                self._guide = Guide(lib, spec.guide)
                self._guide.lend(self.found)
        except BaseException:
            self.close()
            raise

    def attach(self, before: KernelState) -> KernelState:
        self.found.load()
        if self._guide is not None:
            self._guide.attach()  # before the scheduler: it is to know the first task that is forked
        self.found.attach()
        # The kernel attaches before the call returns: "disabled" now means that the scheduler is gone already.
        attached = attached_since(before, self.ops)
        _, state = wait_for(lambda seen: attached(seen) or seen.state == "disabled", CONFIRM_S)
        if attached(state):
            return state
        gone = self.exit_record()
        why = f"{gone.reason}: {gone.message}".strip(": ") if gone else f"state {state.state}, ops {state.ops}"
        raise AttachError(f"{self.ops} was not confirmed as attached: {why}")

    def detach(self) -> str:
        self.found.detach()
        return ""

    def exit_record(self) -> SchedulerExit | None:
        """Read the object's own record, else the kernel's log; of a generated one only the kernel's words."""
        record = self.found.exit_record()
        if record is not None and not self._is_generated:
            return record
        self._messages += self._log.read()
        logged = exit_in_log(self._messages, self.ops)
        return in_kernel_words(record, logged) if self._is_generated else logged

    def close(self) -> None:
        self.found.close()
        if self._guide is not None:
            self._guide.close()
        self._log.close()


def _configure(found: BpfObject, spec: AttachSpec) -> None:
    shown = found.ops_name()
    if not ops_matches(spec.ops, shown):
        name = os.path.basename(spec.object_path)
        raise AttachError(f"{name} contains the scheduler '{shown}', not '{spec.ops}'")
    for name, value in spec.rodata.items():
        found.set_knob(name, value)
    if spec.partial:
        found.set_knob("partial", True)
        found.set_partial()


class AttachedProgram:
    """A program that attaches its scheduler itself."""

    def __init__(self, ops: str, spec: ProgramSpec, token: str | None = None) -> None:
        self.ops = ops
        self._start_s = spec.start_s
        self._log = KernelLog()
        self._messages: list[str] = []
        try:
            self.program = RunningProgram(spec, token)
        except BaseException:
            self._log.close()
            raise

    @property
    def log(self) -> Output | None:
        return self.program.output()

    def attach(self, before: KernelState) -> KernelState:
        attached = attached_since(before, self.ops)
        progress = Progress(self.program.pids)

        def decided(seen: KernelState) -> bool:
            return attached(seen) or self.program.ended() or _other(seen, self.ops) or progress.problem() is not None

        _, state = wait_for(decided, self._start_s)
        if attached(state) and not self.program.ended():
            self.program.guard.watch(state.ops or self.ops, state.enable_seq)
            return state
        why = self._why_not(state, progress)
        self.program.stop()
        raise AttachError(f"{self.program.name} {why}", hint="--debug shows its output", detail=self.program.text())

    def _why_not(self, state: KernelState, progress: Progress) -> str:
        """Return why it is not attached, as a phrase that follows the program's name."""
        program = self.program
        if _other(state, self.ops):
            return f"attached the scheduler '{state.ops}', not '{self.ops}'"
        if not program.ended():
            return progress.problem() or f"was not attached within {round(self._start_s, 1):g} s"
        ending = program.ending().removeprefix("it ")
        if program.strays():
            return f"went to the background ({ending}): it must stay in the foreground"
        words = last_words.last_words(program.text())
        return f"{ending} before it was attached{': ' if words else ''}{words}"

    def detach(self) -> str:
        return self.program.stop()

    def exit_record(self) -> SchedulerExit | None:
        """Read the kernel's log, else what the program printed last, else how its process ended."""
        self._messages += self._log.read()
        record = exit_in_log(self._messages, self.ops)
        ending = self.program.ending()
        if record is not None:
            return record if record.is_error or not ending else replace(record, message=ending)
        printed = last_words.exit_line(self.program.text())
        if printed is not None:
            return SchedulerExit(kind_of(printed[0]), 0, *printed)
        return SchedulerExit(_LEFT, 0, "its process is gone", ending) if ending else None

    def close(self) -> None:
        self.program.stop()
        self._log.close()


_LEFT = 64
"""The kernel's SCX_EXIT_UNREG: the exit kind of a scheduler whose process ended."""


def _other(seen: KernelState, ops: str) -> bool:
    """Return whether another scheduler is attached."""
    return seen.state == "enabled" and seen.ops is not None and not ops_matches(ops, seen.ops)
