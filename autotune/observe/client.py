# SPDX-License-Identifier: MIT
"""The client of the probe: starts it as root, says what to watch, and takes what it saw. Standard library only, since
the guest agent uses it."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from autotune.deadline import Deadline, unlimited
from autotune.errors import AutotuneError
from autotune.privilege import program_as_root, program_problem
from autotune.process import Worker
from autotune.records import ProbeSpec, RawTasks
from autotune.wire import from_json, to_json

PROBE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "probe.py")
ANSWER_S = 60.0
"""Deadline of a request: the verifier takes 2 s under emulation, and 30 MB of records as long."""
LEAST_ANSWER_S = 5.0
"""The same where the session's budget is over."""


def privilege_problem() -> str | None:
    """Return why the probe cannot be started as root, as a clause; None when it can."""
    return program_problem(PROBE)


class ProbeClient:
    """A probe that watches the descendants of one process, from the `with` statement until `end`. Raises AttachError
    when the kernel refuses it, PrivilegeError without root, AutotuneError when it dies. `guarded` (a host, not a
    micro-VM): what root would run or load is refused when somebody else could change it. No answer is waited for longer
    than the `deadline` allows."""

    def __init__(
        self, spec: ProbeSpec, pid: int, *, libbpf: str | None, guarded: bool, deadline: Deadline | None = None
    ) -> None:
        if guarded:
            _refuse_foreign(spec.object_path, libbpf)
        self._spec = spec
        self._pid = pid
        self._deadline = deadline or unlimited()
        argv = program_as_root(PROBE, *([] if libbpf is None else ["--libbpf", libbpf]))
        self._worker = Worker(argv, _lost)

    def __enter__(self) -> ProbeClient:
        try:
            self._worker.request("begin", timeout_s=self._answer_s(), pid=self._pid, **to_json(self._spec))
        except BaseException:
            self._worker.close()
            raise
        return self

    def end(self) -> RawTasks:
        """Stop watching and return what was seen."""
        return from_json(RawTasks, self._worker.request("end", timeout_s=self._answer_s()))

    def _answer_s(self) -> float:
        return self._deadline.bound(ANSWER_S, least_s=LEAST_ANSWER_S)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.close()


def _refuse_foreign(object_path: str, libbpf: str | None) -> None:
    from autotune import trust  # here, not above: no micro-VM needs it

    trust.refuse_foreign_code(Path(PROBE))
    for path in filter(None, (object_path, libbpf)):
        trust.refuse_foreign(Path(path), would="would be loaded as root", stage="observe")


def _lost(what: str) -> AutotuneError:
    return AutotuneError(f"the probe failed: {what}", hint="run again", stage="observe")
