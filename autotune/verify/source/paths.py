# SPDX-License-Identifier: MIT
"""Walks every path through a callback and tells, for each, whether the task was put into a queue.

An abstract run: conditions go both ways unless what is known decides them, loops run any number of times from none,
functions of the source and of our headers are walked where they are called. Along a path, local variables whose
address is not taken keep what is known of them (`values`), so that

    bool done = try_idle_cpu(p);
    if (!done)
        scx_bpf_dsq_insert(p, ...);

is understood. Errs towards more paths than there are, never fewer: a path that is reported may be one that cannot be
taken, but no path is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from autotune.verify.source.facts import MAIN, Facts, Function, Node
from autotune.verify.source.values import Value, combined, compared, fitted, stored, truth

MOST_STEPS = 300_000
"""Nodes walked for all callbacks of a source; ours take 200 for each."""
MOST_STATES = 200
"""At one point; past that, what is known of variables is forgotten."""
MOST_KNOWN = 100
"""Variables that a path knows at a time; what else it learns it forgets. So no step takes longer than another."""
MOST_CALLS_DEEP = 12
ROUNDS = 5
"""Of a loop, before what changes in it is forgotten."""
INSERTS = {
    "scx_bpf_dsq_insert": 1,
    "scx_bpf_dsq_insert_vtime": 1,
    "__scx_bpf_dsq_insert_vtime": None,
    "scx_bpf_dispatch": 1,
    "scx_bpf_dispatch_vtime": 1,
}
"""Functions of the kernel that queue a task, and which argument is the queue; None where it is inside a structure."""
MOVES = {
    "scx_bpf_dsq_move": 2,
    "scx_bpf_dsq_move_vtime": 2,
    "scx_bpf_dispatch_from_dsq": 2,
    "scx_bpf_dispatch_vtime_from_dsq": 2,
}
"""Functions that take a task out of the queue of an iterator, and which argument is the queue it goes to."""
READS = {"scx_bpf_dsq_move_to_local": 0, "scx_bpf_consume": 0, "bpf_iter_scx_dsq_new": 1}
CREATES = {"scx_bpf_create_dsq": 0}
INTERESTING = {**INSERTS, **MOVES, **READS, **CREATES}
SURELY_DONE = ("INIT_LIST_EXPR", "COMPOUND_LITERAL_EXPR", "UNEXPOSED_STMT")
"""Of what the parser has no name for, that whose parts are all done; of the rest, parts may be left out."""
STEPS = ("x++", "x--", "++x", "--x")
RELATIONS = ("==", "!=", "<", ">", "<=", ">=", "<u", ">u", "<=u", ">=u")


Place: TypeAlias = "tuple[str, int, int]"
"""File, line and column."""


class TooComplex(Exception):
    """There are more paths than can be walked."""


class State(NamedTuple):
    """Where a path stands: how often the task was inserted (0, 1, 2 for more), and what is known of local variables."""

    inserted: int
    known: frozenset[tuple[int, Value]]

    def get(self, variable: int) -> Value:
        return next((value for number, value in self.known if number == variable), None)

    def with_(self, variable: int, value: Value) -> State:
        kept = frozenset(item for item in self.known if item[0] != variable)
        forgets = value is None or len(kept) >= MOST_KNOWN
        return State(self.inserted, kept if forgets else kept | {(variable, value)})


class Ending(NamedTuple):
    """How a path through a function ends, and where."""

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


class Steps:
    """How many are left, for all walks of a source together."""

    def __init__(self, left: int = MOST_STEPS) -> None:
        self.left = left

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise TooComplex("there are more paths than can be walked")


class Walk:
    """The walk from one callback. `endings` and `queued` are its results. Raises TooComplex."""

    def __init__(self, facts: Facts, root: Function, steps: Steps | None = None) -> None:
        self.facts = facts
        self.step = (steps or Steps()).take
        self.queued: set[Queued] = set()
        self.memo: dict[tuple[str, tuple[Value, ...]], set[Ending]] = {}
        self.open: list[str] = []
        given: list[Value] = [None for _ in root.parameters]
        if root.parameters and facts.locals[root.parameters[0]].kind == "pointer":
            given[0] = "context"
        self.endings = self.call(root, tuple(given))

    def call(self, function: Function, given: tuple[Value, ...]) -> set[Ending]:
        """The endings of a call on a path where the task is in no queue yet."""
        key = (function.name, given)
        if key not in self.memo:
            if function.name in self.open or len(self.open) >= MOST_CALLS_DEEP:
                raise TooComplex(f"{function.name} calls itself, or calls are nested over {MOST_CALLS_DEEP} deep")
            self.open.append(function.name)
            self.memo[key] = _Frame(self, function).run(given)
            self.open.pop()
        return self.memo[key]


class _Frame:
    """One call of one function. Expressions are walked for one state at a time, statements for all at once."""

    def __init__(self, walk: Walk, function: Function) -> None:
        self.walk = walk
        self.function = function
        self.exposed = {
            inner.extra
            for node in function.body.walk()
            if node.kind == "unary" and node.extra == "&"
            for inner in node.walk()
            if inner.kind == "local"
        }
        self.changed = _assigned(function.body, declared=False)
        self.endings: set[Ending] = set()
        self.breaks: list[States] = []
        self.continues: list[States] = []
        self.switches: list[States] = []
        self.jumps: dict[str, States] = {}
        self.rounds = 0
        self.entered: dict[int, bool] = {}
        self.assigned: dict[int, set[int]] = {}
        walk.step(sum(1 for _ in function.body.walk()))
        self.statements: dict[str, Callable[[Node, States], States]] = {
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
        self.expressions: dict[str, Callable[[Node, State], Valued]] = {
            "local": lambda node, state: {(state, state.get(node.extra))},
            "global": lambda node, state: {(state, walk.facts.constants.get(node.extra))},
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

    def run(self, given: tuple[Value, ...]) -> set[Ending]:
        start = State(0, frozenset())
        for number, value in zip(self.function.parameters, given, strict=False):
            start = self._set(start, number, value)
        line, column = self.function.body.extra
        while True:
            before = {label: set(states) for label, states in self.jumps.items()}
            left = self.statement(self.function.body, {start})
            self.endings |= {Ending(state.inserted, None, (self.function.file, line, column)) for state in left}
            if before == self.jumps:
                return self.endings
            self.rounds += 1

    # --- statements ----------------------------------------------------------------------------------------

    def statement(self, node: Node, states: States) -> States:
        """The states in which the statement is left for the next."""
        if not states and not self._has_entry(node):
            return set()
        self.walk.step(len(states) + 1)
        if len(states) > MOST_STATES:
            states = {self._blurred(state) for state in states}
        handler = self.statements.get(node.kind)
        if handler is not None:
            return handler(node, states)
        return {after for state in states for after, _ in self.value(node, state)}

    def _has_entry(self, node: Node) -> bool:
        """It can be entered from elsewhere."""
        if id(node) not in self.entered:
            self.entered[id(node)] = any(each.kind in ("case", "default", "label") for each in node.walk())
        return self.entered[id(node)]

    def _block(self, node: Node, states: States) -> States:
        for child in node.children:
            states = self.statement(child, states)
        return states

    def _declaration(self, node: Node, states: States) -> States:
        for variable in node.children:
            initial = variable.children[0] if variable.children else None
            after = set()
            for state in states:
                for then, value in self.value(initial, state) if initial else {(state, None)}:
                    after.add(then if variable.extra is None else self._set(then, variable.extra, value))
            states = after
        return states

    def _if(self, node: Node, states: States) -> States:
        true, false = self._branches(node.children[0], states)
        true = self.statement(node.children[1], true)
        return true | (self.statement(node.children[2], false) if len(node.children) > 2 else false)

    def _while(self, node: Node, states: States) -> States:
        test, body = node.children[0], node.children[-1]
        return self._loop(node, states, lambda heads: self._branches(test, heads), body)

    def _do(self, node: Node, states: States) -> States:
        body, test = node.children[0], node.children[-1]
        first: list[States] = []

        def tested(heads: States) -> tuple[States, States]:
            if not first:  # the first time nothing is tested
                first.append(heads)
                return heads, set()
            return self._branches(test, heads)

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
            lambda heads: self._branches(test, heads) if test else (heads, set()),
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
        """Goes round until nothing new is found at its head. `again`: its head is seen twice before that counts, since
        the first time nothing is tested there."""
        seen: States = set()
        out: States = set()
        fresh, rounds = states, 0
        while fresh or not rounds:
            if rounds >= ROUNDS:
                fresh = {self._forgotten(state, node) for state in fresh}
            rounds += 1
            if rounds > 1 or not again:
                seen |= fresh
            inside, outside = test(fresh)
            out |= outside
            self.breaks.append(set())
            self.continues.append(set())
            after = self.statement(body, inside) | self.continues.pop()
            out |= self.breaks.pop()
            fresh = step(after)
            fresh = {self._forgotten(state, node) for state in fresh} if rounds >= ROUNDS else fresh
            fresh = fresh - seen
        return out

    def _switch(self, node: Node, states: States) -> States:
        body = node.children[-1]
        for part in node.children[:-1]:
            states = self.statement(part, states)
        self.switches.append(states)
        self.breaks.append(set())
        out = self.statement(body, set()) | self.breaks.pop()
        self.switches.pop()
        return out if _has_default(body) else out | states

    def _case(self, node: Node, states: States) -> States:
        states = states | (self.switches[-1] if self.switches else set())
        return self._block(node, states)

    def _return(self, node: Node, states: States) -> States:
        place = (self.function.file, node.line, node.column)
        for state in states:
            for ending in self._returned(node, state, place):
                self.endings.add(ending)
        return set()

    def _returned(self, node: Node, state: State, place: Place) -> Iterator[Ending]:
        """A path that returns what a function of the source returns ends where that does."""
        if not node.children:
            yield Ending(state.inserted, None, place)
            return
        value = node.children[0]
        called = self.walk.facts.functions.get(value.extra) if value.kind == "call" and value.extra else None
        if called is not None and called.file == MAIN:
            for then, given in self._arguments(value, state):
                for ending in self.walk.call(called, given):
                    self._note_again(then, ending, value)
                    yield ending._replace(inserted=min(2, then.inserted + ending.inserted))
            return
        for then, result in self.value(value, state):
            yield Ending(then.inserted, self._result(result), place)

    def _result(self, value: Value) -> Value:
        """What is left of a value once it is returned, in the type of the function."""
        kind = self.function.result
        if kind == "_Bool":
            known = truth(value)
            return None if known is None else int(known)
        if kind.endswith("*") or "long" in kind:
            return value
        wide = 4 if "int" in kind else 1
        return fitted(value, wide, "unsigned" not in kind)

    def _break(self, _: Node, states: States) -> States:
        if self.breaks:
            self.breaks[-1] |= states
        return set()

    def _continue(self, _: Node, states: States) -> States:
        if self.continues:
            self.continues[-1] |= states
        return set()

    def _goto(self, node: Node, states: States) -> States:
        if self.rounds >= ROUNDS:
            states = {self._blurred(state) for state in states}
        self.jumps.setdefault(node.extra, set()).update(states)
        return set()

    def _label(self, node: Node, states: States) -> States:
        return self._block(node, states | self.jumps.get(node.extra, set()))

    # --- expressions ---------------------------------------------------------------------------------------

    def value(self, node: Node, state: State) -> Valued:
        """The states after it, each with what is known of its value."""
        self.walk.step(1)
        handler = self.expressions.get(node.kind)
        if handler is not None:
            return handler(node, state)
        return {(after, None) for after, _ in self._arguments(node, state)}

    def _arguments(self, node: Node, state: State) -> set[tuple[State, tuple[Value, ...]]]:
        """All parts, one after the other."""
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
            return self._truth_value(node, state)
        if op in STEPS and inner.kind == "local":
            value = combined("+" if "++" in op else "-", state.get(inner.extra), 1)
            return {(self._set(state, inner.extra, value), None)}
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
            return self._truth_value(node, state)
        if op == "=" or (op.endswith("=") and op not in RELATIONS):
            return self._assignment(op[:-1], left, right, state)
        pairs = self._arguments(node, state)
        if op == ",":
            return {(then, values[1]) for then, values in pairs}
        return {(then, combined(op, *values)) for then, values in pairs}

    def _assignment(self, op: str, left: Node, right: Node, state: State) -> Valued:
        found = set()
        for then, value in self.value(right, state):
            if left.kind == "local":
                value = combined(op, then.get(left.extra), value) if op else value
                then = self._set(then, left.extra, value)
                found.add((then, value if left.extra in self.exposed else then.get(left.extra)))
            else:
                found |= {(after, None if op else value) for after, _ in self.value(left, then)}
        return found

    def _choice(self, node: Node, state: State) -> Valued:
        test, yes, no = node.children
        true, false = self.branch(test, state)
        return {item for one in true for item in self.value(yes, one)} | {
            item for one in false for item in self.value(no, one)
        }

    def _index(self, node: Node, state: State) -> Valued:
        """The first argument of a callback about a task is the task."""
        pairs = self._arguments(node, state)
        return {(then, "task" if values == ("context", 0) else None) for then, values in pairs}

    def _statement_value(self, node: Node, state: State) -> Valued:
        """`({ ...; value; })`"""
        *before, last = node.children[0].children or (node,)
        if last is node:
            return {(state, None)}
        states = {state}
        for child in before:
            states = self.statement(child, states)
        if last.kind in self.statements:
            return {(then, None) for then in self.statement(last, states)}
        return {item for one in states for item in self.value(last, one)}

    def _other(self, node: Node, state: State) -> Valued:
        if node.extra in SURELY_DONE:
            states = {state}
            for child in node.children:
                states = self.statement(child, states)
            return {(then, None) for then in states}
        states = {state}
        for child in node.children:
            states |= self.statement(child, states)
        return {(then, None) for then in states}

    def _call(self, node: Node, state: State) -> Valued:
        found: Valued = set()
        name = (node.extra or "").partition("___")[0] or (node.extra or "")
        function = self.walk.facts.functions.get(node.extra) if node.extra else None
        for then, given in self._arguments(node, state):
            if function is not None:
                for ending in self.walk.call(function, given):
                    self._note_again(then, ending, node)
                    after = then._replace(inserted=min(2, then.inserted + ending.inserted))
                    found.add((after, ending.value))
            elif name == "__builtin_expect" and given:
                found.add((then, given[0]))
            else:
                found.add((self._queued(name, given, then, node), None))
        return found

    def _queued(self, name: str, given: tuple[Value, ...], state: State, node: Node) -> State:
        """A function of the kernel."""
        if name not in INTERESTING:
            return state
        at = INTERESTING[name]
        queue = given[at] if at is not None and at < len(given) else None
        about_it = name in INSERTS and bool(given) and given[0] == "task"
        again = about_it and state.inserted > 0
        self.walk.queued.add(Queued(name, queue, (self.function.file, node.line, node.column), again))
        return state._replace(inserted=min(2, state.inserted + 1)) if about_it else state

    def _note_again(self, state: State, ending: Ending, node: Node) -> None:
        if state.inserted and ending.inserted:
            place = (self.function.file, node.line, node.column)
            self.walk.queued.add(Queued("", None, place, True))

    # --- conditions ----------------------------------------------------------------------------------------

    def _branches(self, test: Node, states: States) -> tuple[States, States]:
        true: States = set()
        false: States = set()
        for state in states:
            yes, no = self.branch(test, state)
            true |= yes
            false |= no
        return true, false

    def branch(self, node: Node, state: State) -> tuple[States, States]:
        """The states in which a condition holds, and those in which it does not."""
        self.walk.step(1)
        if node.kind == "unary" and node.extra == "!":
            true, false = self.branch(node.children[0], state)
            return false, true
        if node.kind == "binary" and node.extra in ("&&", "||"):
            return self._both(node, state)
        if node.kind == "binary" and node.extra in RELATIONS:
            return self._relation(node, state)
        if node.kind == "call" and node.extra == "__builtin_expect" and node.children:
            return self.branch(node.children[0], state)
        return self._split(self.value(node, state), _variable(node))

    def _both(self, node: Node, state: State) -> tuple[States, States]:
        left, right = node.children
        true, false = self.branch(left, state)
        if node.extra == "&&":
            yes, no = self._branches(right, true)
            return yes, false | no
        yes, no = self._branches(right, false)
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
                true.add(self._told_equal(then, left, other) if op == "==" and holds is None else then)
            if holds is not True:
                false.add(self._told_equal(then, left, other) if op == "!=" and holds is None else then)
        return true, false

    def _told_equal(self, state: State, node: Node, value: Value) -> State:
        variable = _variable(node)
        return state if variable is None or not isinstance(value, int) else self._set(state, variable, value)

    def _split(self, found: Iterable[tuple[State, Value]], variable: int | None) -> tuple[States, States]:
        """Both ways, unless the value is known; a local variable is then known to be zero or not."""
        true: States = set()
        false: States = set()
        for state, value in found:
            known = truth(value)
            if known is not False:
                learnt = known is None and value is None and variable is not None
                true.add(self._learn(state, variable, "some") if learnt else state)
            if known is not True:
                false.add(self._learn(state, variable, 0) if variable is not None else state)
        return true, false

    def _truth_value(self, node: Node, state: State) -> Valued:
        true, false = self.branch(node, state)
        return {(then, 1) for then in true} | {(then, 0) for then in false}

    # --- what is known -------------------------------------------------------------------------------------

    def _set(self, state: State, variable: int, value: Value) -> State:
        if variable in self.exposed:
            return state
        return state.with_(variable, stored(value, self.walk.facts.locals[variable]))

    def _learn(self, state: State, variable: int | None, value: Value) -> State:
        """As `_set`, for what is certain of the variable as it is."""
        return state if variable is None or variable in self.exposed else state.with_(variable, value)

    def _blurred(self, state: State) -> State:
        """Without what may be otherwise at the same place; what is the task, or a parameter, stays so."""
        kept = (item for item in state.known if item[0] not in self.changed)
        lasting = (item for item in kept if item[1] == "task" or item[0] in self.function.parameters)
        return State(state.inserted, frozenset(lasting))

    def _forgotten(self, state: State, node: Node) -> State:
        """Without what the loop changes."""
        changed = self._assigned_in(node)
        return State(state.inserted, frozenset(item for item in state.known if item[0] not in changed))

    def _assigned_in(self, loop: Node) -> set[int]:
        if id(loop) not in self.assigned:
            self.assigned[id(loop)] = _assigned(loop)
        return self.assigned[id(loop)]


def _variable(node: Node) -> int | None:
    """The local variable that a condition is about: `x`, or `x = ...`."""
    if node.kind == "binary" and node.extra == "=":
        node = node.children[0]
    return node.extra if node.kind == "local" else None


def _assigned(node: Node, declared: bool = True) -> set[int]:
    """Variables that get a value inside; `declared`: also where they are declared."""
    found: set[int] = set()
    for each in node.walk():
        if declared and each.kind == "variable" and each.extra is not None:
            found.add(each.extra)
        elif each.kind == "binary" and each.extra.endswith("=") and each.extra not in RELATIONS:
            found |= {each.children[0].extra} if each.children[0].kind == "local" else set()
        elif each.kind == "unary" and each.extra in STEPS and each.children[0].kind == "local":
            found.add(each.children[0].extra)
    return found


def _has_default(node: Node) -> bool:
    """A switch has a default of its own."""
    if node.kind == "default":
        return True
    return node.kind != "switch" and any(_has_default(child) for child in node.children)
