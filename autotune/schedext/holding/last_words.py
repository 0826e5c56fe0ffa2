# SPDX-License-Identifier: MIT
"""Reads from a scheduler's output why it ended; each program prints that in its own way. Pure, standard library only.

All of it is untrusted text: bounded, one line, no control characters.
"""

from __future__ import annotations

import re

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|[\x00-\x08\x0b-\x1f\x7f]")
_EXIT = re.compile(r"^\s*(?:Error: |0: )?EXIT: ([^(\n]+?)(?: \((.*)\))?\s*$", re.MULTILINE)
"""The line that scx schedulers print at their end: `EXIT: REASON (MESSAGE)`."""
_ERROR = re.compile(r"^\s*(?:Error|error|ERROR): (.+)$", re.MULTILINE)
_CAUSE = re.compile(r"^Caused by:\n((?:[ \t]+\S.*\n?)+)", re.MULTILINE)
_PANIC = re.compile(r"panicked at [^\n]*:\n(.+)")
_NOISE = re.compile(r"^\s*(\d+: |at /|stack backtrace|Stack backtrace|note: )")
LONGEST = 300


def plain(text: str) -> str:
    """Strip colours and control characters."""
    return _CONTROL.sub("", text)


def exit_line(log: str) -> tuple[str, str] | None:
    """Return reason and message of the last `EXIT:` line; None without one."""
    found = _EXIT.findall(plain(log))
    return (found[-1][0].strip(), found[-1][1].strip()) if found else None


def last_words(log: str) -> str:
    """Return the most telling part of an output: its exit line, its error with the cause, its panic, else its last
    line."""
    text = plain(log)
    words = _panic(text) or _exit(text) or _error(text) or _last_line(text)
    return words[:LONGEST]


def _panic(text: str) -> str:
    found = _PANIC.search(text)
    return f"it panicked: {found[1].strip()}" if found else ""


def _exit(text: str) -> str:
    found = exit_line(text)
    return "" if found is None else f"{found[0]} ({found[1]})" if found[1] else found[0]


def _error(text: str) -> str:
    found = _ERROR.findall(text)
    if not found:
        return ""
    cause = _CAUSE.search(text)
    lines = [line.strip() for line in cause[1].splitlines() if line.strip()] if cause else []
    return ": ".join([found[-1].strip(), *(re.sub(r"^\d+: ", "", line) for line in lines[-1:])])


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.match(line)]
    return lines[-1] if lines else ""
