# SPDX-License-Identifier: MIT
"""Whatever a server or the client's surroundings do, a request ends, in time, as a PlannerError."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from email.utils import formatdate
from pathlib import Path
from typing import Any

import psutil
import pytest

from autotune.config import Settings
from autotune.errors import PlannerError
from autotune.knowledge.store import Knowledge
from autotune.planner.assembly import Parts, planning
from autotune.planner.claude import conversation
from autotune.planner.claude import service as claude_service
from autotune.planner.claude.cost import Usage
from autotune.planner.claude.credentials import Credentials
from autotune.planner.claude.service import ClaudeService
from tests.support.messages_server import (
    PING,
    Answer,
    Close,
    Drip,
    Raw,
    Script,
    Status,
    Step,
    beginning,
    event,
    serving,
    submit,
    text,
)
from tests.support.planning_room import CATALOG, GOOD, Room, attach_spec
from tests.support.sessions import a_situation, workload

pytestmark = pytest.mark.slow

REQUEST = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [text("hello")]}]}
PAGE = b"<!DOCTYPE html><html><body>Please log in to the hotel's network</body></html>"
TOOL = {"type": "tool_use", "id": "t", "name": "submit_candidates", "input": {}}
DEEP = event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"a":' * 500})
TALK = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "word " * 20})
VERY_LATE_S = 60.0
"""Keeps a test that hangs from hanging for ever; what is asked for is a fraction of a second."""


@pytest.fixture
def script() -> Iterator[Script]:
    with serving() as script:
        yield script


def service_of(script: Script, **options: Any) -> ClaudeService:
    options = {"pause": lambda _s: None, "retries": 1, **options}
    return ClaudeService(Credentials("test-key", None, script.url, "a test"), **options)


def fails(script: Script, *steps: Step, within_s: float = 30.0, **options: Any) -> PlannerError:
    script.steps[:] = steps * 9
    service = service_of(script, **options)
    began = time.monotonic()
    try:
        with pytest.raises(PlannerError) as caught:
            service.send(REQUEST, within_s)
    finally:
        service.close()
    assert time.monotonic() - began < VERY_LATE_S
    assert "offline" in caught.value.hint or "check" in caught.value.hint
    return caught.value


# --- answers that are none -------------------------------------------------------------------------------

NO_ANSWERS: dict[str, Step] = {
    "a page": Raw(PAGE, kind="text/html"),
    "a page that says it is a stream": Raw(PAGE),
    "a page with 500": Raw(PAGE, 500, "text/html"),
    "a page with 403": Raw(PAGE, 403, "text/html"),
    "nothing": Raw(b""),
    "no content": Raw(b"", 204, headers={"content-length": "0"}),
    "JSON": Raw(b'{"id": "m"}', kind="application/json"),
    "damaged JSON with 400": Raw(b'{"error": {"mess', 400, "application/json"),
    "damaged event": Raw(b'event: message_start\ndata: {"type": "mess\n\n'),
    "bytes that are no text": Raw(b"event: message_start\ndata: \xff\xfe\n\n"),
    "an event of no type": Raw(event("message_start")),
    "a list for an event": Raw(b"event: message_start\ndata: [1, 2]\n\n"),
    "a delta without its block": Raw(beginning(text("")) + TALK.replace(b'"index": 0', b'"index": 7')),
    "events in no order": Raw(TALK),
    "deep tool input": Raw(beginning(TOOL) + DEEP),
    "deep event": Raw(b"event: message_start\ndata: " + b'{"a":' * 100_000 + b"\n\n"),
    "a block that is a text": Raw(beginning("x") + event("message_stop")),  # type: ignore[arg-type]
    "damaged packing": Raw(b"not gzip", headers={"content-encoding": "gzip"}),
    "a redirect to itself": Raw(b"", 307, headers={"location": "/v1/messages"}),
    "a redirect to nowhere": Raw(b"", 307, headers={"location": "http://["}),
    "closed at once": Close(),
}


@pytest.mark.parametrize("step", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_what_is_no_answer_is_an_error_of_the_planner(script: Script, step: Step) -> None:
    error = fails(script, step)
    assert "<html" not in error.message.lower()
    assert len(error.message) < 500


@pytest.mark.parametrize("step", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
@pytest.mark.slow
def test_what_is_no_answer_leaves_the_session_to_the_offline_planner(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: Step
) -> None:
    monkeypatch.setattr(claude_service, "PAUSE_S", 0.0)
    room = Room(script, monkeypatch, tmp_path)
    session = room.run(*[step] * 9)
    assert (session.planner, session.failure) == ("offline", None)
    assert session.winner is not None
    assert [name for name, _ in room.chosen] == ["claude", "offline"]
    assert "offline" in room.chosen[1][1] or "check" in room.chosen[1][1]


@pytest.mark.parametrize("count", [-1, -(10**9), 10**18, 1.5, "many", None, float("nan")])
@pytest.mark.parametrize("field", ["input_tokens", "output_tokens"])
def test_counts_of_tokens_that_cannot_be_are_not_taken(script: Script, field: str, count: object) -> None:
    error = fails(script, Answer([submit()], counted={field: count}))
    assert "tokens" in error.message


@pytest.mark.parametrize("field", ["cache_read_input_tokens", "cache_creation_input_tokens"])
def test_counts_of_the_cache_may_be_missing_but_not_negative(script: Script, field: str) -> None:
    fails(script, Answer([submit()], counted={field: -5}))
    script.steps[:] = [Answer([submit()], counted={field: None})]
    assert service_of(script).send(REQUEST, 30.0).stop_reason == "tool_use"


# --- answers that do not end -----------------------------------------------------------------------------

ENDLESS = {
    "pings": Drip(beginning(text("")), PING, 0.02),
    "pings before anything": Drip(b"", PING, 0.02),
    "words": Drip(beginning(text("")), TALK, 0.02),
    "single bytes of the headers": Drip(b"x: ", b"y", 0.02, code=None),
    "a refusal": Drip(b'{"error": "', b"x", 0.02, code=400),
    "a refusal to be tried again": Drip(b"", b"x", 0.02, code=529),
    "a line": Drip(b"data: ", b"x", 0.02),
}


@pytest.mark.parametrize("step", ENDLESS.values(), ids=ENDLESS.keys())
@pytest.mark.slow
def test_a_dripping_answer_ends_with_the_time_there_is(script: Script, step: Step) -> None:
    error = fails(script, step, within_s=0.5, silence_s=20.0)
    assert "in time" in error.message


@pytest.mark.parametrize("code", [200, 400, 500])
@pytest.mark.parametrize("piece", [TALK * 100, b"x" * 65536, PING * 500], ids=["words", "one line", "pings"])
def test_a_flood_is_cut_off(script: Script, piece: bytes, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claude_service, "MOST_BYTES", 1 << 20)
    before = psutil.Process().memory_info().rss
    error = fails(script, Drip(beginning(text("")), piece, code=code), within_s=VERY_LATE_S)
    assert "has no end" in error.message
    assert psutil.Process().memory_info().rss - before < 100 << 20


def test_nothing_is_read_any_more_once_it_is_given_up(script: Script) -> None:
    fails(script, ENDLESS["words"], within_s=0.3)
    end = time.monotonic() + VERY_LATE_S
    while any(thread.name == "autotune-service" for thread in threading.enumerate()):
        assert time.monotonic() < end, "the thread still reads"
        time.sleep(0.05)


# --- waits that a server asks for ------------------------------------------------------------------------


@pytest.mark.parametrize("code", [429, 503, 529])
@pytest.mark.parametrize(
    "wait", ["3600", "3600.5", "1e300", pytest.param(formatdate(time.time() + 3600, usegmt=True), id="a date")]
)
def test_a_wait_longer_than_the_time_there_is_is_not_begun(script: Script, wait: str, code: int) -> None:
    waits: list[float] = []
    fails(script, Status(code, "x", "later", {"retry-after": wait}), pause=waits.append)
    assert waits == []
    assert len(script.requests) == 1


@pytest.mark.parametrize("wait", ["-5", "nan", "inf", "soon", "", "Thu, 01 Jan 1970 00:00:00 GMT", "9" * 400])
def test_a_wait_that_is_none_is_no_wait(script: Script, wait: str) -> None:
    waits: list[float] = []
    script.steps[:] = [Status(429, "x", "later", {"retry-after": wait}), Answer([submit()])]
    assert service_of(script, pause=waits.append).send(REQUEST, 30.0).stop_reason == "tool_use"
    assert all(0 <= wait_s <= 1 for wait_s in waits)


def test_the_waits_between_tries_count_against_the_time_there_is(script: Script) -> None:
    fails(script, Status(529), within_s=1.0, retries=1000, pause=time.sleep)
    assert len(script.requests) <= 3


# --- surroundings ----------------------------------------------------------------------------------------

SURROUNDINGS = {
    "a SOCKS proxy": {"ALL_PROXY": "socks5://127.0.0.1:9"},
    "a proxy that is not there": {"HTTP_PROXY": "http://127.0.0.1:9"},
    "a proxy that is none": {"HTTP_PROXY": "gopher://x"},
    "a proxy that is half an address": {"HTTP_PROXY": "http://["},
    "certificates that are not there": {
        "SSL_CERT_FILE": "/nowhere/ca.pem",
        "ANTHROPIC_BASE_URL": "https://127.0.0.1:9",
    },
    "certificates that are none": {"SSL_CERT_FILE": "/dev/null", "ANTHROPIC_BASE_URL": "https://127.0.0.1:9"},
    "certificates in a directory": {"SSL_CERT_FILE": "/", "ANTHROPIC_BASE_URL": "https://127.0.0.1:9"},
    "no certificates": {"SSL_CERT_FILE": "", "ANTHROPIC_BASE_URL": "https://127.0.0.1:9"},
    "no directory of certificates": {"SSL_CERT_DIR": "/nowhere", "ANTHROPIC_BASE_URL": "https://127.0.0.1:9"},
    "no address": {"ANTHROPIC_BASE_URL": "not a url"},
    "half an address": {"ANTHROPIC_BASE_URL": "http://["},
    "another protocol": {"ANTHROPIC_BASE_URL": "ftp://x"},
    "a name that is not there": {"ANTHROPIC_BASE_URL": "http://nowhere.invalid"},
    "a key that is none": {"ANTHROPIC_API_KEY": "a\nb"},
    "headers that are none": {"ANTHROPIC_CUSTOM_HEADERS": "x: \u20ac"},
}


@pytest.fixture
def room(script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Room:
    monkeypatch.setattr(claude_service, "PAUSE_S", 0.0)
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return Room(script, monkeypatch, tmp_path)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("around", SURROUNDINGS.values(), ids=SURROUNDINGS.keys())
def test_surroundings_in_which_no_client_works(
    room: Room, monkeypatch: pytest.MonkeyPatch, around: dict[str, str]
) -> None:
    for name, value in around.items():
        monkeypatch.setenv(name, value)
    session = room.run()
    assert (session.planner, session.failure) == ("offline", None)
    assert session.winner is not None
    assert "planner offline" in room.chosen[-1][1] or "set it" in room.chosen[-1][1]
    assert _failure(room)


def _failure(room: Room) -> str | None:
    """Of a session that only Claude may plan: told before the baseline where no client can be made, else beside it."""
    try:
        return room.run(planner="claude").failure
    except PlannerError as error:
        return str(error)


def test_a_key_of_the_directory_alone_leaves_the_offline_planner_and_says_how_to_use_it(room: Room) -> None:
    room.use_key(None)
    (room.directory / ".env").write_text(f"ANTHROPIC_API_KEY=test-key\nANTHROPIC_BASE_URL={room.script.url}\n")
    assert room.run(*GOOD).planner == "offline"
    ((name, why),) = room.chosen
    assert name == "offline"
    assert "ANTHROPIC_API_KEY in .env" in why
    assert "--planner claude" in why
    assert room.script.requests == []


# --- the time of one turn --------------------------------------------------------------------------------


class Slow:
    """A service that answers every call, each a little late, and never hands anything in."""

    def __init__(self) -> None:
        self.given_s: list[float] = []

    def send(self, request: dict[str, Any], within_s: float) -> conversation.Reply:
        del request
        self.given_s.append(within_s)
        time.sleep(0.2)
        call = {"type": "tool_use", "id": f"t{len(self.given_s)}", "name": "list_schedulers", "input": {}}
        return conversation.Reply([call], "tool_use", Usage())


@pytest.mark.slow
def test_one_turn_has_one_deadline_which_leaves_time_for_measuring(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    monkeypatch.setattr(ClaudeService, "send", lambda _self, request, within_s: slow.send(request, within_s))
    work = workload(cwd=str(room.directory))
    with closing(Knowledge()) as memory, ExitStack() as stack:
        parts = Parts(Settings(planner="claude"), work, CATALOG, room.machine, attach_spec, room.told.append, memory)
        planner = stack.enter_context(planning(parts))
        with pytest.raises(PlannerError, match="did not finish planning in time"):
            planner.propose(a_situation(budget_left_s=3.0))
    assert 1.0 < slow.given_s[0] <= 3.0 * conversation.SHARE_A_TURN
    assert slow.given_s == sorted(slow.given_s, reverse=True)
    assert len(slow.given_s) > 1
