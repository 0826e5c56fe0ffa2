# SPDX-License-Identifier: MIT
"""A request of the Messages API as one of chat completions, and the streamed chunks that answer it as a Reply.

The conversation knows content blocks only (`claude.conversation`). What the other API lacks is left out: marks of the
cache, thinking. What a model thinks aloud in fields of its own is no part of a reply, and is not sent back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from autotune import reading
from autotune.planner.claude.conversation import Reply
from autotune.planner.claude.cost import Usage
from autotune.planner.remote import BrokenOff, NotTheApi, tokens

STOP_REASONS = {"length": "max_tokens", "content_filter": "refusal"}
UNREADABLE = "unreadable"
"""Name under which arguments that are no JSON object are sent back: some servers parse what is sent to them."""


# --- what is sent ----------------------------------------------------------------------------------------


def chat_request(request: dict[str, Any]) -> dict[str, Any]:
    """Translate a request of the Messages API."""
    messages = [{"role": "system", "content": _joined(request.get("system", ()))}] if request.get("system") else []
    for message in request["messages"]:
        messages += _of_model(message) if message["role"] == "assistant" else _of_user(message)
    translated: dict[str, Any] = {
        "model": request["model"],
        "messages": messages,
        "max_tokens": request["max_tokens"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.get("tools"):
        translated["tools"] = [_tool(one) for one in request["tools"]]
    return translated


def _joined(blocks: Any) -> str:
    return "\n\n".join(block["text"] for block in blocks if block["type"] == "text")


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    named = {"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]}
    return {"type": "function", "function": named}


def _of_user(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Results of tools come first: they must follow the calls directly."""
    blocks = message["content"]
    results = [
        {"role": "tool", "tool_call_id": block["tool_use_id"], "content": block["content"]}
        for block in blocks
        if block["type"] == "tool_result"
    ]
    text = _joined(blocks)
    return [*results, *([{"role": "user", "content": text}] if text else [])]


def _of_model(message: dict[str, Any]) -> list[dict[str, Any]]:
    blocks = message["content"]
    calls = [_call(block) for block in blocks if block["type"] == "tool_use"]
    translated: dict[str, Any] = {"role": "assistant", "content": _joined(blocks)}
    return [{**translated, "tool_calls": calls} if calls else translated]


def _call(block: dict[str, Any]) -> dict[str, Any]:
    given = block["input"] if isinstance(block["input"], dict) else {UNREADABLE: str(block["input"])}
    return {
        "id": block["id"],
        "type": "function",
        "function": {"name": block["name"], "arguments": json.dumps(given)},
    }


# --- what is answered ------------------------------------------------------------------------------------


@dataclass
class StreamedCall:
    """A call of a tool as far as it has come."""

    id: str
    name: str = ""
    pieces: list[str] = field(default_factory=list)

    def block(self, id: str) -> dict[str, Any]:
        """Return the call as a block. Arguments that are no JSON object stay a text, which the toolbox refuses."""
        text = "".join(self.pieces)
        try:
            given = reading.parsed_json(text or "{}")
            json.dumps(given, ensure_ascii=False, allow_nan=False).encode()  # no text has half of a pair
        except (ValueError, RecursionError):
            given = text
        return {"type": "tool_use", "id": id, "name": self.name, "input": given if isinstance(given, dict) else text}


@dataclass
class StreamedReply:
    """A reply as far as it has come. Raises NotTheApi for a chunk that is none. With `must_count` a reply without its
    tokens is none either: a limit on the cost could not be kept."""

    must_count: bool = False
    _text: list[str] = field(default_factory=list)
    _calls: list[StreamedCall] = field(default_factory=list)
    _latest: dict[int, StreamedCall] = field(default_factory=dict)
    """The call that came last, by the server's number."""
    _finish: str = ""
    _refused: bool = False
    _usage: Usage | None = None

    def add(self, chunk: object) -> None:
        """Add a chunk, as JSON."""
        known = _object(chunk, "a chunk")
        if known.get("error"):
            said = known["error"]
            raise BrokenOff(f"it ended with an error: {said.get('message') if isinstance(said, dict) else said}")
        if known.get("usage") is not None:
            self._usage = _usage(_object(known["usage"], "usage"))
        choices = known.get("choices")
        if choices is None and "usage" not in known:
            raise NotTheApi("it has no choices")
        for choice in _list(choices, "choices")[:1]:
            self._choose(_object(choice, "a choice"))

    def _choose(self, choice: dict[str, Any]) -> None:
        delta = _object(choice.get("delta") or {}, "a delta")
        self._text.append(_string(delta.get("content"), "content"))
        if _string(delta.get("refusal"), "a refusal"):
            self._refused = True
        for call in _list(delta.get("tool_calls"), "tool calls"):
            self._add_call(_object(call, "a tool call"))
        self._finish = _string(choice.get("finish_reason"), "a finish reason") or self._finish

    def _add_call(self, call: dict[str, Any]) -> None:
        """Add a piece of a call. Some servers give all calls of a reply the same number: another id is another call."""
        number, id = call.get("index", len(self._calls)), _string(call.get("id"), "an id")
        if not isinstance(number, int):
            raise NotTheApi("the number of a tool call is none")
        function = _object(call.get("function") or {}, "a function")
        current = self._latest.get(number)
        if current is None or (id and id != current.id):
            current = self._latest[number] = StreamedCall(id)
            self._calls.append(current)
        current.name = current.name or _string(function.get("name"), "a name")
        current.pieces.append(_string(function.get("arguments"), "arguments"))

    def reply(self) -> Reply:
        """Return the whole reply. Raises BrokenOff when its end did not come."""
        if not self._finish:
            raise BrokenOff
        if self._usage is None and self.must_count:
            raise NotTheApi("it counts no tokens, so that --max-cost cannot be kept")
        text = "".join(self._text)
        content = [{"type": "text", "text": text}] if text.strip() else []
        content += [call.block(id) for call, id in zip(self._calls, self._ids(), strict=True)]
        reason = STOP_REASONS.get(self._finish, "tool_use" if self._calls else "end_turn")
        return Reply(content, "refusal" if self._refused else reason, self._usage or Usage())

    def _ids(self) -> list[str]:
        """Return an id for each call: those of the server where it gave different ones."""
        given = [call.id for call in self._calls]
        if all(given) and len(set(given)) == len(given):
            return given
        return [f"call_{number}" for number in range(len(given))]


def _usage(counted: dict[str, Any]) -> Usage:
    prompt, details = tokens(counted.get("prompt_tokens") or 0), counted.get("prompt_tokens_details")
    cached = tokens(_object(details, "details").get("cached_tokens") or 0) if details is not None else 0
    read = min(cached, prompt)
    return Usage(
        input_tokens=prompt - read,
        cache_read_tokens=read,
        output_tokens=tokens(counted.get("completion_tokens") or 0),
    )


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotTheApi(f"{what} in it is not an object")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, (list, type(None))):
        raise NotTheApi(f"{what} in it are not a list")
    return value or []


def _string(value: object, what: str) -> str:
    if not isinstance(value, (str, type(None))):
        raise NotTheApi(f"{what} in it is not a text")
    return (value or "").encode("utf-8", "replace").decode()  # half of a pair could not be sent back
