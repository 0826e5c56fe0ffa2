# SPDX-License-Identifier: MIT
"""Client of Claude's API through the official library; no other module imports it.

What always holds here:
- every failure is a PlannerError: of setting up the client (proxies, certificates, addresses), of the connection, of
  the service's answer;
- `send` takes no longer than its limit, including retries and the waits between them, reads at most MOST_BYTES of an
  answer, and waits in silence for at most `silence_s` in all its tries together;
- text of the library or the service is redacted before it is passed on.

Replies are streamed, so that a hung connection shows by its silence, not by the length of a long answer. The library's
own retries are off: it would obey any wait that a server requests.
"""

from __future__ import annotations

import email.utils
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import anthropic

from autotune.errors import PlannerError
from autotune.planner.claude.conversation import Reply
from autotune.planner.claude.cost import Usage
from autotune.planner.claude.credentials import BASE_URL, KEY, TOKEN, VENDOR_URL, Credentials
from autotune.planner.claude.within import Late, ThreadedCall
from autotune.redact import Redactor

RETRIES = 3
"""Retries of a request that got no answer or a passing refusal (408, 409, 429, 5xx)."""
BROKEN_RETRIES = 2
"""Retries of a reply that broke off."""
SILENCE_S = 120.0
"""Silence after which a stream counts as hung (the service sends a ping every few seconds)."""
CONNECT_S = 10.0
CHECK_S = 10.0
"""How long `check` may take."""
PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0
MOST_BYTES = 8 << 20
"""Bound on one answer, unpacked. The longest that is requested (conversation.MAX_OUTPUT_TOKENS) takes 3 MiB in events
of one token each."""
MOST_TOKENS = 50_000_000
"""Greatest plausible count of tokens; a larger one is an error."""
_OFFLINE = "use --planner offline"
_PASSING = frozenset({408, 409, 429})
warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)
"""Warning that the library prints when a field does not have the type it expects; it quotes the service."""


class ClaudeService:
    """The Messages API. `pause` waits between two tries. Raises PlannerError when the library cannot be set up."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        silence_s: float = SILENCE_S,
        retries: int = RETRIES,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pause = pause
        self._silence_s, self._retries = silence_s, retries
        self._no_thinking = False
        self._call = ThreadedCall()
        self._is_vendor = credentials.base_url == VENDOR_URL
        secrets = {KEY: credentials.api_key or "", TOKEN: credentials.auth_token or ""}
        self._redact = Redactor({**os.environ, **secrets}).text
        try:
            self._client = anthropic.Anthropic(
                api_key=credentials.api_key,
                auth_token=credentials.auth_token,
                base_url=credentials.base_url,
                max_retries=0,
                http_client=anthropic.DefaultHttpxClient(event_hooks={"response": [self._bounded]}),
            )
        except Exception as error:
            said = self._said(error)
            hint = f"check {_surroundings(os.environ)}, or {_OFFLINE}"
            raise PlannerError(f"a connection to Claude cannot be set up: {said}", hint=hint) from error

    def close(self) -> None:
        self._client.close()

    # --- before the session ---

    def check(self, model: str, within_s: float = CHECK_S, *, must_answer: bool = False) -> None:
        """Look the model up, which costs nothing. Raises PlannerError when the key or the model is refused, and, where
        the service `must_answer`, when nobody can be reached. Other failures may pass, or concern this question alone:
        the first request will show."""
        end, tries = time.monotonic() + within_s, 0
        while True:
            try:
                self._look_up(model, end - time.monotonic())
            except Exception as error:
                if _is_refusal(error, self._is_vendor):
                    raise self._planner_error(error, None) from error
                if not must_answer or not _is_unreachable(error):
                    return
                wait_s = _wait_s(error, tries, self._retries)
                if wait_s is None or wait_s >= end - time.monotonic():
                    raise self._planner_error(error, None) from error
                tries += 1
                self._pause(wait_s)
            else:
                return

    def _look_up(self, model: str, left_s: float) -> None:
        self._call = ThreadedCall()
        timeout = anthropic.Timeout(max(0.0, left_s))
        self._call.within(left_s, lambda: self._client.models.retrieve(model, timeout=timeout))

    # --- one request ---

    def send(self, request: dict[str, Any], within_s: float = math.inf) -> Reply:
        """Send a request and wait for the whole reply, at most this long. Raises PlannerError, with what to do."""
        end = time.monotonic() + within_s
        silence_s = self._silence_s
        tries = 0
        while True:
            began = time.monotonic()
            try:
                return self._attempt(request, end - began, silence_s)
            except Exception as error:
                if self._is_about_thinking(error):
                    self._no_thinking = True  # an older model, which does not know the adaptive kind
                    continue
                if isinstance(error, anthropic.APITimeoutError):
                    silence_s -= time.monotonic() - began
                wait_s = _wait_s(error, tries, self._retries) if silence_s > 0.0 else None
                if wait_s is None or wait_s >= end - time.monotonic():
                    raise self._planner_error(error, wait_s) from error
            tries += 1
            self._pause(wait_s)

    def _is_about_thinking(self, error: Exception) -> bool:
        return isinstance(error, anthropic.BadRequestError) and not self._no_thinking and "thinking" in error.message

    def _attempt(self, request: dict[str, Any], left_s: float, silence_s: float) -> Reply:
        if left_s <= 0:
            raise Late
        self._call = ThreadedCall()
        fields = {name: value for name, value in request.items() if name != "thinking" or not self._no_thinking}
        silence_s = min(silence_s, left_s)
        timeout = anthropic.Timeout(silence_s, connect=min(CONNECT_S, silence_s))
        return self._call.within(left_s, lambda: self._stream(fields, timeout))

    def _stream(self, fields: dict[str, Any], timeout: anthropic.Timeout) -> Reply:
        with self._client.messages.stream(**fields, timeout=timeout) as stream:
            try:
                message = stream.get_final_message()
            except AssertionError:  # no event came
                kind = str(stream.response.headers.get("content-type", ""))
                raise _BrokenOff if "event-stream" in kind else _NotTheApi(f"it is {kind or 'of no type'}") from None
        if message.stop_reason is None:  # the library does not report an end of file mid-stream
            raise _BrokenOff
        return _reply(message)

    def _bounded(self, response: Any) -> None:
        """Bound what is read of a response, including the body of a refusal."""
        call, whole = self._call, response.iter_bytes

        def bounded(*args: Any, **named: Any) -> Iterator[bytes]:
            read_bytes = 0
            for piece in whole(*args, **named):
                read_bytes += len(piece)
                if read_bytes > MOST_BYTES:
                    raise _NotTheApi(f"it has no end ({MOST_BYTES >> 20} MiB were read)")
                if call.given_up:
                    raise Late
                yield piece

        response.iter_bytes = bounded

    # --- what failed ---

    def _planner_error(self, error: Exception, wait_s: float | None) -> PlannerError:
        """Convert any exception into a PlannerError with advice. `wait_s` is the wait that no time is left for."""
        if isinstance(error, anthropic.APIStatusError):
            return _status_error(error, self._said(error), wait_s)
        if isinstance(error, (Late, anthropic.APITimeoutError)):
            wanted = "give a larger --budget" if isinstance(error, Late) else "try again, with a larger --model-timeout"
            return PlannerError("Claude did not answer in time", hint=f"{wanted}, or {_OFFLINE}")
        if isinstance(error, anthropic.APIConnectionError):
            said = self._said(error.__cause__ or error)
            hint = f"check {_surroundings(os.environ, otherwise='the network')}, or {_OFFLINE}"
            return PlannerError(f"Claude cannot be reached: {said}", hint=hint)
        if _is_transport(error):
            said = self._said(error)
            return PlannerError(f"the connection to Claude broke: {said}", hint=f"try again, or {_OFFLINE}")
        said = self._said(error)
        return PlannerError(f"the answer is not one of Claude's: {said}", hint=f"check {BASE_URL}, or {_OFFLINE}")

    def _said(self, error: BaseException) -> str:
        """Return the text of an error, redacted, in one short line."""
        if isinstance(error, anthropic.APIStatusError):
            text = str(error.api_message or "")[:4000]
            text = "" if "<html" in text.lower() or "<!doctype" in text.lower() else text
        else:
            kind = "" if isinstance(error, (_BrokenOff, _NotTheApi)) else f"{type(error).__name__}: "
            text = f"{kind}{str(error)[:4000]}".removesuffix(": ")
        return " ".join(self._redact(text).split())[:300]


_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
_SURROUNDINGS = (*_PROXIES, "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", BASE_URL)
"""Variables that decide how the service is reached. Those of proxies count in lower case too."""


def _surroundings(environ: Mapping[str, str], otherwise: str = "proxies and certificates") -> str:
    """Name the variables that decide how the service is reached and are set."""
    named = (name for upper in _SURROUNDINGS for name in (upper, upper.lower()))
    return ", ".join(name for name in named if environ.get(name, "").strip()) or otherwise


class _BrokenOff(Exception):
    """The reply ended early."""

    def __str__(self) -> str:
        return "it ended in the middle of a reply"


class _NotTheApi(Exception):
    """The answer is not one of the Messages API."""


# --- what is tried again ---------------------------------------------------------------------------------


def _wait_s(error: Exception, tries: int, retries: int) -> float | None:
    """Return the seconds to wait before the next try; None for no further try."""
    pause_s = min(PAUSE_S * 2**tries, LONGEST_PAUSE_S)
    if isinstance(error, anthropic.APIStatusError) and not _broke_off(error):
        return _requested_wait_s(error, pause_s) if tries < retries and _passes(error) else None
    if isinstance(error, anthropic.APIConnectionError):
        return pause_s if tries < retries else None
    if isinstance(error, anthropic.APIStatusError) or _is_transport(error):
        return pause_s if tries < BROKEN_RETRIES else None
    return None


def _is_refusal(error: Exception, is_vendor: bool) -> bool:
    """Return whether the service refused the key, or the vendor does not know the model. Other servers may lack the
    question itself."""
    return isinstance(error, anthropic.AuthenticationError) or (
        is_vendor and isinstance(error, anthropic.NotFoundError) and error.type == "not_found_error"
    )


def _is_unreachable(error: Exception) -> bool:
    """Return whether no connection was made, or it broke at once. Our own limits end a request in the same class."""
    is_ours = isinstance(error.__cause__, (_NotTheApi, Late)) or isinstance(error, anthropic.APITimeoutError)
    return isinstance(error, anthropic.APIConnectionError) and not is_ours


def _passes(error: anthropic.APIStatusError) -> bool:
    """Return whether another try may succeed, by the service's header or the status."""
    said = error.response.headers.get("x-should-retry")
    return said == "true" or (said != "false" and (error.status_code in _PASSING or error.status_code >= 500))


def _requested_wait_s(error: anthropic.APIStatusError, otherwise_s: float) -> float:
    """Return the wait that the service requests, which may be seconds or a date."""
    text = str(error.response.headers.get("retry-after", ""))
    try:
        wait_s = float(text)
    except ValueError:
        date = email.utils.parsedate_tz(text)
        wait_s = email.utils.mktime_tz(date) - time.time() if date is not None else otherwise_s
    return max(wait_s, 0.0) if math.isfinite(wait_s) else otherwise_s


def _broke_off(error: anthropic.APIStatusError) -> bool:
    """Return whether the error came as an event of a stream that began without one."""
    return error.response.status_code == 200


def _is_transport(error: Exception) -> bool:
    """Return whether a connection broke mid-stream: that error comes from the HTTP library itself."""
    return isinstance(error, _BrokenOff) or any(kind.__name__ == "TransportError" for kind in type(error).__mro__)


# --- what was answered -----------------------------------------------------------------------------------


def _reply(message: anthropic.types.Message) -> Reply:
    counted = message.usage
    split = counted.cache_creation
    details = message.stop_details
    return Reply(
        content=[_block(block) for block in message.content],
        stop_reason=message.stop_reason or "end_turn",
        usage=Usage(
            input_tokens=_tokens(counted.input_tokens),
            cache_write_tokens=_tokens(counted.cache_creation_input_tokens or 0),
            cache_write_1h_tokens=_tokens(split.ephemeral_1h_input_tokens or 0) if split else 0,
            cache_read_tokens=_tokens(counted.cache_read_input_tokens or 0),
            output_tokens=_tokens(counted.output_tokens),
        ),
        detail=str(details.category or "")[:100] if details else "",
    )


def _block(block: Any) -> dict[str, Any]:
    """Encode a block as it is sent back. Fields of an unexpected type cause no warning on the terminal."""
    dumped: dict[str, Any] = block.model_dump(mode="json", exclude_none=True, by_alias=True, warnings=False)
    return dumped


def _tokens(count: object) -> int:
    """Check a token count: the limits on cost depend on it. Raises _NotTheApi."""
    if not isinstance(count, int) or not 0 <= count <= MOST_TOKENS:
        raise _NotTheApi(f"it counts {str(count)[:40]} tokens")
    return count


def _status_error(error: anthropic.APIStatusError, said: str, wait_s: float | None) -> PlannerError:
    status = error.status_code
    said = said or f"status {status}"
    later = f"wait {wait_s:.0f} s as it requests" if wait_s is not None and wait_s > LONGEST_PAUSE_S else "wait a while"
    if status == 401:
        return PlannerError(f"the key is not accepted: {said}", hint=f"check {KEY}, or {_OFFLINE}")
    if status == 402 or "credit" in said.lower():
        return PlannerError(f"no credit: {said}", hint=f"top up the account, or {_OFFLINE}")
    if status == 403:
        return PlannerError(f"the key may not do this: {said}", hint=f"use another key or --model, or {_OFFLINE}")
    if status == 404:
        return PlannerError(f"the service does not know it: {said}", hint=f"check --model and {BASE_URL}")
    if status == 429:
        return PlannerError(f"too many requests: {said}", hint=f"{later}, or {_OFFLINE}")
    if status >= 500 or _broke_off(error):
        return PlannerError(f"the service is in trouble: {said}", hint=f"{later} and try again, or {_OFFLINE}")
    return PlannerError(f"the service refused the request: {said}", hint=_OFFLINE)
