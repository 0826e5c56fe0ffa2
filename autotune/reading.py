# SPDX-License-Identifier: MIT
"""One way to read a small file: settings, state, catalogues, manifests. Standard library only.

What always holds here:
- only regular files are read, and others not even opened (`opening`): a pipe would hang, an endless device would fill
  memory, and opening a device may have an effect;
- no more than a stated number of bytes is read, and a larger file is refused as a whole: half a file may mean something
  else;
- whatever is in a file, these functions raise OSError (it cannot be read) or ValueError (its content is invalid), with
  a text for people. Callers add the file's name and what to do.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from autotune import opening

MOST_BYTES = 1 << 20
"""Most bytes of a file, unless the caller says otherwise."""
MOST_OBJECT_BYTES = 64 << 20
"""Most bytes of a BPF object, or of a header that it is compiled from."""
MOST_IMAGE_BYTES = 1 << 30
"""Most bytes of a kernel image."""
MOST_DEPTH = 64
"""Most brackets open at once in JSON. Nobody nests deeper on purpose, and parsers recurse."""

T = TypeVar("T")
Check = Callable[[os.stat_result], None]
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


def data(path: Path, *, most_bytes: int = MOST_BYTES, follow: bool = True, check: Check | None = None) -> bytes:
    """Read a regular file. Without `follow`, the last part of the path must be no link; `check` sees the opened file
    and may raise. Raises OSError, also for a file that is larger or of another kind."""
    with open(opening.regular(path, follow=follow), "rb") as file:
        found = os.fstat(file.fileno())
        if check is not None:
            check(found)
        if found.st_size <= most_bytes:
            content = file.read(most_bytes + 1)  # the files of /proc and /sys, and growing ones, hide their size
            if len(content) <= most_bytes:
                return content
    most = f"{most_bytes >> 20} MiB" if most_bytes >= 1 << 20 else f"{most_bytes >> 10} KiB"
    raise OSError(errno.EFBIG, f"it is larger than {most}", str(path))


def text(path: Path, *, most_bytes: int = MOST_BYTES, follow: bool = True) -> str:
    """Read a file of UTF-8 text; a byte order mark at its start is left out. Raises OSError, ValueError."""
    content = data(path, most_bytes=most_bytes, follow=follow)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {error.start + 1})") from None


def json_of(path: Path, *, most_bytes: int = MOST_BYTES, follow: bool = True) -> Any:
    """Read a file of JSON. Raises OSError, ValueError."""
    return parsed_json(text(path, most_bytes=most_bytes, follow=follow))


def parsed_json(content: str) -> Any:
    """Parse JSON that somebody else wrote. Raises ValueError."""
    if _depth(content) > MOST_DEPTH:
        raise ValueError("it is nested too deeply")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def shaped(make: Callable[[Any], T], found: Any) -> T:
    """Make a record from parsed data. Raises ValueError for data of another shape."""
    try:
        return make(found)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) and error.args else str(error)
        raise ValueError(f"it has another shape: {what}") from error


def record(make: Callable[[Any], T], path: Path, *, most_bytes: int = MOST_BYTES, follow: bool = True) -> T:
    """Read a file of JSON and make a record from it. Raises OSError, ValueError."""
    return shaped(make, json_of(path, most_bytes=most_bytes, follow=follow))


def _depth(content: str) -> int:
    """Return how many brackets are open at once, outside of strings. Nearly every start reads the catalogue: a step
    for each of its characters would take ten times as long as parsing it."""
    steps = (_STEP[bracket[0]] for bracket in _BRACKET.finditer(_STRING.sub("", content)))
    return max(itertools.accumulate(steps), default=0)
