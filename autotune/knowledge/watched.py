# SPDX-License-Identifier: MIT
"""What workloads do, by the runs that were watched: each new one is merged with those before, as a moving average.

What always holds here:
- only runs on such a machine are merged: as many CPUs, of the same model, emulated or not;
- what a group of tasks takes is averaged over the runs that had it; one that is missing from several is forgotten;
- whatever is read is checked as if somebody else had written it.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from autotune import reading
from autotune.frozen import dataclass
from autotune.knowledge import sqlite
from autotune.records import MachineInfo, Profile, ProfileSlot, TaskGroup
from autotune.wire import from_json, to_json

T = TypeVar("T")
LEAST_WEIGHT = 0.25
"""Of a new run: what a command did long ago matters less and less."""
FORGOTTEN_AFTER = 4
"""Runs without a group of tasks until it is forgotten."""
MOST_GROUPS, MOST_LINKS, MOST_SLOTS, MOST_WAITS = 501, 1000, 1000, 64
MOST_KEY_CHARACTERS = 400
MOST_DOCUMENT_CHARACTERS = 2_000_000
MOST_RUNS = 1_000_000
MOST_NUMBER = 1e15
"""Of seconds and of things that are counted; with larger ones what is computed of them may have no value."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Halves of characters, too: they are no text that could be sent or written."""


class Damaged(Exception):
    """What is kept of a workload is not what this module wrote."""


@dataclass(frozen=True)
class Memory:
    """What is kept of a workload. `absent` counts by key the runs since a group was last seen."""

    profile: Profile
    absent: dict[str, int]


def learn(db: sqlite3.Connection, fingerprint: str, machine: MachineInfo, seen: Profile) -> None:
    """Merge a run with those before. What is damaged is replaced."""
    here = place(machine)
    row = sqlite.run(db, _OF_ONE, fingerprint, here).fetchone()
    runs, memory = 0, Memory(seen, {})
    if row is not None:
        try:
            memory, runs = merged(_memory(row, machine), seen, runs_of(row)), runs_of(row)
        except Damaged:
            runs = 0
    document = json.dumps(to_json(memory))
    values = (fingerprint, here, runs + 1, time.time(), document)
    sqlite.run(db, "INSERT OR REPLACE INTO watched VALUES (?, ?, ?, ?, ?)", *values)


def known(db: sqlite3.Connection, fingerprint: str, machine: MachineInfo) -> Profile | None:
    """Return what is known of a workload on such a machine; None for nothing. Raises Damaged."""
    row = sqlite.run(db, _OF_ONE, fingerprint, place(machine)).fetchone()
    return None if row is None else _memory(row, machine).profile


def runs_of(row: sqlite3.Row) -> int:
    """Return how many runs a row was merged of, whatever is in it; many are as good as more."""
    runs = row["runs"]
    return max(0, min(runs, MOST_RUNS)) if isinstance(runs, int) else 0


_OF_ONE = "SELECT * FROM watched WHERE fingerprint = ? AND machine = ?"


def place(machine: MachineInfo) -> str:
    """Return a text for the kind of machine on which what is seen can be compared."""
    return json.dumps([machine.acceleration, machine.cpus, machine.cpu_model])


# --- merging ---------------------------------------------------------------------------------------------


def merged(before: Memory, seen: Profile, runs: int) -> Memory:
    """Return what is known after one more run than `runs`."""
    weight = max(LEAST_WEIGHT, 1.0 / (runs + 1))
    old, new = before.profile, seen
    wall_s, work_s, chain_s, least_s = (
        _mean(getattr(old, name), getattr(new, name), weight) for name in ("wall_s", "work_s", "chain_s", "least_s")
    )
    least_s = max(work_s / new.cpus, chain_s, least_s)
    groups, absent = _merged_groups(before, seen, weight)
    profile = replace(
        new,
        wall_s=wall_s,
        work_s=work_s,
        chain_s=chain_s,
        least_s=least_s,
        possible=max(0.0, 1.0 - least_s / wall_s) if wall_s > 0.0 else 0.0,
        serial_s=_mean(old.serial_s, new.serial_s, weight),
        wait_s=_mean(old.wait_s, new.wait_s, weight),
        tasks=round(_mean(old.tasks, new.tasks, weight)),
        migrations=round(_mean(old.migrations, new.migrations, weight)),
        groups=groups,
        slots=_merged_slots(old.slots, new.slots, weight),
        waits=_merged_counts(old.waits, new.waits, weight),
    )
    return Memory(profile, absent)


def _mean(old: float, new: float, weight: float) -> float:
    return old + (new - old) * weight


def _merged_groups(before: Memory, seen: Profile, weight: float) -> tuple[tuple[TaskGroup, ...], dict[str, int]]:
    old = {one.key: one for one in before.profile.groups}
    new = {one.key: one for one in seen.groups}
    absent = {key: before.absent.get(key, 0) + 1 for key in old.keys() - new.keys()}
    absent = {key: count for key, count in absent.items() if count < FORGOTTEN_AFTER}
    found = {key: _merged_group(old[key], one, weight) if key in old else one for key, one in new.items()}
    found.update({key: old[key] for key in absent})
    kept = sorted(found.values(), key=lambda one: (-one.cpu_s, one.key))[:MOST_GROUPS]
    names = {one.key for one in kept}
    return tuple(kept), {key: count for key, count in absent.items() if key in names}


def _merged_group(old: TaskGroup, new: TaskGroup, weight: float) -> TaskGroup:
    def mean(name: str) -> float:
        return _mean(getattr(old, name), getattr(new, name), weight)

    return TaskGroup(
        key=new.key,
        tasks=max(1, round(mean("tasks"))),
        cpu_s=mean("cpu_s"),
        longest_s=mean("longest_s"),
        wait_s=mean("wait_s"),
        sleep_s=mean("sleep_s"),
        starts_s=mean("starts_s"),
        ends_s=mean("ends_s"),
        migrations=round(mean("migrations")),
        wakeups=round(mean("wakeups")),
    )


def _merged_slots(old: tuple[ProfileSlot, ...], new: tuple[ProfileSlot, ...], weight: float) -> tuple[ProfileSlot, ...]:
    if len(old) != len(new):
        return new
    return tuple(
        ProfileSlot(_mean(one.busy, other.busy, weight), _mean(one.waiting, other.waiting, weight))
        for one, other in zip(old, new, strict=True)
    )


def _merged_counts(old: Mapping[str, int], new: Mapping[str, int], weight: float) -> dict[str, int]:
    means = {name: round(_mean(old.get(name, 0), new.get(name, 0), weight)) for name in sorted({*old, *new}, key=int)}
    return {name: count for name, count in means.items() if count}


# --- reading ---------------------------------------------------------------------------------------------


def _memory(row: sqlite3.Row, machine: MachineInfo) -> Memory:
    """Return what a row keeps. Raises Damaged."""
    memory = document(row, Memory)
    _require_sound(memory, machine)
    return memory


def document(row: sqlite3.Row, kind: type[T]) -> T:
    """Return the record that is kept as a row's document. Raises Damaged; its values may still be any."""
    text = row["document"]
    if not isinstance(text, str) or len(text) > MOST_DOCUMENT_CHARACTERS:
        raise Damaged("it is no text of a size that is written here")
    try:
        return reading.shaped(lambda found: from_json(kind, found), reading.parsed_json(text))
    except ValueError as error:
        raise Damaged(str(error)) from error


def _require_sound(memory: Memory, machine: MachineInfo) -> None:
    """Raise Damaged for what no run can have shown."""
    seen = memory.profile
    if seen.cpus != machine.cpus:
        raise Damaged("it is of a machine with other CPUs")
    sizes = ((seen.groups, MOST_GROUPS), (seen.chain, MOST_LINKS), (seen.slots, MOST_SLOTS), (seen.waits, MOST_WAITS))
    if any(len(part) > most for part, most in sizes) or len(memory.absent) > MOST_GROUPS:
        raise Damaged("it has more parts than are written here")
    if not all(re.fullmatch(r"\d{1,2}", name) for name in seen.waits):
        raise Damaged("its waits have no size")
    keys = [*(one.key for one in seen.groups), *(one.key for one in seen.chain), *memory.absent]
    if any(len(key) > MOST_KEY_CHARACTERS or _CONTROL.search(key) for key in keys):
        raise Damaged("a name in it is none that is written here")
    if not all(0 <= number <= MOST_NUMBER for number in _numbers(to_json(memory))) or seen.possible > 1.0:
        raise Damaged("a number in it cannot be")


def _numbers(value: Any) -> Iterable[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value
