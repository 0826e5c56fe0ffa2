# SPDX-License-Identifier: MIT
"""What is known for a command here, and whether it can be applied: decided before the command starts, by reading
alone."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotune.knowledge.best import KnownBest

SCHED_EXT = "/sys/kernel/sched_ext/state"


class RunPlan:
    """What to do beside the command. `best` is None where nothing better than EEVDF is known; `why_not` is why nothing
    is to be attached, as a clause, and empty where `best` is."""

    def __init__(self, words: list[str], directory: str, best: KnownBest | None, why_not: str) -> None:
        self.words = words
        self.directory = directory
        self.best = best
        self.why_not = why_not

    @property
    def is_partial(self) -> bool:
        """Whether only tasks that ask for SCHED_EXT are to be scheduled by it."""
        return self.best is not None and ("partial", True) in self.best.settings


def plan(argv: list[bytes]) -> RunPlan | None:
    """Return what to do for a command in this directory; None where there is no store, so that nothing is to be done.
    Raises whatever a store in an odd state makes it raise."""
    from autotune.knowledge import best

    if not os.path.lexists(best.path()):
        return None
    from autotune.machine.here import whereabouts

    words = [os.fsdecode(word) for word in argv]
    directory = os.getcwd()
    known = best.known_best(words, directory, here=whereabouts(with_topology=False))
    return RunPlan(words, directory, known, _why_not(known))


def _why_not(known: KnownBest | None) -> str:
    if known is None:
        return "nothing better than EEVDF is known for it here"
    if known.stale:
        where = f" in another clone, {known.directory}," if known.is_elsewhere else ","
        return f"{known.spec} was best{where} but {known.stale[0]} ('autotune recheck' measures it again)"
    if not os.path.exists(SCHED_EXT):
        return "the kernel has no sched_ext"
    return ""
