# SPDX-License-Identifier: MIT
"""Evaluates expressions on a path: how they change its state, and what is known of their value."""

from __future__ import annotations

from collections.abc import Callable

from autotune.verify.source.calls import WalkedCalls
from autotune.verify.source.conditions import Conditions
from autotune.verify.source.facts import Function, Node
from autotune.verify.source.states import State, States, Valued
from autotune.verify.source.syntax import RELATIONS, STATEMENTS, STEPS
from autotune.verify.source.values import Value, combined, fitted
from autotune.verify.source.variables import Variables

SURELY_DONE = ("INIT_LIST_EXPR", "COMPOUND_LITERAL_EXPR", "UNEXPOSED_STMT")
"""Kinds that the parser has no name for, but whose parts are all evaluated; of other unnamed kinds, parts may be
skipped."""


class Expressions:
    """The expressions of one function, walked for one state at a time. `statement` walks those inside `({ ... })`."""

    def __init__(
        self, calls: WalkedCalls, function: Function, variables: Variables, statement: Callable[[Node, States], States]
    ) -> None:
        self._calls = calls
        self._function = function
        self._variables = variables
        self._statement = statement
        self.conditions = Conditions(self.value, self.arguments, variables, calls.step)
        self._handlers: dict[str, Callable[[Node, State], Valued]] = {
            "local": lambda node, state: {(state, state.get(node.extra))},
            "global": lambda node, state: {(state, calls.facts.constants.get(node.extra))},
            "constant": lambda node, state: {(state, node.extra)},
            "string": lambda _, state: {(state, "some")},
            "cast": self._cast,
            "unary": self._unary,
            "binary": self._binary,
            "choice": self._choice,
            "index": self._index,
            "call": self._call,
            "statements": self._statement_value,
            "other": self._other,
        }

    def value(self, node: Node, state: State) -> Valued:
        """Return the states after it, each with what is known of its value."""
        self._calls.step(1)
        handler = self._handlers.get(node.kind)
        if handler is not None:
            return handler(node, state)
        return {(after, None) for after, _ in self.arguments(node, state)}

    def arguments(self, node: Node, state: State) -> set[tuple[State, tuple[Value, ...]]]:
        """Evaluate all parts, one after the other."""
        found: set[tuple[State, tuple[Value, ...]]] = {(state, ())}
        for child in node.children:
            found = {(then, (*values, value)) for now, values in found for then, value in self.value(child, now)}
        return found

    def _cast(self, node: Node, state: State) -> Valued:
        if not node.children:
            return {(state, None)}
        return {(then, fitted(value, node.extra, False)) for then, value in self.value(node.children[0], state)}

    def _unary(self, node: Node, state: State) -> Valued:
        inner, op = node.children[0], node.extra
        if op == "!":
            return self.conditions.truth_value(node, state)
        if op in STEPS and inner.kind == "local":
            value = combined("+" if "++" in op else "-", state.get(inner.extra), 1)
            return {(self._variables.set(state, inner.extra, value), None)}
        found = self.value(inner, state)
        if op in ("+", "extension"):
            return found
        if op == "-":
            return {(then, combined("-", 0, value)) for then, value in found}
        if op == "*":
            return {(then, "task" if value == "context" else None) for then, value in found}
        return {(then, "some" if op == "&" else None) for then, _ in found}

    def _binary(self, node: Node, state: State) -> Valued:
        left, right = node.children
        op = node.extra
        if op in ("&&", "||", *RELATIONS):
            return self.conditions.truth_value(node, state)
        if op == "=" or (op.endswith("=") and op not in RELATIONS):
            return self._assignment(op[:-1], left, right, state)
        pairs = self.arguments(node, state)
        if op == ",":
            return {(then, values[1]) for then, values in pairs}
        return {(then, combined(op, *values)) for then, values in pairs}

    def _assignment(self, op: str, left: Node, right: Node, state: State) -> Valued:
        found = set()
        for then, value in self.value(right, state):
            if left.kind == "local":
                value = combined(op, then.get(left.extra), value) if op else value
                then = self._variables.set(then, left.extra, value)
                found.add((then, value if left.extra in self._variables.exposed else then.get(left.extra)))
            else:
                found |= {(after, None if op else value) for after, _ in self.value(left, then)}
        return found

    def _choice(self, node: Node, state: State) -> Valued:
        test, yes, no = node.children
        true, false = self.conditions.branch(test, state)
        return {item for one in true for item in self.value(yes, one)} | {
            item for one in false for item in self.value(no, one)
        }

    def _index(self, node: Node, state: State) -> Valued:
        """Evaluate an index: `ctx[0]` of a task callback is the task."""
        pairs = self.arguments(node, state)
        return {(then, "task" if values == ("context", 0) else None) for then, values in pairs}

    def _statement_value(self, node: Node, state: State) -> Valued:
        """Evaluate `({ ...; value; })`."""
        *before, last = node.children[0].children or (node,)
        if last is node:
            return {(state, None)}
        states = {state}
        for child in before:
            states = self._statement(child, states)
        if last.kind in STATEMENTS:
            return {(then, None) for then in self._statement(last, states)}
        return {item for one in states for item in self.value(last, one)}

    def _other(self, node: Node, state: State) -> Valued:
        if node.extra in SURELY_DONE:
            states = {state}
            for child in node.children:
                states = self._statement(child, states)
            return {(then, None) for then in states}
        states = {state}
        for child in node.children:
            states |= self._statement(child, states)
        return {(then, None) for then in states}

    def _call(self, node: Node, state: State) -> Valued:
        place = (self._function.file, node.line, node.column)
        found: Valued = set()
        for then, given in self.arguments(node, state):
            found |= self._calls.after(node, given, then, place)
        return found
