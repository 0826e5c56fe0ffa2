# SPDX-License-Identifier: MIT
"""Printing of lists and JSON on standard output, and of errors as one line."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

from autotune.errors import AutotuneError
from autotune.secrecy import redacted
from autotune.views.steady import silence

if TYPE_CHECKING:
    import typer


def encode_anything(stream: TextIO) -> None:
    """Print characters that the terminal's encoding lacks as escapes, instead of raising."""
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
    """Format the error as one printable line without secrets: `autotune: STAGE: what happened. What to do.`"""
    from autotune.report.text import printable, sentence

    stage = "" if error.stage == AutotuneError.default_stage else f"{error.stage}: "
    message, hint = (sentence(printable(" ".join(redacted(part).split()))) for part in (error.message, error.hint))
    advice = f" {hint[:1].upper()}{hint[1:]}" if hint else ""
    return f"autotune: {stage}{message}{advice}"


def say(error: AutotuneError) -> None:
    """Print the error's line on standard error; nothing once the reader is gone."""
    try:
        print(error_line(error), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        silence(sys.stderr)


def show_help(context: typer.Context) -> None:
    """Print the help of a group that was called without a command."""
    text = context.get_help()
    if text:  # typer prints it by itself when rich is there
        print(text)
