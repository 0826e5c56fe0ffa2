# SPDX-License-Identifier: MIT
"""What a scheduler may expect of a workload's tasks, by the runs that were watched: how long the chain is that each
begins, as a moving average. Numbers stand for tasks, so nothing of their arguments is kept.

Kept and checked as what a workload does (`knowledge.watched`): by kind of machine, and read as if somebody else had
written it.
"""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import field

from autotune.frozen import dataclass
from autotune.knowledge import sqlite
from autotune.knowledge.watched import FORGOTTEN_AFTER, LEAST_WEIGHT, Damaged, document, place, runs_of
from autotune.records import Expectations, MachineInfo
from autotune.wire import to_json

MOST_CHAINS = 8192
MOST_NS = 30 * 24 * 3600 * 10**9
VERSION = 1
"""Of the numbers of tasks: one more when `bpf_src/include/at_identity.h` makes others, and all is learned anew."""


@dataclass(frozen=True)
class TasksKnown:
    """What is kept. `absent` counts by number the runs since a task was last seen."""

    expected: Expectations
    absent: dict[str, int] = field(default_factory=dict)
    version: int = VERSION


def learn(db: sqlite3.Connection, fingerprint: str, machine: MachineInfo, seen: Expectations) -> Expectations:
    """Merge what a run showed with those before, and return what is to be expected now. What is damaged is replaced."""
    row = sqlite.run(db, _OF_ONE, fingerprint, place(machine)).fetchone()
    runs, memory = 0, TasksKnown(seen)
    if row is not None:
        try:
            memory, runs = merged(_memory(row), seen, runs_of(row)), runs_of(row)
        except Damaged:
            runs = 0
    values = (fingerprint, place(machine), runs + 1, time.time(), json.dumps(to_json(memory)))
    sqlite.run(db, "INSERT OR REPLACE INTO expected VALUES (?, ?, ?, ?, ?)", *values)
    return memory.expected


def known(db: sqlite3.Connection, fingerprint: str, machine: MachineInfo) -> Expectations | None:
    """Return what to expect of a workload on such a machine; None for nothing. Raises Damaged."""
    row = sqlite.run(db, _OF_ONE, fingerprint, place(machine)).fetchone()
    return None if row is None else _memory(row).expected


_OF_ONE = "SELECT * FROM expected WHERE fingerprint = ? AND machine = ?"


def merged(before: TasksKnown, seen: Expectations, runs: int) -> TasksKnown:
    """Return what is known after one more run than `runs`. A task that is missing from several is forgotten."""
    weight = max(LEAST_WEIGHT, 1.0 / (runs + 1))
    old, new = before.expected.chains_ns, seen.chains_ns
    absent = {number: before.absent.get(number, 0) + 1 for number in old.keys() - new.keys()}
    absent = {number: count for number, count in absent.items() if count < FORGOTTEN_AFTER}
    chains_ns = {number: old[number] for number in absent}
    for number, ns in new.items():
        before_ns = old.get(number, ns)
        chains_ns[number] = round(before_ns + (ns - before_ns) * weight)
    kept = dict(sorted(chains_ns.items(), key=lambda one: (-one[1], one[0]))[:MOST_CHAINS])
    by_order = {*before.expected.by_order, *seen.by_order} & kept.keys()
    expected = Expectations(kept, max(kept.values(), default=0), tuple(sorted(by_order)))
    return TasksKnown(expected, {number: count for number, count in absent.items() if number in kept})


def _memory(row: sqlite3.Row) -> TasksKnown:
    """Return what a row keeps. Raises Damaged."""
    memory = document(row, TasksKnown)
    expected = memory.expected
    if memory.version != VERSION:
        raise Damaged("its tasks have other numbers than they have now")
    if max(len(expected.chains_ns), len(expected.by_order), len(memory.absent)) > MOST_CHAINS:
        raise Damaged("it has more parts than are written here")
    if not all(_is_number(number) for number in (*expected.chains_ns, *expected.by_order, *memory.absent)):
        raise Damaged("a number of a task in it cannot be")
    if not all(0 <= ns <= MOST_NS for ns in (*expected.chains_ns.values(), expected.longest_ns)):
        raise Damaged("a time in it cannot be")
    if any(ns > expected.longest_ns for ns in expected.chains_ns.values()):
        raise Damaged("its longest chain is not the longest")
    if not all(0 <= count < FORGOTTEN_AFTER for count in memory.absent.values()):
        raise Damaged("it counts runs that cannot be")
    return memory


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) < 1 << 64
