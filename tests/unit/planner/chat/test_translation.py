# SPDX-License-Identifier: MIT
"""What the conversation asks for arrives as chat messages, and what comes back as content blocks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.planner.chat.translation import StreamedReply, chat_request
from autotune.planner.claude.conversation import Reply
from autotune.planner.claude.cost import Usage
from autotune.planner.remote import BrokenOff, NotTheApi
from tests.support.chat_server import call, problem_of

REQUEST: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "thinking": {"type": "adaptive"},
    "cache_control": {"type": "ephemeral"},
    "system": [{"type": "text", "text": "rules", "cache_control": {"type": "ephemeral"}}],
    "tools": [{"name": "t", "description": "d", "input_schema": {"type": "object"}, "strict": True}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "facts"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "So"},
                {"type": "tool_use", "id": "1", "name": "t", "input": {"a": 1}},
                {"type": "tool_use", "id": "2", "name": "t", "input": "{broken"},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "done"},
                {"type": "tool_result", "tool_use_id": "2", "content": "no", "is_error": True},
            ],
        },
    ],
}


def chunk(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def reply_of(*chunks: object, must_count: bool = False) -> Reply:
    streamed = StreamedReply(must_count)
    for one in chunks:
        streamed.add(one)
    return streamed.reply()


# --- what is sent ----------------------------------------------------------------------------------------


def test_a_request_becomes_messages_that_a_server_takes() -> None:
    sent = chat_request(REQUEST)
    assert problem_of(sent) is None
    assert [one["role"] for one in sent["messages"]] == ["system", "user", "assistant", "tool", "tool"]
    assert [one["content"] for one in sent["messages"]] == ["rules", "facts", "So", "done", "no"]
    assert [one["function"]["name"] for one in sent["tools"]] == ["t"]
    assert sent["tools"][0]["function"]["parameters"] == {"type": "object"}
    assert (sent["model"], sent["max_tokens"], sent["stream"]) == ("m", 9, True)


def test_marks_of_the_cache_and_thinking_are_left_out() -> None:
    assert "cache_control" not in json.dumps(chat_request(REQUEST))
    assert "thinking" not in json.dumps(chat_request(REQUEST))


def test_arguments_that_are_no_object_are_sent_back_as_an_object() -> None:
    first, second = chat_request(REQUEST)["messages"][2]["tool_calls"]
    assert json.loads(first["function"]["arguments"]) == {"a": 1}
    assert json.loads(second["function"]["arguments"]) == {"unreadable": "{broken"}


# --- what is answered ------------------------------------------------------------------------------------


def test_text_comes_together_from_its_pieces() -> None:
    reply = reply_of(chunk(role="assistant", content=""), chunk(content="So "), chunk(content="be it"), chunk("stop"))
    assert reply == Reply([{"type": "text", "text": "So be it"}], "end_turn", Usage())


@given(st.dictionaries(st.text(max_size=9), st.integers() | st.text(max_size=9), max_size=4), st.data())
def test_arguments_come_together_wherever_they_are_cut(arguments: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(arguments)
    cut = data.draw(st.integers(0, len(text)))
    reply = reply_of(
        chunk(tool_calls=[call(0, "t", text[:cut])]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": text[cut:]}}]),
        chunk("tool_calls"),
    )
    assert reply.content == [{"type": "tool_use", "id": "call_0", "name": "t", "input": arguments}]
    assert reply.stop_reason == "tool_use"


@pytest.mark.parametrize(
    "text", ["{broken", "[1]", "3", '"x"', "null", "[" * 100_000, '{"a": "\\ud800"}', '{"a": NaN}']
)
def test_arguments_that_are_no_object_stay_a_text(text: str) -> None:
    (block,) = reply_of(chunk(tool_calls=[call(0, "t", text)]), chunk("tool_calls")).content
    assert block["input"] == text


def test_half_of_a_pair_does_not_come_back() -> None:
    (block,) = reply_of(chunk(content="half \ud800"), chunk("stop")).content
    assert block["text"] == "half ?"


def test_no_arguments_are_an_empty_object() -> None:
    (block,) = reply_of(chunk(tool_calls=[call(0, "t", "")]), chunk("tool_calls")).content
    assert block["input"] == {}


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param([call(0, "a", "{}", None), call(1, "b", "{}", None)], id="without ids"),
        pytest.param([call(0, "a", "{}", "x"), call(1, "b", "{}", "x")], id="with one id"),
        pytest.param([call(0, "a", "{}", "x"), call(0, "b", "{}", "y")], id="with one number"),
    ],
)
def test_several_calls_stay_apart(calls: list[dict[str, Any]]) -> None:
    reply = reply_of(*[chunk(tool_calls=[one]) for one in calls], chunk("tool_calls"))
    assert [block["name"] for block in reply.content] == ["a", "b"]
    assert len({block["id"] for block in reply.content}) == 2


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", "max_tokens"), ("content_filter", "refusal"), ("stop", "end_turn"), ("whatever", "end_turn")],
)
def test_reasons_to_stop(finish: str, reason: str) -> None:
    assert reply_of(chunk(content="x"), chunk(finish)).stop_reason == reason


def test_a_call_counts_though_the_server_says_stop() -> None:
    assert reply_of(chunk(tool_calls=[call(0, "t", "{}")]), chunk("stop")).stop_reason == "tool_use"


def test_a_refusal_is_one() -> None:
    assert reply_of(chunk(refusal="I will not."), chunk("stop")).stop_reason == "refusal"


def test_what_the_model_thinks_aloud_is_no_part_of_the_reply() -> None:
    assert reply_of(chunk(reasoning_content="hm", reasoning="hm"), chunk("stop")).content == []


def test_tokens_are_counted_those_of_the_cache_apart() -> None:
    details = {"cached_tokens": 60}
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": details}
    found = reply_of(chunk("stop"), {"choices": [], "usage": usage}).usage
    assert found == Usage(input_tokens=40, cache_read_tokens=60, output_tokens=7)


def test_missing_counts_are_no_tokens_unless_a_limit_depends_on_them() -> None:
    assert reply_of(chunk("stop")).usage == Usage()
    with pytest.raises(NotTheApi, match="--max-cost"):
        reply_of(chunk("stop"), must_count=True)


def test_a_reply_without_its_end_broke_off() -> None:
    with pytest.raises(BrokenOff):
        reply_of(chunk(content="half of"))


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        "text",
        None,
        {},
        {"choices": 3},
        {"choices": ["x"]},
        {"choices": [{"delta": "x"}]},
        chunk(content=7),
        chunk(content=[{"type": "text"}]),
        chunk(tool_calls={"0": 1}),
        chunk(tool_calls=["x"]),
        chunk(tool_calls=[{"index": "0"}]),
        chunk(tool_calls=[{"index": 0, "id": 5}]),
        chunk(tool_calls=[{"index": 0, "function": "f"}]),
        chunk(tool_calls=[{"index": 0, "function": {"name": {}}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": {"a": 1}}}]),
        {"choices": [{"delta": {}, "finish_reason": 1}]},
        {"choices": [], "usage": 5},
        {"choices": [], "usage": {"prompt_tokens": -1}},
        {"choices": [], "usage": {"prompt_tokens": 10**18}},
        {"choices": [], "usage": {"completion_tokens": "many"}},
        {"choices": [], "usage": {"prompt_tokens_details": 3}},
    ],
    ids=repr,
)
def test_a_chunk_of_wrong_parts_is_none(wrong: object) -> None:
    with pytest.raises(NotTheApi):
        reply_of(wrong, chunk("stop"))
