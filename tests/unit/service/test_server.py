# SPDX-License-Identifier: MIT
"""The service in a process of its own: its queue, whoever watches it, and those who mean it harm. Real sockets, real
processes; a job runs `sh` (tests/support/service_program.py)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import AutotuneError, BusyError, UsageError
from autotune.records import Identity
from autotune.service import leases, places
from autotune.service import running as job_process
from autotune.service.client import ServiceClient
from autotune.service.jobs import Job, JobQueue
from autotune.service.leases import Answer
from autotune.service.peers import Gate
from autotune.service.running import account_name
from autotune.service.server import Server
from tests.support.service_program import Service, as_ordinary_user, running
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service")) as started:
        yield started


@pytest.fixture
def service(shared: Service, tmp_path: Path) -> Service:
    """One that others use too; the jobs of this test are in a directory of its own."""
    shared.here = tmp_path
    assert shared.process is not None
    if shared.process.poll() is not None:
        shared.start()
    return shared


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Service]:
    """One of this test's own."""
    with running(tmp_path) as started:
        yield started


_open: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """A test that fails leaves no connections to those after it."""
    yield
    while _open:
        _open.pop().close()


def raw(service: Service) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    _open.append(one)
    one.settimeout(30)
    one.connect(str(service.socket))
    return one


def answer(one: socket.socket) -> Any:
    return json.loads(one.makefile("rb").readline())


# --- the queue ---------------------------------------------------------------------------------------------


def test_a_job_runs_and_what_it_printed_and_its_end_are_known(service: Service) -> None:
    number = service.submit("echo out; echo err >&2; exit 3")["id"]
    found = service.wait_for(number, "failed")
    assert (found["exit_code"], found["why"]) == (3, "err")
    seen: list[dict[str, Any]] = []
    ended = service.client().request("watch", job=number, on_event=seen.append)
    assert "".join(event.get("output", "") for event in seen) == "out\nerr\n"
    assert ended["state"] == "failed"


def test_jobs_run_one_after_another_in_the_order_of_submission(service: Service, tmp_path: Path) -> None:
    numbers = [service.submit(f"echo start {n} >> log; sleep 0.3; echo end {n} >> log")["id"] for n in range(3)]
    service.wait_for(numbers[-1], "finished")
    assert (tmp_path / "log").read_text().split("\n")[:-1] == [f"{w} {n}" for n in range(3) for w in ("start", "end")]


def test_who_watches_sees_the_output_as_it_comes(service: Service, tmp_path: Path) -> None:
    number = service.submit("echo first; while ! [ -e go ]; do sleep 0.05; done; echo second")["id"]
    seen: list[str] = []

    def look(event: dict[str, Any]) -> None:
        seen.append(event.get("output", ""))
        if "first" in seen[-1]:
            assert not (tmp_path / "go").exists()
            (tmp_path / "go").touch()

    ended = service.client().request("watch", job=number, on_event=look)
    assert (ended["state"], "".join(seen)) == ("finished", "first\nsecond\n")


def test_characters_that_come_in_pieces_are_whole(service: Service, tmp_path: Path) -> None:
    halves = r"while ! [ -e go ]; do sleep 0.05; done; printf '\303'; sleep 0.3; printf '\244\n'"
    number = service.submit(halves)["id"]
    seen: list[str] = []

    def look(event: dict[str, Any]) -> None:
        seen.append(event.get("output", ""))
        (tmp_path / "go").touch()

    service.client().request("watch", job=number, on_event=look)
    assert "".join(seen) == "ä\n"


def test_a_watch_that_begins_in_the_queue_sees_the_whole_session(service: Service, tmp_path: Path) -> None:
    service.submit("while ! [ -e go ]; do sleep 0.05; done")
    number = service.submit("echo mine")["id"]
    seen: list[dict[str, Any]] = []

    def look(event: dict[str, Any]) -> None:
        seen.append(event)
        (tmp_path / "go").touch()

    assert service.client().request("watch", job=number, on_event=look)["state"] == "finished"
    assert [event["state"]["state"] for event in seen if "state" in event] == ["queued", "running"]
    assert (seen[0]["state"]["ahead"], "".join(event.get("output", "") for event in seen)) == (1, "mine\n")


def test_a_job_in_the_queue_and_one_that_runs_can_be_cancelled(service: Service, tmp_path: Path) -> None:
    first = service.submit("trap 'touch ended; exit 130' INT; while :; do sleep 0.05; done")["id"]
    second = service.submit("touch never")["id"]
    service.wait_for(first, "running")
    wait_until(lambda: "trap" in " ".join(_command_lines()))
    time.sleep(0.3)  # the shell sets its trap
    client = service.client()
    assert client.request("cancel", job=second)["state"] == "cancelled"
    client.request("cancel", job=first)
    found = service.wait_for(first, "cancelled")
    assert found["exit_code"] == 130
    assert (tmp_path / "ended").exists()
    assert not (tmp_path / "never").exists()


def _command_lines() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def test_a_job_that_ignores_signals_is_ended_with_all_that_it_started(service: Service, tmp_path: Path) -> None:
    number = service.submit("trap '' INT TERM; (trap '' INT TERM; echo $$ > pid; sleep 600) & sleep 600")["id"]
    wait_until((tmp_path / "pid").exists)
    service.client().request("cancel", job=number)
    assert service.wait_for(number, "cancelled")["exit_code"] == 137
    wait_until(lambda: not any("sleep 600" in line for line in _command_lines()))


def test_a_job_that_cannot_start_fails_and_the_next_one_runs(service: Service) -> None:
    number = service.submit("true", env={"X": "y" * 100_000, "Z": "z" * 100_000, "W": "w" * 130_000})["id"]
    following = service.submit("true")["id"]
    assert service.wait_for(following, "finished")
    assert service.job(number)["state"] in ("failed", "finished")


@pytest.mark.parametrize(
    "wrong",
    [{"cwd": "relative"}, {"words": []}, {"words": "true"}, {"env": {"A=B": "c"}}, {"env": None}, {"command": 7}],
    ids=str,
)
def test_a_job_with_a_wrong_field_is_refused_and_nothing_is_queued(service: Service, wrong: dict[str, Any]) -> None:
    before = service.client().request("status")["jobs"]
    with pytest.raises(UsageError):
        service.submit("true", **wrong)
    assert service.client().request("status")["jobs"] == before


def test_output_and_end_may_come_at_once_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop whose selector says that the process ended before it says that there is output, as happens under load."""
    me = Identity(os.geteuid() or 4242, os.getegid() or 4242)
    monkeypatch.setattr(
        job_process, "argv_of", lambda _job: ["/bin/sh", "-c", "echo one; (sleep 0.1; echo two) & exit 0"]
    )
    queue = JobQueue(tmp_path / "queue")
    queue.submit(Job(0, me, "me", "x", ("x",), "/", "", {"PATH": os.environ["PATH"]}))
    with places.listening(tmp_path / "socket", None) as listening:
        server = Server(listening, queue, Gate())
        server._start_next()
        process = server._process
        assert process is not None
        wait_until(process.has_ended)
        server._end_job()
        server._hear_job()
        server.stop()
        server.run()
    assert (queue.get(1).state, queue.log(1)) == ("finished", b"one\n")


# --- its own end -------------------------------------------------------------------------------------------


def test_after_sigkill_the_queue_is_as_it_was_and_the_job_that_ran_has_ended_and_is_not_repeated(
    mortal: Service,
) -> None:
    first = mortal.submit("echo run >> ran; echo $$ > pid; exec sleep 601")["id"]
    second = mortal.submit("touch second")["id"]
    wait_until((mortal.top / "pid").exists)
    mortal.kill()
    os.kill(int((mortal.top / "pid").read_text()), 15)  # as the kernel does for session.py, and not for this shell
    mortal.start()
    assert mortal.wait_for(second, "finished")
    found = mortal.job(first)
    assert (found["state"], found["why"]) == ("interrupted", "the daemon ended while it ran")
    assert (mortal.top / "ran").read_text() == "run\n"


def test_sigterm_ends_the_job_in_order_and_keeps_the_rest(mortal: Service) -> None:
    first = mortal.submit("trap 'touch ended; exit 130' INT; touch began; while :; do sleep 0.05; done")["id"]
    second = mortal.submit("touch second")["id"]
    wait_until((mortal.top / "began").exists)
    assert mortal.stop() == 0
    assert (mortal.top / "ended").exists()
    assert not mortal.socket.exists()
    assert not (mortal.top / "second").exists()
    mortal.start()
    assert mortal.job(first)["state"] == "interrupted"
    assert mortal.wait_for(second, "finished")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_key_that_is_held_down_ends_it_as_one_press_does(mortal: Service, number: int) -> None:
    assert mortal.process is not None
    while mortal.process.poll() is None:
        mortal.process.send_signal(number)
        time.sleep(0.001)
    assert mortal.process.returncode == 0
    assert not mortal.socket.exists()
    assert mortal.journal() == "autotune daemon: ready\n"


@pytest.mark.parametrize("place", [("run/socket", "other"), ("other.sock", "state")], ids=["socket", "queue"])
def test_two_services_do_not_share_a_socket_or_a_queue(service: Service, place: tuple[str, str]) -> None:
    where = ["--socket", str(service.top / place[0]), "--state", str(service.top / place[1])]
    argv = [*as_ordinary_user(), sys.executable, "-m", "autotune.daemon", *where]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "listens at" in done.stderr or "has the queue" in done.stderr
    assert service.client().request("hello")["version"] == 1


# --- clients that mean harm --------------------------------------------------------------------------------


HOSTILE = [
    b"\x00\xff\xfe garbage\n",
    b"{" * 100_000 + b"\n",
    b"[]\n",
    b"x" * (2 << 20),
    b'{"id":1}\n',
    b'{"id":1,"v":1}\n',
    b'{"id":1,"v":1,"op":["hello"]}\n',
    b'{"id":1,"v":1,"op":"no such"}\n',
    b'{"id":1,"v":1,"op":"status","job":"../../1"}\n',
    b'{"id":1,"v":1,"op":"status","job":-1}\n',
    b'{"id":1,"v":1,"op":"watch","job":1e400}\n',
    b'{"id":1,"v":1,"op":"cancel"}\n',
    b'{"id":1,"v":1,"op":"attach","scheduler":"/tmp/x"}\n',
    b'{"id":1,"v":1,"op":"hello"',
    b"\n" * 1000,
]


def test_garbage_and_half_lines_of_200_connections_keep_nobody_waiting(service: Service) -> None:
    number = service.submit("sleep 1; echo done")["id"]
    kept = []
    for at in range(200):
        one = raw(service)
        kept.append(one)
        with contextlib.suppress(OSError):
            one.sendall(HOSTILE[at % len(HOSTILE)])
    started_s = time.monotonic()
    assert service.client().request("status")["jobs"]
    assert time.monotonic() - started_s < 20
    assert service.wait_for(number, "finished")
    for one in kept:
        one.close()
    assert "Traceback" not in service.journal()


@pytest.mark.parametrize("line", [line for line in HOSTILE if line.endswith(b"}\n")], ids=repr)
def test_a_wrong_request_gets_an_error_and_the_connection_goes_on(service: Service, line: bytes) -> None:
    with raw(service) as one:
        one.sendall(line)
        assert answer(one)["error"]["class"] in ("UsageError", "AutotuneError")
        one.sendall(b'{"id":2,"v":1,"op":"hello"}\n')
        assert answer(one)["ok"]["version"] == 1


def test_another_version_is_refused_by_name(service: Service) -> None:
    with raw(service) as one:
        one.sendall(b'{"id":1,"v":2,"op":"hello"}\n')
        assert "speaks version 1" in answer(one)["error"]["message"]


def test_a_flood_of_requests_is_cut_off(service: Service) -> None:
    with raw(service) as one, contextlib.suppress(OSError):
        for _ in range(100):
            one.sendall(b'{"id":1,"v":1,"op":"status"}\n' * 100)
        while one.recv(1 << 16):
            pass
    assert service.client().request("hello")["version"] == 1


def test_a_watcher_that_reads_nothing_costs_the_job_nothing(service: Service, tmp_path: Path) -> None:
    number = service.submit("while ! [ -e go ]; do sleep 0.05; done; yes | head -c 8000000")["id"]
    with raw(service) as one:
        one.sendall(json.dumps({"id": 1, "v": 1, "op": "watch", "job": number}).encode() + b"\n")
        answer(one)
        (tmp_path / "go").touch()
        assert service.wait_for(number, "finished")


def test_clients_that_vanish_while_they_watch_leave_the_queue_as_it_is(service: Service, tmp_path: Path) -> None:
    number = service.submit("while ! [ -e go ]; do sleep 0.05; done; echo end")["id"]
    for _ in range(20):
        with raw(service) as one:
            one.sendall(json.dumps({"id": 1, "v": 1, "op": "watch", "job": number}).encode() + b"\n")
            answer(one)
    (tmp_path / "go").touch()
    assert service.wait_for(number, "finished")


def test_one_user_has_a_number_of_connections_and_is_told_so(service: Service) -> None:
    kept = [raw(service) for _ in range(256)]
    wait_until(lambda: _is_refused(service))
    for one in kept:
        one.close()
    wait_until(lambda: not _is_refused(service))


def _is_refused(service: Service) -> bool:
    try:
        ServiceClient(service.socket).close()
    except AutotuneError as error:
        return "too many connections" in error.message
    return False


# --- leases ------------------------------------------------------------------------------------------------


def test_a_service_that_is_not_root_says_that_it_grants_no_leases(service: Service) -> None:
    client = service.client()
    assert client.grants_leases is False
    with pytest.raises(UsageError, match="does not run as root"):
        client.request("lease")
    with pytest.raises(UsageError, match="ask for the lease first"):
        client.request("attach", scheduler="at_fifo")


class ScriptedLease:
    """A lease that attaches at once, and takes as long to end as `ending` says."""

    ending = threading.Event()
    lapsed = 0

    def __init__(self, answer: Answer, over: Callable[[], None]) -> None:
        self.silence_s: float | None = None
        self._answer, self._over = answer, over

    def ask(self, number: int, request: Mapping[str, Any]) -> None:
        self.silence_s = request.get("lease_s")
        threading.Thread(target=self._answer, args=(number, {"op": request["op"]}, None)).start()

    def lapse(self) -> None:
        self.silence_s = None
        ScriptedLease.lapsed += 1

    def close(self) -> None:
        def end() -> None:
            self.ending.wait(30)
            self._over()

        threading.Thread(target=end, daemon=True).start()

    def join(self, timeout_s: float) -> None:
        """It ends by itself."""


@pytest.fixture
def granting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], ServiceClient]]:
    """Connects to a service in a thread of this process that grants scripted leases."""
    monkeypatch.setattr(leases, "refuse_without_root", lambda: None)
    monkeypatch.setattr(ScriptedLease, "lapsed", 0)
    ScriptedLease.ending.set()
    clients: list[ServiceClient] = []

    def connect() -> ServiceClient:
        clients.append(ServiceClient(tmp_path / "socket"))
        return clients[-1]

    with places.listening(tmp_path / "socket", None) as listening:
        server = Server(listening, JobQueue(tmp_path / "queue"), Gate(), lease=ScriptedLease)  # type: ignore[arg-type]
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield connect
        finally:
            ScriptedLease.ending.set()
            for client in clients:
                client.close()
            server.stop()
            thread.join(30)


def test_one_has_the_lease_and_others_are_told_who(granting: Callable[[], ServiceClient]) -> None:
    first, second = granting(), granting()
    first.request("lease")
    first.request("lease")
    assert first.request("attach", scheduler="at_fifo") == {"op": "attach"}
    with pytest.raises(BusyError, match=f"{account_name(os.geteuid())} has the scheduler"):
        second.request("lease")
    for op in ("attach", "detach", "exit"):
        with pytest.raises(UsageError, match="ask for the lease first"):
            second.request(op, scheduler="at_fifo")
    assert second.request("status")["lease"]["user"] == account_name(os.geteuid())
    first.close()
    wait_until(lambda: second.request("status")["lease"] is None)
    second.request("lease")


def test_who_asks_while_the_last_one_is_being_detached_waits_for_that(granting: Callable[[], ServiceClient]) -> None:
    first, second, third = granting(), granting(), granting()
    first.request("lease")
    ScriptedLease.ending.clear()
    first.close()
    time.sleep(0.3)  # the service has seen the end
    assert third.request("status")["lease"] is not None
    threading.Timer(0.3, ScriptedLease.ending.set).start()
    started_s = time.monotonic()
    second.request("lease")
    assert time.monotonic() - started_s > 0.2
    assert second.request("detach") == {"op": "detach"}


def test_a_client_that_is_silent_while_something_is_attached_loses_it_once(
    granting: Callable[[], ServiceClient],
) -> None:
    client = granting()
    client.request("lease")
    client.request("attach", scheduler="at_fifo", lease_s=0.5)
    wait_until(lambda: ScriptedLease.lapsed == 1)
    client.request("attach", scheduler="at_fifo", lease_s=1)
    for _ in range(10):
        client.beat()
        time.sleep(0.2)
    assert ScriptedLease.lapsed == 1


@pytest.mark.parametrize("scheduler", ["/tmp/x.o", "at_fifo --help", None, 7])
def test_what_is_no_name_of_a_scheduler_does_not_reach_the_lease(
    granting: Callable[[], ServiceClient], scheduler: Any
) -> None:
    client = granting()
    client.request("lease")
    with pytest.raises(UsageError, match=r"NAME or NAME:knob=value|a text"):
        client.request("attach", scheduler=scheduler)
