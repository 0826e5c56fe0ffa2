# SPDX-License-Identifier: MIT
"""Follows calls of functions whose source is known, and notes calls of the kernel's functions for queues."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from autotune.verify.source.facts import Facts, Function, Node
from autotune.verify.source.states import Ending, Place, Queued, State, StepsLeft, TooComplex, Valued
from autotune.verify.source.values import Value

MOST_CALLS_DEEP = 12
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


class WalkedCalls:
    """All calls of one walk. `queued` are those that have to do with a queue; `run` walks a function."""

    def __init__(
        self, facts: Facts, steps: StepsLeft, run: Callable[[WalkedCalls, Function, tuple[Value, ...]], set[Ending]]
    ) -> None:
        self.facts = facts
        self.step = steps.take
        self.queued: set[Queued] = set()
        self._run = run
        self._memo: dict[tuple[str, tuple[Value, ...]], set[Ending]] = {}
        self._open: list[str] = []

    def endings(self, function: Function, given: tuple[Value, ...]) -> set[Ending]:
        """Return the endings of a call on a path where the task is in no queue yet."""
        key = (function.name, given)
        if key not in self._memo:
            if function.name in self._open or len(self._open) >= MOST_CALLS_DEEP:
                raise TooComplex(f"{function.name} calls itself, or calls are nested over {MOST_CALLS_DEEP} deep")
            self._open.append(function.name)
            self._memo[key] = self._run(self, function, given)
            self._open.pop()
        return self._memo[key]

    def function(self, node: Node) -> Function | None:
        """Return the function that a call goes to, if it can be read."""
        return self.facts.functions.get(node.extra) if node.extra else None

    def entered(self, function: Function, given: tuple[Value, ...], state: State, place: Place) -> Iterator[Ending]:
        """Yield the endings of a call on a path in this state."""
        for ending in self.endings(function, given):
            if state.inserted and ending.inserted:
                self.queued.add(Queued("", None, place, True))
            yield ending._replace(inserted=min(2, state.inserted + ending.inserted))

    def after(self, node: Node, given: tuple[Value, ...], state: State, place: Place) -> Valued:
        """Return the states after a call, each with what is known of its value."""
        function = self.function(node)
        if function is not None:
            endings = self.entered(function, given, state, place)
            return {(state._replace(inserted=ending.inserted), ending.value) for ending in endings}
        name = (node.extra or "").partition("___")[0] or (node.extra or "")
        if name == "__builtin_expect" and given:
            return {(state, given[0])}
        return {(self._of_kernel(name, given, state, place), None)}

    def _of_kernel(self, name: str, given: tuple[Value, ...], state: State, place: Place) -> State:
        if name not in INTERESTING:
            return state
        at = INTERESTING[name]
        queue = given[at] if at is not None and at < len(given) else None
        about_it = name in INSERTS and bool(given) and given[0] == "task"
        again = about_it and state.inserted > 0
        self.queued.add(Queued(name, queue, place, again))
        return state._replace(inserted=min(2, state.inserted + 1)) if about_it else state
