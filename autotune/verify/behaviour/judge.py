# SPDX-License-Identifier: MIT
"""Judges a scheduler by the numbers of the loads. Pure: turns what the VM reported into findings.

Bounds are those of `bounds`. Every finding names the load and both numbers, so that it can be checked against the
report. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from autotune.verify.behaviour import bounds
from autotune.verify.findings import Finding

Numbers = Mapping[str, Any]
BOUND_TASKS = ("cpu", "moved")
"""Prefixes of the names of tasks that are bound to one CPU."""
TIMED = frozenset({"starved", "pinned-stuck", "wake-latency", "unfair", "slow"})
"""Rules about time: a machine that was busy meanwhile can break them too."""

CUT_SHORT = frozenset({"wake-latency", "unfair", "slow"})
"""Rules that mean nothing for a load during which the scheduler went."""

_RATES = {
    "nice_hogs": ("work_per_s", "the work done by hogs of several nice levels"),
    "equal_hogs": ("work_per_s", "the work done by equal hogs"),
    "forks": ("forks_per_s", "short forks a second"),
    "pingpong": ("round_trips_per_s", "round trips through pipes a second"),
}
_ADVICE = {
    "starved": "let a waiting task move ahead of those that come later, and bound how long a low weight can delay it",
    "pinned-stuck": "each queue that a task may be put into must be read by a CPU it may run on, and that CPU woken",
    "ran-elsewhere": "insert into a CPU's local queue only what may run there (p->cpus_ptr)",
    "wake-latency": "let tasks that wake go ahead of those that have run, or make slices shorter",
    "unfair": "if that is intended, declare it; else use at_clock.h's virtual time, and give all the same slice",
    "slow": "do less in dispatch and enqueue, wake idle CPUs (at_kick, at_select_cpu), and make slices longer",
    "ejected": "enqueue must insert every task into a queue that dispatch reads, on a CPU that the task may run on",
    "attach": "look at init: it must return 0, and create each queue once",
    "detach": "nothing may keep the kernel from detaching it",
}


class LoadFinding(NamedTuple):
    """A finding and the load it comes from."""

    load: str
    finding: Finding


class Seen(NamedTuple):
    """What the VM reported: numbers by load, the load that had begun last, and how it ended."""

    loads: Mapping[str, Numbers]
    begun: str
    end: Numbers
    """`gone` and `exit`, `error`, `state`, `detachment`, `detach_error`, `kernel_log`; empty when nothing was
    reported."""


def jain(shares: Sequence[float]) -> float:
    """Compute Jain's index of fairness: (sum x)^2 / (n sum x^2), 1 when all are equal, 1/n when one has all."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def judge(seen: Seen, reference: Mapping[str, Numbers], *, declared_unfair: bool) -> list[LoadFinding]:
    """Return all findings, worst first. `reference` has EEVDF's numbers of the same loads."""
    found = list(_ending(seen))
    for load, numbers in seen.loads.items():
        if "tasks" in numbers:
            eevdf = reference.get(load, {})
            found += [LoadFinding(load, finding) for finding in _of_load(load, numbers, eevdf, declared_unfair)]
    if seen.end.get("gone"):  # a load that was cut short is slow and unfair for that reason alone
        found = [item for item in found if item.load != seen.begun or item.finding.rule not in CUT_SHORT]
    return found


def _of_load(load: str, numbers: Numbers, eevdf: Numbers, declared_unfair: bool) -> Iterator[Finding]:
    yield from _starved(load, numbers, eevdf)
    yield from _elsewhere(load, numbers)
    if load == "pinned":
        yield from _stuck(numbers, eevdf)
    for key, who in (("wake_us", "sleepers"), ("fifo_wake_us", "the real-time task")):
        yield from _late(load, who, numbers.get(key, {}), eevdf.get(key, {}))
    if load == "equal_hogs":
        yield from _unfair(numbers, declared_unfair)
    if load in _RATES:
        yield from _slow(load, numbers, eevdf)


def _error(rule: str, message: str) -> Finding:
    return Finding(rule, message, _ADVICE[rule])


# --- how it ended ----------------------------------------------------------------------------------------


def _ending(seen: Seen) -> Iterator[LoadFinding]:
    end = seen.end
    if end.get("error"):
        yield LoadFinding(seen.begun, _error("attach", f"it could not be attached: {end['error']['message']}"))
    if end.get("gone"):
        yield LoadFinding(seen.begun, _error("ejected", f"under load '{seen.begun}' {exit_words(end.get('exit'))}"))
    elif end.get("undead"):
        what = f"under load '{seen.begun}' {end['undead']} tasks that were killed did not get on to die"
        yield LoadFinding(seen.begun, _error("starved", what))
    if end.get("detach_error"):
        yield LoadFinding("", _error("detach", end["detach_error"]))
    elif end.get("state", "disabled") != "disabled":
        yield LoadFinding("", _error("detach", f"sched_ext is '{end['state']}' after the scheduler was detached"))


def exit_words(record: Numbers | None) -> str:
    """Describe why a scheduler went, from its exit record."""
    if record is None:
        return "it went, and left no exit record"
    what = "the kernel ejected it" if record["kind"] >= 1024 else "it left"
    more = f" ({record['message'].splitlines()[0]})" if record["message"].strip() else ""
    return f"{what}: {record['reason']}{more}"


# --- what was measured -----------------------------------------------------------------------------------


def _is_bound(name: str) -> bool:
    return name.startswith(BOUND_TASKS)


def wait_bound_s(load: str, numbers: Numbers, eevdf: Numbers) -> float:
    """Return how long a task of this load may wait."""
    theirs = max((task["longest_wait_s"] for task in eevdf.get("tasks", ())), default=0.0)
    floor_s = bounds.STARVED_NICE_FLOOR_S if load == "nice_hogs" else bounds.STARVED_FLOOR_S
    bound_s = max(floor_s, bounds.STARVED_FACTOR * theirs)
    watched_s = numbers.get("watched_s", 0.0)
    return min(bound_s, bounds.STARVED_SHARE * watched_s) if watched_s >= bounds.STARVED_FLOOR_S else bound_s


def _starved(load: str, numbers: Numbers, eevdf: Numbers) -> Iterator[Finding]:
    bound_s = wait_bound_s(load, numbers, eevdf)
    whole = numbers["passed_s"] >= bounds.STARVED_FLOOR_S
    late = [task for task in numbers["tasks"] if task["longest_wait_s"] > bound_s or (whole and not task["work"])]
    for rule, tasks in (
        ("starved", [task for task in late if not _is_bound(task["name"])]),
        ("pinned-stuck", [task for task in late if _is_bound(task["name"])]),
    ):
        if tasks:
            worst = max(tasks, key=lambda task: float(task["longest_wait_s"]))
            yield _error(
                rule,
                f"under load '{load}' {len(tasks)} of {len(numbers['tasks'])} tasks wanted to run and did not for too "
                f"long: '{worst['name']}' for {worst['longest_wait_s']:.1f} s (bound {bound_s:.1f} s)",
            )


def _stuck(numbers: Numbers, eevdf: Numbers) -> Iterator[Finding]:
    """Find tasks that are bound to one CPU and do next to nothing, without a single long wait."""
    theirs = {task["name"]: task["work"] / eevdf["passed_s"] for task in eevdf.get("tasks", ())}
    bound_s = wait_bound_s("pinned", numbers, eevdf)
    for task in numbers["tasks"]:
        if not _is_bound(task["name"]) or not theirs.get(task["name"]) or task["longest_wait_s"] > bound_s:
            continue
        share = task["work"] / numbers["passed_s"] / theirs[task["name"]] / speed_ratio(numbers, eevdf)
        if 0 < share < bounds.PINNED_SHARE:
            yield _error(
                "pinned-stuck",
                f"'{task['name']}', which is bound to one CPU, did {share:.1%} of what it does under EEVDF "
                f"(at least {bounds.PINNED_SHARE:.0%})",
            )


def speed_ratio(numbers: Numbers, eevdf: Numbers) -> float:
    """Return how much slower the machine was during a load than during EEVDF's; 1 where that is unknown, or it was not.
    It only ever favours the scheduler: the measure differs by up to 1.6 between schedulers on an idle machine."""
    ours, theirs = numbers.get("speed", 0.0), eevdf.get("speed", 0.0)
    if not ours or not theirs:
        return 1.0
    return float(min(max(ours / theirs, 1 / bounds.MOST_SPEED_CHANGE), 1.0))


def _elsewhere(load: str, numbers: Numbers) -> Iterator[Finding]:
    for task in numbers["tasks"]:
        if task["ran_elsewhere"]:
            yield _error(
                "ran-elsewhere",
                f"under load '{load}' '{task['name']}' was {task['ran_elsewhere']} times on a CPU it may not run on",
            )


def _late(load: str, who: str, wakes: Numbers, eevdf: Numbers) -> Iterator[Finding]:
    bound_ms = max(bounds.WAKE_P99_FLOOR_S * 1e3, bounds.WAKE_P99_FACTOR * eevdf.get("p99", 0) / 1e3)
    bound_ms = min(bound_ms, bounds.WAKE_P99_CEILING_S * 1e3)
    if wakes.get("count") and wakes["p99"] / 1e3 > bound_ms:
        yield _error(
            "wake-latency",
            f"under load '{load}' 1 of 100 wake-ups of {who} took over {wakes['p99'] / 1e3:.0f} ms until it ran "
            f"(bound {bound_ms:.0f} ms; EEVDF {eevdf.get('p99', 0) / 1e3:.1f} ms)",
        )


def _unfair(numbers: Numbers, declared: bool) -> Iterator[Finding]:
    index = jain([task["cpu_s"] for task in numbers["tasks"]])
    if index >= bounds.JAIN_FLOOR:
        return
    shares = ", ".join(f"{task['cpu_s']:.2f}" for task in numbers["tasks"])
    what = f"equal hogs did not get equal CPU time: Jain's index {index:.2f} (at least {bounds.JAIN_FLOOR}), {shares} s"
    if declared:
        yield Finding("unfair", f"unfair by design, as declared: {what}", severity="note")
    else:
        yield _error("unfair", what)


def _slow(load: str, numbers: Numbers, eevdf: Numbers) -> Iterator[Finding]:
    key, what = _RATES[load]
    theirs, ours = eevdf.get(key), numbers.get(key)
    if not theirs or ours is None:
        return
    expected = theirs * speed_ratio(numbers, eevdf)
    if ours < bounds.THROUGHPUT_SHARE * expected:
        yield _error(
            "slow",
            f"{what}: {ours:.0f}, {ours / expected:.0%} of the {expected:.0f} that EEVDF does at this speed of the "
            f"machine (at least {bounds.THROUGHPUT_SHARE:.0%})",
        )
