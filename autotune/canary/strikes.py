# SPDX-License-Identifier: MIT
"""Strikes of generated schedulers on this host, and the canaries that they passed, by content hash.

What always holds here:
- a file that cannot be read or parsed is an error with advice, never an empty record: callers must take the
  error as a refusal;
- a change is whole or not at all, under a lock that keeps two processes apart;
- only the user can read or write it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autotune import durable, frozen, resources
from autotune.errors import AutotuneError, BusyError, UsageError
from autotune.verdict.promotion import STRIKES_TO_BAR

VERSION = 1
BUSY_S = 5.0
"""How long to wait for another autotune that is writing."""
REASON_CHARACTERS = 500
MOST_STRIKES = 20
"""Most strikes kept of one scheduler, the newest. Three bar it; the others are for people to read."""
MOST_KERNELS = 20
MOST_BYTES = 16 << 20


@frozen.dataclass(frozen=True)
class Strike:
    """One forced detach or ejection."""

    at_s: float
    """Unix time."""
    reason: str
    kernel: str


@dataclass
class _Conduct:
    """How one scheduler did on this host."""

    strikes: list[Strike] = field(default_factory=list)
    passed: dict[str, float] = field(default_factory=dict)
    """Kernel to when (Unix time) its canary was passed under it."""


class Strikes:
    """The record of one user. Every method raises AutotuneError (stage `canary`) when the file cannot be used, and
    UsageError for what is not a content hash."""

    def __init__(self, path: Path | None = None, *, now: Callable[[], float] = time.time) -> None:
        self.path = path or resources.state_dir() / "canary.json"
        self._now = now

    # --- reading ---

    def is_barred(self, content_hash: str) -> bool:
        """Return whether it has had its three strikes, and is not offered or attached any more."""
        return len(self._entry(content_hash).strikes) >= STRIKES_TO_BAR

    def reasons(self, content_hash: str) -> tuple[Strike, ...]:
        """Return its strikes, oldest first."""
        return tuple(self._entry(content_hash).strikes)

    def passed(self, content_hash: str, kernel: str) -> bool:
        """Return whether it passed its canary under this kernel and had no strike since."""
        return kernel in self._entry(content_hash).passed

    def kernels_passed(self, content_hash: str) -> tuple[str, ...]:
        """Return the kernels under which it passed its canary, with no strike since."""
        return tuple(self._entry(content_hash).passed)

    # --- changing ---

    def strike(self, content_hash: str, reason: str, kernel: str) -> int:
        """Record a strike and return how many there are now. Its canary must be repeated, under every kernel."""
        with self._changing(content_hash) as entry:
            entry.strikes.append(Strike(self._now(), _bounded(reason), _bounded(kernel)))
            del entry.strikes[:-MOST_STRIKES]
            entry.passed.clear()
            return len(entry.strikes)

    def remember_passed(self, content_hash: str, kernel: str) -> None:
        with self._changing(content_hash) as entry:
            entry.passed.pop(kernel, None)
            entry.passed[_bounded(kernel)] = self._now()
            for oldest in list(entry.passed)[:-MOST_KERNELS]:
                del entry.passed[oldest]

    # --- the file ---

    def _entry(self, content_hash: str) -> _Conduct:
        _check_hash(content_hash)
        with self._explained("read"):  # no lock: the file that is there is always a whole one
            return self._read().get(content_hash, _Conduct())

    @contextlib.contextmanager
    def _changing(self, content_hash: str) -> Iterator[_Conduct]:
        _check_hash(content_hash)
        with self._explained("written"):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with durable.locked(self.path.with_name(f"{self.path.name}.lock"), self._busy, wait_s=BUSY_S):
                durable.sweep(self.path.parent, self.path.name)
                entries = self._read()
                yield entries.setdefault(content_hash, _Conduct())
                schedulers = {key: _to_json(entries[key]) for key in sorted(entries)}
                text = json.dumps({"version": VERSION, "schedulers": schedulers})
                durable.replace(self.path, text.encode())

    def _explained(self, what: str) -> contextlib.AbstractContextManager[None]:
        return durable.explained(f"the record of generated schedulers cannot be {what}", self.path, stage="canary")

    def _busy(self) -> BusyError:
        return BusyError(
            f"another autotune has been writing {self.path} for {BUSY_S:g} s",
            hint="try again; if no autotune runs, see who has the lock beside it",
            stage="canary",
        )

    def _read(self) -> dict[str, _Conduct]:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return {}
        with open(fd, "rb") as file:
            self._insist_on_private(os.fstat(fd))
            data = file.read(MOST_BYTES + 1)
        try:
            if len(data) > MOST_BYTES:
                raise ValueError(f"it is larger than {MOST_BYTES >> 20} MiB")
            return _parsed(json.loads(data))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise AutotuneError(
                f"{self.path} is damaged, so it is not known which generated schedulers are barred",
                hint=f"repair it, or remove it, which clears all strikes: rm {self.path}",
                stage="canary",
                detail=f"{type(error).__name__}: {error}",
            ) from error

    def _insist_on_private(self, seen: os.stat_result) -> None:
        """Raise unless only the user can write it: what somebody else wrote must not decide which schedulers are
        barred."""
        if not stat.S_ISREG(seen.st_mode):
            raise OSError(0, "it is not a file")
        if seen.st_uid not in (os.geteuid(), 0) or seen.st_mode & 0o022:
            raise AutotuneError(
                f"{self.path} can be written by others",
                hint=f"if its content is yours: chmod 600 {self.path}, and chown it to yourself",
                stage="canary",
            )


def _check_hash(content_hash: str) -> None:
    if re.fullmatch(r"[0-9a-f]{64}", content_hash) is None:
        raise UsageError(f"{content_hash[:80]!r} is not a content hash", hint="64 hexadecimal digits of SHA-256")


def _bounded(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()[:REASON_CHARACTERS]


def _parsed(data: Any) -> dict[str, _Conduct]:
    """Parse the file's JSON. Raises ValueError, TypeError, KeyError or AttributeError for another shape."""
    version = data["version"]
    if version != VERSION:
        raise ValueError(f"its version is {version!r}; this autotune knows {VERSION}")
    return {str(key): _entry_of(value) for key, value in data["schedulers"].items()}


def _entry_of(value: Any) -> _Conduct:
    strikes = [Strike(float(item["at_s"]), _text(item["reason"]), _text(item["kernel"])) for item in value["strikes"]]
    return _Conduct(strikes, {_text(kernel): float(at_s) for kernel, at_s in value["passed"].items()})


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r}")
    return value


def _to_json(entry: _Conduct) -> dict[str, Any]:
    strikes = [{"at_s": item.at_s, "reason": item.reason, "kernel": item.kernel} for item in entry.strikes]
    return {"strikes": strikes, "passed": entry.passed}
