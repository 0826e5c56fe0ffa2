# SPDX-License-Identifier: MIT
"""A local server that speaks the Messages API as the installed library expects it, streaming, over a real socket.

Each test scripts what it answers, one step a request. It refuses what the real service would (a tool call without its
result, too many cache markers, a schema that strict tools do not take), and counts tokens from the bodies that it gets:
four characters a token, with a cache that works by prefixes, as the real one does.
"""

from __future__ import annotations

import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHARACTERS_A_TOKEN = 4
UNSUPPORTED = {"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "default"}


# --- steps -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """A reply with these content blocks."""

    content: Sequence[dict[str, Any]]
    stop_reason: str = ""
    stop_details: dict[str, Any] | None = None
    counted: dict[str, Any] = field(default_factory=dict)
    """Counts of tokens in place of the real ones."""

    @property
    def reason(self) -> str:
        called = any(block["type"] == "tool_use" for block in self.content)
        return self.stop_reason or ("tool_use" if called else "end_turn")


@dataclass(frozen=True)
class Status:
    """An error status instead of a reply."""

    code: int
    kind: str = "api_error"
    message: str = "no"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reset:
    """The reply breaks off in the middle: with a reset, or (`quietly`) as if it had ended."""

    quietly: bool = False


@dataclass(frozen=True)
class ErrorEvent:
    """The reply begins well, and then an error event comes."""

    kind: str = "overloaded_error"


@dataclass(frozen=True)
class Hang:
    """Nothing comes for so long."""

    seconds: float


@dataclass(frozen=True)
class Raw:
    """These bytes, whatever they are."""

    body: bytes
    code: int = 200
    kind: str = "text/event-stream"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drip:
    """The first bytes, and then the next ones again and again until the client has gone: within the headers, or (with
    `code`) within the body."""

    first: bytes
    again: bytes
    pause_s: float = 0.0
    code: int | None = 200


@dataclass(frozen=True)
class Close:
    """The connection is closed without a word."""


Step = Answer | Status | Reset | ErrorEvent | Hang | Raw | Drip | Close

WRONG_KEY = Status(401, "authentication_error", "invalid x-api-key")
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def beginning(block: dict[str, Any]) -> bytes:
    """The events with which a reply of one block begins."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    message: dict[str, Any] = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "x",
        "content": [],
        "stop_reason": None,
    }
    start = event("message_start", message={**message, "stop_sequence": None, "usage": usage})
    return start + event("content_block_start", index=0, content_block=block)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


_NUMBERS = iter(range(1, 1_000_000))


def tool(name: str, /, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{next(_NUMBERS):08}", "name": name, "input": given}


def submit(*candidates: str, prediction: str = "faster", reason: str = "it may help") -> dict[str, Any]:
    """Candidates as `--scheduler` takes them."""
    listed = []
    for text_ in candidates:
        prefix = "custom:" if text_.startswith("custom:") else ""
        name, _, settings = text_.removeprefix(prefix).partition(":")
        knobs = [dict(zip(("name", "value"), one.split("="), strict=True)) for one in settings.split(",") if one]
        listed.append(
            {
                "scheduler": prefix + name,
                "knobs": knobs,
                "reason": reason,
                "hypothesis": "fewer switches",
                "prediction": prediction,
            }
        )
    return tool("submit_candidates", candidates=listed)


# --- what is counted -------------------------------------------------------------------------------------


class Cache:
    """Prefixes of requests that were marked, as the real service keeps them."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def count(self, body: dict[str, Any]) -> dict[str, int]:
        blocks = list(_blocks(body))
        marks = [number for number, block in enumerate(blocks) if block.get("cache_control")]
        if body.get("cache_control"):
            marks.append(len(blocks) - 1)
        prefix, tokens, sizes, hashes = hashlib.sha256(), 0, [], []
        for block in blocks:
            plain = json.dumps({key: value for key, value in block.items() if key != "cache_control"}, sort_keys=True)
            prefix.update(plain.encode())
            tokens += max(1, len(plain) // CHARACTERS_A_TOKEN)
            sizes.append(tokens)
            hashes.append(prefix.hexdigest())
        read = max((self._known[one] for one in hashes if one in self._known), default=0)
        written = sizes[max(marks)] if marks else 0
        for mark in marks:
            self._known[hashes[mark]] = sizes[mark]
        return {
            "input_tokens": tokens - max(read, written),
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": max(0, written - read),
        }


def _blocks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from body.get("tools", [])
    yield from body.get("system", [])
    for message in body["messages"]:
        content = message["content"]
        yield from [text(content)] if isinstance(content, str) else content


# --- what is refused -------------------------------------------------------------------------------------


def problem_of(body: dict[str, Any]) -> str | None:
    """Why the real service would answer 400; None when it would not."""
    marks = sum(bool(block.get("cache_control")) for block in _blocks(body)) + bool(body.get("cache_control"))
    if marks > 4:
        return f"{marks} cache markers"
    waiting: set[str] = set()
    for number, message in enumerate(body["messages"]):
        if message["role"] != ("user", "assistant")[number % 2]:
            return f"message {number}: roles must alternate"
        content = message["content"]
        if not content or any(block.get("type") == "text" and not block["text"].strip() for block in content):
            return f"message {number} is empty"
        answered = {block["tool_use_id"] for block in content if block["type"] == "tool_result"}
        if answered != waiting:
            return f"message {number}: tool_use without tool_result, or the reverse: {waiting ^ answered}"
        waiting = {block["id"] for block in content if block["type"] == "tool_use"}
    if waiting:
        return "the last message is not the user's"
    for one in body.get("tools", []):
        if one.get("strict") and (found := _unsupported(one["input_schema"])):
            return f"{one['name']}: strict schemas have no {found}"
    return None


def _unsupported(shape: Any) -> str | None:
    if isinstance(shape, list):
        return next((found for item in shape if (found := _unsupported(item))), None)
    if not isinstance(shape, dict):
        return None
    if shape.get("type") == "object" and shape.get("additionalProperties") is not False:
        return "open objects"
    named = UNSUPPORTED & shape.keys() if "type" in shape else set()
    inner = [value for key, value in shape.items() if key != "properties"]
    inner += list(shape.get("properties", {}).values())
    return next(iter(named), None) or _unsupported(inner)


# --- the server ------------------------------------------------------------------------------------------


@dataclass
class Script:
    """What is answered, and what was asked."""

    steps: list[Step]
    key: str = "test-key"
    check: Step | None = None
    """The answer to the question for the model that comes before a session; None: it is there."""
    checks: list[str] = field(default_factory=list)
    """Paths of those questions."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    busy_s: list[float] = field(default_factory=list)
    """How long each answer took, from the request being read to the last byte being written."""
    usage: list[dict[str, int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    cache: Cache = field(default_factory=Cache)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def cached_share(self) -> float:
        """Of all input tokens, how many were read from the cache."""
        read = sum(one["cache_read_input_tokens"] for one in self.usage)
        fields = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        return read / sum(one[name] for one in self.usage for name in fields)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        script = self.server.script
        with script.lock:
            script.checks.append(self.path)
        step = script.check if self._has_key() else WRONG_KEY
        if step is None:
            model = {"type": "model", "id": self.path.rpartition("/")[2], "display_name": "a model"}
            body = json.dumps({**model, "created_at": "2026-01-01T00:00:00Z"}).encode()
            step = Raw(body, kind="application/json")
        self._answer(step, {})

    def _has_key(self) -> bool:
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return self.server.script.key in (self.headers.get("x-api-key"), bearer)

    def do_POST(self) -> None:
        script = self.server.script
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        began = time.perf_counter()
        with script.lock:
            script.requests.append(body)
            script.headers.append({name.lower(): value for name, value in self.headers.items()})
            script.at_s.append(time.monotonic())
            step = script.steps.pop(0) if script.steps else Status(400, "invalid_request_error", "the script has ended")
            problem = self.problem_of(body)
            if problem is not None:
                script.problems.append(problem)
        if not self._has_key():
            step = WRONG_KEY
        elif problem is not None:
            step = Status(400, "invalid_request_error", problem)
        self._answer(step, body)
        with script.lock:
            script.busy_s.append(time.perf_counter() - began)

    def _answer(self, step: Step, body: dict[str, Any]) -> None:
        if isinstance(step, Status):
            self._status(step)
        elif isinstance(step, Hang):
            time.sleep(step.seconds)
            self.close_connection = True
        elif isinstance(step, Raw):
            self._raw(step)
        elif isinstance(step, Drip):
            self._drip(step)
        elif isinstance(step, Close):
            self.close_connection = True
        else:
            self.stream(step, body)

    def problem_of(self, body: dict[str, Any]) -> str | None:
        return problem_of(body)

    def _raw(self, step: Raw) -> None:
        self.send_response(step.code)
        for name, value in {
            "content-type": step.kind,
            "content-length": str(len(step.body)),
            "connection": "close",
            **step.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(step.body)

    def _drip(self, step: Drip) -> None:
        self.close_connection = True
        if step.code is None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        else:
            self.send_response(step.code)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
        self.wfile.write(step.first)
        while not self.server.over.wait(step.pause_s):
            self.wfile.write(step.again)
            self.wfile.flush()

    def _status(self, step: Status) -> None:
        data = json.dumps({"type": "error", "error": {"type": step.kind, "message": step.message}}).encode()
        self.send_response(step.code)
        for name, value in {
            "content-type": "application/json",
            "content-length": str(len(data)),
            **step.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def stream(self, step: Answer | Reset | ErrorEvent, body: dict[str, Any]) -> None:
        with self.server.script.lock:
            counted = self.server.script.cache.count(body)
            counted |= step.counted if isinstance(step, Answer) else {}
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": []}
        start = {**message, "stop_reason": None, "stop_sequence": None, "usage": {"output_tokens": 1, **counted}}
        self._event("message_start", message=start)
        if isinstance(step, Reset):
            self._event("content_block_start", index=0, content_block=text(""))
            self.close_connection = True
            if not step.quietly:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        if isinstance(step, ErrorEvent):
            self._event("error", error={"type": step.kind, "message": "Overloaded"})
            return
        for index, block in enumerate(step.content):
            self._block(index, block)
        output = max(1, len(json.dumps(list(step.content))) // CHARACTERS_A_TOKEN)
        with self.server.script.lock:
            self.server.script.usage.append({**counted, "output_tokens": output})
        delta: dict[str, Any] = {"stop_reason": step.reason, "stop_sequence": None}
        if step.stop_details:
            delta["stop_details"] = step.stop_details
        reported = step.counted.get("output_tokens", output)
        self._event("message_delta", delta=delta, usage={"output_tokens": reported})
        self._event("message_stop")

    def _block(self, index: int, block: dict[str, Any]) -> None:
        kind = block["type"]
        if kind == "tool_use":
            self._event("content_block_start", index=index, content_block={**block, "input": {}})
            data = json.dumps(block["input"])
            for at in range(0, len(data), 40):
                delta = {"type": "input_json_delta", "partial_json": data[at : at + 40]}
                self._event("content_block_delta", index=index, delta=delta)
        elif kind == "thinking":
            self._event("content_block_start", index=index, content_block={**block, "thinking": "", "signature": ""})
            for delta in (
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": block["signature"]},
            ):
                self._event("content_block_delta", index=index, delta=delta)
        else:
            self._event("content_block_start", index=index, content_block={**block, "text": ""})
            self._event("content_block_delta", index=index, delta={"type": "text_delta", "text": block["text"]})
        self._event("content_block_stop", index=index)

    def _event(self, kind: str, **fields: Any) -> None:
        self.wfile.write(event(kind, **fields))
        self.wfile.flush()

    def log_message(self, *_args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    script: Script

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.over = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some tests are about."""


@contextmanager
def serving(*steps: Step, handler: type[Handler] = Handler) -> Iterator[Script]:
    """A server for the time of the block."""
    server = _Server(("127.0.0.1", 0), handler)
    server.script = Script(list(steps), url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.script
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
