# SPDX-License-Identifier: MIT
"""The end of a session, whatever happens: the machine is released, cleanup runs, and errors become text."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from autotune import signals
from autotune.errors import AutotuneError, MachineLost
from autotune.machine.base import Machine
from autotune.session.points import PointTrials
from autotune.session.trials import Trials


def caught(step: Callable[[], None]) -> BaseException | None:
    """Run a step. Return the exception that ended it; None when it completed."""
    try:
        step()
    except BaseException as error:
        return error
    return None


def give_back(machine: Machine) -> BaseException | None:
    """Detach for good, again if Ctrl-C interrupts the first attempt. Return the error that kept it from detaching,
    which outranks whatever ended the session; None when it detached. Not closed yet: cleanup may need what setup left
    running."""
    first = caught(machine.release)
    again = None if first is None else caught(machine.release)
    return again or (None if first is None or signals.is_interruption(first) else first)


def clean_up(trials: PointTrials | Trials) -> BaseException | None:
    """Run the cleanup command. Return the exception that ended it; None when it completed."""

    def cleanup() -> None:
        with contextlib.suppress(MachineLost):  # the files to clean up are gone with it
            trials.cleanup()

    return caught(cleanup)


def described(error: BaseException) -> str:
    return str(error) if isinstance(error, AutotuneError) else f"{type(error).__name__}: {error}"


def described_cleanup(error: BaseException) -> str:
    return "the cleanup command was interrupted" if signals.is_interruption(error) else described(error)
