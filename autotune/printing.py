# SPDX-License-Identifier: MIT
"""How commands put lists and JSON on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TextIO


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
