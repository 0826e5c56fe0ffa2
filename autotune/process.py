# SPDX-License-Identifier: MIT
"""Small helper processes that speak JSON lines: how to serve one, how to start and talk to one.

Holder, runner and guest agent are such processes. The rules that keep the machine safe are here, once:
- a helper lives on a pipe from its parent; end of file means "detach, clean up and leave";
- a helper sits in its own session, so that a Ctrl-C at the terminal reaches only autotune, which then decides;
- every request has a deadline on the client's side; a helper that misses it is reported as lost and then closed;
- errors travel as `AutotuneError` and arrive as the same class.

Wire format: a request is `{"id": N, "op": NAME, ...fields}`; its answer `{"id": N, "ok": {...}}` or
`{"id": N, "error": {...}}`; in between `{"id": N, "event": {...}}` may come any number of times.
Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from autotune.errors import AutotuneError, as_ours, from_wire

if TYPE_CHECKING:
    import subprocess

Message = dict[str, Any]
EventHandler = Callable[[Message], None]


class ChannelClosed(Exception):
    """The other side is gone."""


class ChannelTimeout(Exception):
    """The other side did not answer in time."""


class Channel:
    """JSON lines over two file descriptors. Reading never blocks past its deadline; a last line without a newline is
    incomplete and dropped."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._buffer = bytearray()

    def send(self, message: Message) -> None:
        """Write one message. Raises ChannelClosed when the other side is gone; TypeError or ValueError, with nothing
        written, when the message cannot be JSON."""
        view = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        while view:
            try:
                view = view[os.write(self.write_fd, view) :]
            except OSError as error:
                raise ChannelClosed(str(error)) from error

    def receive(self, timeout_s: float | None = None) -> Message:
        """Return the next message. Raises ChannelTimeout or ChannelClosed; a line that is not JSON raises ChannelClosed
        too, since nothing after it can be trusted."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            self._fill(deadline)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            message = json.loads(line)
        except ValueError as error:
            raise ChannelClosed(f"not JSON: {line[:120]!r}") from error
        if not isinstance(message, dict):
            raise ChannelClosed(f"not an object: {line[:120]!r}")
        return message

    def pending(self) -> bool:
        """Return whether a whole message is already in the buffer."""
        return b"\n" in self._buffer

    def disown(self) -> None:
        """Forget the descriptors: they were closed, and their numbers may soon belong to other files."""
        self.read_fd = self.write_fd = -1

    def _fill(self, deadline: float | None) -> None:
        if self.read_fd < 0:
            raise ChannelClosed("it was closed")
        wait_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        poller = select.poll()
        poller.register(self.read_fd, select.POLLIN | select.POLLHUP)
        if not poller.poll(None if wait_s is None else wait_s * 1000):
            raise ChannelTimeout
        try:
            chunk = os.read(self.read_fd, 1 << 16)
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        if not chunk:
            raise ChannelClosed("end of file")
        self._buffer += chunk


Handler = Callable[[Message, EventHandler], Any]
CLOSED_GRACE_S = 1.0
"""A helper whose pipe is closed is most likely ending: how long to wait for how it did."""
LOOK_EVERY_S = 1.0
"""How often a client that waits for an answer looks at the helper."""
BEAT = "beat"
"""A message that says only that the client is there. It has no answer."""


class Lease(Protocol):
    """Something that a helper does only for as long as its client says that it is there."""

    def left_s(self) -> float | None:
        """How long the client may be silent from now on; None for as long as it likes."""

    def renew(self) -> None:
        """The client was heard, or was kept waiting until now."""

    def lapse(self) -> None:
        """It was silent for too long. Must not raise."""


def serve(channel: Channel, handlers: Mapping[str, Handler], lease: Lease | None = None) -> None:
    """Answer requests one after another until the other side is gone. A handler gets the request and a function
    that sends events, and returns the content of `ok`. With a `lease` a client that is silent loses it."""
    while True:
        try:
            request = channel.receive(lease.left_s() if lease is not None else None)
            if request.get("op") != BEAT:
                answer_one(channel, handlers, request)
        except ChannelTimeout:
            assert lease is not None
            lease.lapse()
            continue
        except ChannelClosed:
            return
        if lease is not None:
            lease.renew()


def answer_one(channel: Channel, handlers: Mapping[str, Handler], request: Message) -> None:
    """Answer one request; any exception of its handler becomes an error answer."""
    number = request.get("id")
    handler = handlers.get(str(request.get("op")))
    try:
        if handler is None:
            raise AutotuneError(f"unknown operation {request.get('op')!r}", stage="protocol")
        result = handler(request, lambda event: channel.send({"id": number, "event": event}))
        channel.send({"id": number, "ok": result})
    except ChannelClosed:
        raise
    except AutotuneError as error:
        channel.send({"id": number, "error": error.to_wire()})
    except Exception as error:  # a limit or a bug in a helper must reach the user as one line, not as a dead helper
        channel.send({"id": number, "error": as_ours(error).to_wire()})


class Peer:
    """The client's side of a channel. `lost` makes the error that is raised when the other side is gone or late."""

    def __init__(self, channel: Channel, lost: Callable[[str], AutotuneError]) -> None:
        import threading  # here, not above: a helper only serves, and must start quickly

        self.channel = channel
        self._lost = lost
        self._last_id = 0
        self._sending = threading.Lock()

    def request(
        self,
        op: str,
        *,
        timeout_s: float | None,
        on_event: EventHandler | None = None,
        look: Callable[[], None] | None = None,
        **fields: Any,
    ) -> Any:
        """Send a request and wait for its answer. Raises what the other side raised, or the `lost` error. While
        nothing comes, `look` is called every LOOK_EVERY_S; what it raises ends the waiting."""
        self._last_id += 1
        number = self._last_id
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            with self._sending:
                self.channel.send({"id": number, "op": op, **fields})
            while True:
                message = self._receive(deadline, look)
                if message.get("id") != number:
                    continue  # the late answer to an abandoned request
                if "event" in message:
                    if on_event is not None:
                        on_event(message["event"])
                    if deadline is not None and time.monotonic() > deadline:
                        raise ChannelTimeout  # events without end must not keep a late answer waiting for ever
                    continue
                if "error" in message:
                    raise from_wire(message["error"])
                return message.get("ok")
        except ChannelClosed as error:
            raise self._lost(f"it is gone ({error})") from error
        except ChannelTimeout as error:
            raise self._lost(f"no answer to '{op}' within {round(timeout_s or 0.0, 1):g} s") from error

    def _receive(self, deadline: float | None, look: Callable[[], None] | None) -> Message:
        while True:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            if look is None or (left_s is not None and left_s <= LOOK_EVERY_S):
                return self.channel.receive(left_s)
            with contextlib.suppress(ChannelTimeout):
                return self.channel.receive(LOOK_EVERY_S)
            look()

    def notify(self, op: str, **fields: Any) -> None:
        """Send a request without waiting; its answer is dropped. May be called while another thread waits in
        `request`. Never raises: a side that is gone need not know."""
        with self._sending, contextlib.suppress(ChannelClosed):
            self.channel.send({"id": 0, "op": op, **fields})

    def beat(self) -> None:
        """Say that we are there. Never waits and never raises: a side that does not read need not know."""
        if not self._sending.acquire(blocking=False):
            return  # what is being sent says as much
        try:
            poller = select.poll()
            poller.register(self.channel.write_fd, select.POLLOUT)
            if self.channel.write_fd >= 0 and poller.poll(0) == [(self.channel.write_fd, select.POLLOUT)]:
                self.channel.send({"op": BEAT})
        except (ChannelClosed, OSError, ValueError):
            pass
        finally:
            self._sending.release()


class Worker:
    """A helper process of ours with a Peer on its standard input and output. Its standard error goes to
    `stderr` (a file descriptor, default our own). It inherits `pass_fds` under their numbers and nothing else.
    Raises `lost` when it cannot be started."""

    def __init__(
        self,
        argv: Sequence[str],
        lost: Callable[[str], AutotuneError],
        *,
        env: Mapping[str, str] | None = None,
        stderr: int | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        import subprocess

        try:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=None if env is None else dict(env),
                pass_fds=tuple(pass_fds),
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise lost(f"it cannot be started ({error})") from error
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        channel = Channel(self.process.stdout.fileno(), self.process.stdin.fileno())
        self.peer = Peer(channel, lost)

    def request(
        self,
        op: str,
        *,
        timeout_s: float | None,
        on_event: EventHandler | None = None,
        look: Callable[[], None] | None = None,
        **fields: Any,
    ) -> Any:
        """Send a request to the helper; see Peer.request."""
        return self.peer.request(op, timeout_s=timeout_s, on_event=on_event, look=look, **fields)

    def is_stopped(self) -> bool:
        """Return whether the helper is stopped by a signal (SIGSTOP) now."""
        return is_stopped(self.process.pid)

    def notify(self, op: str, **fields: Any) -> None:
        self.peer.notify(op, **fields)

    def beat(self) -> None:
        self.peer.beat()

    def gone(self) -> str | None:
        """Return why the helper cannot answer any more: it ended, or closed its end; None while it lives. Sends no
        request; what the helper wrote before is ignored."""
        if (code := self.process.poll()) is not None:
            return _ended(code)
        if self.peer.channel.read_fd < 0:
            return "it was closed"
        poller = select.poll()
        poller.register(self.peer.channel.read_fd, 0)  # the end of the other side is always reported
        if not poller.poll(0):
            return None
        self._ended_within(CLOSED_GRACE_S)
        code = self.process.poll()
        return "it is gone" if code is None else _ended(code)

    def close(self, grace_s: float = 5.0) -> int | None:
        """End the helper: end of file, a wait, then SIGKILL. Returns the exit status, None if it could not be reaped.
        Never raises; may be called again."""
        for stream in (self.process.stdin, self.process.stdout):
            # Both: a helper that is busy writing what nobody reads any more would not see its input end.
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        self.peer.channel.disown()
        if not self._ended_within(grace_s):
            self.kill()
        return self.process.returncode

    def _ended_within(self, limit_s: float) -> bool:
        import subprocess

        try:
            self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Send SIGKILL to the helper alone and reap it; never raises. A helper started through `sudo` runs as root and
        cannot be signalled; closing its pipe ends it."""
        with contextlib.suppress(OSError):
            self.process.send_signal(signal.SIGKILL)
        self._ended_within(2.0)


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped by a signal (SIGSTOP) now."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"T"
    except (OSError, IndexError):
        return False


def _ended(code: int) -> str:
    return f"it ended with exit code {code}" if code >= 0 else f"it was ended by {_signal_name(-code)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
