# SPDX-License-Identifier: MIT
"""The JSON-lines protocol between autotune and its helpers, over real pipes and with real processes."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import AttachError, AutotuneError, RunnerLost
from autotune.process import Channel, ChannelClosed, ChannelTimeout, Peer, Worker, serve

ROOT = str(Path(__file__).resolve().parents[2])

HELPER = """
import os, sys, time, signal
sys.path.insert(0, sys.argv[1])
from autotune.errors import AttachError
from autotune.process import Channel, serve
def echo(request, emit):
    for item in request.get("events", []):
        emit({"item": item})
    return {"text": request["text"]}
def refuse(request, emit):
    raise AttachError("no such thing", hint="look elsewhere", detail="long text")
def stumble(request, emit):
    return {}["missing"]
def unsendable(request, emit):
    return object()
def die(request, emit):
    os.kill(os.getpid(), signal.SIGKILL)
def sleep(request, emit):
    time.sleep(request["seconds"])
def chatter(request, emit):
    while True:
        emit({"more": "x" * 1000})
def session(request, emit):
    return {"session": os.getsid(0), "pid": os.getpid(), "fds": sorted(map(int, os.listdir("/proc/self/fd")))}
serve(Channel(0, 1), {f.__name__: f for f in (echo, refuse, stumble, unsendable, die, sleep, chatter, session)})
"""


def lost(what: str) -> AutotuneError:
    return RunnerLost(f"helper: {what}")


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker([sys.executable, "-S", "-c", HELPER, ROOT], lost)
    yield worker
    worker.close()


def ask(worker: Worker, op: str, timeout_s: float | None = 10.0, **fields: Any) -> Any:
    return worker.request(op, timeout_s=timeout_s, **fields)


@pytest.fixture
def pipe() -> Iterator[tuple[Channel, int, int]]:
    """A channel that reads what the test writes, and both descriptors."""
    read_fd, write_fd = os.pipe()
    yield Channel(read_fd, write_fd), read_fd, write_fd
    for fd in (read_fd, write_fd):
        try:
            os.close(fd)
        except OSError:
            assert fd == write_fd  # the test closed it


# --- a channel ---


def test_messages_arrive_as_they_were_sent(pipe: tuple[Channel, int, int]) -> None:
    channel, _, _ = pipe
    for message in ({"id": 1, "text": "ä\n\udcff"}, {"id": 2, "list": [1.5, None, True]}):
        channel.send(message)
        assert channel.receive(1) == message


def test_several_messages_in_one_piece_are_several(pipe: tuple[Channel, int, int]) -> None:
    channel, _, write_fd = pipe
    os.write(write_fd, b'{"id":1}\n{"id":2}\n{"id"')
    assert channel.receive(1) == {"id": 1}
    assert channel.pending()
    assert channel.receive(1) == {"id": 2}
    assert not channel.pending()
    os.write(write_fd, b":3}\n")
    assert channel.receive(1) == {"id": 3}


def test_a_message_larger_than_a_pipe_passes(pipe: tuple[Channel, int, int]) -> None:
    channel, _, _ = pipe
    message = {"text": "x" * (1 << 21)}
    sender = threading.Thread(target=channel.send, args=(message,))
    sender.start()
    assert channel.receive(10) == message
    sender.join()


def test_reading_stops_at_its_deadline_even_within_a_line(pipe: tuple[Channel, int, int]) -> None:
    channel, _, write_fd = pipe
    os.write(write_fd, b'{"id":')
    began = time.monotonic()
    with pytest.raises(ChannelTimeout):
        channel.receive(0.1)
    assert time.monotonic() - began > 0.09  # without a deadline it would wait for ever


def test_a_torn_last_line_is_dropped(pipe: tuple[Channel, int, int]) -> None:
    channel, _, write_fd = pipe
    os.write(write_fd, b'{"id":1}\n{"id":2')
    os.close(write_fd)
    assert channel.receive(1) == {"id": 1}
    with pytest.raises(ChannelClosed, match="end of file"):
        channel.receive(1)


@pytest.mark.parametrize("line", [b"hello\n", b"[1]\n", b"\xff\xfe\n", b"\n"])
def test_a_line_that_is_no_message_closes_the_channel(pipe: tuple[Channel, int, int], line: bytes) -> None:
    channel, _, write_fd = pipe
    os.write(write_fd, line)
    with pytest.raises(ChannelClosed, match="not "):
        channel.receive(1)


def test_sending_to_nobody_says_so() -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    with pytest.raises(ChannelClosed):
        Channel(read_fd, write_fd).send({})
    os.close(write_fd)


def test_what_is_not_json_is_refused_before_anything_is_written(pipe: tuple[Channel, int, int]) -> None:
    channel, _, _ = pipe
    with pytest.raises(TypeError):
        channel.send({"a": object()})
    with pytest.raises(ChannelTimeout):
        channel.receive(0)


def test_a_disowned_channel_touches_no_descriptor(pipe: tuple[Channel, int, int]) -> None:
    channel, read_fd, _ = pipe
    channel.disown()
    with pytest.raises(ChannelClosed):
        channel.send({"id": 1})
    with pytest.raises(ChannelClosed):
        channel.receive(0)
    os.set_blocking(read_fd, False)
    with pytest.raises(BlockingIOError):
        os.read(read_fd, 1)


def test_serving_ends_when_the_other_side_goes(pipe: tuple[Channel, int, int]) -> None:
    channel, _, write_fd = pipe
    os.close(write_fd)
    serve(channel, {})  # returns


class ShortLease:
    """A lease of 50 ms that keeps what happened, and ends the serving when it lapses."""

    def __init__(self, end: Callable[[], None]) -> None:
        self.log: list[str] = []
        self._end = end

    def left_s(self) -> float | None:
        return 0.05

    def renew(self) -> None:
        self.log.append("renew")

    def lapse(self) -> None:
        self.log.append("lapse")
        self._end()


def test_a_beat_renews_the_lease_and_is_not_answered_and_silence_lets_it_lapse(
    pipe: tuple[Channel, int, int],
) -> None:
    channel, _, write_fd = pipe
    answers, answer_fd = os.pipe()
    lease = ShortLease(lambda: os.close(write_fd))
    served = Channel(channel.read_fd, answer_fd)
    os.write(write_fd, b'{"op":"beat"}\n{"op":"beat"}\n{"id":7,"op":"echo"}\n')
    serve(served, {"echo": lambda _request, _emit: "here"}, lease)
    assert lease.log == ["renew", "renew", "renew", "lapse"]
    os.close(answer_fd)
    assert json.loads(os.read(answers, 4096)) == {"id": 7, "ok": "here"}
    os.close(answers)


def test_a_beat_never_waits_for_a_helper_that_does_not_read(worker: Worker) -> None:
    worker.notify("sleep", seconds=60)
    for _ in range(20_000):  # a pipe holds 64 KiB
        worker.beat()
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    worker.beat()


# --- a helper ---


def test_an_answer_comes_back_and_events_before_it_in_order(worker: Worker) -> None:
    events: list[Any] = []
    answer = ask(worker, "echo", text="ä", events=[1, 2, 3], on_event=events.append)
    assert answer == {"text": "ä"}
    assert events == [{"item": 1}, {"item": 2}, {"item": 3}]


def test_events_nobody_wants_are_dropped(worker: Worker) -> None:
    assert ask(worker, "echo", text="a", events=[1]) == {"text": "a"}


def test_an_error_arrives_as_the_same_class_with_all_its_parts(worker: Worker) -> None:
    with pytest.raises(AttachError) as caught:
        ask(worker, "refuse")
    error = caught.value
    assert (error.message, error.hint, error.detail) == ("no such thing", "look elsewhere", "long text")
    assert error.stage == "attach"


@pytest.mark.parametrize(
    ("op", "words"),
    [("stumble", "KeyError: 'missing'"), ("unsendable", "TypeError"), ("nonsense", "unknown operation")],
)
def test_a_bug_in_a_helper_is_one_line_and_the_helper_lives_on(worker: Worker, op: str, words: str) -> None:
    with pytest.raises(AutotuneError, match=words):
        ask(worker, op)
    assert ask(worker, "echo", text="still here") == {"text": "still here"}


def test_a_helper_that_dies_is_lost(worker: Worker) -> None:
    with pytest.raises(RunnerLost, match="it is gone"):
        ask(worker, "die")
    with pytest.raises(RunnerLost):
        ask(worker, "echo", text="again")
    assert worker.close() == -signal.SIGKILL


def test_a_helper_that_is_late_is_lost_and_its_late_answer_is_nobodys(worker: Worker) -> None:
    with pytest.raises(RunnerLost, match=r"no answer to 'sleep' within 0.1 s"):
        ask(worker, "sleep", timeout_s=0.1, seconds=0.3)
    assert ask(worker, "echo", text="mine") == {"text": "mine"}


def test_events_without_end_do_not_outlast_the_deadline(worker: Worker) -> None:
    began = time.monotonic()
    with pytest.raises(RunnerLost, match="no answer to 'chatter'"):
        ask(worker, "chatter", timeout_s=0.2)
    assert time.monotonic() - began >= 0.2  # without a deadline it would go on for ever


@pytest.mark.slow
def test_a_client_that_waits_looks_at_the_helper_and_may_stop_waiting(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autotune.process.LOOK_EVERY_S", 0.05)
    states: list[bool] = []

    def look() -> None:
        states.append(worker.is_stopped())
        if len(states) == 3:
            worker.process.send_signal(signal.SIGSTOP)
        if states[-1]:
            raise lost("it was stopped")

    with pytest.raises(RunnerLost, match="it was stopped"):
        worker.request("sleep", timeout_s=None, look=look, seconds=60)
    assert states[:3] == [False] * 3
    worker.kill()


def test_looking_does_not_move_the_deadline(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotune.process.LOOK_EVERY_S", 0.05)
    looks: list[None] = []
    with pytest.raises(RunnerLost, match=r"no answer to 'sleep' within 0\.3 s"):
        worker.request("sleep", timeout_s=0.3, look=lambda: looks.append(None), seconds=60)
    assert looks
    worker.kill()


def test_a_note_needs_no_answer_and_disturbs_none(worker: Worker) -> None:
    worker.notify("echo", text="a note")
    assert ask(worker, "echo", text="a question") == {"text": "a question"}


def test_a_note_to_a_dead_helper_is_no_error(worker: Worker) -> None:
    worker.kill()
    worker.notify("echo", text="anybody")


def test_a_helper_has_a_session_of_its_own_and_only_the_files_it_was_given() -> None:
    read_fd, write_fd = os.pipe()
    worker = Worker([sys.executable, "-S", "-c", HELPER, ROOT], lost, pass_fds=(write_fd,))
    seen = ask(worker, "session")
    assert seen["session"] == seen["pid"] != os.getsid(0)
    assert write_fd in seen["fds"]
    assert read_fd not in seen["fds"]
    assert len(set(seen["fds"]) - {0, 1, 2, write_fd}) == 1  # the listing's own
    worker.close()
    os.close(read_fd)
    os.close(write_fd)


def test_a_helper_that_cannot_be_started_is_lost() -> None:
    with pytest.raises(RunnerLost, match="cannot be started"):
        Worker(["/nonexistent/helper"], lost)


def test_closing_ends_a_helper_in_order(worker: Worker) -> None:
    assert ask(worker, "echo", text="a") == {"text": "a"}
    assert worker.close() == 0
    assert worker.close() == 0
    with pytest.raises(RunnerLost):
        ask(worker, "echo", text="b")


def test_closing_does_not_wait_for_a_helper_that_writes_what_nobody_reads(worker: Worker) -> None:
    with pytest.raises(RunnerLost):
        ask(worker, "chatter", timeout_s=0.1)
    began = time.monotonic()
    worker.close(grace_s=60.0)
    assert time.monotonic() - began < 60.0  # it left by itself


def test_closing_kills_a_helper_that_does_not_leave(worker: Worker) -> None:
    with pytest.raises(RunnerLost):
        ask(worker, "sleep", timeout_s=0.1, seconds=60)
    assert worker.close(grace_s=0.1) == -signal.SIGKILL


def test_two_threads_may_talk_to_one_helper() -> None:
    """Notes from another thread never tear a request apart, however long both are."""
    requests_read, requests_write = os.pipe()
    answers_read, answers_write = os.pipe()
    seen: list[str] = []
    handlers = {"a": lambda request, _emit: seen.append(request["text"])}
    server = threading.Thread(target=serve, args=(Channel(requests_read, answers_write), handlers))
    server.start()
    peer = Peer(Channel(answers_read, requests_write), lost)

    def note() -> None:
        for _ in range(30):
            peer.notify("a", text="n" * 100_000)

    noter = threading.Thread(target=note)
    noter.start()
    for _ in range(30):
        peer.request("a", timeout_s=10, text="r" * 100_000)
    noter.join()
    os.close(requests_write)
    server.join(10)
    assert sorted(seen) == ["n" * 100_000] * 30 + ["r" * 100_000] * 30
    for fd in (requests_read, answers_read, answers_write):
        os.close(fd)
