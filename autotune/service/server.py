# SPDX-License-Identifier: MIT
"""The service itself: one loop over connections, the job that runs, and what leases answer.

What always holds here:
- who asks is known from the kernel, and nothing is done for somebody who may not;
- either one job runs or one client has the lease, and a job's own session may have the lease while it runs;
- nothing that a client sends, or does not send, keeps others waiting or ends the loop.

Runs as root, or as an ordinary user for that user alone. Standard library only.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import os
import selectors
import signal
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from autotune.errors import AutotuneError, BusyError, PrivilegeError, as_ours
from autotune.service import leases, peers, protocol
from autotune.service.connection import ClientGone, Connection
from autotune.service.jobs import Job, JobQueue
from autotune.service.leases import ClientLease, Usual
from autotune.service.listing import details, line
from autotune.service.peers import Gate, PeerProcess
from autotune.service.running import JobProcess, account_name
from autotune.service.submitting import job_of

MOST_CONNECTIONS = 512
MOST_CONNECTIONS_OF_ONE = 256
TICK_S = 1.0
GOODBYE_S = 20.0
"""How long the end of the service waits for a lease to be detached, and for the job's session."""
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ReadyHandler = Callable[[], None]


class Server:
    """The service on a listening socket. `run` serves until `stop`; for the main thread."""

    def __init__(
        self,
        listening: socket.socket,
        jobs: JobQueue,
        gate: Gate,
        *,
        lease: Callable[..., ClientLease] | None = None,
    ) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._jobs = jobs
        self._gate = gate
        self._make_lease = lease or functools.partial(ClientLease, usual=Usual())
        self._selector = selectors.DefaultSelector()
        self._connections: dict[int, Connection] = {}
        self._process: JobProcess | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        """Of what the job prints, whose characters may come in pieces."""
        self._lease: ClientLease | None = None
        self._leasing: Connection | None = None
        """Who has the lease; None also while that of somebody who is gone is being detached."""
        self._next_leases: list[tuple[Connection, int]] = []
        """Who asked for the lease while that of somebody who is gone was being detached, and their requests."""
        self._lease_user = ""
        self._lease_since = 0.0
        self._lease_serial = 0
        self._said: deque[tuple[int, int, Any, AutotuneError | None]] = deque()
        """What leases answered: serial of the lease, number of the request, result, error."""
        self._ended_leases: deque[int] = deque()
        self._waking, self._woken = socket.socketpair()
        self._stopping = False
        self._woken.setblocking(False)
        self._waking.setblocking(False)
        self._watch_for_reading(self._listening, self._accept)
        self._watch_for_reading(self._woken, self._hear_leases)

    # --- the loop ---

    def run(self) -> None:
        while not self._stopping:
            self._start_next()
            for key, mask in self._selector.select(self._patience_s()):
                self._handle(key, mask)
            self._look_at_clocks()
        self._end()

    def stop(self) -> None:
        """End the loop soon; may be called by a signal's handler."""
        self._stopping = True
        self.wake()

    def wake(self) -> None:
        with contextlib.suppress(OSError):
            self._waking.send(b"x")

    def _handle(self, key: selectors.SelectorKey, mask: int) -> None:
        if isinstance(key.data, Connection):
            self._serve(key.data, mask)
        else:
            key.data()

    def _patience_s(self) -> float:
        return min(TICK_S, self._process.left_s()) if self._process is not None else TICK_S

    def _look_at_clocks(self) -> None:
        if self._process is not None:
            self._process.tick()
        for connection in list(self._connections.values()):
            overdue = connection.overdue()
            if overdue:
                self._disconnect(connection, overdue)
        self._look_at_lease()

    def _look_at_lease(self) -> None:
        """Detach for a client that is silent for longer than its lease allows."""
        lease, client = self._lease, self._leasing
        limit_s = lease.silence_s if lease is not None else None
        if lease is None or client is None or limit_s is None:
            return
        if time.monotonic() - client.heard_s > limit_s:
            lease.lapse()

    def _watch_for_reading(self, what: Any, handle: ReadyHandler) -> None:
        self._selector.register(what, selectors.EVENT_READ, handle)

    # --- connections ---

    def _accept(self) -> None:
        for _ in range(64):
            try:
                connected, _ = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:  # no descriptors are left: those that end will give some back
                say(f"a connection cannot be accepted: {error.strerror}")
                time.sleep(0.05)
                return
            try:
                peer = peers.of(connected)
            except OSError:
                connected.close()
                continue
            self._admit(Connection(connected, peer))

    def _admit(self, connection: Connection) -> None:
        try:
            self._gate.require(connection.peer)
            self._require_room(connection.uid)
        except AutotuneError as error:
            with contextlib.suppress(ClientGone):
                connection.refuse(0, error)
            connection.close()
            return
        self._connections[connection.fileno()] = connection
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _require_room(self, uid: int) -> None:
        of_one = Counter(one.uid for one in self._connections.values())[uid]
        if len(self._connections) >= MOST_CONNECTIONS or of_one >= MOST_CONNECTIONS_OF_ONE:
            raise BusyError("the daemon has too many connections", hint="close some of yours", stage=protocol.STAGE)

    def _serve(self, connection: Connection, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                connection.flush()
            if mask & selectors.EVENT_READ:
                for one in connection.lines():
                    self._answer_line(connection, one)
        except ClientGone as error:
            self._disconnect(connection, str(error))
            return
        self._watch_for_writing(connection)

    def _answer_line(self, connection: Connection, one: bytes) -> None:
        try:
            request = protocol.request_of(one)
        except ValueError as error:
            self._say_wrong(connection, str(error))
            raise ClientGone("it speaks another language") from None
        if request.get("op") == "beat":
            return  # `lines` has noted that it was heard
        number = request.get("id", 0)
        try:
            protocol.require_version(request)
            self._answer(connection, number, request)
        except ClientGone:
            raise
        except AutotuneError as error:
            connection.refuse(number, error)
        except Exception as error:  # a bug or a full disk must reach the client, not end the service
            say(f"a request failed: {type(error).__name__}: {error}")
            connection.refuse(number, as_ours(error))

    def _say_wrong(self, connection: Connection, what: str) -> None:
        with contextlib.suppress(ClientGone):
            connection.refuse(0, protocol.wrong(what))

    def _watch_for_writing(self, connection: Connection) -> None:
        if connection.fileno() in self._connections:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.wants_to_write else 0)
            self._selector.modify(connection.socket, events, connection)

    def _disconnect(self, connection: Connection, why: str) -> None:
        if self._connections.get(connection.fileno()) is not connection:
            return
        del self._connections[connection.fileno()]
        self._selector.unregister(connection.socket)
        if connection is self._leasing:
            say(f"the lease of {self._lease_user} ends: {why}")
            self._leasing = None
            assert self._lease is not None
            self._lease.close()
        connection.close()

    # --- requests ---

    def _answer(self, connection: Connection, number: int, request: dict[str, Any]) -> None:
        """Answer one request. Raises AutotuneError."""
        handlers: dict[str, Callable[[Connection, int, dict[str, Any]], None]] = {
            "hello": self._hello,
            "submit": self._submit,
            "status": self._status,
            "cancel": self._cancel,
            "watch": self._watch,
            "lease": self._grant,
            "attach": self._ask_lease,
            "detach": self._ask_lease,
            "exit": self._ask_lease,
        }
        operation = request.get("op")
        handler = handlers.get(operation) if isinstance(operation, str) else None
        if handler is None:
            raise protocol.wrong("there is no such operation")
        handler(connection, number, request)

    def _hello(self, connection: Connection, number: int, _request: dict[str, Any]) -> None:
        connection.answer(number, {"version": protocol.VERSION, "leases": os.geteuid() == 0, "lease": self._lease_of()})

    def _lease_of(self) -> dict[str, Any] | None:
        if self._lease is None:
            return None
        return {"user": self._lease_user, "since": self._lease_since}

    def _submit(self, connection: Connection, number: int, request: dict[str, Any]) -> None:
        job = self._jobs.submit(job_of(request, connection.peer.identity))
        connection.answer(number, details(job, self._ahead_of(job)))

    def _ahead_of(self, job: Job) -> int:
        return sum(1 for one in self._jobs.all() if not one.is_over and one.id < job.id)

    def _status(self, connection: Connection, number: int, request: dict[str, Any]) -> None:
        if request.get("job") is not None:
            job = self._own_job(connection.peer, request)
            connection.answer(number, details(job, self._ahead_of(job)))
            return
        jobs = [line(job, connection.peer.identity) for job in self._jobs.all()]
        connection.answer(number, {"jobs": jobs, "lease": self._lease_of(), "waits_for": self._waits_for()})

    def _waits_for(self) -> str:
        """Return why no job runs although some wait; empty when one runs, or none waits."""
        if self._process is not None or not self._jobs.waiting():
            return ""
        return f"{self._lease_user} has the lease" if self._lease is not None else ""

    def _own_job(self, peer: PeerProcess, request: dict[str, Any]) -> Job:
        """Return the job that is asked for. Raises UsageError, and PrivilegeError for somebody else's."""
        job = self._jobs.get(protocol.number(request, "job"))
        if peer.identity.uid not in (0, job.owner.uid):
            raise PrivilegeError(f"job {job.id} is {job.user}'s", hint="only they and root may", stage=protocol.STAGE)
        return job

    def _cancel(self, connection: Connection, number: int, request: dict[str, Any]) -> None:
        job = self._own_job(connection.peer, request)
        if job.state == "queued":
            job = self._jobs.end(job.id, "cancelled", why="cancelled before it began")
            self._tell_watchers(job.id)
        elif job.state == "running" and self._process is not None:
            self._process.end("cancelled")
        connection.answer(number, details(job, self._ahead_of(job)))

    def _watch(self, connection: Connection, number: int, request: dict[str, Any]) -> None:
        job = self._own_job(connection.peer, request)
        connection.watches, connection.watch_id = job.id, number
        connection.event({"state": details(job, self._ahead_of(job))})
        log = self._jobs.log(job.id)
        if log:
            connection.event({"output": log.decode(errors="replace")})
        if job.is_over:
            self._say_over(connection, job)

    def _say_over(self, connection: Connection, job: Job) -> None:
        connection.watches = None
        connection.answer(connection.watch_id, details(job, 0))

    # --- leases ---

    def _grant(self, connection: Connection, number: int, _request: dict[str, Any]) -> None:
        leases.refuse_without_root()
        if self._lease is not None and self._leasing is None:  # it is being detached; that ends soon
            self._next_leases.append((connection, number))
            return
        if connection is not self._leasing:
            self._require_free(connection.peer)
            self._lease_serial += 1
            serial = self._lease_serial
            self._lease = self._make_lease(
                lambda asked, result, error: self._from_lease(serial, asked, result, error),
                lambda: self._lease_over(serial),
            )
            self._leasing, connection.leases = connection, True
            self._lease_user = account_name(connection.uid)
            self._lease_since = time.time()
            say(f"{self._lease_user} (process {connection.peer.pid}) has the lease")
        connection.answer(number, {})

    def _require_free(self, peer: PeerProcess) -> None:
        """Raise BusyError while somebody else switches schedulers, or another session is measured."""
        if self._lease is not None:
            what = f"{self._lease_user} has the scheduler of this machine"
            raise BusyError(what, hint="wait for them to end, or 'autotune submit' the session", stage=protocol.STAGE)
        if self._process is not None and not is_of(peer, self._process):
            job = self._process.job
            what = f"job {job.id} of {job.user} is being measured"
            raise BusyError(what, hint="'autotune submit' queues your session behind it", stage=protocol.STAGE)

    def _ask_lease(self, connection: Connection, number: int, request: dict[str, Any]) -> None:
        if connection is not self._leasing or self._lease is None:
            raise protocol.wrong("ask for the lease first")
        if request["op"] == "attach":
            protocol.candidate(request)
            protocol.content_hash(request)
        self._lease.ask(number, request)

    def _from_lease(self, serial: int, number: int, result: Any, error: AutotuneError | None) -> None:
        self._said.append((serial, number, result, error))
        self.wake()

    def _lease_over(self, serial: int) -> None:
        self._ended_leases.append(serial)
        self.wake()

    def _hear_leases(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass
        while self._said:
            serial, number, result, error = self._said.popleft()
            connection = self._leasing
            if serial == self._lease_serial and connection is not None and number >= 0:
                self._pass_on(connection, number, result, error)
        while self._ended_leases:
            if self._ended_leases.popleft() == self._lease_serial:
                self._lease = None
                self._grant_next()

    def _grant_next(self) -> None:
        """Answer those who asked while the lease before theirs was ending: the first has it."""
        asked, self._next_leases = self._next_leases, []
        for connection, number in asked:
            if self._connections.get(connection.fileno()) is connection:
                self._guarded(connection, functools.partial(self._grant_or_refuse, connection, number))

    def _grant_or_refuse(self, connection: Connection, number: int) -> None:
        try:
            self._grant(connection, number, {})
        except AutotuneError as error:
            connection.refuse(number, error)

    def _pass_on(self, connection: Connection, number: int, result: Any, error: AutotuneError | None) -> None:
        connection.renew()  # it was kept waiting until now
        try:
            if error is not None:
                connection.refuse(number, error)
            else:
                connection.answer(number, result)
        except ClientGone as gone:
            self._disconnect(connection, str(gone))
            return
        self._watch_for_writing(connection)

    # --- the job that runs ---

    def _start_next(self) -> None:
        if self._process is not None or self._lease is not None:
            return
        job = next(iter(self._jobs.waiting()), None)
        if job is None:
            return
        try:
            self._jobs.start(job.id)
            self._process = JobProcess(job)
            self._decoder.reset()
        except (AutotuneError, OSError, ValueError) as error:
            self._note_end(replace(job, exit_code=None), "failed", f"it cannot be started: {error}")
            return
        say(f"job {job.id} of {job.user} begins (process {self._process.pid})")
        self._tell_watchers(job.id)
        self._watch_for_reading(self._process.output, self._hear_job)
        self._watch_for_reading(self._process.pidfd, self._end_job)

    def _note_end(self, job: Job, state: Any, why: str) -> None:
        """Note how a job ended. On a full disk that is tried again at the next start."""
        try:
            self._jobs.end(job.id, state, exit_code=job.exit_code, why=why)
        except OSError as error:
            say(f"the end of job {job.id} cannot be noted: {error.strerror}")
            self._jobs.forget(job.id)
        self._tell_watchers(job.id)

    def _hear_job(self) -> None:
        if self._process is None:  # its end was handled first, of two events that came at once
            return
        data = self._process.read()
        if data:
            self._pass_output(self._process.job.id, data)
        else:
            self._selector.unregister(self._process.output)

    def _pass_output(self, number: int, data: bytes) -> None:
        self._jobs.add_to_log(number, data)
        text = self._decoder.decode(data)
        for connection in self._watchers(number):
            self._event(connection, {"output": text})

    def _end_job(self) -> None:
        process = self._process
        assert process is not None
        self._selector.unregister(process.pidfd)
        code = process.reap()
        while data := process.read():
            self._pass_output(process.job.id, data)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(process.output)
        process.close_output()
        self._process = None
        state = "finished" if code == 0 else "failed"
        if process.why_ended:
            state = "cancelled" if process.why_ended == "cancelled" else "failed"
        why = process.why_ended or ("" if code == 0 else self._last_line(process.job.id))
        say(f"job {process.job.id} of {process.job.user} ended with exit code {code}")
        self._note_end(replace(process.job, exit_code=code), state, why)

    def _last_line(self, number: int) -> str:
        lines = self._jobs.log(number).decode(errors="replace").strip().splitlines()
        return lines[-1][:500] if lines else ""

    def _watchers(self, number: int) -> list[Connection]:
        return [one for one in self._connections.values() if one.watches == number]

    def _tell_watchers(self, number: int) -> None:
        for connection in self._watchers(number):
            job = self._jobs.get(number)
            if job.is_over:
                self._guarded(connection, functools.partial(self._say_over, connection, job))
            else:
                self._event(connection, {"state": details(job, self._ahead_of(job))})

    def _event(self, connection: Connection, event: dict[str, Any]) -> None:
        self._guarded(connection, lambda: connection.event(event))

    def _guarded(self, connection: Connection, send: Callable[[], None]) -> None:
        try:
            send()
        except ClientGone as gone:
            self._disconnect(connection, str(gone))
            return
        self._watch_for_writing(connection)

    # --- the end ---

    def _end(self) -> None:
        """Detach, end the session that runs, and leave the queue as it is on disk."""
        lease, process = self._lease, self._process
        if lease is not None:
            lease.close()
        if process is not None:
            process.end("the daemon ended")
        if lease is not None:
            lease.join(GOODBYE_S)
        deadline_s = time.monotonic() + GOODBYE_S
        while process is not None and not process.has_ended() and time.monotonic() < deadline_s:
            process.read()
            process.tick()
            time.sleep(0.05)
        if process is not None:
            process.reap()
            with contextlib.suppress(OSError):
                self._jobs.end(process.job.id, "interrupted", why="the daemon was stopped while it ran")
        for connection in self._connections.values():
            connection.close()
        self._selector.close()


def is_of(peer: PeerProcess, process: JobProcess) -> bool:
    """Return whether the peer is the session of this job itself: `autotune cc`, and not the command that it measures,
    which has a session of its own."""
    try:
        return peer.identity.uid == process.job.owner.uid and os.getsid(peer.pid) == process.pid
    except OSError:
        return False


def say(text: str) -> None:
    """Print a line for the administrator (the journal)."""
    with contextlib.suppress(OSError, ValueError):
        print(f"autotune daemon: {text}", file=sys.stderr, flush=True)


def obey_signals(server: Server) -> None:
    """Let SIGTERM, SIGINT and SIGHUP end the service in order. What came while they were blocked counts."""
    for number in ENDS:
        signal.signal(number, lambda _number, _frame: server.stop())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)


def ignore_signals() -> None:
    """Let no further signal change how the process ends."""
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)
