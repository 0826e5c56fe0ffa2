# SPDX-License-Identifier: MIT
"""States of paths through a function, their endings, and the number of steps that all of them may take."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from autotune.verify.source.values import Value

MOST_STEPS = 300_000
"""Nodes walked for all callbacks of a source; ours take 200 for each."""
MOST_KNOWN = 100
"""Variables that a path knows at a time; anything more is forgotten, so that no step takes longer than another."""

Place: TypeAlias = "tuple[str, int, int]"
"""File, line and column."""


class TooComplex(Exception):
    """There are more paths than can be walked."""


class State(NamedTuple):
    """The state of a path: how often the task was inserted (0, 1, 2 for more), and what is known of local variables."""

    inserted: int
    known: frozenset[tuple[int, Value]]

    def get(self, variable: int) -> Value:
        return next((value for number, value in self.known if number == variable), None)

    def with_(self, variable: int, value: Value) -> State:
        kept = frozenset(item for item in self.known if item[0] != variable)
        forgets = value is None or len(kept) >= MOST_KNOWN
        return State(self.inserted, kept if forgets else kept | {(variable, value)})


class Ending(NamedTuple):
    """The end of a path through a function: how, and where."""

    inserted: int
    value: Value
    place: Place


class Queued(NamedTuple):
    """A call that has to do with a queue: its function without a suffix such as `___v2`, the queue, and the place."""

    function: str
    queue: Value
    place: Place
    again: bool = False
    """The task had been inserted already."""


States: TypeAlias = "set[State]"
Valued: TypeAlias = "set[tuple[State, Value]]"


class StepsLeft:
    """The steps that are left, for all walks of a source together."""

    def __init__(self, left: int = MOST_STEPS) -> None:
        self.left = left

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise TooComplex("there are more paths than can be walked")
