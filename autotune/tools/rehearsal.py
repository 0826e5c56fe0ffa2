# SPDX-License-Identifier: MIT
"""Rehearsals: a scheduler is attached for a short time while planning, watched, and always detached.

One scheduler at a time. It is detached when it is stopped, when its time is up (by a timer, also while the model
thinks), and before anything is measured (`release`). While planning, every access to the machine goes through this
module and one lock, since a machine handles one request at a time.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from autotune.errors import AutotuneError
from autotune.records import Attachment, AttachSpec, Candidate, Detachment, KernelState, Sample
from autotune.schedext.kernel import ops_matches

TRIAL_S = 15.0
"""Seconds that a scheduler may stay attached."""
SAMPLE_EVERY_S = 0.5
MONITOR_S = 120.0
"""Seconds after which a forgotten monitor ends."""


@dataclass
class RehearsalRun:
    """One scheduler that was started, with the fields of `get_execution_status` (as in SchedCP)."""

    execution_id: str
    candidate: Candidate
    started_at: float
    began: float
    status: str = "running"
    """running, stopped, expired, ejected or failed."""
    duration_s: float | None = None
    output: list[str] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        ran_s = time.monotonic() - self.began if self.duration_s is None else self.duration_s
        return {
            "execution_id": self.execution_id,
            "scheduler_name": self.candidate.scheduler,
            "args": [f"{name}={value}" for name, value in self.candidate.knobs],
            "status": self.status,
            "start_time": self.started_at,
            "duration_s": round(ran_s, 3),
            "output": self.output,
        }


class Attachable(Protocol):
    """What a rehearsal needs of a machine."""

    def attach(self, spec: AttachSpec) -> Attachment: ...

    def detach(self) -> Detachment: ...

    def state(self) -> KernelState: ...

    def sample(self) -> Sample: ...


class Rehearsal:
    """Short attachments on one machine. Raises the machine's own errors (AutotuneError)."""

    def __init__(
        self, machine: Attachable, resolve: Callable[[Candidate], AttachSpec], *, limit_s: float = TRIAL_S
    ) -> None:
        self._machine = machine
        self._resolve = resolve
        self._limit_s = limit_s
        self._lock = threading.RLock()
        self._executions: dict[str, RehearsalRun] = {}
        self._running: tuple[RehearsalRun, AttachSpec] | None = None
        self._timer: threading.Timer | None = None
        self._monitors: dict[str, Monitor] = {}
        self.took_s = 0.0
        """Seconds spent attaching and detaching, which do not count as planning's own."""

    # --- schedulers ---

    def start(self, candidate: Candidate) -> RehearsalRun:
        """Attach the candidate and detach the one before it. Raises AutotuneError when that fails, and keeps the
        execution as failed."""
        with self._lock, self._timed():
            self._end("stopped")
            execution = RehearsalRun(f"exec-{len(self._executions) + 1}", candidate, time.time(), time.monotonic())
            self._executions[execution.execution_id] = execution
            try:
                spec = self._resolve(candidate)
                attachment = self._machine.attach(spec)
            except AutotuneError as error:
                execution.status, execution.duration_s = "failed", 0.0
                execution.output.append(str(error)[:500])
                raise
            execution.output.append(f"attached as {attachment.ops} in {attachment.attach_s * 1e3:.0f} ms")
            self._running = (execution, spec)
            self._timer = threading.Timer(self._limit_s, self._expire, [execution.execution_id])
            self._timer.daemon = True
            self._timer.start()
            return execution

    def status(self, execution_id: str) -> RehearsalRun | None:
        """Return the execution with its state in the kernel; None for an unknown id."""
        with self._lock:
            if self._running is not None and self._running[0].execution_id == execution_id:
                self._look(self._running[1])
            return self._executions.get(execution_id)

    def stop(self, execution_id: str) -> RehearsalRun | None:
        with self._lock, self._timed():
            if self._running is not None and self._running[0].execution_id == execution_id:
                self._end("stopped")
            return self._executions.get(execution_id)

    def release(self) -> None:
        """End monitors and detach, so that the machine is free for measuring. Never raises."""
        with self._lock, self._timed():
            for monitor in self._monitors.values():
                monitor.end()
            self._end("stopped")

    @property
    def ids(self) -> list[str]:
        return list(self._executions)

    def _expire(self, execution_id: str) -> None:
        with self._lock, self._timed():
            if self._running is not None and self._running[0].execution_id == execution_id:
                self._end("expired")

    def _look(self, spec: AttachSpec) -> None:
        """Detect an ejection by the kernel."""
        with contextlib.suppress(AutotuneError):
            if not ops_matches(spec.ops, self._machine.state().ops):
                self._end("ejected")

    def _end(self, status: str) -> None:
        if self._running is None:
            return
        (execution, _spec), self._running = self._running, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            gone = self._machine.detach()
        except AutotuneError as error:  # its holder or VM died, and the scheduler with it
            execution.output.append(str(error)[:500])
            status = "failed"
        else:
            if gone.exit is not None and gone.exit.is_error:
                status = "ejected"
                execution.output.append(f"ejected: {gone.exit.reason} {gone.exit.message}".strip()[:500])
        execution.status = status
        execution.duration_s = time.monotonic() - execution.began

    @contextlib.contextmanager
    def _timed(self) -> Any:
        started = time.monotonic()
        try:
            yield
        finally:
            self.took_s += time.monotonic() - started

    # --- watching ---

    def monitor(self) -> str:
        """Begin to sample the machine; return the monitor's id."""
        session_id = f"mon-{len(self._monitors) + 1}"
        self._monitors[session_id] = Monitor(self._sample)
        return session_id

    def stop_monitor(self, session_id: str) -> dict[str, Any] | None:
        """End the monitor and return its summary; None for an unknown id."""
        monitor = self._monitors.get(session_id)
        return None if monitor is None else monitor.end()

    @property
    def monitor_ids(self) -> list[str]:
        return list(self._monitors)

    def _sample(self) -> Sample | None:
        with self._lock:
            try:
                return self._machine.sample()
            except AutotuneError:
                return None


class Monitor:
    """Samples the machine in the background until it is ended."""

    def __init__(self, sample: Callable[[], Sample | None]) -> None:
        self._sample = sample
        self._samples: list[Sample] = []
        self._over = threading.Event()
        self._take()
        self._thread = threading.Thread(target=self._watch, name="autotune-monitor", daemon=True)
        self._thread.start()

    def _take(self) -> None:
        seen = self._sample()
        if seen is not None:
            self._samples.append(seen)

    def _watch(self) -> None:
        deadline = time.monotonic() + MONITOR_S
        while not self._over.wait(SAMPLE_EVERY_S) and time.monotonic() < deadline:
            self._take()

    def end(self) -> dict[str, Any]:
        """Stop and return the summary; the same one again when called twice."""
        if not self._over.is_set():
            self._over.set()
            self._take()
        return summary(self._samples)


def summary(samples: list[Sample]) -> dict[str, Any]:
    """Compute averages and maxima over the samples. Shares are of all CPUs, between successive samples."""
    if len(samples) < 2:
        return {"samples": len(samples), "note": "too short for a summary"}
    pairs = list(itertools.pairwise(samples))
    busy = [
        (b.counters.cpu_busy_s - a.counters.cpu_busy_s) / (b.counters.cpu_total_s - a.counters.cpu_total_s)
        for a, b in pairs
        if b.counters.cpu_total_s > a.counters.cpu_total_s
    ]
    first, last = samples[0].counters, samples[-1].counters
    span_s = max(1e-9, last.at_s - first.at_s)
    memory = [sample.memory_used_bytes for sample in samples]
    ops = sorted({sample.state.ops or "EEVDF" for sample in samples})
    return {
        "samples": len(samples),
        "duration_s": round(span_s, 3),
        "cpu_percent_average": round(100 * sum(busy) / len(busy), 1) if busy else None,
        "cpu_percent_maximum": round(100 * max(busy), 1) if busy else None,
        "memory_used_mib_average": round(sum(memory) / len(memory) / 2**20),
        "memory_used_mib_maximum": round(max(memory) / 2**20),
        "runnable_average": round(sum(sample.runnable for sample in samples) / len(samples), 1),
        "context_switches_per_s": round((last.context_switches - first.context_switches) / span_s),
        "forks_per_s": round((last.forks - first.forks) / span_s, 1),
        "run_wait_s": _grown(first.run_wait_s, last.run_wait_s),
        "timeslices": _grown(first.timeslices, last.timeslices),
        "pressure_cpu_share": _share(first.pressure_cpu_s, last.pressure_cpu_s, span_s),
        "pressure_io_share": _share(first.pressure_io_s, last.pressure_io_s, span_s),
        "pressure_memory_share": _share(first.pressure_memory_s, last.pressure_memory_s, span_s),
        "schedulers_seen": ops,
    }


def _grown(first: float | None, last: float | None) -> float | None:
    return None if first is None or last is None else round(last - first, 3)


def _share(first: float | None, last: float | None, span_s: float) -> float | None:
    grown = _grown(first, last)
    return None if grown is None else round(grown / span_s, 3)
