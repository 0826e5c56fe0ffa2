# SPDX-License-Identifier: MIT
"""`autotune daemon`: the service for a machine that several people tune."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("daemon")(_daemon)


def _daemon(
    socket: Annotated[
        Path | None,
        typer.Option(
            "--socket", metavar="PATH", help="Where to listen. Default: what systemd passes, else a fixed place."
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="NAME", help="Group that may use it. Default: only you and root."),
    ] = None,
    state: Annotated[Path | None, typer.Option("--state", metavar="DIR", help="Directory of the queue.")] = None,
) -> None:
    """Queue tuning sessions and, as root, attach schedulers for those who may ask.

    It runs until SIGTERM. scripts/install-daemon installs it for a whole machine; see docs/DAEMON.md.
    """
    given = {"--socket": socket, "--group": group, "--state": state}
    words = [word for option, value in given.items() if value is not None for word in (option, str(value))]
    program = str(Path(__file__).resolve().parents[1] / "daemon.py")
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until the service can end in order
    os.execv(sys.executable, [sys.executable, "-S", "-E", "-I", program, *words])  # so that root imports little
