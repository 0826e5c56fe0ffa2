# SPDX-License-Identifier: MIT
"""A local server that speaks the chat completions API as local models' servers do, streaming, over a real socket.

It takes the steps of `messages_server`: an Answer's blocks become the chunks of a reply. It refuses what such servers
refuse: a tool message without its call, a call without its result, arguments that are no JSON.
"""

from __future__ import annotations

import json
import socket
import struct
from contextlib import AbstractContextManager
from typing import Any

from tests.support.messages_server import CHARACTERS_A_TOKEN, Answer, ErrorEvent, Handler, Reset, Script, Step, serving

REASONS = {"max_tokens": "length", "refusal": "content_filter", "tool_use": "tool_calls"}


def data(**fields: Any) -> bytes:
    """One event of the stream."""
    return f"data: {json.dumps(fields)}\n\n".encode()


def delta(**fields: Any) -> bytes:
    return data(id="c", object="chat.completion.chunk", choices=[{"index": 0, "delta": fields}])


def finish(reason: str) -> bytes:
    return data(id="c", choices=[{"index": 0, "delta": {}, "finish_reason": reason}])


DONE = b"data: [DONE]\n\n"


def call(number: int, name: str, arguments: str, id: str | None = "") -> dict[str, Any]:
    """A whole call in one piece."""
    id = f"call_{number}" if id == "" else id
    return {"index": number, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def problem_of(body: dict[str, Any]) -> str | None:
    """Why a server would answer 400; None when it would not."""
    waiting: set[str] = set()
    for number, message in enumerate(body["messages"]):
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                return f"message {number}: a result of no call"
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            return f"message {number}: calls without result: {waiting}"
        if not message.get("content") and not message.get("tool_calls"):
            return f"message {number} is empty"
        for one in message.get("tool_calls", ()):
            if not isinstance(json.loads(one["function"]["arguments"]), dict):
                return f"message {number}: arguments that are no object"
            waiting.add(one["id"])
    return f"calls without result: {waiting}" if waiting else None


class ChatHandler(Handler):
    def problem_of(self, body: dict[str, Any]) -> str | None:
        return problem_of(body)

    def stream(self, step: Answer | Reset | ErrorEvent, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(delta(role="assistant", content=""))
        self.wfile.flush()
        if isinstance(step, Reset):
            self.close_connection = True
            if not step.quietly:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif isinstance(step, ErrorEvent):
            self.wfile.write(data(error={"type": step.kind, "message": "Overloaded"}))
        else:
            self._answer_in_chunks(step, body)

    def _answer_in_chunks(self, step: Answer, body: dict[str, Any]) -> None:
        number = 0
        for block in step.content:
            if block["type"] == "text":
                self.wfile.write(delta(content=block["text"]))
            elif block["type"] == "thinking":
                self.wfile.write(delta(reasoning_content=block["thinking"]))
            else:
                arguments = json.dumps(block["input"])
                self.wfile.write(delta(tool_calls=[call(number, block["name"], arguments[:7], block["id"])]))
                rest = {"index": number, "function": {"arguments": arguments[7:]}}
                self.wfile.write(delta(tool_calls=[rest]))
                number += 1
        self.wfile.write(finish(REASONS.get(step.reason, "stop")))
        counted = {
            "prompt_tokens": len(json.dumps(body)) // CHARACTERS_A_TOKEN,
            "completion_tokens": max(1, len(json.dumps(list(step.content))) // CHARACTERS_A_TOKEN),
        }
        if body.get("stream_options", {}).get("include_usage"):
            self.wfile.write(data(id="c", choices=[], usage={**counted, **step.counted}))
        self.wfile.write(DONE)


def serving_chat(*steps: Step) -> AbstractContextManager[Script]:
    """A server for the time of the block."""
    return serving(*steps, handler=ChatHandler)
