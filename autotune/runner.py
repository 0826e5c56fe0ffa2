# SPDX-License-Identifier: MIT
"""The measuring helper: one measured run of one command after another, in a small process that does nothing else.

Why a process of its own: it becomes the invoking user before it starts anything; when autotune is killed, it
sees its pipe close and ends the workload; and its size shows in the workload's numbers. The kernel counts
the spawning process's memory as the child's until exec, so no peak below this helper's own (about 13 MiB) can be
seen: hence no record classes here, but the wire's dictionaries, which carry the fields of `records.RunSpec` and
`records.Run`.

Method: `posix_spawn` into a session of its own, the monotonic clock from just before that to the reaping by
`wait4`, as soon as the pidfd shows that the command has ended. One thread; it drains both streams meanwhile. The
helper is a child subreaper, and what a command leaves behind is ended before the next one begins. Its parent, the
guard, does nothing but wait for it: when the helper is killed, the guard ends what the command left.

Started as `python -S -E -I .../autotune/runner.py NOTE_FD`; `measure.client.Runner` is its client. Operations: `begin`,
`run`, `snapshot`; `cancel`, sent while a run is going, ends that run. Standard library only, and everything is imported
at the start: after `begin` the user may not be able to read the files of this program.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import mmap
import os
import resource  # noqa: F401 - os.wait4 imports it at its first call, when this user may not be able to read it
import select
import signal
import sys
import time
from binascii import b2a_base64
from collections import deque
from collections.abc import Iterable
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, __file__.rpartition("/autotune/")[0])

from autotune.errors import AutotuneError, Interrupted, PrivilegeError, is_of_the_system
from autotune.measure import descendants
from autotune.measure.capture import KeptOutput, MetricSearch
from autotune.measure.counters import counters
from autotune.measure.spawning import (
    IGNORED_HERE,
    Signals,
    find_program,
    scheduled_ext,
    spawn,
    start_error,
    wake_up,
)
from autotune.process import Channel, ChannelClosed, ChannelTimeout, EventHandler, Message, serve

TERM_GRACE_S = 2.0
"""From SIGTERM to SIGKILL when a run has used up its time."""
CANCEL_GRACE_S = 0.5
"""The same for a cancelled run, and for what a command left behind: enough for make to remove half-made files."""
UNKILLABLE_S = 5.0
"""Time under SIGKILL after which waiting stops: the command runs as another user, or hangs inside the kernel."""

NOTE_BYTES = 16
"""Size of the memory shared with the client. It holds the session that runs now, and that of what setup or prepare
left, as decimal digits; 0 for none."""

_CHUNK_BYTES = 1 << 16
_PIPE_BYTES = 1 << 18
_DRAIN_AT_MOST = 1 << 10
"""Chunks read after the end, in case a process that cannot be ended goes on writing."""
_KILL_AGAIN_S = 0.05
_REAP_EVERY_S = 1.0
_PR_SET_CHILD_SUBREAPER = 36
KEEPING = ("setup", "prepare")
"""Stages whose processes may run on."""


class Control(Channel):
    """The channel to the client, which during a run is also checked for `cancel` and for its end."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        super().__init__(read_fd, write_fd)
        self._waiting: deque[Message] = deque()

    def receive(self, timeout_s: float | None = None) -> Message:
        return self._waiting.popleft() if self._waiting else super().receive(timeout_s)

    def cancelled(self) -> bool:
        """Return whether a `cancel` has come; other requests wait for their turn. Raises ChannelClosed at the end."""
        cancelled = False
        with contextlib.suppress(ChannelTimeout):
            while True:
                message = super().receive(0)
                if message.get("op") == "cancel":
                    cancelled = True
                else:
                    self._waiting.append(message)
        return cancelled


class Stream:
    """One output stream of the command: its pipe, and the part of its output that is kept, searched and sent on.

    The writing end stays open here until the run is over, so a command that closes its end early is no event."""

    def __init__(self, name: str, spec: Message, searches: list[MetricSearch], emit: EventHandler) -> None:
        self.name = name
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        with contextlib.suppress(OSError):  # a larger pipe wakes this process less often; refused past a quota
            fcntl.fcntl(self.read_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.kept = KeptOutput(spec["keep_bytes"])
        self._searches = searches
        self._emit = emit if spec["stream"] else None

    def take(self) -> bool:
        """Read once. Returns False when nothing is there now."""
        try:
            chunk = os.read(self.read_fd, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        self.kept.add(chunk)
        for search in self._searches:
            search.add(self.name, chunk)
        if self._emit is not None:
            self._emit({"output": self.name, "data": b2a_base64(chunk, newline=False).decode()})
        return True

    def take_rest(self) -> None:
        """Read what is there, without waiting for anybody who still has the other end open."""
        for _ in range(_DRAIN_AT_MOST):
            if not self.take():
                return

    def close(self) -> None:
        os.close(self.read_fd)
        os.close(self.write_fd)


class RunLimits:
    """The deadlines of a run: when to end it, when to kill it, and when that counts as failed. Monotonic seconds."""

    def __init__(self, timeout_s: float | None) -> None:
        now = time.monotonic()
        self.ask_at = None if timeout_s is None else now + timeout_s
        self.kill_at: float | None = None
        self.give_up_at = now
        self.reap_at = now + _REAP_EVERY_S

    def ending(self, grace_s: float) -> None:
        now = time.monotonic()
        self.kill_at = now + grace_s
        self.give_up_at = now + grace_s + UNKILLABLE_S

    def wait_ms(self) -> float:
        due = min(at for at in (self.reap_at, self.kill_at or self.ask_at) if at is not None)
        return max(0.0, due - time.monotonic()) * 1000

    def grace_left_s(self) -> float:
        """Return the time left for what remains of the command once it has ended itself."""
        return CANCEL_GRACE_S if self.kill_at is None else max(0.0, self.kill_at - time.monotonic())


class Room:
    """What the runs of this helper share: the signals they inherit, the processes that setup or prepare left, and the
    note for the client in case this helper dies: the sessions that it then has to end."""

    def __init__(self, note: mmap.mmap | None, signals: Signals) -> None:
        self.signals = signals
        self._note = note
        self._kept = descendants.KeptProcesses()
        self._kept_session = 0

    def mark(self, session: int) -> None:
        """Note the session of the run that has begun; 0 when it has ended."""
        if self._note is not None:
            self._note[:NOTE_BYTES] = (b"%d %d" % (session, self._kept_session)).ljust(NOTE_BYTES)

    def keep(self, session: int, streams: Iterable[int]) -> int:
        """Let what the command of this session left run on. Returns how many processes there are."""
        left = self._kept.keep(streams)
        self._kept_session = session if left else 0
        self.mark(0)
        return left

    def end(self, grace_s: float) -> descendants.Ended:
        """End all that runs, after a longer grace what setup or prepare left."""
        ended = descendants.end_leftovers(max(grace_s, TERM_GRACE_S) if self._kept_session else grace_s, self._kept)
        self._kept_session = 0
        self.mark(0)
        return ended

    def end_others(self, grace_s: float) -> descendants.Ended:
        """End what the command left, but not what setup or prepare did."""
        ended = descendants.end_others(grace_s, self._kept)
        self.mark(0)
        return ended


class RunningWorkload:
    """One command from its spawn until nothing of it is left."""

    def __init__(self, spec: Message, control: Control, emit: EventHandler, room: Room) -> None:
        self._spec = spec
        self._control = control
        self._room = room
        self._metric = MetricSearch(spec["metric_regex"]) if spec["metric_regex"] is not None else None
        self._more = [MetricSearch(one) for one in spec["more_regexes"]]
        searches = [*([self._metric] if self._metric is not None else []), *self._more]
        self._searches = searches
        self._streams = [Stream(name, spec, searches, emit) for name in ("stdout", "stderr")]
        self._limits = RunLimits(spec["timeout_s"])
        self._poller = select.poll()
        self._stdin = -1
        self._pid = 0
        self._pidfd = -1
        self._started_at = 0.0
        self._ended_at: float | None = None
        self._status = 0
        self._usage: Any = None
        self._timed_out = False
        self._cancelled = False
        self._gone: ChannelClosed | None = None
        self._ended = descendants.Ended()

    def measure(self) -> Message:
        """Run the command and return the fields of `records.Run`. Raises Interrupted when it was cancelled,
        ChannelClosed when the client is gone, AutotuneError when the command cannot be ended; nothing of it is left in
        any case that the kernel allows."""
        try:
            error = self._start()
            if error is not None:
                return self._not_started(error)
            self._watch()
            self._finish()
        finally:
            self._leave()
        if self._gone is not None:
            raise self._gone
        if self._cancelled:
            raise Interrupted("the run was cancelled", stage="run")
        return self._result()

    # --- the start ---

    def _start(self) -> str | None:
        """Spawn the command. Returns why that failed, None when it did not. Raises OSError where a limit of the system
        is the reason: the command is not to blame."""
        try:
            os.chdir(self._spec["cwd"])
        except OSError as error:
            return f"cannot enter the directory {self._spec['cwd']}: {error.strerror}"
        try:
            self._stdin = os.open(self._spec["stdin_path"] or "/dev/null", os.O_RDONLY)
        except OSError as error:
            if is_of_the_system(error):
                raise
            return f"cannot read the input {self._spec['stdin_path'] or '/dev/null'}: {error.strerror}"
        try:
            self._spawn()
        except (OSError, ValueError) as error:
            if is_of_the_system(error):
                raise
            return start_error(self._spec["argv"], error)
        return None

    def _spawn(self) -> None:
        """Spawn. All that could be done before the spawn or after the run is done there: this process would take the
        CPU from a short command."""
        argv = [os.fsencode(word) for word in self._spec["argv"]]
        env = {os.fsencode(name): os.fsencode(value) for name, value in self._spec["env"].items()}
        path = find_program(argv, env)
        actions = [(os.POSIX_SPAWN_DUP2, self._stdin, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, stream.write_fd, fd) for fd, stream in enumerate(self._streams, 1)]
        for fd in (self._control.read_fd, *(stream.read_fd for stream in self._streams)):
            self._poller.register(fd, select.POLLIN)
        wake_up(env, actions, self._room.signals)
        with scheduled_ext(self._spec["policy_ext"]):
            self._limits = RunLimits(self._spec["timeout_s"])
            self._started_at = time.monotonic()
            self._pid = spawn(path, argv, env, actions, self._room.signals)

    # --- while it runs ---

    def _watch(self) -> None:
        poller = self._poller
        self._pidfd = os.pidfd_open(self._pid)
        poller.register(self._pidfd, select.POLLIN)
        self._room.mark(self._pid)
        while True:
            ready = [fd for fd, _ in poller.poll(self._limits.wait_ms())]
            if self._pidfd in ready:
                _, self._status, self._usage = os.wait4(self._pid, 0)
                self._ended_at = time.monotonic()
                return
            self._take_output(ready)
            if self._control.read_fd in ready and self._heed_control():
                poller.unregister(self._control.read_fd)
            self._heed_clock()

    def _take_output(self, ready: list[int]) -> None:
        try:
            for stream in self._streams:
                if stream.read_fd in ready:
                    stream.take()
        except ChannelClosed as gone:
            self._lose_client(gone)

    def _heed_control(self) -> bool:
        """Return whether nothing more can come from the client."""
        try:
            if self._control.cancelled() and not self._cancelled:
                self._cancelled = True
                self._end(CANCEL_GRACE_S)
        except ChannelClosed as gone:
            self._lose_client(gone)
        return self._gone is not None

    def _lose_client(self, gone: ChannelClosed) -> None:
        if self._gone is None:
            self._gone = gone
            self._end(CANCEL_GRACE_S)

    def _end(self, grace_s: float) -> None:
        descendants.ask_to_end(self._pid)
        self._limits.ending(grace_s)

    def _heed_clock(self) -> None:
        now, limits = time.monotonic(), self._limits
        if now >= limits.reap_at:
            limits.reap_at = now + _REAP_EVERY_S
            descendants.reap_orphans(self._pid)
        if limits.kill_at is None:
            if limits.ask_at is not None and now >= limits.ask_at:
                self._timed_out = True
                self._end(TERM_GRACE_S)
        elif now >= limits.give_up_at:
            self._give_up()
        elif now >= limits.kill_at:
            limits.kill_at = now + _KILL_AGAIN_S
            descendants.kill_all()

    def _give_up(self) -> None:
        if self._gone is not None:
            raise self._gone
        raise AutotuneError(
            f"the command does not end (process {self._pid}), even by SIGKILL",
            hint="it may run as another user (sudo) or hang inside the kernel; end it by hand",
            stage="run",
        )

    # --- the end ---

    def _finish(self) -> None:
        stopped = self._cancelled or self._gone is not None
        if self._spec["keeps_prepared"] and not stopped:
            self._ended = self._room.end_others(self._limits.grace_left_s())
            self._take_rest()
        elif self._spec["stage"] in KEEPING and not (self._timed_out or stopped):
            self._take_rest()  # first: what comes later is dropped by the drain
            left = self._room.keep(self._pid, [one.read_fd for one in self._streams])
            self._ended = descendants.Ended(left)
        else:
            self._ended = self._room.end(self._limits.grace_left_s())
            self._take_rest()
        for search in self._searches:
            search.finish()

    def _take_rest(self) -> None:
        try:
            for stream in self._streams:
                stream.take_rest()
        except ChannelClosed as gone:
            self._gone = gone

    def _leave(self) -> None:
        """Close what was opened; when something went wrong, end the command too."""
        if self._pid and self._ended_at is None:
            descendants.kill_all()
            self._room.end(0)
        for stream in self._streams:
            stream.close()
        for fd in (self._stdin, self._pidfd):
            if fd >= 0:
                os.close(fd)

    def _result(self) -> Message:
        assert self._ended_at is not None
        usage = self._usage
        return {
            "wall_s": self._ended_at - self._started_at,
            "user_s": usage.ru_utime,
            "system_s": usage.ru_stime,
            "max_rss_bytes": usage.ru_maxrss * 1024,
            "voluntary_switches": usage.ru_nvcsw,
            "involuntary_switches": usage.ru_nivcsw,
            "minor_faults": usage.ru_minflt,
            "major_faults": usage.ru_majflt,
            "exit_code": os.WEXITSTATUS(self._status) if os.WIFEXITED(self._status) else None,
            "signal": os.WTERMSIG(self._status) if os.WIFSIGNALED(self._status) else None,
            "timed_out": self._timed_out,
            "metric_matches": self._metric.matches if self._metric is not None else [],
            "metric_count": self._metric.count if self._metric is not None else 0,
            "metric_error": self._metric.error if self._metric is not None else None,
            "left_running": self._ended.left,
            "still_running": self._ended.still_running,
            "start_error": None,
            "found": [{"matches": one.matches, "count": one.count, "error": one.error} for one in self._more],
            **self._outputs(),
        }

    def _not_started(self, why: str) -> Message:
        amounts = ("wall_s", "user_s", "system_s", "max_rss_bytes", "minor_faults", "major_faults")
        switches = ("voluntary_switches", "involuntary_switches")
        return {
            **dict.fromkeys((*amounts, *switches), 0),
            "exit_code": None,
            "signal": None,
            "timed_out": False,
            "start_error": why,
            **self._outputs(),
        }

    def _outputs(self) -> Message:
        return {stream.name: stream.kept.output() for stream in self._streams}


# --- the process -----------------------------------------------------------------------------------------


class Helper:
    """The operations that the client may request."""

    def __init__(self, control: Control, room: Room) -> None:
        self._control = control
        self._room = room
        self._peak_reset_fd = open_peak_reset()

    def serve(self) -> None:
        operations = {"begin": begin, "run": self._run, "snapshot": snapshot, "cancel": ignore}
        serve(self._control, operations)
        self._room.end(0)  # what could not be ended before, and what setup or prepare left

    def _run(self, request: Message, emit: EventHandler) -> Message:
        spec = {**SPEC_DEFAULTS, **request["spec"]}
        if self._peak_reset_fd is not None:
            os.pwrite(self._peak_reset_fd, b"5", 0)
        if spec["stage"] in KEEPING:
            self._room.end(0)  # what the same stage left when it ran before
        execution = RunningWorkload(spec, self._control, emit, self._room)
        gc.disable()
        try:
            return execution.measure()
        finally:
            gc.enable()


SPEC_DEFAULTS: Message = {
    "stdin_path": None,
    "timeout_s": None,
    "keep_bytes": 32768,
    "stream": False,
    "metric_regex": None,
    "policy_ext": False,
    "stage": "run",
    "keeps_prepared": False,
    "more_regexes": (),
    "probe": False,
}
"""Defaults of `records.RunSpec`, for a client that leaves fields out."""


def open_peak_reset() -> int | None:
    """Open the file where writing 5 resets this process's peak memory to what it has now (proc(5), clear_refs). Without
    that one large moment of the helper would show as the peak of every later command. Returns None where the kernel
    lacks it. Opened while still root, since a process that changed its user may not open it."""
    try:
        return os.open("/proc/self/clear_refs", os.O_WRONLY)
    except OSError:
        return None


def begin(request: Message, _emit: EventHandler) -> Message:
    """Get the files and become the user that the runs want. Returns this process's number. Raises AutotuneError when
    that is refused."""
    pristine = request.get("pristine")
    if pristine is not None:
        from autotune.measure.pristine import cover

        cover(pristine["cwd"], pristine["layers"])
    identity = request.get("identity")
    if identity is not None:
        become(identity["uid"], identity["gid"], identity["groups"])
    return {"pid": os.getpid()}


def become(uid: int, gid: int, groups: list[int]) -> None:
    """Switch to a user for good. Raises PrivilegeError when this process is neither root nor that user."""
    if (os.geteuid(), os.getegid()) == (uid, gid):
        return
    try:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise PrivilegeError(
            f"commands cannot be run as user {uid}: {error.strerror}",
            hint="only root can run commands as somebody else",
            stage="run",
        ) from error
    descendants.die_with_parent(signal.SIGKILL)  # another user has to ask for it again


def adopt_orphans() -> None:
    """Become the parent of every descendant that loses its own (prctl(2)). Raises AutotuneError when refused."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise AutotuneError(f"the runner cannot become a subreaper: {os.strerror(ctypes.get_errno())}", stage="run")


def work_under_guard() -> None:
    """Go on in a child of this process, which becomes its guard: it waits until the child has ended, however, and ends
    what descends from it still, also in sessions of its own."""
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        descendants.die_with_parent(signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)  # it died before
        return
    status = 1
    try:
        for fd in map(int, os.listdir("/proc/self/fd")):
            with contextlib.suppress(OSError):
                os.close(fd)
        _, status = os.waitpid(pid, 0)
        descendants.end_leftovers(0)
    finally:
        os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


def snapshot(_request: Message, _emit: EventHandler) -> Message:
    return counters()


def ignore(_request: Message, _emit: EventHandler) -> None:
    """Ignore a `cancel` that came after its run had ended."""


def note_from_arguments(arguments: list[str]) -> mmap.mmap | None:
    """Map the memory shared with the client, in which a note can be left without a system call. Its descriptor is
    closed, so that the workload does not inherit it."""
    if not arguments:
        return None
    note_fd = int(arguments[0])
    try:
        return mmap.mmap(note_fd, NOTE_BYTES)
    finally:
        os.close(note_fd)


def main(arguments: list[str]) -> None:
    """Serve the client on standard input and output, and take both away from everything else."""
    signals = Signals.inherited()
    for number in IGNORED_HERE:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored nothing can be waited for
    note = note_from_arguments(arguments)
    requests, answers = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    adopt_orphans()
    work_under_guard()
    adopt_orphans()
    Helper(Control(requests, answers), Room(note, signals)).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
