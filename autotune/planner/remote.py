# SPDX-License-Identifier: MIT
"""What the clients of all models' services share. A service (`claude.service`) adds what its API alone has.

What always holds here:
- every failure is a PlannerError: of setting up the client (proxies, certificates, addresses), of the connection, of
  the service's answer;
- `send` takes no longer than its limit, including retries and the waits between them, reads at most MOST_BYTES of an
  answer, and waits in silence for at most `silence_s` in all its tries together;
- text of the library or the service is redacted before it is passed on.

Replies are streamed, so that a hung connection shows by its silence, not by the length of a long answer. The library's
own retries are off: it would obey any wait that a server requests. The libraries come from one generator, and their
exceptions have the same names, by which a service's library is passed to the rules here.
"""

from __future__ import annotations

import email.utils
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from autotune.errors import PlannerError
from autotune.frozen import dataclass
from autotune.planner.within import Late, ThreadedCall
from autotune.redact import Redactor

RETRIES = 3
"""Retries of a request that got no answer or a passing refusal (408, 409, 429, 5xx)."""
BROKEN_RETRIES = 2
"""Retries of a reply that broke off."""
SILENCE_S = 120.0
"""Silence after which a stream counts as hung (a service sends something every few seconds)."""
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
OFFLINE = "use --planner offline"
_PASSING = frozenset({408, 409, 429})
warnings.filterwarnings("ignore", "Pydantic serializer warnings", UserWarning)
"""Warning that the libraries print when a field does not have the type it expects; it quotes the service."""

Answered = TypeVar("Answered")
"""What a service makes of a whole answer."""


@dataclass(frozen=True)
class ServiceNames:
    """How errors name a service: itself, what its answers are, and where its key and its address are set: an option,
    which was given, or a variable, which counts where it is set."""

    name: str
    answers: str
    key: str
    address: str


class RemoteService(Generic[Answered]):
    """A client of one service. `library` is the module with the exceptions; `pause` waits between two tries. A service
    sets up `_client` and says how one request is streamed (`_stream`)."""

    _client: Any

    def __init__(
        self,
        library: Any,
        names: ServiceNames,
        secrets: Mapping[str, str],
        *,
        silence_s: float = SILENCE_S,
        retries: int = RETRIES,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._library, self._names = library, names
        self._pause = pause
        self._silence_s, self._retries = silence_s, retries
        self._call = ThreadedCall()
        self._redact = Redactor({**os.environ, **secrets}).text

    def close(self) -> None:
        self._client.close()

    def _stream(self, request: dict[str, Any], timeout: Any) -> Answered:
        """Send a request and read the whole stream that answers it."""
        raise NotImplementedError

    def _connect(self, make: Callable[[], Any]) -> Any:
        """Make the library's client. Raises PlannerError."""
        try:
            return make()
        except Exception as error:
            said = self._said(error)
            hint = f"check {_surroundings(os.environ, self._names.address)}, or {OFFLINE}"
            raise PlannerError(f"a connection to {self._names.name} cannot be set up: {said}", hint=hint) from error

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
                if self._refuses(error):
                    raise self._planner_error(error, None) from error
                if not must_answer or not self._is_unreachable(error):
                    return
                wait_s = self._wait_s(error, tries)
                if wait_s is None or wait_s >= end - time.monotonic():
                    raise self._planner_error(error, None) from error
                tries += 1
                self._pause(wait_s)
            else:
                return

    def _look_up(self, model: str, left_s: float) -> None:
        self._call = ThreadedCall()
        timeout = self._library.Timeout(max(0.0, left_s))
        self._call.within(left_s, lambda: self._client.models.retrieve(model, timeout=timeout))

    def _refuses(self, error: Exception) -> bool:
        """Return whether the service refused the key or the model. Servers may lack the question itself."""
        return isinstance(error, self._library.AuthenticationError)

    def _is_unreachable(self, error: Exception) -> bool:
        """Return whether no connection was made, or it broke at once. Our own limits end a request in the same
        class."""
        is_ours = isinstance(error.__cause__, (NotTheApi, Late)) or isinstance(error, self._library.APITimeoutError)
        return isinstance(error, self._library.APIConnectionError) and not is_ours

    # --- one request ---

    def send(self, request: dict[str, Any], within_s: float = math.inf) -> Answered:
        """Send a request and wait for the whole reply, at most this long. Raises PlannerError, with what to do."""
        end = time.monotonic() + within_s
        silence_s = self._silence_s
        tries = 0
        while True:
            began = time.monotonic()
            try:
                return self._attempt(request, end - began, silence_s)
            except Exception as error:
                if self._adapts(error):
                    continue
                if isinstance(error, self._library.APITimeoutError):
                    silence_s -= time.monotonic() - began
                wait_s = self._wait_s(error, tries) if silence_s > 0.0 else None
                if wait_s is None or wait_s >= end - time.monotonic():
                    raise self._planner_error(error, wait_s) from error
            tries += 1
            self._pause(wait_s)

    def _adapts(self, error: Exception) -> bool:
        """Return whether the next try will be another request, without what was refused here."""
        del error
        return False

    def _attempt(self, request: dict[str, Any], left_s: float, silence_s: float) -> Answered:
        if left_s <= 0:
            raise Late
        self._call = ThreadedCall()
        silence_s = min(silence_s, left_s)
        timeout = self._library.Timeout(silence_s, connect=min(CONNECT_S, silence_s))
        return self._call.within(left_s, lambda: self._stream(request, timeout))

    def _bounded(self, response: Any) -> None:
        """Bound what is read of a response, including the body of a refusal."""
        call, whole = self._call, response.iter_bytes

        def bounded(*args: Any, **named: Any) -> Iterator[bytes]:
            read_bytes = 0
            for piece in whole(*args, **named):
                read_bytes += len(piece)
                if read_bytes > MOST_BYTES:
                    raise NotTheApi(f"it has no end ({MOST_BYTES >> 20} MiB were read)")
                if call.given_up:
                    raise Late
                yield piece

        response.iter_bytes = bounded

    # --- what is tried again ---

    def _wait_s(self, error: Exception, tries: int) -> float | None:
        """Return the seconds to wait before the next try; None for no further try."""
        pause_s = min(PAUSE_S * 2**tries, LONGEST_PAUSE_S)
        is_status = isinstance(error, self._library.APIStatusError)
        if is_status and not _broke_off(error):
            return _requested_wait_s(error, pause_s) if tries < self._retries and _passes(error) else None
        if isinstance(error, self._library.APIConnectionError):
            return pause_s if tries < self._retries else None
        if is_status or _is_transport(error):
            return pause_s if tries < BROKEN_RETRIES else None
        return None

    # --- what failed ---

    def _planner_error(self, error: Exception, wait_s: float | None) -> PlannerError:
        """Convert any exception into a PlannerError with advice. `wait_s` is the wait that no time is left for."""
        name, address = self._names.name, self._names.address
        if isinstance(error, self._library.APIStatusError):
            return self._status_error(error, wait_s)
        if isinstance(error, (Late, self._library.APITimeoutError)):
            wanted = "give a larger --budget" if isinstance(error, Late) else "try again, with a larger --model-timeout"
            return PlannerError(f"{name} did not answer in time", hint=f"{wanted}, or {OFFLINE}")
        if isinstance(error, self._library.APIConnectionError):
            said = self._said(error.__cause__ or error)
            hint = f"check {_surroundings(os.environ, address, otherwise='the network')}, or {OFFLINE}"
            return PlannerError(f"{name} cannot be reached: {said}", hint=hint)
        said = self._said(error)
        if _is_transport(error):
            return PlannerError(f"the connection to {name} broke: {said}", hint=f"try again, or {OFFLINE}")
        wrong = f"the answer is not one of {self._names.answers}: {said}"
        return PlannerError(wrong, hint=f"check {address}, or {OFFLINE}")

    def _status_error(self, error: Any, wait_s: float | None) -> PlannerError:
        status = error.status_code
        said = self._said(error) or f"status {status}"
        is_long = wait_s is not None and wait_s > LONGEST_PAUSE_S
        later = f"wait {wait_s:.0f} s as it requests" if is_long else "wait a while"
        if status == 401:
            return PlannerError(f"the key is not accepted: {said}", hint=f"check {self._names.key}, or {OFFLINE}")
        if status == 402 or "credit" in said.lower():
            return PlannerError(f"no credit: {said}", hint=f"top up the account, or {OFFLINE}")
        if status == 403:
            return PlannerError(f"the key may not do this: {said}", hint=f"use another key or --model, or {OFFLINE}")
        if status == 404:
            hint = f"check --model and {self._names.address}"
            return PlannerError(f"the service does not know it: {said}", hint=hint)
        if status == 429:
            return PlannerError(f"too many requests: {said}", hint=f"{later}, or {OFFLINE}")
        if status >= 500 or _broke_off(error):
            return PlannerError(f"the service is in trouble: {said}", hint=f"{later} and try again, or {OFFLINE}")
        return PlannerError(f"the service refused the request: {said}", hint=OFFLINE)

    def _message_of(self, error: Any) -> str:
        """Return what the service itself said with an error status; empty for nothing."""
        raise NotImplementedError

    def _said(self, error: BaseException) -> str:
        """Return the text of an error, redacted, in one short line."""
        if isinstance(error, self._library.APIStatusError):
            text = self._message_of(error)[:4000]
            text = "" if "<html" in text.lower() or "<!doctype" in text.lower() else text
        else:
            kind = "" if isinstance(error, (BrokenOff, NotTheApi)) else f"{type(error).__name__}: "
            text = f"{kind}{str(error)[:4000]}".removesuffix(": ")
        return " ".join(self._redact(text).split())[:300]


_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
_SURROUNDINGS = (*_PROXIES, "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
"""Variables that decide how a service is reached. Those of proxies count in lower case too."""


def _surroundings(environ: Mapping[str, str], address: str, otherwise: str = "proxies and certificates") -> str:
    """Name what decides how the service is reached and is set."""
    given = (address,) if address.startswith("--") else ()
    named = (name for upper in (*_SURROUNDINGS, address) for name in (upper, upper.lower()))
    return ", ".join([*given, *(name for name in named if environ.get(name, "").strip())]) or otherwise


class BrokenOff(Exception):
    """The reply ended early."""

    def __str__(self) -> str:
        return super().__str__() or "it ended in the middle of a reply"


class NotTheApi(Exception):
    """The answer is not one of the service's API."""


def _passes(error: Any) -> bool:
    """Return whether another try may succeed, by the service's header or the status."""
    said = error.response.headers.get("x-should-retry")
    return bool(said == "true" or (said != "false" and (error.status_code in _PASSING or error.status_code >= 500)))


def _requested_wait_s(error: Any, otherwise_s: float) -> float:
    """Return the wait that the service requests, which may be seconds or a date."""
    text = str(error.response.headers.get("retry-after", ""))
    try:
        wait_s = float(text)
    except ValueError:
        date = email.utils.parsedate_tz(text)
        wait_s = email.utils.mktime_tz(date) - time.time() if date is not None else otherwise_s
    return max(wait_s, 0.0) if math.isfinite(wait_s) else otherwise_s


def _broke_off(error: Any) -> bool:
    """Return whether the error came as an event of a stream that began without one."""
    return bool(error.response.status_code == 200)


def _is_transport(error: Exception) -> bool:
    """Return whether a connection broke mid-stream: that error comes from the HTTP library itself."""
    return isinstance(error, BrokenOff) or any(kind.__name__ == "TransportError" for kind in type(error).__mro__)


def tokens(count: object) -> int:
    """Check a token count: the limits on cost depend on it. Raises NotTheApi."""
    if not isinstance(count, int) or not 0 <= count <= MOST_TOKENS:
        raise NotTheApi(f"it counts {str(count)[:40]} tokens")
    return count
