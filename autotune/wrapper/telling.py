# SPDX-License-Identifier: MIT
"""The lines of `autotune run -v`, on the command's standard error."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotune.knowledge.best import KnownBest
    from autotune.knowledge.uses import Times

MOST_CHARACTERS = 400


def say(text: str, descriptor: int = 2) -> None:
    """Print one line; nothing happens where it cannot be printed."""
    plain = "".join(character if character.isprintable() else "?" for character in text[:MOST_CHARACTERS])
    try:  # noqa: SIM105 - contextlib takes a millisecond
        os.write(descriptor, f"autotune: {plain}\n".encode(errors="replace"))
    except OSError:
        pass


def just_runs(why: str) -> str:
    return f"the command just runs: {why}"


def attached(best: KnownBest, waited_s: float, after_s: float) -> str:
    """Say that the command is under the best known scheduler from now on."""
    day = time.strftime("%Y-%m-%d", time.localtime(best.measured_at))
    how = "shared with another run" if waited_s < 0.001 else f"after {after_s:.1f} s"
    where = f"in another clone, {best.directory}," if best.is_elsewhere else "here"
    than = f"EEVDF at any value that was tried ({best.params} here)" if best.params else "EEVDF"
    return f"{best.spec} is attached ({how}): {best.speedup:.2f} times as fast as {than} {where} on {day}"


def ended(wall_s: float, under: str | None, status: int | None, times: Times | None) -> str:
    """Say how long the command took, against what is known."""
    line = f"{seconds(wall_s)}{f' under {under}' if under else ''}{_code(status)}"
    if times is None:
        return line
    known = [f"{seconds(times.best_s)} under {times.key}"] if times.best_s is not None else []
    known += [f"{seconds(times.baseline_s)} under EEVDF"] if times.baseline_s is not None else []
    return f"{line}; known {'are' if len(known) > 1 else 'is'} {' and '.join(known)}" if known else line


def _code(status: int | None) -> str:
    if status is None or status == 0:
        return ""
    return f", exit code {status}" if status > 0 else f", ended by signal {-status}"


def seconds(value_s: float) -> str:
    return f"{value_s:.2f} s" if value_s < 100 else f"{value_s:.0f} s"
