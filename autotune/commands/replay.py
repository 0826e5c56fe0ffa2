# SPDX-License-Identifier: MIT
"""`autotune replay`: a recorded conversation with the model, replayed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from autotune.commands.printing import encode_anything


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("replay")(_replay)


def _replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A transcript; a session prints its path at the end.")],
) -> int:
    """Replay a recorded conversation with the model, without the network. Exit 0 when the result is the same."""
    from autotune.planner.claude.replay import replay
    from autotune.schedext.catalogue import custom

    encode_anything(sys.stdout)
    return 0 if replay(file, custom.catalog(), print) else 1
