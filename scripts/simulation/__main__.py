# SPDX-License-Identifier: MIT
"""`scripts/simulate`: what schedules a run's tasks would allow on machines that are not here."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from autotune.observe.bound import bound
from autotune.observe.decode import TasksSeen

from . import trace
from .engine import Schedule, simulate
from .policies import Fair, FirstCome, LongestFirst, Policy
from .tasks import SimTask, tasks_of

LEAST_POSSIBLE = 0.001
"""Share of the fair schedule's time below which nothing is possible."""
SEEDS = 5
"""Simulations of a policy with errors; their median counts."""
NOTICE = "SIMULATION, not a measurement: one queue for all CPUs, and nothing costs time but the tasks' own work."


@dataclass(frozen=True)
class Row:
    """One policy on one machine. `saved` is by how much it ends sooner than fair sharing, 0.2 for 20 %; `reached` the
    part of what the bound allows, None where it allows nothing."""

    trace: str
    cpus: int
    policy: str
    wall_s: float
    bound_s: float
    saved: float
    reached: float | None
    released: int = 0
    """Waits that were given up (`engine.Schedule`)."""
    simulated: bool = True


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate the traces that are named and print a table. Return the exit code."""
    given = _parser().parse_args(argv)
    if min(given.cpus) < 1 or not all(0.0 <= error < math.inf for error in given.errors):
        print("simulate: CPUs are 1 or more, and errors are 0 or more", file=sys.stderr)
        return 2
    try:
        rows = [
            row for path in given.traces for row in _simulated(path, given.cpus, given.errors, not given.forks_only)
        ]
        if given.json is not None:
            given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    except (ValueError, OSError) as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    print("\n".join([NOTICE, "", *lines(rows)]))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description="Simulate schedules of a run's tasks.")
    parser.add_argument("traces", nargs="+", type=Path, metavar="TRACE", help="file of `autotune observe --trace`")
    parser.add_argument("--cpus", type=int, nargs="+", default=[8, 64, 172], metavar="N", help="CPUs (%(default)s)")
    parser.add_argument(
        "--errors", type=float, nargs="*", default=[0.3, 1.0], metavar="X",
        help="deviations of the logarithm of learned lengths (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--forks-only", action="store_true", help="ignore that parents wait for children: `make` with any -j"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON too")
    return parser


def _simulated(path: Path, cpus: Sequence[int], errors: Sequence[float], waits: bool) -> list[Row]:
    seen = trace.read(path)
    tasks = tasks_of(seen, waits=waits)
    return [row for amount in cpus for row in on_cpus(path.stem, seen, tasks, amount, errors)]


def on_cpus(name: str, seen: TasksSeen, tasks: Sequence[SimTask], cpus: int, errors: Sequence[float]) -> list[Row]:
    """Return a row for each policy."""
    least_s = bound(seen, cpus).least_s
    found = [(policies[0].name, _median(tasks, cpus, policies)) for policies in _policies(tasks, errors)]
    fair_s = found[0][1].wall_s
    return [_row(name, cpus, policy, schedule, least_s, fair_s) for policy, schedule in found]


def _policies(tasks: Sequence[SimTask], errors: Sequence[float]) -> list[list[Policy]]:
    """Return the policies, fair sharing first: one with errors for each of several seeds."""
    unsure = [[LongestFirst(tasks, error, seed) for seed in range(SEEDS)] for error in errors if error]
    return [[Fair(tasks)], [FirstCome()], [LongestFirst(tasks)], *map(list[Policy], unsure)]


def _median(tasks: Sequence[SimTask], cpus: int, policies: Sequence[Policy]) -> Schedule:
    done = sorted((simulate(tasks, cpus, policy) for policy in policies), key=lambda one: one.wall_s)
    return done[len(done) // 2]


def _row(name: str, cpus: int, policy: str, done: Schedule, least_s: float, fair_s: float) -> Row:
    possible_s, saved_s = fair_s - least_s, fair_s - done.wall_s
    reached = saved_s / possible_s if possible_s > LEAST_POSSIBLE * fair_s else None
    saved = saved_s / fair_s if fair_s else 0.0
    return Row(name, cpus, policy, done.wall_s, least_s, saved, reached, done.released)


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the rows as a table."""
    head = ["| run | CPUs | policy (simulated) | ends after | bound | less than fair | of the possible |"]
    table = [*head, "| --- | ---: | --- | ---: | ---: | ---: | ---: |", *map(_line, rows)]
    released = max((row.released for row in rows), default=0)
    return [
        *table,
        *(["", f"Up to {released} waits were left out: by the trace, all tasks waited there."] if released else []),
    ]


def _line(row: Row) -> str:
    reached = "-" if row.reached is None else f"{row.reached:.0%}"
    times = f"{row.wall_s:.3f} s | {row.bound_s:.3f} s | {row.saved:.1%}"
    return f"| {row.trace} | {row.cpus} | {row.policy} | {times} | {reached} |"


if __name__ == "__main__":
    sys.exit(main())
