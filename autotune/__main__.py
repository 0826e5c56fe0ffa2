# SPDX-License-Identifier: MIT
"""The program. `--version`, which scripts call often, is answered before anything else is imported."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Entry point of the `autotune` command; exits."""
    if sys.argv[1:] == ["--version"]:
        from autotune import __version__

        print(f"autotune {__version__}")
        return
    _load()()


def _load() -> Callable[[], None]:
    """Load the command line. Until then nothing has started, so Ctrl-C simply ends the process."""
    import signal

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    try:
        from autotune import cli
    except (OSError, MemoryError) as error:  # Python cannot even read our files
        os.write(2, f"autotune: it cannot start: {error}. Raise the limits that 'ulimit -a' shows.\n".encode())
        os._exit(1)

    signal.signal(signal.SIGINT, before)
    return cli.main


def _leave(*_signal: object) -> None:
    os.write(2, b"autotune: session: interrupted.\n")
    os._exit(130)


if __name__ == "__main__":
    main()
