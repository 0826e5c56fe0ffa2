# SPDX-License-Identifier: MIT
"""The client of the holder, and the evidence that a run was scheduled by its candidate.

Standard library only, since the guest agent uses it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from autotune.errors import AutotuneError, HolderLost, PrivilegeError
from autotune.process import Worker
from autotune.records import (
    Attachment,
    AttachSpec,
    Detachment,
    Evidence,
    KernelState,
    SchedulerExit,
    from_json,
    to_json,
)
from autotune.schedext import holder
from autotune.schedext.kernel import ops_matches, read_state, wait_for

ANSWER_S = 60.0
"""Deadline of a switch: loading may take seconds under emulation."""
LET_GO_S = 5.0


def holder_argv(libbpf: str | None) -> list[str]:
    """How the holder is started: as root directly, else through `sudo -n`. Raises PrivilegeError without either."""
    python = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    argv = [python, "-S", "-E", "-I", os.path.realpath(holder.__file__)]
    if libbpf is not None:
        argv += ["--libbpf", libbpf]
    if os.geteuid() == 0:
        return argv
    sudo = shutil.which("sudo")
    if sudo is None:
        raise PrivilegeError("switching schedulers needs root, and there is no sudo", hint="run as root")
    asked = subprocess.run([sudo, "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if asked.returncode != 0:
        raise PrivilegeError(
            "switching schedulers needs root, and sudo asks for a password",
            hint="run 'sudo -v' first, run as root, or use --machine vm",
        )
    return [sudo, "-n", "--", *argv]


class Holder:
    """A holder process. Raises what it raises; HolderLost when it dies, by when the kernel has let go."""

    def __init__(self, *, libbpf: str | None = None) -> None:
        self._worker = Worker(holder_argv(libbpf), _lost)

    def attach(self, spec: AttachSpec) -> Attachment:
        answer = self._worker.request("attach", timeout_s=ANSWER_S, spec=to_json(spec))
        return from_json(Attachment, answer)

    def detach(self) -> Detachment:
        return from_json(Detachment, self._worker.request("detach", timeout_s=ANSWER_S))

    def exit_record(self) -> SchedulerExit | None:
        """Why the held scheduler went; None while it runs."""
        answer = self._worker.request("exit", timeout_s=ANSWER_S)
        return None if answer is None else from_json(SchedulerExit, answer)

    def close(self) -> None:
        """Let go of everything; the kernel is back on its own scheduler when this returns. Never raises."""
        self._worker.close()


def _lost(what: str) -> HolderLost:
    gone, state = wait_for(lambda seen: seen.state in ("disabled", "unsupported"), LET_GO_S)
    ending = "the kernel is back on its own scheduler" if gone else f"sched_ext is still {state.state}"
    return HolderLost(f"the holder of the scheduler failed: {what}; {ending}", hint="run again")


class EvidenceTaker:
    """Looks at the kernel before and after a run. `holder` is asked why a scheduler went; None for the baseline."""

    def __init__(self, holder: Holder | None) -> None:
        self._holder = holder
        self._expected: str | None = None
        self._before: KernelState | None = None

    def begin(self, expected_ops: str | None) -> None:
        """Look before the run. `expected_ops` is None for the kernel's own scheduler."""
        self._expected = expected_ops
        self._before = read_state()

    def finish(self) -> Evidence:
        """Look after the run and compare."""
        assert self._before is not None
        after = read_state()
        problem = compare(self._expected, self._before, after)
        if problem is not None and self._expected is not None:
            problem = self._reason() or problem
        return Evidence(self._expected, self._before, after, problem)

    def _reason(self) -> str | None:
        """The kernel's own word on why the scheduler went."""
        try:
            gone = self._holder.exit_record() if self._holder is not None else None
        except HolderLost:
            return "the holder of the scheduler died"
        except AutotuneError:
            return None
        return None if gone is None else exit_text(gone)


def exit_text(gone: SchedulerExit) -> str:
    """Why a scheduler went, in the table's words."""
    reason = gone.reason.lower() or f"exit kind {gone.kind}"
    more = f" ({gone.message.splitlines()[0]})" if gone.message else ""
    return f"{'ejected' if gone.is_error else 'left'}: {reason}{more}"


def compare(expected: str | None, before: KernelState, after: KernelState) -> str | None:
    """What is wrong with a run's scheduler; None when the expected one was in charge from before to after."""
    if before.enable_seq != after.enable_seq:
        return "another scheduler was attached during the run"
    for when, state in (("before", before), ("after", after)):
        if expected is None:
            if state.state not in ("disabled", "unsupported"):
                return f"the sched_ext scheduler '{state.ops}' was attached {when} the run"
        elif state.state != "enabled":
            return f"{expected} was not attached {when} the run (state {state.state})"
        elif not ops_matches(expected, state.ops):
            return f"'{state.ops}' was attached {when} the run instead of {expected}"
    return None
