# SPDX-License-Identifier: MIT
"""What clients and the service say to each other: JSON lines as in `process.py`, each request with the version.

What comes over the socket is anybody's: a line has a size, a client a rate, and every field is checked before it is
used. Standard library only.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from autotune import reading
from autotune.errors import AutotuneError, UsageError

VERSION = 1
STAGE = "daemon"
MOST_LINE_BYTES = 512 << 10
"""Most bytes of a request: an environment and a command."""
MOST_WAITING_BYTES = 1 << 20
"""Most bytes of answers that a client has not read; one that reads nothing is disconnected."""
REQUESTS_PER_S = 50.0
BURST = 200
"""Requests that may come at once."""
MOST_WORDS = 1000
MOST_VARIABLES = 2000
MOST_TEXT = 128 << 10
"""Most characters of one word or variable: the kernel takes no more either."""
_CANDIDATE = re.compile(r"(?:custom:)?[a-z][a-z0-9_]{0,63}(?::[A-Za-z0-9_.,=+-]{1,400})?")
_HASH = re.compile(r"[0-9a-f]{64}")
_VARIABLE = re.compile(r"[^=\0]{1,256}")


class RequestLines:
    """Splits what comes from a client into lines, none longer than a bound."""

    def __init__(self, most_bytes: int = MOST_LINE_BYTES) -> None:
        self._most_bytes = most_bytes
        self._rest = bytearray()

    @property
    def is_half(self) -> bool:
        """Whether a line has begun that has not ended."""
        return bool(self._rest)

    def add(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that are whole now. Raises ValueError for one that is too long."""
        searched = len(self._rest)
        self._rest += data
        while (end := self._rest.find(b"\n", searched)) >= 0:
            line = bytes(self._rest[:end])
            del self._rest[: end + 1]
            searched = 0
            self._require_short(len(line))
            yield line
        self._require_short(len(self._rest))

    def _require_short(self, size: int) -> None:
        if size > self._most_bytes:
            raise ValueError(f"a request has at most {self._most_bytes >> 10} KiB")


class Rate:
    """How many requests one client may still make now (a token bucket)."""

    def __init__(self, per_s: float = REQUESTS_PER_S, burst: int = BURST, now: Callable[[], float] = time.monotonic):
        self._per_s, self._burst, self._now = per_s, burst, now
        self._left = float(burst)
        self._seen_s = now()

    def take(self) -> bool:
        """Count one request, and return whether it is within the rate."""
        now = self._now()
        self._left = min(self._burst, self._left + (now - self._seen_s) * self._per_s)
        self._seen_s = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def request_of(line: bytes) -> dict[str, Any]:
    """Return a request. Raises ValueError for what is none, after which nothing of that client can be trusted."""
    request = reading.parsed_json(line.decode("utf-8"))
    if not isinstance(request, dict):
        raise ValueError("a request is an object")
    number = request.get("id", 0)
    if type(number) is not int or not 0 <= number < 1 << 53:
        raise ValueError("'id' is a number")
    return request


def require_version(request: Mapping[str, Any]) -> None:
    """Raise AutotuneError unless the request speaks this protocol."""
    asked = request.get("v")
    if asked == VERSION and type(asked) is int:
        return
    asked_text = asked if type(asked) is int else "none"
    raise AutotuneError(
        f"the daemon speaks version {VERSION} of its protocol, and the request has {asked_text}",
        hint="use the autotune of the daemon, or restart the daemon with this one",
        stage=STAGE,
    )


# --- fields ----------------------------------------------------------------------------------------------


def wrong(what: str) -> UsageError:
    return UsageError(f"the request is invalid: {what}", stage=STAGE)


def text(request: Mapping[str, Any], name: str, *, most: int = MOST_TEXT, default: str | None = None) -> str:
    """Return a text without a NUL, which no argument of a program can have. Raises UsageError."""
    found = request.get(name, default)
    if not isinstance(found, str) or len(found) > most or "\0" in found or not _is_sayable(found):
        raise wrong(f"'{name}' is a text of at most {most} characters")
    return found


def _is_sayable(value: str) -> bool:
    """Return whether a program can be given the text: bytes that are no UTF-8 are, other halves of pairs are not."""
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def words(request: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return a list of texts. Raises UsageError."""
    found = request.get(name)
    if not isinstance(found, list) or not 1 <= len(found) <= MOST_WORDS:
        raise wrong(f"'{name}' is a list of 1 to {MOST_WORDS} texts")
    return tuple(text({name: word}, name) for word in found)


def variables(request: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return an environment. Raises UsageError."""
    found = request.get(name)
    if not isinstance(found, dict) or len(found) > MOST_VARIABLES:
        raise wrong(f"'{name}' is an object of at most {MOST_VARIABLES} texts")
    if not all(_VARIABLE.fullmatch(key) and _is_sayable(key) for key in found):
        raise wrong(f"'{name}' has a name that no variable can have")
    return {key: text(found, key) for key in found}


def directory(request: Mapping[str, Any], name: str) -> str:
    """Return an absolute path; whether its user may enter it is seen as that user. Raises UsageError."""
    found = text(request, name, most=4096)
    if not found.startswith("/"):
        raise wrong(f"'{name}' is an absolute path")
    return found


def number(request: Mapping[str, Any], name: str, *, least: int = 0, most: int = 1 << 31) -> int:
    found = request.get(name)
    if type(found) is not int or not least <= found <= most:
        raise wrong(f"'{name}' is a number from {least} to {most}")
    return found


def seconds(request: Mapping[str, Any], name: str, *, least_s: float, most_s: float, default_s: float) -> float:
    """Return a time, moved into the given range. Raises UsageError for what is no time."""
    found = request.get(name, default_s)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
        raise wrong(f"'{name}' is a number of seconds")
    return min(most_s, max(least_s, float(found)))


def candidate(request: Mapping[str, Any]) -> str:
    """Return a scheduler with settings in the form `at_fifo:slice_us=5000`: no path, no option. The catalogue then
    decides whether there is such a one. Raises UsageError."""
    found = text(request, "scheduler", most=500)
    if not _CANDIDATE.fullmatch(found):
        raise wrong("'scheduler' is NAME or NAME:knob=value,...")
    return found


def content_hash(request: Mapping[str, Any]) -> str | None:
    """Return the hash of the object that the client means; None when it does not say. Raises UsageError."""
    found = request.get("sha256")
    if found is None:
        return None
    if not isinstance(found, str) or not _HASH.fullmatch(found):
        raise wrong("'sha256' is a SHA-256 in hexadecimal digits")
    return found
