# SPDX-License-Identifier: MIT
"""`autotune run -- COMMAND`: this process becomes the command.

What always holds here:
- the command is executed in this very process, so that process number, parent, terminal, job control, signals and exit
  code are the command's own, whatever happens to either;
- what goes wrong before, whatever it is, does not keep the command from running, unless --require asks for that;
- nothing is printed unless -v or --require asks for it, or the command cannot be started.
"""

from __future__ import annotations

import time

from autotune.wrapper import asked, execute, given, telling
from autotune.wrapper.asked import Asked
from autotune.wrapper.execute import CannotStart
from autotune.wrapper.given import Given

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotune.wrapper.known import RunPlan

REFUSED = 1
USAGE = 2


class NotPossible(Exception):
    """The best known scheduler cannot be applied, and --require was given; the text says why, as a clause."""


def main(words: list[str], handed: str | None = None) -> int:
    """Become the command of a command line (`words`, after `run`). Returns only where that is not possible, with the
    exit code. `handed` is what the launcher handed on (`given.GIVEN`)."""
    started_s = time.monotonic()
    try:
        wanted = asked.parse(given.arguments(words))
    except asked.Misused as error:
        telling.say(f"run: {error}. {asked.USAGE}")
        return USAGE
    mine = given.read(handed)
    try:
        path = execute.find(wanted.argv[0], mine.environ)
        _begin(wanted, mine, started_s)
        execute.become(path, wanted.argv, mine)
    except CannotStart as error:
        telling.say(f"run: {error}")
        return error.exit_code
    except NotPossible as error:
        telling.say(f"run: --require: {error}. Without it the command just runs.")
        return REFUSED
    raise AssertionError("unreachable")


def _begin(wanted: Asked, mine: Given, started_s: float) -> None:
    """Start what stands beside the command. Raises NotPossible with --require, and nothing else."""
    try:
        plan = _plan(wanted)
        if plan is None:
            return
        if wanted.require:
            _attach_first(plan, wanted, mine, started_s)
            return
        from autotune.wrapper import attendant

        attendant.start(plan, verbose=wanted.verbose, started_s=started_s, require=False)
    except NotPossible:
        raise
    except Exception as error:  # whatever it is: the command just runs
        if wanted.require:
            raise NotPossible(_text(error)) from error
        if wanted.verbose:
            telling.say(telling.just_runs(_text(error)))


def _plan(wanted: Asked) -> RunPlan | None:
    """Return what is to be done; None for nothing. Raises NotPossible with --require; else whatever comes."""
    from autotune.wrapper import known

    plan = known.plan(wanted.argv)
    if plan is None:
        if wanted.require:
            raise NotPossible("nothing was tuned yet")
        if wanted.verbose:
            telling.say(telling.just_runs("nothing was tuned yet"))
        return None
    if plan.is_partial and not plan.why_not:
        from autotune.wrapper import policy

        plan.why_not = policy.ask_for_sched_ext()
    if plan.why_not and wanted.require:
        raise NotPossible(plan.why_not)
    return plan


def _attach_first(plan: RunPlan, wanted: Asked, mine: Given, started_s: float) -> None:
    """Start the command only once the scheduler is attached. Raises NotPossible."""
    from autotune.wrapper import attendant

    mine.restore_signals()  # Ctrl-C is to end the waiting
    reading = attendant.start(plan, verbose=wanted.verbose, started_s=started_s, require=True)
    assert reading is not None
    why = attendant.answer(reading)
    if why is not None:
        raise NotPossible(why)


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
