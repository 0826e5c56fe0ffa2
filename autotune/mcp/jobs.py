# SPDX-License-Identifier: MIT
"""Long work in processes of its own (`worker.py`): started at once, asked about later, ended with the server.

What always holds here:
- one at a time: two would disturb each other's measurements, and so would a scheduler that stays attached;
- their number and their time are bounded, whatever a client asks for;
- the process ends when its pipe closes, and is killed when it does not.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from autotune.errors import AutotuneError, BusyError, UsageError
from autotune.frozen import dataclass

PROGRAM = str(Path(__file__).with_name("worker.py"))
MOST_LINE_BYTES = 1 << 20
MOST_LINES = 200
MOST_KEPT = 50
STEPS = ((None, 45.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))
"""How one is ended: its pipe is closed first, so that it restores the machine; and how long each step may take."""


CLIENT: ContextVar[str | None] = ContextVar("client", default=None)
"""The session of the client that calls, where it has one that it may close: over HTTP, by an older protocol."""


@dataclass(frozen=True)
class Allowance:
    """What all work of one server may take."""

    sessions: int = 20
    time_s: float = 4 * 3600.0


class Work:
    """One piece of long work. `update` gets each change of its state, from another thread."""

    def __init__(self, name: str, kind: str, argv: Sequence[str], job: dict[str, Any]) -> None:
        self.name = name
        self.kind = kind
        self.client = CLIENT.get()
        self.started_s = time.monotonic()
        self.step = "Starting"
        self.runs = 0
        self.attached: str | None = None
        self.lines: deque[str] = deque(maxlen=MOST_LINES)
        self.result: dict[str, Any] | None = None
        self.error: str | None = None
        self.elapsed_s = 0.0
        self._over = threading.Event()
        self._stopped = False
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(job).encode() + b"\n")
            self._process.stdin.flush()
        threading.Thread(target=self._listen, name=f"autotune-{name}", daemon=True).start()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    @property
    def status(self) -> str:
        if not self.is_over:
            return "stopping" if self._stopped else "running"
        if self.result is not None and not self.result.get("interrupted") and not self.result.get("failure"):
            return "finished"
        return "stopped" if self._stopped else "failed"

    def took_s(self) -> float:
        return self.elapsed_s if self.is_over else time.monotonic() - self.started_s

    def stop(self) -> None:
        """Begin to end it; again does nothing."""
        if self._stopped or self.is_over:
            return
        self._stopped = True
        threading.Thread(target=self._end, name=f"autotune-end-{self.name}", daemon=True).start()

    def wait(self, limit_s: float) -> bool:
        """Wait until it is over; return whether it is."""
        return self._over.wait(limit_s)

    def _end(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        for number, limit_s in STEPS:
            if number is not None and not self.is_over:
                with contextlib.suppress(OSError):
                    os.killpg(self._process.pid, number)
            if self.wait(limit_s):
                return

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            while line := self._process.stdout.readline(MOST_LINE_BYTES):
                self._hear(line)
        self._process.wait()
        self.elapsed_s = time.monotonic() - self.started_s
        if self.result is None and self.error is None:
            self.error = _how_it_ended(self._process.returncode)
        self._over.set()

    def _hear(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        if not isinstance(said, dict):
            return
        if isinstance(said.get("line"), str):
            self.lines.append(said["line"])
        self.step = said.get("step") or self.step
        self.runs = said.get("runs", self.runs)
        self.attached = said.get("attached", self.attached)
        self.result = said.get("done", self.result)
        self.error = said.get("error", self.error)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"it ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"its process was ended by {signal.Signals(-code).name}; history_search knows the runs until then"
    return f"its process was ended by signal {-code}"


class Works:
    """All long work of one server. `argv` is the worker; tests give another."""

    def __init__(self, allowance: Allowance, argv: Sequence[str] = (sys.executable, "-I", PROGRAM)) -> None:
        self._allowance = allowance
        self._argv = argv
        self._all: dict[str, Work] = {}
        self._started = 0
        self._forgotten_s = 0.0
        self._lock = threading.Lock()
        self._closed = False
        self._heard_s = time.monotonic()

    def heard(self) -> None:
        """Note that a client is there."""
        self._heard_s = time.monotonic()

    def start(self, kind: str, job: Callable[[float], dict[str, Any]]) -> Work:
        """Start work; `job` gets the seconds that are left for it. Raises BusyError, UsageError."""
        with self._lock:
            left_s = self._admit()
            name = f"{kind}-{self._started + 1}"
            work = Work(name, kind, self._argv, {"kind": kind, **job(left_s)})
            self._started += 1
            self._all[name] = work
            if kind != "apply":
                _stop_after(work, left_s)
            return work

    def _admit(self) -> float:
        self._forget()
        if self._closed:
            raise AutotuneError("the server is ending")
        busy = next((one for one in self._all.values() if not one.is_over), None)
        if busy is not None:
            raise BusyError(f"{busy.name} is {busy.status}", hint="wait for its end, or stop it (tuning_stop, release)")
        left_s = self._allowance.time_s - self._forgotten_s - sum(map(_counted_s, self._all.values()))
        if self._started >= self._allowance.sessions or left_s <= 0:
            raise UsageError(
                "this server has done as much as its --max-sessions and --max-time allow",
                hint="the person who started it may start it again",
            )
        return left_s

    def _forget(self) -> None:
        """Keep the newest, and the time that the others took."""
        for name in list(self._all)[: max(0, len(self._all) - MOST_KEPT)]:
            if self._all[name].is_over:
                self._forgotten_s += _counted_s(self._all.pop(name))

    def get(self, name: str, kinds: Sequence[str]) -> Work | None:
        work = self._all.get(name)
        return work if work is not None and work.kind in kinds else None

    def names(self, kinds: Sequence[str]) -> list[str]:
        return [one.name for one in self._all.values() if one.kind in kinds]

    def running(self, kind: str) -> Work | None:
        return next((one for one in self._all.values() if one.kind == kind and not one.is_over), None)

    def stop_forgotten(self, silence_s: float) -> None:
        """Stop everything when no client was heard for so long: whoever started it has vanished."""
        if time.monotonic() - self._heard_s > silence_s:
            for one in list(self._all.values()):
                one.stop()

    def stop_of(self, client: str) -> None:
        """Stop what a client started, which has closed its session."""
        for one in list(self._all.values()):
            if one.client == client:
                one.stop()

    def close(self) -> None:
        """End everything, in order, and wait for it."""
        with self._lock:
            self._closed = True
        for one in self._all.values():
            one.stop()
        deadline = time.monotonic() + sum(limit_s for _, limit_s in STEPS)
        for one in self._all.values():
            one.wait(max(0.0, deadline - time.monotonic()))


def _counted_s(work: Work) -> float:
    """Return the time that counts against the allowance: a scheduler that is applied costs none."""
    return 0.0 if work.kind == "apply" else work.took_s()


def _stop_after(work: Work, limit_s: float) -> None:
    timer = threading.Timer(min(limit_s, threading.TIMEOUT_MAX), work.stop)
    timer.daemon = True
    timer.start()
