# SPDX-License-Identifier: MIT
"""What servers send that is no answer."""

from __future__ import annotations

from tests.support.messages_server import Close, Raw, Step, beginning, event, text

PAGE = b"<!DOCTYPE html><html><body>Please log in to the hotel's network</body></html>"
TOOL = {"type": "tool_use", "id": "t", "name": "submit_candidates", "input": {}}
DEEP = event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"a":' * 500})
TALK = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "word " * 20})

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
