# SPDX-License-Identifier: MIT
"""Name of the program in the commands that a report offers, so that they work where they are read."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from autotune.report.text import shell_word

NAME = "autotune"
_started_as: str | None = None


def start(argv0: str) -> None:
    """Remember how this process was called."""
    global _started_as
    _started_as = argv0


def called() -> str:
    """Return the words, quoted for a shell, that start autotune as it was started: its name where PATH leads to it, the
    path that was typed otherwise."""
    if _started_as is None or not os.path.isfile(_started_as):
        return NAME
    if os.path.basename(_started_as) == "__main__.py":
        return f"{shell_word(sys.orig_argv[0])} -m {NAME}"
    name = os.path.basename(_started_as)
    found = shutil.which(name)
    if found is not None and Path(found).resolve() == Path(_started_as).resolve():
        return shell_word(name)
    return shell_word(_started_as if os.sep in _started_as else f"./{_started_as}")
