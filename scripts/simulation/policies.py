# SPDX-License-Identifier: MIT
"""Who runs first. Pure.

All have one queue for all CPUs, which no kernel has on a large machine; moving a task, and choosing one, cost nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from .tasks import SimTask

SLICE_S = 0.003
"""EEVDF's time slice, and that of the others that may take a CPU away."""


class Policy:
    """A policy for the tasks of one simulation."""

    name: str
    slice_s: float
    """How long a task runs until the CPU looks for another."""

    def key(self, index: int, used_s: float, next_point: int, *, comes: bool) -> float:
        """Return where in the queue a task stands: least first. It `comes` (it was started or woken), or its slice is
        over."""
        raise NotImplementedError

    def runs(self, key: float) -> None:
        """Note the place in the queue of a task that gets a CPU."""


class Fair(Policy):
    """Equal shares: who had the least runs next. A task that comes, or comes back, has no claim on the past."""

    name = "fair (EEVDF)"
    slice_s = SLICE_S

    def __init__(self, tasks: Sequence[SimTask]) -> None:
        self._had_s = [0.0] * len(tasks)
        self._used_s = [0.0] * len(tasks)
        self._floor_s = 0.0

    def key(self, index: int, used_s: float, next_point: int, *, comes: bool) -> float:
        del next_point
        self._had_s[index] += used_s - self._used_s[index]
        self._used_s[index] = used_s
        if comes:
            self._had_s[index] = max(self._had_s[index], self._floor_s)
        return self._had_s[index]

    def runs(self, key: float) -> None:
        self._floor_s = max(self._floor_s, key)


class FirstCome(Policy):
    """First come, first run, to the end or until it sleeps."""

    name = "first come, to its end"
    slice_s = math.inf

    def key(self, index: int, used_s: float, next_point: int, *, comes: bool) -> float:
        del index, used_s, next_point, comes
        return 0.0


class LongestFirst(Policy):
    """The longest remaining chain first: what is left of the task, or of it until it forks and what that does then.
    Lengths are known up to a factor each, e^x with x from a normal distribution with deviation `error`: 0 for lengths
    that are exactly known. Tasks of one name have one factor, since that is how they are learned."""

    slice_s = SLICE_S

    def __init__(self, tasks: Sequence[SimTask], error: float = 0.0, seed: int = 0) -> None:
        self.name = f"longest first, lengths {'known' if error == 0.0 else f'wrong by e^±{error:g}'}"
        self._ends_s: list[list[float]] = [[] for _ in tasks]
        factors = {one.name: math.exp(random.Random(f"{seed} {one.name}").gauss(0.0, error)) for one in tasks}
        for index in reversed(range(len(tasks))):  # children come after their parents
            self._ends_s[index] = self._ends(tasks[index], factors[tasks[index].name])

    def _ends(self, task: SimTask, factor: float) -> list[float]:
        """Return the length of the longest chain from the task's start that is still ahead at each of its points."""
        ends_s = [task.cpu_s * factor]
        for point in reversed(task.points):
            chain_s = point.after_s * factor + self._ends_s[point.other][0] if point.kind == "fork" else 0.0
            ends_s.append(max(ends_s[-1], chain_s))
        return ends_s[::-1]

    def key(self, index: int, used_s: float, next_point: int, *, comes: bool) -> float:
        del comes
        return -max(0.0, self._ends_s[index][next_point] - used_s)
