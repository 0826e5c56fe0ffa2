# SPDX-License-Identifier: MIT
"""Keeps what a path knows of the local variables of a function."""

from __future__ import annotations

from collections.abc import Sequence

from autotune.verify.source.facts import Function, Local, Node
from autotune.verify.source.states import State
from autotune.verify.source.syntax import assigned_in, exposed_in
from autotune.verify.source.values import Value, stored


class Variables:
    """The local variables of one function. Of `exposed` ones, whose address is taken, nothing is known."""

    def __init__(self, function: Function, declared: Sequence[Local]) -> None:
        self.exposed = exposed_in(function.body)
        self._declared = declared
        self._parameters = function.parameters
        self._changed = assigned_in(function.body, declared=False)
        self._assigned: dict[int, set[int]] = {}

    def set(self, state: State, variable: int, value: Value) -> State:
        """Return the state after an assignment."""
        if variable in self.exposed:
            return state
        return state.with_(variable, stored(value, self._declared[variable]))

    def learn(self, state: State, variable: int | None, value: Value) -> State:
        """Return the state once something is certain of the variable as it is."""
        return state if variable is None or variable in self.exposed else state.with_(variable, value)

    def blurred(self, state: State) -> State:
        """Drop what may differ at the same place; what is the task, or a parameter, stays."""
        kept = (item for item in state.known if item[0] not in self._changed)
        lasting = (item for item in kept if item[1] == "task" or item[0] in self._parameters)
        return State(state.inserted, frozenset(lasting))

    def forgotten(self, state: State, loop: Node) -> State:
        """Drop what the loop changes."""
        if id(loop) not in self._assigned:
            self._assigned[id(loop)] = assigned_in(loop)
        changed = self._assigned[id(loop)]
        return State(state.inserted, frozenset(item for item in state.known if item[0] not in changed))
