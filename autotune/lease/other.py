# SPDX-License-Identifier: MIT
"""An attached scheduler that is not ours.

Standard library only.
"""

from __future__ import annotations

import os
import shlex
from typing import Literal

from autotune.frozen import dataclass
from autotune.lease import loaders

Origin = Literal["scx.service", "scx_loader", "autotune", "hand", "unknown"]
_SENTENCE_CHARACTERS = 200
_COMMAND_CHARACTERS = 80


@dataclass(frozen=True)
class Other:
    """An attached scheduler that is not ours."""

    ops: str
    """Its name as the kernel shows it."""
    pid: int | None
    """Number of the process that attached it, or of the autotune that started it; None when unknown."""
    argv: tuple[str, ...]
    origin: Origin
    scheduler: str | None
    """The scx program; None for others."""
    mode: str | None
    """The profile that scx_loader started it in."""
    flags: tuple[str, ...]
    """The program's command line."""
    started: int = 0
    """Start of the process in clock ticks after boot, so that no other process is ever taken for it."""
    unit: str | None = None
    """The systemd service whose main process it is."""

    @property
    def sentence(self) -> str:
        """Its name and who started it, as a clause for people."""
        command = shlex.join([os.path.basename(self.argv[0]), *self.argv[1:]]) if self.argv else ""
        return _bounded(f"{self.ops}, {self._by(_bounded(command, _COMMAND_CHARACTERS))}", _SENTENCE_CHARACTERS)

    def _by(self, command: str) -> str:
        if self.origin == "scx_loader":
            how = f" (mode {self.mode})" if self.mode else f" ({command})" if command else ""
            return f"by scx_loader{how}"
        if self.origin == "autotune":
            return f"by another autotune{f' (process {self.pid})' if self.pid else ''}"
        if self.unit is not None or self.origin == "scx.service":
            return f"by {self.unit or loaders.SERVICE}{f' ({command})' if command else ''}"
        if self.pid is None:
            return "by a process that was not found"
        return f"by process {self.pid} ({command}), started by hand"


def _bounded(text: str, most: int) -> str:
    """Cut to one line of printable text: anybody can choose a command line."""
    plain = "".join(character if character.isprintable() else "?" for character in text)
    return plain if len(plain) <= most else f"{plain[:most]}..."
