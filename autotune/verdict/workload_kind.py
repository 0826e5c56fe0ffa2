# SPDX-License-Identifier: MIT
"""What kind of work a command does, by what the system did meanwhile and, where a run was watched, by its tasks. Pure.

A command may be several kinds at once (a build is parallel and starts many processes, and may end in a long tail); what
no limit shows is not claimed. All limits are rates per CPU or shares, so that they hold on machines of any size; where
they lie, measured commands do not (docs/KNOWLEDGE.md has the measurements).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from autotune.frozen import dataclass
from autotune.records import Observation, Profile

Kind: TypeAlias = Literal["parallel", "single", "processes", "tail", "chatty", "io", "idle"]

NAMES: dict[Kind, str] = {
    "parallel": "CPU-bound and parallel",
    "single": "CPU-bound, one task at a time",
    "processes": "many short-lived processes",
    "tail": "a long tail",
    "chatty": "tasks that wake one another all the time",
    "io": "I/O-bound",
    "idle": "mostly asleep",
}
"""In the order in which they are told."""

PARALLEL = 1.25
"""CPUs that the command keeps busy on average from which more than one task computes: one alone never gets above 1."""
SINGLE = 0.7
"""Below this share of one CPU a command waits as much as it computes."""
IDLE = 0.15
"""Share of one CPU below which nearly all is sleep."""
PROCESSES = 5.0
"""New processes per second of CPU time from which each has less than 0.2 s of it on average."""
CHATTY = 5000.0
"""Switches a second and CPU. A busy host without such tasks had 2400, two tasks with a pipe 24000; an emulated machine
is too slow for so many."""
CHATTY_SHARE = 0.6
"""Share of preemptions from which the switches come from full CPUs, and not from tasks that wait for one another."""
IO = 0.1
"""Share of the time in which some task waited for a device (PSI)."""
TAIL = 0.08
"""Share of a watched run, at its end, in which the tasks want less than three of four CPUs. A last task that is as long
as the others gives half of its length: less than this from a dozen tasks on."""
TAIL_DEMAND = 0.75


@dataclass(frozen=True)
class WorkloadKind:
    """What a command is, the first kind first; empty where nothing was clear. `shares` are the numbers it rests on, in
    words."""

    kinds: tuple[Kind, ...]
    because: tuple[str, ...]

    @property
    def text(self) -> str:
        """`CPU-bound and parallel, a long tail`; empty where nothing was clear."""
        return ", ".join(NAMES[one] for one in self.kinds)

    @property
    def sentence(self) -> str:
        """What kind of work it is, and by what that shows; empty where nothing was clear."""
        return f"Kind of work: {self.text} ({'; '.join(self.because)})." if self.kinds else ""


UNCLEAR = WorkloadKind((), ())
"""Nothing was clear, or seen."""


def classify(seen: Observation | None, watched: Profile | None = None) -> WorkloadKind:
    """Return what kind of work was seen: `seen` is the baseline, `watched` a run of it that a probe watched."""
    found: list[tuple[Kind, str]] = [] if seen is None else _by_behaviour(seen)
    if watched is not None:
        tail = tail_share(watched)
        if tail >= TAIL:
            found.append(("tail", f"its last {tail:.0%} leave CPUs idle"))
    order = list(NAMES)
    found.sort(key=lambda one: order.index(one[0]))
    return WorkloadKind(tuple(kind for kind, _ in found), tuple(why for _, why in found))


def _by_behaviour(seen: Observation) -> list[tuple[Kind, str]]:
    found: list[tuple[Kind, str]] = []
    busy = f"it keeps {seen.parallelism:.1f} of {seen.cpus} CPUs busy"
    if seen.parallelism >= PARALLEL:
        found.append(("parallel", busy))
    elif seen.parallelism >= SINGLE:
        found.append(("single", busy))
    elif seen.parallelism < IDLE:
        found.append(("idle", busy))
    rate = seen.forks_per_s / max(seen.parallelism, IDLE)
    if rate >= PROCESSES:
        found.append(("processes", f"{rate:.0f} new processes for a second of CPU time"))
    switches = seen.context_switches_per_s / max(1, seen.cpus)
    if switches >= CHATTY and seen.involuntary_share < CHATTY_SHARE:
        found.append(("chatty", f"{switches:.0f} switches a second and CPU, {seen.involuntary_share:.0%} preempted"))
    if seen.pressure_io_share is not None and seen.pressure_io_share >= IO:
        found.append(("io", f"tasks waited for I/O {min(1.0, seen.pressure_io_share):.0%} of the time"))
    return found


def tail_share(watched: Profile) -> float:
    """Return the share of a run, at its end, in which its tasks wanted less than three of four CPUs, after they wanted
    more; 0 for one that never did."""
    wanted = [slot.busy + slot.waiting >= TAIL_DEMAND * watched.cpus for slot in watched.slots]
    if watched.cpus < 2 or True not in wanted:
        return 0.0
    return wanted[::-1].index(True) / len(wanted)


def likeness(one: WorkloadKind, other: WorkloadKind) -> float:
    """Return the share of kinds that two workloads have in common, 0 to 1; 1 where nothing is known of either."""
    both, either = set(one.kinds) & set(other.kinds), set(one.kinds) | set(other.kinds)
    return len(both) / len(either) if either else 1.0
