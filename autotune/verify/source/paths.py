# SPDX-License-Identifier: MIT
"""Walks every path through a callback and finds, for each, whether the task was put into a queue.

An abstract run: conditions go both ways unless what is known decides them, loops run any number of times from none,
functions of the source and of our headers are walked where they are called (`statements`, `expressions`, `conditions`,
`calls`). Along a path, local variables whose address is not taken keep what is known of them (`variables`), so that

    bool done = try_idle_cpu(p);
    if (!done)
        scx_bpf_dsq_insert(p, ...);

is understood. Errs towards more paths than there are, never fewer: a path that is reported may be one that cannot be
taken, but no path is left out.
"""

from __future__ import annotations

from autotune.verify.source.calls import WalkedCalls
from autotune.verify.source.facts import Facts, Function
from autotune.verify.source.statements import Statements
from autotune.verify.source.states import Ending, Queued, StepsLeft
from autotune.verify.source.values import Value


class Walk:
    """The walk from one callback. `endings` and `queued` are its results. Raises TooComplex."""

    def __init__(self, facts: Facts, root: Function, steps: StepsLeft | None = None) -> None:
        calls = WalkedCalls(facts, steps or StepsLeft(), _run)
        given: list[Value] = [None for _ in root.parameters]
        if root.parameters and facts.locals[root.parameters[0]].kind == "pointer":
            given[0] = "context"
        self.endings: set[Ending] = calls.endings(root, tuple(given))
        self.queued: set[Queued] = calls.queued


def _run(calls: WalkedCalls, function: Function, given: tuple[Value, ...]) -> set[Ending]:
    return Statements(calls, function).run(given)
