# SPDX-License-Identifier: MIT
"""Runs inside a job's process, as its user: enters the directory and becomes `autotune cc`.

    session.py DAEMON DIRECTORY ARGUMENTS-OF-CC...

The directory is entered here, after the change of user, so that it is the user's own right that counts. When the
daemon (process DAEMON) dies, this process gets SIGTERM, which ends a session in order.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _end_with(daemon: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != daemon:
        sys.exit("autotune: the daemon is gone.")


def main() -> None:
    _, daemon, directory, *words = sys.argv
    _end_with(int(daemon))
    try:
        os.chdir(directory)
    except OSError as error:
        sys.exit(f"autotune: {directory} cannot be entered: {error.strerror}.")
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    sys.argv = ["autotune", "cc", *words]
    runpy.run_module("autotune", run_name="__main__")


if __name__ == "__main__":
    main()
