# SPDX-License-Identifier: MIT
"""The program. `--version`, which scripts call often, is answered before anything else is imported, and `run` becomes
the user's command before anything slow is."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # `signal` takes long: it makes enumerations
import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

GIVEN = "AUTOTUNE_GIVEN"
"""Set by the launchers for `autotune run`: what they were given themselves (`wrapper.given`)."""
LAUNCHER = "AUTOTUNE_LAUNCHER"
"""Set by scripts/launcher, which blocks Ctrl-C until we can answer it: how the program was called."""


def main() -> None:
    """Entry point of the `autotune` command; exits."""
    if sys.argv[1:2] == ["run"] and not _asks_for_help(sys.argv[2:]):
        _run()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)  # until a command runs, nothing has started that must be ended
    if os.environ.pop(GIVEN, None) is not None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # 'run --help'
    launcher = os.environ.pop(LAUNCHER, None)  # the user's command never sees it
    if launcher is not None:
        sys.argv[0] = launcher
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    if sys.argv[1:] == ["--version"]:
        from autotune import __version__

        _say(f"autotune {__version__}\n")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return
    _load()()


def _say(text: str) -> None:
    """Print on standard output, also where that is closed; a disk that is full, or a reader that is gone, is exit
    code 1."""
    try:
        os.write(1, text.encode())
    except OSError as error:
        if error.errno == errno.EBADF:
            return
        try:
            if error.errno != errno.EPIPE:
                os.write(2, f"autotune: the output cannot be written: {error.strerror}.\n".encode())
        finally:
            os._exit(1)


def _asks_for_help(words: list[str]) -> bool:
    from autotune.wrapper import asked

    return asked.is_help(words)


def _run() -> None:
    """Become the command of `autotune run`; exits."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from autotune.wrapper import front

    code = front.main(sys.argv[2:], os.environ.get(GIVEN))
    os._exit(code)


def _load() -> Callable[[], None]:
    """Load the command line."""
    try:
        from autotune import cli
    except (OSError, MemoryError) as error:  # Python cannot even read our files
        os.write(2, f"autotune: it cannot start: {error}. Raise the limits that 'ulimit -a' shows.\n".encode())
        os._exit(1)
    return cli.main


def _leave(*_signal: object) -> None:
    try:
        os.write(2, b"autotune: session: interrupted.\n")
    finally:
        os._exit(130)


if __name__ == "__main__":
    main()
