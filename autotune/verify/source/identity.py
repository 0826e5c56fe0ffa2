# SPDX-License-Identifier: MIT
"""Notes conditions that depend on who or where a scheduler is rather than on how tasks behave.

A scheduler that branches on a task's name or number, on the number of CPUs or on the time since boot may do one thing
in the micro-VM that proves it and another on a host. Good schedulers do so too, so these are notes, for people to read.
"""

from __future__ import annotations

from collections.abc import Iterator

from autotune.verify.findings import Finding
from autotune.verify.source.facts import MAIN, Facts, Node
from autotune.verify.source.syntax import RELATIONS

_MEMBERS = {"comm": "the name of a task", "pid": "the number of a task", "tgid": "the number of a process"}
_CALLS = {
    "scx_bpf_nr_cpu_ids": "the number of CPUs",
    "scx_bpf_nr_node_ids": "the number of nodes",
    "bpf_get_current_comm": "the name of a task",
    "bpf_get_current_pid_tgid": "the number of a task",
}
_EXPECTED = ("chain_ns", "longest_ns", "execs")
"""Of at_expected.h: each task of a workload has numbers of its own, so that one tells which task it is."""
_CLOCKS = ("scx_bpf_now", "bpf_ktime_get_ns", "bpf_ktime_get_boot_ns")
_ADVICE = "read what depends on it: the gates have seen one case of several"


def branch_on_identity(facts: Facts) -> Iterator[Finding]:
    """Yield a note for each condition that depends on such a thing."""
    for function in facts.functions.values():
        if function.file != MAIN:
            continue
        for condition in _conditions(function.body):
            for what in sorted(set(_reasons(condition))):
                message = f"{function.shown} decides by {what}"
                yield Finding("branch-on-identity", message, _ADVICE, condition.line, condition.column, severity="note")


def _conditions(body: Node) -> Iterator[Node]:
    for each in body.walk():
        if each.kind in ("if", "while", "choice", "switch") and each.children:
            yield each.children[0]
        elif each.kind == "do" and each.children:
            yield each.children[-1]
        elif each.kind == "for":
            yield from each.children[:-1]


def _reasons(condition: Node) -> Iterator[str]:
    for each in condition.walk():
        if each.kind == "member" and each.extra in _MEMBERS:
            yield _MEMBERS[each.extra]
        elif each.kind == "call" and _name(each) in _CALLS:
            yield _CALLS[_name(each)]
        elif each.kind == "binary" and each.extra in RELATIONS and _compares_time(each):
            yield "the time since boot"
        elif each.kind == "binary" and each.extra in RELATIONS and _compares_expectation(each):
            yield "what is expected of a task"


def _compares_time(node: Node) -> bool:
    """Return whether a clock is compared with a constant; with another time it only measures."""
    sides = node.children
    constant = any(side.kind == "constant" for side in sides)
    return constant and any(each.kind == "call" and _name(each) in _CLOCKS for side in sides for each in side.walk())


def _compares_expectation(node: Node) -> bool:
    """Return whether what is expected is compared with a constant but 0, which says only that something is."""
    sides = node.children
    constant = any(side.kind == "constant" and side.extra != 0 for side in sides)
    return constant and any(each.kind == "member" and each.extra in _EXPECTED for side in sides for each in side.walk())


def _name(call: Node) -> str:
    return str(call.extra).partition("___")[0]
