# SPDX-License-Identifier: MIT
"""Speaks to Claude through the official library; nothing else imports it.

The library retries what can be retried before a reply begins (connection, 408, 409, 429 with its retry-after, 5xx). A
reply that breaks off in the middle is asked for again here: it is streamed, so that a hanging connection is noticed by
the silence and not by the length of a long answer.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic

from autotune.errors import PlannerError
from autotune.planner.conversation import Reply
from autotune.planner.cost import Usage

RETRIES = 3
BROKEN_RETRIES = 2
"""Further tries of a reply that broke off in the middle."""
SILENCE_S = 120.0
"""A stream that says nothing for so long hangs (the service sends a ping every few seconds)."""
CONNECT_S = 10.0
PAUSE_S = 0.5

KEY, TOKEN, BASE_URL = "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"


@dataclass(frozen=True)
class Credentials:
    """How to reach the service. `origin` says where the key was found, for people."""

    api_key: str | None
    auth_token: str | None
    base_url: str | None
    origin: str

    def __repr__(self) -> str:
        return f"Credentials(from {self.origin})"  # never the key


def find_credentials(cwd: Path, environ: Mapping[str, str]) -> Credentials | None:
    """The key from the environment, else from `.env` in the current directory; None when there is none. An address in
    `.env` counts only with a key from there: a directory that somebody else made must not send the user's own key to
    an address of its choice."""
    for values, origin in ((environ, "the environment"), (_dotenv(cwd), ".env")):
        key, token = values.get(KEY) or None, values.get(TOKEN) or None
        if key or token:
            name = KEY if key else TOKEN
            return Credentials(key, token, values.get(BASE_URL) or None, f"{name} in {origin}")
    return None


def _dotenv(cwd: Path) -> dict[str, str]:
    path = cwd / ".env"
    if not os.access(path, os.R_OK):
        return {}
    from dotenv import dotenv_values

    with contextlib.suppress(OSError, UnicodeDecodeError):
        return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}
    return {}


class ClaudeService:
    """The Messages API. `pause` waits between tries of a reply that broke off."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        silence_s: float = SILENCE_S,
        retries: int = RETRIES,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pause = pause
        self._no_thinking = False
        timeout = anthropic.Timeout(silence_s, connect=min(CONNECT_S, silence_s))
        self._client = anthropic.Anthropic(
            api_key=credentials.api_key,
            auth_token=credentials.auth_token,
            base_url=credentials.base_url,
            max_retries=retries,
            timeout=timeout,
        )

    def send(self, request: dict[str, Any]) -> Reply:
        """Ask and wait for the whole reply. Raises PlannerError saying what to do."""
        with _errors_translated():
            return self._send(request)

    def _send(self, request: dict[str, Any]) -> Reply:
        for left in reversed(range(BROKEN_RETRIES + 1)):
            try:
                return self._stream(request)
            except anthropic.BadRequestError as error:
                if self._no_thinking or "thinking" not in error.message:
                    raise
                self._no_thinking = True  # an older model, which does not know the adaptive kind
            except anthropic.APIStatusError as error:
                if not left or not _broke_off(error):
                    raise
            except anthropic.APIConnectionError:
                raise  # the library has tried again already
            except Exception as error:
                if not left or not _is_transport(error):
                    raise
            self._pause(PAUSE_S * (BROKEN_RETRIES + 1 - left))
        return self._stream(request)

    def _stream(self, request: dict[str, Any]) -> Reply:
        fields = {name: value for name, value in request.items() if name != "thinking" or not self._no_thinking}
        with self._client.messages.stream(**fields) as stream:
            message = stream.get_final_message()
        if message.stop_reason is None:  # an end of file in mid-stream is no error to the library
            raise _BrokenOff("it ended in the middle of a reply")
        return _reply(message)

    def close(self) -> None:
        self._client.close()


class _BrokenOff(Exception):
    """A reply without its end."""


def _reply(message: anthropic.types.Message) -> Reply:
    counted = message.usage
    split = counted.cache_creation
    details = message.stop_details
    return Reply(
        content=[block.model_dump(mode="json", exclude_none=True, by_alias=True) for block in message.content],
        stop_reason=message.stop_reason or "end_turn",
        usage=Usage(
            input_tokens=counted.input_tokens,
            cache_write_tokens=counted.cache_creation_input_tokens or 0,
            cache_write_1h_tokens=split.ephemeral_1h_input_tokens if split else 0,
            cache_read_tokens=counted.cache_read_input_tokens or 0,
            output_tokens=counted.output_tokens,
        ),
        detail=(details.category or "") if details else "",
    )


def _broke_off(error: anthropic.APIStatusError) -> bool:
    """An error that came as an event within a stream: its response had begun well."""
    return error.response.status_code == 200


def _is_transport(error: Exception) -> bool:
    """A connection that broke in mid-stream, which reaches us as the error of the HTTP library underneath."""
    return isinstance(error, _BrokenOff) or any(kind.__name__ == "TransportError" for kind in type(error).__mro__)


@contextlib.contextmanager
def _errors_translated() -> Iterator[None]:
    """What the library raises as PlannerError, with what to do about it."""
    try:
        yield
    except anthropic.APIStatusError as error:
        raise _status_error(error) from error
    except anthropic.APITimeoutError as error:
        raise PlannerError("Claude did not answer in time", hint="try again, or use --planner offline") from error
    except anthropic.APIConnectionError as error:
        raise PlannerError(
            f"Claude cannot be reached: {_cause(error)}", hint="check the network, or use --planner offline"
        ) from error
    except anthropic.AnthropicError as error:
        raise PlannerError(f"Claude cannot be used: {error}", hint="use --planner offline") from error
    except Exception as error:
        if not _is_transport(error):
            raise
        text = f"the connection to Claude broke: {error or type(error).__name__}"
        raise PlannerError(text, hint="try again, or use --planner offline") from error


def _cause(error: anthropic.APIConnectionError) -> str:
    return str(error.__cause__ or error)[:200]


def _status_error(error: anthropic.APIStatusError) -> PlannerError:
    status = error.status_code
    said = str(error.api_message or "")[:300].strip() or f"status {status}"
    if status == 401:
        return PlannerError(f"the key is not accepted: {said}", hint=f"check {KEY}, in the environment or in .env")
    if status == 402 or "credit" in said.lower():
        return PlannerError(f"no credit: {said}", hint="top up the account, or use --planner offline")
    if status == 403:
        return PlannerError(f"the key may not do this: {said}", hint="use another key or --model")
    if status == 404:
        return PlannerError(f"the service does not know it: {said}", hint="check --model and ANTHROPIC_BASE_URL")
    if status == 429:
        return PlannerError(f"too many requests: {said}", hint="wait a while, or use --planner offline")
    if status >= 500 or _broke_off(error):
        return PlannerError(f"the service is in trouble: {said}", hint="try again later, or use --planner offline")
    return PlannerError(f"the service refused the request: {said}", hint="use --planner offline")
