# SPDX-License-Identifier: MIT
"""Client of a chat completions server through the `openai` library; no other module imports it. What it has in common
with other services, such as its limits, is in `planner.remote`.

The library takes keys, headers and organisations for its vendor from OPENAI_... variables. None of them reaches the
user's server: only headers that are named here are sent, and redirects are not followed. What is not encrypted goes
straight to its address, past a proxy that the environment names: `http://` is for what is near (`config`).
"""

from __future__ import annotations

from typing import Any

import openai
from pydantic import BaseModel

from autotune.planner.chat.endpoint import KEY, Endpoint
from autotune.planner.chat.translation import StreamedReply, chat_request
from autotune.planner.claude.conversation import Reply
from autotune.planner.remote import BrokenOff, NotTheApi, RemoteService, ServiceNames

NAMES = ServiceNames(name="the model's server", answers="the chat completions API", key=KEY, address="--model-url")
SENT = frozenset({"host", "accept", "accept-encoding", "connection", "user-agent", "content-type", "content-length"})
"""Headers that are sent, beside the key's."""
OPTIONAL = ("stream_options", "max_tokens")
"""Fields that some servers refuse; without them they take their own defaults."""


class ChatService(RemoteService[Reply]):
    """The chat completions API; `options` are those of RemoteService. With `must_count` replies without a count of
    tokens are errors. Raises PlannerError when the library cannot be set up."""

    def __init__(self, endpoint: Endpoint, *, must_count: bool = False, **options: Any) -> None:
        super().__init__(openai, NAMES, {KEY: endpoint.key or ""}, **options)
        self._must_count = must_count
        self._key = endpoint.key
        self._left_out: set[str] = set()
        hooks: Any = {"request": [self._only_ours], "response": [self._bounded]}
        self._client = self._connect(
            lambda: openai.OpenAI(
                api_key=endpoint.key or "none",
                admin_api_key="",
                organization="",
                project="",
                base_url=endpoint.url,
                max_retries=0,
                http_client=openai.DefaultHttpxClient(
                    event_hooks=hooks, follow_redirects=False, trust_env=not endpoint.url.startswith("http:")
                ),
            )
        )

    def _only_ours(self, request: Any) -> None:
        """Leave only known headers in a request, and our key."""
        for name in [name for name in request.headers if name.lower() not in SENT]:
            del request.headers[name]
        if self._key:
            request.headers["authorization"] = f"Bearer {self._key}"

    def _adapts(self, error: Exception) -> bool:
        if not isinstance(error, (openai.BadRequestError, openai.UnprocessableEntityError)):
            return False
        new = {name for name in OPTIONAL if name in error.message} - self._left_out
        self._left_out |= new
        return bool(new)

    def _stream(self, request: dict[str, Any], timeout: Any) -> Reply:
        fields = {name: value for name, value in chat_request(request).items() if name not in self._left_out}
        streamed, began = StreamedReply(self._must_count), False
        with self._client.chat.completions.create(**fields, timeout=timeout) as stream:
            kind = str(stream.response.headers.get("content-type", ""))
            try:
                for chunk in stream:
                    began = True
                    known = isinstance(chunk, BaseModel)
                    streamed.add(chunk.model_dump(mode="json", warnings=False) if known else chunk)
            except openai.APIError as error:
                if type(error) is openai.APIError:  # an event that tells of an error
                    raise BrokenOff(f"it ended with an error: {error.message}") from error
                raise
        if not began and "event-stream" not in kind:
            raise NotTheApi(f"it is {kind or 'of no type'}")
        return streamed.reply()

    def _message_of(self, error: Any) -> str:
        """Return the message in the body of a refusal, as the API has it or in one of the ways of its imitations."""
        body = error.body
        text = (body.get("message") or body.get("detail")) if isinstance(body, dict) else body
        return text if isinstance(text, str) else ""
