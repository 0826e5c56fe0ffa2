# SPDX-License-Identifier: MIT
"""Remarks on how runs ended: what a reader must know and the numbers do not show. Each is made once a session."""

from __future__ import annotations

import os
import re

from autotune.events import Listener, Warned
from autotune.records import Run, Trial, Workload, is_baseline
from autotune.report.text import counted

_AMPERSAND_REDIRECT = re.compile(r"&>")
_REDIRECT_BOTH = ("bash", "zsh", "fish")
"""Shells in which `&>` redirects both streams."""
_IN_BACKGROUND = re.compile(r"(?<![&|<>])&(?![&>\d])")


class Remarks:
    """Looks at runs as they end, and warns the listener."""

    def __init__(self, workload: Workload, listener: Listener) -> None:
        self._workload = workload
        self._listener = listener
        self._baseline_ends: set[str] = set()
        self._noted: set[str] = set()

    def see(self, trial: Trial) -> None:
        """Look at a measured run."""
        if trial.run.left_running:
            self._once("left running", left_running(trial.run.left_running, self._workload))
        self.see_ended(trial.run, "the command")
        if self._workload.ignore_failure and trial.value is not None:
            self._see_exit(trial)

    def see_ended(self, run: Run, whose: str) -> None:
        """Look at what was to be ended with a run, and was not."""
        if run.still_running:
            pids = ", ".join(map(str, run.still_running))
            what = counted(len(run.still_running), "process", "processes")
            text = f"{what} that {whose} left cannot be ended, and may disturb what is measured: end {pids} by hand"
            self._once(f"still running {run.still_running}", text)

    def _see_exit(self, trial: Trial) -> None:
        run = trial.run
        end = f"signal {run.signal}" if run.signal is not None else f"exit code {run.exit_code}"
        if is_baseline(trial.candidate):
            self._baseline_ends.add(end)
        elif end not in self._baseline_ends:
            text = (
                f"under {trial.candidate} a run ended with {end}, as none did under EEVDF; --ignore-failure counts it, "
                "and its time may be that of a command that stopped early"
            )
            self._once(f"{trial.candidate} {end}", text)

    def _once(self, what: str, text: str) -> None:
        if what not in self._noted:
            self._noted.add(what)
            self._listener(Warned(text))


def left_running(count: int, workload: Workload) -> str:
    """Say what it means that a command returned while processes of it ran on, and what to do."""
    what = counted(count, "process", "processes")
    ended = "it was" if count == 1 else "they were"
    return (
        f"when the command returned, {what} that it had started still ran: {ended} ended, and only the time until "
        f"then was measured; {_advice(workload)}"
    )


def _advice(workload: Workload) -> str:
    advice = "let it wait for them, unless they are no part of the work"
    if not workload.shell:
        return advice
    name = os.path.basename(workload.shell[0])
    run_by = f"one argument is run by {name}"
    if _AMPERSAND_REDIRECT.search(workload.command):
        if name in _REDIRECT_BOTH:
            return f"{run_by}; {advice}"
        return f"{run_by}, where '&> FILE' starts a background job: write '> FILE 2>&1', or give --shell bash"
    if _IN_BACKGROUND.search(workload.command):
        return f"{run_by}, where '&' starts a background job: leave it out, or end the command with 'wait'"
    return f"{run_by}; {advice}"
