# SPDX-License-Identifier: MIT
"""Whatever the user's server answers, a request ends, in time, as a PlannerError; and only what is meant for the server
reaches it."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from autotune.errors import PlannerError
from autotune.planner import remote
from autotune.planner.chat.endpoint import KEY, Endpoint
from autotune.planner.chat.service import ChatService
from tests.support.broken_answers import NO_ANSWERS
from tests.support.chat_server import DONE, call, data, delta, finish
from tests.support.failing_service import REQUEST, VERY_LATE_S, failure_of
from tests.support.messages_server import Answer, Drip, ErrorEvent, Hang, Raw, Reset, Script, Status, Step, submit, text

pytestmark = pytest.mark.slow


def service_of(script: Script, **options: Any) -> ChatService:
    options = {"pause": lambda _s: None, "retries": 1, **options}
    return ChatService(Endpoint(script.url, "test-key"), **options)


def fails(script: Script, *steps: Step, within_s: float = 30.0, **options: Any) -> PlannerError:
    error = failure_of(service_of(script, **options), script, steps, within_s)
    assert "<html" not in error.message.lower()
    assert len(error.message) < 500
    return error


# --- answers ---------------------------------------------------------------------------------------------


def test_a_reply_is_read_with_its_counts(script: Script) -> None:
    script.steps[:] = [Answer([text("So"), {"type": "thinking", "thinking": "hm"}, submit("at_fifo")])]
    reply = service_of(script).send(REQUEST)
    assert [block["type"] for block in reply.content] == ["text", "tool_use"]
    assert reply.content[1]["input"]["candidates"][0]["scheduler"] == "at_fifo"
    assert reply.stop_reason == "tool_use"
    assert reply.usage.input_tokens > 0


def test_fifteen_thousand_calls_are_read(script: Script) -> None:
    calls = [delta(tool_calls=[call(number, "t", "{}")]) for number in range(15_000)]
    script.steps[:] = [Raw(b"".join(calls) + finish("tool_calls") + DONE)]
    assert len(service_of(script).send(REQUEST, VERY_LATE_S).content) == 15_000


@pytest.mark.parametrize("field", ["max_tokens", "stream_options"])
def test_a_field_that_the_server_does_not_take_is_left_out(script: Script, field: str) -> None:
    script.steps[:] = [Status(400, "x", f"unsupported parameter: {field}"), Answer([submit()]), Answer([submit()])]
    service = service_of(script)
    service.send(REQUEST)
    service.send(REQUEST)
    assert [field in body for body in script.requests] == [True, False, False]


def test_a_field_that_is_refused_even_when_it_is_left_out_is_an_error(script: Script) -> None:
    fails(script, Status(400, "x", "unsupported parameter: max_tokens"))
    assert len(script.requests) == 2


def test_a_limit_on_the_cost_needs_counts(script: Script) -> None:
    uncounted = Raw(delta(content="x") + finish("stop") + DONE)
    assert "--max-cost" in fails(script, uncounted, must_count=True).message
    script.steps[:] = [uncounted]
    assert service_of(script).send(REQUEST).usage.output_tokens == 0


# --- answers that are none -------------------------------------------------------------------------------

BEGUN = delta(role="assistant", content="")
WORD = delta(content="word " * 20)
WRONG: dict[str, Step] = {
    "damaged JSON in a chunk": Raw(b'data: {"choices": [{"del\n\n'),
    "a list for a chunk": Raw(b"data: [1, 2]\n\n"),
    "a deep chunk": Raw(b"data: " + b'{"a":' * 100_000 + b"\n\n"),
    "content of a wrong type": Raw(delta(content=[{"x": 1}])),
    "calls of a wrong type": Raw(delta(tool_calls="t")),
    "choices of a wrong type": Raw(data(choices="x")),
    "no choices": Raw(data(id="c")),
    "counts that cannot be": Raw(finish("stop") + data(choices=[], usage={"prompt_tokens": -5}) + DONE),
    "the end without a reply": Raw(DONE),
    "a whole answer that is no stream": Raw(
        b'{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}', kind="application/json"
    ),
    "an end in the middle": Raw(BEGUN + WORD),
    "a reset": Reset(),
    "a quiet end": Reset(quietly=True),
    "an error in the stream": ErrorEvent(),
    "an unknown model": Status(404, "x", "model not found"),
    "a page of an error": Status(500, "x", "<html><body>it broke</body></html>"),
}


@pytest.mark.parametrize("step", [*NO_ANSWERS.values(), *WRONG.values()], ids=[*NO_ANSWERS, *WRONG])
def test_what_is_no_answer_is_an_error_of_the_planner(script: Script, step: Step) -> None:
    fails(script, step)


def test_an_error_in_the_stream_is_tried_again_and_told(script: Script) -> None:
    assert "Overloaded" in fails(script, ErrorEvent()).message
    assert len(script.requests) == 1 + remote.BROKEN_RETRIES


# --- answers that do not end -----------------------------------------------------------------------------

ENDLESS = {
    "comments": Drip(b"", b": ping\n\n", 0.02),
    "words": Drip(BEGUN, WORD, 0.02),
    "single bytes of the headers": Drip(b"x: ", b"y", 0.02, code=None),
    "a refusal": Drip(b'{"error": "', b"x", 0.02, code=400),
}


@pytest.mark.parametrize("step", ENDLESS.values(), ids=ENDLESS.keys())
def test_a_dripping_answer_ends_with_the_time_there_is(script: Script, step: Step) -> None:
    assert "in time" in fails(script, step, within_s=0.5, silence_s=20.0).message


def test_a_server_that_says_nothing_is_given_up(script: Script) -> None:
    error = fails(script, Hang(VERY_LATE_S), silence_s=0.3)
    assert "in time" in error.message
    assert "--model-timeout" in error.hint


@pytest.mark.parametrize("code", [200, 400])
@pytest.mark.parametrize("piece", [WORD * 100, b"x" * 65536], ids=["words", "one line"])
def test_a_flood_is_cut_off(script: Script, piece: bytes, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MOST_BYTES", 1 << 20)
    assert "has no end" in fails(script, Drip(BEGUN, piece, code=code), within_s=VERY_LATE_S).message


def test_a_wait_longer_than_the_time_there_is_is_not_begun(script: Script) -> None:
    waits: list[float] = []
    fails(script, Status(429, "x", "later", {"retry-after": "3600"}), pause=waits.append)
    assert waits == []
    assert len(script.requests) == 1


# --- what reaches the server -----------------------------------------------------------------------------


def test_nothing_that_is_meant_for_another_service_is_sent(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", "stranger-1234")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-other: stranger-1234\nauthorization: Bearer stranger-1234")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/")
    script.steps[:] = [Answer([submit()])] * 2
    for key in (None, "test-key"):
        script.key = key or ""
        ChatService(Endpoint(script.url, key)).send(REQUEST)
    without, with_key = script.headers
    assert "stranger" not in str(script.headers)
    assert "authorization" not in without
    assert with_key["authorization"] == "Bearer test-key"


def test_what_is_not_encrypted_passes_no_proxy(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        script.steps[:] = [Answer([submit()])]
        service_of(script, silence_s=5.0, retries=0).send(REQUEST)
        with pytest.raises(BlockingIOError):  # nobody came
            proxy.accept()


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(script: Script, code: int) -> None:
    location = f"{script.url}/elsewhere"
    fails(script, Raw(b"", code, headers={"location": location}))
    assert len(script.requests) + len(script.checks) == 1


def test_the_key_is_in_no_error(script: Script) -> None:
    script.key = "test-key-12345"
    script.steps[:] = [Status(401, "x", "the key test-key-12345 is wrong")]
    with pytest.raises(PlannerError) as caught:
        ChatService(Endpoint(script.url, "test-key-12345")).send(REQUEST)
    assert "test-key-12345" not in f"{caught.value.message} {caught.value.hint}"
    assert KEY in caught.value.hint


# --- before a session ------------------------------------------------------------------------------------


def test_a_refused_key_shows_before_a_session(script: Script) -> None:
    script.key = "another"
    with pytest.raises(PlannerError, match="key is not accepted"):
        service_of(script).check("m")


def test_a_server_without_the_question_for_a_model_is_taken(script: Script) -> None:
    script.check = Status(404, "x", "no such page")
    service_of(script).check("m", must_answer=True)


def test_where_nobody_listens_it_shows_before_a_session() -> None:
    service = ChatService(Endpoint("http://127.0.0.1:9", None), retries=0)
    with pytest.raises(PlannerError, match="cannot be reached"):
        service.check("m", must_answer=True)
