# SPDX-License-Identifier: MIT
"""Bounds the work of one callback: how often its innermost loops can run.

The kernel's verifier proves that each loop ends, not that a callback does so soon: two nested iterators of 8,000,000
each pass it, and hang a CPU with interrupts off, out of the watchdog's reach. Here the bounds of nested loops are
multiplied and those of successive ones added, through calls.

A bound is a constant, or a number of CPUs or of queued tasks, or what such numbers were computed into. An iterator over
anything else counts as the most that the kernel lets one do; an ordinary loop as the most that the verifier can follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from autotune.verify.findings import Finding
from autotune.verify.source.facts import MAIN, Facts, Function, Node
from autotune.verify.source.syntax import RELATIONS, STEPS, assigned_in, exposed_in

MOST_WORK = 1 << 20
"""Rounds of loops in one callback: some milliseconds, the order of a time slice."""
MOST_ROUNDS = 8 << 20
"""BPF_MAX_LOOPS of the kernel's include/linux/bpf.h: `bpf_iter_num_new` refuses a wider range."""
FOLLOWED = 1 << 18
"""Rounds of all ordinary loops of a function: the verifier follows each round, of at least four instructions, up to a
million in all (BPF_COMPLEXITY_LIMIT_INSNS)."""
CPUS, TASKS = 512, 2048
"""CPUs of a large machine, and tasks in one queue of a crowded one."""
_COUNTS = {"scx_bpf_nr_cpu_ids": CPUS, "scx_bpf_nr_node_ids": CPUS, "scx_bpf_dsq_nr_queued": TASKS}
_LOOPS = ("while", "do", "for")
_MOST_DEEP = 16
_ADVICE = (
    f"loop over a constant, or over scx_bpf_nr_cpu_ids(), and nest loops only where their product stays below "
    f"{MOST_WORK:,}; limit what is computed: n < 64 ? n : 64"
)


def bounded_work(facts: Facts) -> Iterator[Finding]:
    """Demand that the loops of each function stay below MOST_WORK, with those of the functions that it calls."""
    work = _Work(facts)
    for function in facts.functions.values():
        if function.file == MAIN:
            work.of(function)
    yield from work.found


def most_work(facts: Facts) -> int:
    """Return the most rounds of loops in one callback."""
    work = _Work(facts)
    return max((work.of(function) for function in facts.callbacks().values()), default=0)


class _Rounds(NamedTuple):
    """Rounds of loops: of those that the verifier follows one by one, all together, and of all others."""

    followed: int = 0
    other: int = 0

    @property
    def all(self) -> int:
        return self.followed + self.other


@dataclass
class _Work:
    """The work of all functions that were looked at so far, and what is wrong with it."""

    facts: Facts
    found: list[Finding] = field(default_factory=list)
    _known: dict[str, int] = field(default_factory=dict)

    def of(self, function: Function) -> int:
        if function.name not in self._known:
            self._known[function.name] = MOST_WORK  # of a recursion, which another rule refuses
            self._known[function.name] = self._function(function)
        return self._known[function.name]

    def _function(self, function: Function) -> int:
        bounds, before = _LoopBounds(self.facts, function), len(self.found)
        self.found += [_handed_on(call) for call in function.body.walk() if _hands_on(call) and function.file == MAIN]
        work = self._node(function.body, function, bounds).all
        if _jumps_back(function.body):
            work *= FOLLOWED
        called = [each.extra for each in function.body.walk() if each.kind == "call"]
        if len(self.found) == before and all(self._known.get(name, 0) <= MOST_WORK for name in called):
            # no loop and no call alone is too much, all of them may be
            self._check(work, 0, Node("", function.line, function.column, None, ()), function)
        return work

    def _node(self, node: Node, function: Function, bounds: _LoopBounds) -> _Rounds:
        parts = [self._node(child, function, bounds) for child in node.children]
        inner = _Rounds(min(FOLLOWED, sum(part.followed for part in parts)), sum(part.other for part in parts))
        if node.kind == "call" and node.extra in self.facts.functions:
            # A function that is not static is followed by itself: what it does counts for each call.
            inner = inner._replace(other=inner.other + self.of(self.facts.functions[node.extra]))
        if node.kind not in _LOOPS:
            return inner
        rounds = bounds.iterated(node)
        if rounds is not None:
            work = _Rounds(0, rounds * max(1, inner.all))
        else:
            rounds = bounds.followed(node)
            work = _Rounds(min(FOLLOWED, rounds * max(1, inner.followed)), rounds * inner.other)
        self._check(work.all, inner.all, node, function)
        return work

    def _check(self, work: int, inner: int, node: Node, function: Function) -> None:
        """Note a loop that takes the work beyond what is allowed; the loops around it are not to blame for that."""
        if work > MOST_WORK >= inner and function.file == MAIN:
            what = f"the loops of {function.shown} may run {work:,} times"
            self.found.append(Finding("bounded-work", what, _ADVICE, node.line or None, node.column or None))


class _LoopBounds:
    """How often the loops of one function can run."""

    def __init__(self, facts: Facts, function: Function) -> None:
        self._facts = facts
        self._body = function.body

    def iterated(self, loop: Node) -> int | None:
        """Return how often a loop over iterators runs: as often as the widest of them allows; None for others."""
        steps = [call for call in _own(loop) if call.kind == "call" and str(call.extra).endswith("_next")]
        return max((self._iterator(call) for call in steps), default=None)

    def followed(self, loop: Node) -> int:
        """Return how often an ordinary loop runs: as often as it counts, if it does nothing else with its counter;
        else as often as the verifier allows."""
        if loop.kind != "for" or loop.extra != "icn":
            return FOLLOWED
        first, condition, step, body = loop.children
        if step.kind != "unary" or step.extra not in ("x++", "++x") or step.children[0].kind != "local":
            return FOLLOWED
        counter = step.children[0]
        if counter.extra in assigned_in(body) | assigned_in(condition) | exposed_in(self._body):
            return FOLLOWED
        starts = [value.extra for value in _assigned(first, counter) if value is not None and value.kind == "constant"]
        ends = [end for each in _conjuncts(condition) if (end := _limit(each, counter)) is not None]
        return min(FOLLOWED, max(0, min(ends) - min(starts))) if starts and ends else FOLLOWED

    def _iterator(self, call: Node) -> int:
        variable = _variable(call)
        if call.extra == "bpf_iter_scx_dsq_next":
            return TASKS
        ranges = [
            self._range(each)
            for each in self._body.walk()
            if each.kind == "call" and each.extra == "bpf_iter_num_new" and _variable(each) == variable
        ]
        return max(ranges, default=MOST_ROUNDS) if variable is not None else MOST_ROUNDS

    def _range(self, new: Node) -> int:
        if len(new.children) != 3:
            return MOST_ROUNDS
        first, last = new.children[1:]
        end = self._most(last, 0)
        if end is None or first.kind != "constant":
            return MOST_ROUNDS
        return max(0, min(MOST_ROUNDS, end - int(first.extra)))

    def _most(self, node: Node, deep: int) -> int | None:
        """Return the largest value of an expression; None when nothing bounds it."""
        if deep > _MOST_DEEP:
            return None
        if node.kind == "constant":
            return int(node.extra) if node.extra >= 0 else None  # in an unsigned type it is huge
        if node.kind == "cast" and len(node.children) == 1:
            return self._most(node.children[0], deep + 1)
        if node.kind == "call":
            return _COUNTS.get(str(node.extra).partition("___")[0])
        if node.kind == "choice" and len(node.children) == 3:
            return self._choice(node, deep)
        if node.kind == "binary":
            return self._binary(node, deep)
        return self._variable(node, deep) if node.kind in ("local", "global") else None

    def _binary(self, node: Node, deep: int) -> int | None:
        """Bound what cannot come out larger by wrapping around: no difference, and no quotient of what may have."""
        first, second = node.children
        left, right = (self._most(child, deep + 1) for child in node.children)
        if node.extra == "&":
            return next((value for side, value in ((first, left), (second, right)) if side.kind == "constant"), None)
        if node.extra == "%":
            return right if second.kind == "constant" else None
        if node.extra in ("/", ">>"):
            return left if first.kind in ("call", "constant") and second.kind == "constant" else None
        if left is None or right is None:
            return None
        return {"+": left + right, "*": left * right}.get(node.extra)

    def _choice(self, node: Node, deep: int) -> int | None:
        """Bound `a < b ? a : b` and `a > b ? b : a` by the lower of both, and any other choice by the higher."""
        condition, first, second = node.children
        values = [self._most(each, deep + 1) for each in (first, second)]
        known = [value for value in values if value is not None]
        compared = [_bare(child) for child in condition.children]
        chosen = [_bare(first), _bare(second)]
        relation = str(condition.extra).rstrip("u") if condition.kind == "binary" else ""
        if (relation in ("<", "<=") and compared == chosen) or (relation in (">", ">=") and compared == chosen[::-1]):
            return min(known, default=None)
        return max(known) if len(known) == 2 else None

    def _variable(self, node: Node, deep: int) -> int | None:
        """Return the largest of all values that a variable gets; None when it may get others."""
        values = list(self._values(node))
        bounds = [None if value is None else self._most(value, deep + 4) for value in values]
        return None if None in bounds or not bounds else max(bound for bound in bounds if bound is not None)

    def _values(self, wanted: Node) -> Iterator[Node | None]:
        is_local = wanted.kind == "local"
        if not is_local:
            if any(each.kind == "variable" and each.extra is None for each in self._body.walk()):
                yield None  # a static variable of the function may have the same name
            variable = next((each for each in self._facts.variables if each.name == wanted.extra), None)
            if variable is None or variable.volatile:
                yield None  # a knob
            elif variable.initial is not None:
                yield variable.initial
            else:
                yield Node("constant", 0, 0, 0, ())
        bodies = [self._body] if is_local else [function.body for function in self._facts.functions.values()]
        for body in bodies:
            yield from _assigned(body, wanted)
        if is_local and not any(True for _ in _assigned(self._body, wanted)):
            yield None  # a parameter


def _assigned(body: Node, wanted: Node) -> Iterator[Node | None]:
    """Yield what is assigned to a variable; None for what cannot be followed."""
    for each in body.walk():
        if each.kind == "variable" and wanted.kind == "local" and each.extra == wanted.extra:
            yield from each.children
        elif each.kind == "binary" and each.children and _bare(each.children[0]) == _bare(wanted):
            if each.extra == "=":
                yield each.children[1]
            elif str(each.extra).endswith("=") and each.extra not in RELATIONS:
                yield None
        elif each.kind == "unary" and each.extra in ("&", *STEPS) and _bare(each.children[0]) == _bare(wanted):
            yield None


def _hands_on(node: Node) -> bool:
    """Return whether an iterator is used that is no local variable of the function: no bound of it can be seen."""
    return node.kind == "call" and str(node.extra).startswith("bpf_iter_") and _variable(node) is None


def _handed_on(call: Node) -> Finding:
    what = f"{call.extra} does not name the iterator itself"
    advice = "write &NAME of a local variable: an iterator stays in the function that makes it"
    return Finding("bounded-work", what, advice, call.line, call.column)


def _conjuncts(condition: Node) -> Iterator[Node]:
    if condition.kind == "binary" and condition.extra == "&&":
        for child in condition.children:
            yield from _conjuncts(child)
    else:
        yield condition


def _limit(condition: Node, counter: Node) -> int | None:
    """Return the first number that a counter does not reach, by `counter < 64`."""
    relation = str(condition.extra).rstrip("u") if condition.kind == "binary" else ""
    if relation not in ("<", "<=") or _bare(condition.children[0]) != _bare(counter):
        return None
    right = condition.children[1]
    return int(right.extra) + (relation == "<=") if right.kind == "constant" else None


def _own(loop: Node) -> Iterator[Node]:
    """Walk a loop without the loops inside it."""
    seen = list(loop.children)
    while seen:
        each = seen.pop()
        yield each
        if each.kind not in _LOOPS:
            seen.extend(each.children)


def _variable(call: Node) -> int | None:
    """Return the local variable whose address is the first argument of a call."""
    first = call.children[0] if call.children else None
    while first is not None and first.kind == "cast" and first.children:
        first = first.children[0]
    if first is None or first.kind != "unary" or first.extra != "&" or first.children[0].kind != "local":
        return None
    found: int = first.children[0].extra
    return found


def _bare(node: Node) -> tuple[object, ...]:
    """Return a node without its place."""
    return (node.kind, node.extra, *(_bare(child) for child in node.children))


def _jumps_back(body: Node) -> bool:
    """Return whether a `goto` may go to a label before it."""
    seen: set[object] = set()
    for each in body.walk():
        if each.kind == "label":
            seen.add(each.extra)
        elif each.kind in ("goto", "jump") and (each.kind == "jump" or each.extra in seen):
            return True
    return False
