# SPDX-License-Identifier: MIT
"""How commands put lists and JSON on standard output, and errors into a line; how they are ended gently."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from autotune.errors import AutotuneError
from autotune.secrecy import redacted
from autotune.views.steady import silence


def encode_anything(stream: TextIO) -> None:
    """Characters that the terminal's encoding lacks appear as escapes instead of ending the session."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def print_lines(lines: Iterable[str]) -> None:
    encode_anything(sys.stdout)
    for line in lines:
        print(line)


def print_json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=2))


def columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def error_line(error: AutotuneError) -> str:
    """The error as one printable line without secrets: `autotune: STAGE: what happened. What to do.`"""
    from autotune.report.text import printable

    stage = "" if error.stage == AutotuneError.default_stage else f"{error.stage}: "
    message, hint = (printable(" ".join(redacted(part).split())).rstrip(".") for part in (error.message, error.hint))
    advice = f" {hint[:1].upper()}{hint[1:]}." if hint else ""
    return f"autotune: {stage}{message}.{advice}"


def say(error: AutotuneError) -> None:
    """The error's line on standard error; nothing where there is nobody any more to read it."""
    try:
        print(error_line(error), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        silence(sys.stderr)


@contextlib.contextmanager
def ended_gently() -> Iterator[None]:
    """SIGTERM and SIGHUP end a session as Ctrl-C does: the machine is given back and the terminal restored. One that is
    ignored (SIGHUP under nohup) stays ignored."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    heeded = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C and the like wait meanwhile: for what is short and must not be lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if before[number] not in (signal.SIG_IGN, None):
            signal.signal(number, lambda came_now, _frame: came.append(came_now))
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
    for late in dict.fromkeys(came):
        signal.raise_signal(late)
