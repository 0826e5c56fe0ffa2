# SPDX-License-Identifier: MIT
"""The client of the measuring helper: starts it as the right user, requests runs, ends it with its workload.

Standard library only, since the guest agent uses it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from binascii import a2b_base64
from collections.abc import Callable
from types import TracebackType

from autotune.errors import RunnerLost
from autotune.frozen import dataclass
from autotune.measure import descendants, pristine
from autotune.process import LOOK_EVERY_S, EventHandler, Worker, is_stopped
from autotune.records import Identity, Run, RunSpec, Snapshot
from autotune.wire import from_json, to_json

BOOTSTRAP = """\
import sys
sys.path.insert(0, sys.argv[1].rpartition("/autotune/")[0])
from autotune.runner import main
main(sys.argv[2:])
"""
"""Starts the helper as a module: Python would compile a program file at every start."""

START_S = 30.0
"""Deadline of the helper's start: 20 ms on a quiet host, seconds under emulation on a busy one."""
RUN_MARGIN_S = 30.0
"""Time that a run may take beyond its own limit: SIGTERM, grace, SIGKILL, reaping."""
STOPPED_S = 3.0
"""How long a helper may be stopped by a signal until it counts as lost."""
LOST_GRACE_S = 3.0
"""How long a helper that does not answer may take to end its workload before it is killed."""
GUARD_S = 5.0
"""How long its guard may take to end the workload of a helper that was killed."""
CLOSE_S = 10.0
"""How long a helper may take to end what setup or prepare left running."""
_NOTE_PAGE_BYTES = 4096

OutputHandler = Callable[[str, bytes], None]


@dataclass(frozen=True)
class PristineSpec:
    """Cover `cwd` with an overlay whose writes go below the existing directory `scratch` and are discarded with the
    runner."""

    cwd: str
    scratch: str


def shell_argv(command: str, shell: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Turn a command line for a shell, by default sh, into an argument vector."""
    return (*(shell or ("sh",)), "-c", command)


def helper_python() -> str:
    """Return the interpreter itself: the link in a virtual environment costs a search at every start."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def inherited_descriptors() -> tuple[int, ...]:
    """Return the descriptors above 2 that this process was started with, such as those of make's jobserver: the command
    would have them by hand. Python's own are never inheritable (PEP 446)."""
    found = []
    with contextlib.suppress(OSError):
        found = [int(name) for name in os.listdir("/proc/self/fd")]
    return tuple(sorted(fd for fd in found if fd > 2 and _is_inheritable(fd)))


def _is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:  # the one that listed them
        return False


class Runner:
    """Measures runs in a helper process, as `identity` (None: as our own user). With `pristine` all runs of this runner
    share one disposable view of the directory. Raises AutotuneError when the user or the overlay is not available, and
    RunnerLost, here or later, when the helper dies."""

    def __init__(
        self, identity: Identity | None = None, *, python: str | None = None, pristine: PristineSpec | None = None
    ) -> None:
        self._layers: str | None = None
        self._note_fd = os.memfd_create("autotune-run")
        os.truncate(self._note_fd, _NOTE_PAGE_BYTES)
        try:
            self._worker = _Guarded(self._argv(python), _lost, pass_fds=(self._note_fd, *inherited_descriptors()))
        except BaseException:
            os.close(self._note_fd)
            raise
        try:
            self._begin(identity, pristine)
        except BaseException:
            self.close()
            raise

    def _argv(self, python: str | None) -> list[str]:
        program = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "runner.py")
        return [python or helper_python(), "-S", "-E", "-I", "-c", BOOTSTRAP, program, str(self._note_fd)]

    def _begin(self, identity: Identity | None, spec: PristineSpec | None) -> None:
        files = None
        if spec is not None:
            self._layers = pristine.make_layers(spec.scratch)
            files = {"cwd": spec.cwd, "layers": self._layers}
        answer = self._ask("begin", START_S, identity=to_json(identity), pristine=files)
        assert isinstance(answer, dict)
        self._worker.learn(int(answer["pid"]))

    @property
    def alive(self) -> bool:
        """Whether the helper still runs. False once it ended, by itself or because it was lost."""
        return self._worker.gone() is None

    @property
    def pid(self) -> int:
        """The helper, which starts the commands."""
        return self._worker.helper

    def run(self, spec: RunSpec, on_output: OutputHandler | None = None) -> Run:
        """Run a command and measure it; a command that fails or cannot be started is not an error. `on_output` gets
        the output as it comes when `spec.stream` is set. Raises UsageError for an invalid expression, Interrupted after
        `cancel`, RunnerLost when the helper dies or is 30 s over the run's limit. Any other exception that leaves this
        call, such as KeyboardInterrupt, cancels the run."""
        limit_s = None if spec.timeout_s is None else spec.timeout_s + RUN_MARGIN_S
        stops = _Stops(self._worker)
        try:
            answer = self._ask("run", limit_s, _to_output(on_output), look=stops.look, spec=to_json(spec))
        except RunnerLost:
            raise
        except BaseException:
            self.cancel()
            raise
        if stops.seen_s:
            raise _lost("it was stopped (SIGSTOP) for a while, and measured too much")
        return from_json(Run, answer)

    def snapshot(self) -> Snapshot:
        """Read the counters of the machine that the helper is on."""
        return from_json(Snapshot, self._ask("snapshot", START_S))

    def _ask(
        self,
        op: str,
        timeout_s: float | None,
        on_event: EventHandler | None = None,
        look: Callable[[], None] | None = None,
        **fields: object,
    ) -> object:
        try:
            return self._worker.request(op, timeout_s=timeout_s, on_event=on_event, look=look, **fields)
        except RunnerLost:
            self._worker.close(LOST_GRACE_S)
            self._end_orphans()
            raise

    def cancel(self) -> None:
        """Cancel the current run, which then raises Interrupted; do nothing when there is none. May be called from
        another thread; never raises."""
        self._worker.notify("cancel")

    def close(self) -> None:
        """End the helper with its workload and remove the overlay; never raises; may be called again."""
        self._worker.close(CLOSE_S)
        self._end_orphans()
        if self._layers is not None:
            pristine.remove_layers(self._layers)
            self._layers = None

    def _end_orphans(self) -> None:
        """End the workload of a helper that died without doing so: killed, or out of memory."""
        note_fd, self._note_fd = self._note_fd, -1
        if note_fd < 0:
            return
        sessions = [int(number) for number in os.pread(note_fd, _NOTE_PAGE_BYTES, 0).strip(b"\0 ").split()]
        os.close(note_fd)
        for session in sessions:
            if session > 0:
                descendants.kill_session(session)

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Guarded(Worker):
    """The process that was started is the guard of the helper; `helper` is its number, once `learn` was told."""

    helper = 0
    _helper_fd = -1

    def learn(self, helper: int) -> None:
        """Note the helper's number, and hold on to it."""
        self.helper = helper
        with contextlib.suppress(OSError):
            self._helper_fd = os.pidfd_open(helper)

    def is_stopped(self) -> bool:
        return is_stopped(self.helper)

    def close(self, grace_s: float = 5.0) -> int | None:
        code = super().close(grace_s)
        helper_fd, self._helper_fd = self._helper_fd, -1
        if helper_fd >= 0:
            os.close(helper_fd)
        return code

    def kill(self) -> None:
        """Kill the helper first: then its guard ends the workload, and itself."""
        if self._helper_fd >= 0:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._helper_fd, signal.SIGKILL)
            if self._ended_within(GUARD_S):
                return
        super().kill()


class _Stops:
    """Watches whether the helper is stopped: a command may stop its parent."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.seen_s = 0.0

    def look(self) -> None:
        """Look once. Raises RunnerLost when the helper has been stopped for too long."""
        if self._worker.is_stopped():
            self.seen_s += LOOK_EVERY_S
            if self.seen_s >= STOPPED_S:
                raise _lost("it was stopped (SIGSTOP), maybe by the command")


def _to_output(on_output: OutputHandler | None) -> EventHandler | None:
    if on_output is None:
        return None
    return lambda event: on_output(str(event["output"]), a2b_base64(event["data"]))


def _lost(what: str) -> RunnerLost:
    return RunnerLost(f"the process that measures runs failed: {what}", hint="run again")
