# SPDX-License-Identifier: MIT
"""Splits paths at conditions. Both branches are taken unless known values decide; each learns from the condition."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from autotune.verify.source.facts import Node
from autotune.verify.source.states import State, States, Valued
from autotune.verify.source.syntax import RELATIONS, variable_of
from autotune.verify.source.values import Value, compared, truth
from autotune.verify.source.variables import Variables

Evaluate: TypeAlias = Callable[[Node, State], Valued]
Arguments: TypeAlias = "Callable[[Node, State], set[tuple[State, tuple[Value, ...]]]]"


class Conditions:
    """The conditions of one function; their operands are evaluated by the functions given."""

    def __init__(
        self, value: Evaluate, arguments: Arguments, variables: Variables, step: Callable[[int], None]
    ) -> None:
        self._value = value
        self._arguments = arguments
        self._variables = variables
        self._step = step

    def branches(self, test: Node, states: States) -> tuple[States, States]:
        true: States = set()
        false: States = set()
        for state in states:
            yes, no = self.branch(test, state)
            true |= yes
            false |= no
        return true, false

    def branch(self, node: Node, state: State) -> tuple[States, States]:
        """Return the states in which a condition holds, and those in which it does not."""
        self._step(1)
        if node.kind == "unary" and node.extra == "!":
            true, false = self.branch(node.children[0], state)
            return false, true
        if node.kind == "binary" and node.extra in ("&&", "||"):
            return self._both(node, state)
        if node.kind == "binary" and node.extra in RELATIONS:
            return self._relation(node, state)
        if node.kind == "call" and node.extra == "__builtin_expect" and node.children:
            return self.branch(node.children[0], state)
        return self._split(self._value(node, state), variable_of(node))

    def _both(self, node: Node, state: State) -> tuple[States, States]:
        left, right = node.children
        true, false = self.branch(left, state)
        if node.extra == "&&":
            yes, no = self.branches(right, true)
            return yes, false | no
        yes, no = self.branches(right, false)
        return true | yes, no

    def _relation(self, node: Node, state: State) -> tuple[States, States]:
        left, right = node.children
        op = node.extra
        if op in ("==", "!=") and right.kind == "constant" and right.extra == 0:
            true, false = self.branch(left, state)
            return (false, true) if op == "==" else (true, false)
        true, false = set(), set()
        for then, (one, other) in self._arguments(node, state):
            holds = compared(op, one, other)
            if holds is not False:
                true.add(self._known_equal(then, left, other) if op == "==" and holds is None else then)
            if holds is not True:
                false.add(self._known_equal(then, left, other) if op == "!=" and holds is None else then)
        return true, false

    def _known_equal(self, state: State, node: Node, value: Value) -> State:
        variable = variable_of(node)
        return state if variable is None or not isinstance(value, int) else self._variables.set(state, variable, value)

    def _split(self, found: Iterable[tuple[State, Value]], variable: int | None) -> tuple[States, States]:
        """Take both branches, unless the value is known; a local variable is then known to be zero or not."""
        true: States = set()
        false: States = set()
        for state, value in found:
            known = truth(value)
            if known is not False:
                learnt = known is None and value is None and variable is not None
                true.add(self._variables.learn(state, variable, "some") if learnt else state)
            if known is not True:
                false.add(self._variables.learn(state, variable, 0) if variable is not None else state)
        return true, false

    def truth_value(self, node: Node, state: State) -> Valued:
        true, false = self.branch(node, state)
        return {(then, 1) for then in true} | {(then, 0) for then in false}
