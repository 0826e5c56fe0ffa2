# SPDX-License-Identifier: MIT
"""Walks the statements of one function along all its paths, from its call to its endings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from autotune.verify.source.calls import WalkedCalls
from autotune.verify.source.expressions import Expressions
from autotune.verify.source.facts import MAIN, Function, Node
from autotune.verify.source.states import Ending, Place, State, States
from autotune.verify.source.syntax import has_default, has_entry
from autotune.verify.source.values import Value, fitted, truth
from autotune.verify.source.variables import Variables

MOST_STATES = 200
"""Most states at one point; past that, what is known of variables is forgotten."""
ROUNDS = 5
"""Most rounds of a loop before what changes in it is forgotten."""


class Statements:
    """One call of one function. Its statements are walked for all states at once."""

    def __init__(self, calls: WalkedCalls, function: Function) -> None:
        self._calls = calls
        self._function = function
        self._variables = Variables(function, calls.facts.locals)
        self._expressions = Expressions(calls, function, self._variables, self.statement)
        self._conditions = self._expressions.conditions
        self._endings: set[Ending] = set()
        self._breaks: list[States] = []
        self._continues: list[States] = []
        self._switches: list[States] = []
        self._jumps: dict[str, States] = {}
        self._rounds = 0
        self._entered: dict[int, bool] = {}
        calls.step(sum(1 for _ in function.body.walk()))
        self._handlers: dict[str, Callable[[Node, States], States]] = {
            "block": self._block,
            "if": self._if,
            "while": self._while,
            "do": self._do,
            "for": self._for,
            "switch": self._switch,
            "case": self._case,
            "default": self._case,
            "return": self._return,
            "break": self._break,
            "continue": self._continue,
            "goto": self._goto,
            "label": self._label,
            "declaration": self._declaration,
        }

    def run(self, given: tuple[Value, ...]) -> set[Ending]:
        start = State(0, frozenset())
        for number, value in zip(self._function.parameters, given, strict=False):
            start = self._variables.set(start, number, value)
        line, column = self._function.body.extra
        while True:
            before = {label: set(states) for label, states in self._jumps.items()}
            left = self.statement(self._function.body, {start})
            self._endings |= {Ending(state.inserted, None, (self._function.file, line, column)) for state in left}
            if before == self._jumps:
                return self._endings
            self._rounds += 1

    def statement(self, node: Node, states: States) -> States:
        """Return the states in which the statement is left for the next."""
        if not states and not self._has_entry(node):
            return set()
        self._calls.step(len(states) + 1)
        if len(states) > MOST_STATES:
            states = {self._variables.blurred(state) for state in states}
        handler = self._handlers.get(node.kind)
        if handler is not None:
            return handler(node, states)
        return {after for state in states for after, _ in self._expressions.value(node, state)}

    def _has_entry(self, node: Node) -> bool:
        if id(node) not in self._entered:
            self._entered[id(node)] = has_entry(node)
        return self._entered[id(node)]

    def _block(self, node: Node, states: States) -> States:
        for child in node.children:
            states = self.statement(child, states)
        return states

    def _declaration(self, node: Node, states: States) -> States:
        for variable in node.children:
            initial = variable.children[0] if variable.children else None
            after = set()
            for state in states:
                for then, value in self._expressions.value(initial, state) if initial else {(state, None)}:
                    after.add(then if variable.extra is None else self._variables.set(then, variable.extra, value))
            states = after
        return states

    def _if(self, node: Node, states: States) -> States:
        true, false = self._conditions.branches(node.children[0], states)
        true = self.statement(node.children[1], true)
        return true | (self.statement(node.children[2], false) if len(node.children) > 2 else false)

    def _while(self, node: Node, states: States) -> States:
        test, body = node.children[0], node.children[-1]
        return self._loop(node, states, lambda heads: self._conditions.branches(test, heads), body)

    def _do(self, node: Node, states: States) -> States:
        body, test = node.children[0], node.children[-1]
        first: list[States] = []

        def tested(heads: States) -> tuple[States, States]:
            if not first:  # the first time nothing is tested
                first.append(heads)
                return heads, set()
            return self._conditions.branches(test, heads)

        return self._loop(node, states, tested, body, again=True)

    def _for(self, node: Node, states: States) -> States:
        *parts, body = node.children
        if node.extra is None and parts:  # inside a macro nobody knows which part is which: each may be done
            for part in parts:
                states = states | self.statement(part, states)
            return self._loop(node, states, lambda heads: (heads, heads), body, lambda after: after)
        given = dict(zip(node.extra or "", parts, strict=False))
        if "i" in given:
            states = self.statement(given["i"], states)
        test, step = given.get("c"), given.get("n")
        return self._loop(
            node,
            states,
            lambda heads: self._conditions.branches(test, heads) if test else (heads, set()),
            body,
            lambda after: self.statement(step, after) if step else after,
        )

    def _loop(
        self,
        node: Node,
        states: States,
        test: Callable[[States], tuple[States, States]],
        body: Node,
        step: Callable[[States], States] = lambda after: after,
        again: bool = False,
    ) -> States:
        """Go round until nothing new is found at its head. `again`: its head is seen twice before that counts, since
        the first time nothing is tested there."""
        seen: States = set()
        out: States = set()
        fresh, rounds = states, 0
        while fresh or not rounds:
            if rounds >= ROUNDS:
                fresh = {self._variables.forgotten(state, node) for state in fresh}
            rounds += 1
            if rounds > 1 or not again:
                seen |= fresh
            inside, outside = test(fresh)
            out |= outside
            self._breaks.append(set())
            self._continues.append(set())
            after = self.statement(body, inside) | self._continues.pop()
            out |= self._breaks.pop()
            fresh = step(after)
            fresh = {self._variables.forgotten(state, node) for state in fresh} if rounds >= ROUNDS else fresh
            fresh = fresh - seen
        return out

    def _switch(self, node: Node, states: States) -> States:
        body = node.children[-1]
        for part in node.children[:-1]:
            states = self.statement(part, states)
        self._switches.append(states)
        self._breaks.append(set())
        out = self.statement(body, set()) | self._breaks.pop()
        self._switches.pop()
        return out if has_default(body) else out | states

    def _case(self, node: Node, states: States) -> States:
        states = states | (self._switches[-1] if self._switches else set())
        return self._block(node, states)

    def _return(self, node: Node, states: States) -> States:
        place = (self._function.file, node.line, node.column)
        for state in states:
            for ending in self._returned(node, state, place):
                self._endings.add(ending)
        return set()

    def _returned(self, node: Node, state: State, place: Place) -> Iterator[Ending]:
        """Yield the endings of a path that returns what a function of the source returns: it ends where that function
        does."""
        if not node.children:
            yield Ending(state.inserted, None, place)
            return
        value = node.children[0]
        called = self._calls.function(value) if value.kind == "call" else None
        if called is not None and called.file == MAIN:
            called_at = (self._function.file, value.line, value.column)
            for then, given in self._expressions.arguments(value, state):
                yield from self._calls.entered(called, given, then, called_at)
            return
        for then, result in self._expressions.value(value, state):
            yield Ending(then.inserted, self._result(result), place)

    def _result(self, value: Value) -> Value:
        """Return what is left of a value once it is returned, in the type of the function."""
        kind = self._function.result
        if kind == "_Bool":
            known = truth(value)
            return None if known is None else int(known)
        if kind.endswith("*") or "long" in kind:
            return value
        wide = 4 if "int" in kind else 1
        return fitted(value, wide, "unsigned" not in kind)

    def _break(self, _: Node, states: States) -> States:
        if self._breaks:
            self._breaks[-1] |= states
        return set()

    def _continue(self, _: Node, states: States) -> States:
        if self._continues:
            self._continues[-1] |= states
        return set()

    def _goto(self, node: Node, states: States) -> States:
        if self._rounds >= ROUNDS:
            states = {self._variables.blurred(state) for state in states}
        self._jumps.setdefault(node.extra, set()).update(states)
        return set()

    def _label(self, node: Node, states: States) -> States:
        return self._block(node, states | self._jumps.get(node.extra, set()))
