# SPDX-License-Identifier: MIT
"""Client of Claude's API through the official library; no other module imports it. What it has in common with other
services, such as its limits, is in `planner.remote`."""

from __future__ import annotations

from typing import Any

import anthropic

from autotune.planner.claude.conversation import Reply
from autotune.planner.claude.cost import Usage
from autotune.planner.claude.credentials import BASE_URL, KEY, TOKEN, VENDOR_URL, Credentials
from autotune.planner.remote import BrokenOff, NotTheApi, RemoteService, ServiceNames, tokens

NAMES = ServiceNames(name="Claude", answers="Claude's", key=KEY, address=BASE_URL)


class ClaudeService(RemoteService[Reply]):
    """The Messages API; `options` are those of RemoteService. Raises PlannerError when the library cannot be set up."""

    def __init__(self, credentials: Credentials, **options: Any) -> None:
        secrets = {KEY: credentials.api_key or "", TOKEN: credentials.auth_token or ""}
        super().__init__(anthropic, NAMES, secrets, **options)
        self._no_thinking = False
        self._is_vendor = credentials.base_url == VENDOR_URL
        self._client = self._connect(
            lambda: anthropic.Anthropic(
                api_key=credentials.api_key,
                auth_token=credentials.auth_token,
                base_url=credentials.base_url,
                max_retries=0,
                http_client=anthropic.DefaultHttpxClient(event_hooks={"response": [self._bounded]}),
            )
        )

    def _refuses(self, error: Exception) -> bool:
        """Return whether the service refused the key, or the vendor does not know the model."""
        return super()._refuses(error) or (
            self._is_vendor and isinstance(error, anthropic.NotFoundError) and error.type == "not_found_error"
        )

    def _adapts(self, error: Exception) -> bool:
        """An older model does not know the adaptive kind of thinking."""
        is_new = isinstance(error, anthropic.BadRequestError) and not self._no_thinking and "thinking" in error.message
        self._no_thinking = self._no_thinking or is_new
        return is_new

    def _stream(self, request: dict[str, Any], timeout: Any) -> Reply:
        fields = {name: value for name, value in request.items() if name != "thinking" or not self._no_thinking}
        with self._client.messages.stream(**fields, timeout=timeout) as stream:
            try:
                message = stream.get_final_message()
            except AssertionError:  # no event came
                kind = str(stream.response.headers.get("content-type", ""))
                raise BrokenOff if "event-stream" in kind else NotTheApi(f"it is {kind or 'of no type'}") from None
        if message.stop_reason is None:  # the library does not report an end of file mid-stream
            raise BrokenOff
        return _reply(message)

    def _message_of(self, error: Any) -> str:
        return str(error.api_message or "")


def _reply(message: anthropic.types.Message) -> Reply:
    counted = message.usage
    split = counted.cache_creation
    details = message.stop_details
    return Reply(
        content=[_block(block) for block in message.content],
        stop_reason=message.stop_reason or "end_turn",
        usage=Usage(
            input_tokens=tokens(counted.input_tokens),
            cache_write_tokens=tokens(counted.cache_creation_input_tokens or 0),
            cache_write_1h_tokens=tokens(split.ephemeral_1h_input_tokens or 0) if split else 0,
            cache_read_tokens=tokens(counted.cache_read_input_tokens or 0),
            output_tokens=tokens(counted.output_tokens),
        ),
        detail=str(details.category or "")[:100] if details else "",
    )


def _block(block: Any) -> dict[str, Any]:
    """Encode a block as it is sent back. Fields of an unexpected type cause no warning on the terminal."""
    dumped: dict[str, Any] = block.model_dump(mode="json", exclude_none=True, by_alias=True, warnings=False)
    return dumped
