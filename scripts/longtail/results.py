# SPDX-License-Identifier: MIT
"""What the runs of a batch say: medians, the bound of each run, and the part of the possible that was reached. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

INTERLEAVED = ("race", "confirm")
"""Phases of a session in which EEVDF and the candidates run in turn."""
LEAST_POSSIBLE = 0.01
"""Share of EEVDF's time below which nothing is possible."""


@dataclass(frozen=True)
class Sample:
    """One run that counts. `cpu_s` is the CPU time of all its processes."""

    wall_s: float
    cpu_s: float

    def over_bound(self, cpus: int, shares: float) -> float:
        """Return the run's time over its own bound, which is that many even shares of its work (`Lengths.shares`). 1 is
        perfect."""
        return self.wall_s / max(self.cpu_s / cpus * shares, 1e-9)


@dataclass(frozen=True)
class Lengths:
    """What the jobs of a batch took in a run that was watched: CPU time of the median short one, of the long one and of
    all tasks, the longest chain of tasks that had to follow one another, the least that any schedule takes on the CPUs
    (`observe.bound`), and when the last job started."""

    short_s: float
    long_s: float
    work_s: float
    chain_s: float
    least_s: float
    last_start_s: float

    def shares(self, bound_s: float, cpus: int) -> float:
        """Return a bound in even shares of the work: 1 where the work can be shared evenly, else more."""
        return max(1.0, bound_s / (self.work_s / cpus)) if self.work_s > 0.0 else 1.0

    @property
    def ratio(self) -> float:
        return self.long_s / self.short_s if self.short_s else 0.0

    def start_up(self, short_units: float, long_units: float) -> float:
        """Return the share of a short job's CPU time that does not grow with its input, by the lengths of both inputs:
        what `Kind.start_up` should be."""
        if not self.short_s or long_units <= short_units:
            return 0.0
        grows_s = (self.long_s - self.short_s) / (long_units - short_units) * short_units
        return min(1.0, max(0.0, 1.0 - grows_s / self.short_s))


@dataclass(frozen=True)
class Row:
    """How one scheduler did in one batch. `saved` is by how much its median is less than EEVDF's in the same session:
    0.2 for 20 %. `reached` is the part of the way from EEVDF's time to the bound, each run against its own bound;
    None where hardly anything is possible. `reached_of_chain` is the same for the looser bound: the work shared evenly,
    or the longest chain, whenever the work can begin."""

    batch: str
    scheduler: str
    runs: int
    wall_s: float
    over_bound: float
    saved: float
    reached: float | None
    reached_of_chain: float | None = None


def rows(
    batch: str, by_scheduler: Mapping[str, Sequence[Sample]], baseline: str, *, cpus: int, took: Lengths
) -> list[Row]:
    """Return a row for each scheduler that ran, the baseline first. Raises ValueError when the baseline did not run."""
    ran = {name: runs for name, runs in by_scheduler.items() if runs}
    if baseline not in ran:
        raise ValueError(f"{batch}: {baseline} did not run")
    over = _over(ran, cpus, took.shares(took.least_s, cpus))
    over_chain = _over(ran, cpus, took.shares(took.chain_s, cpus))  # whenever the work can begin
    wall_s = {name: statistics.median(one.wall_s for one in runs) for name, runs in ran.items()}
    return [
        Row(
            batch=batch,
            scheduler=name,
            runs=len(by_scheduler[name]),
            wall_s=wall_s[name],
            over_bound=over[name],
            saved=1.0 - wall_s[name] / wall_s[baseline],
            reached=_reached(over[name], over[baseline]),
            reached_of_chain=_reached(over_chain[name], over_chain[baseline]),
        )
        for name in sorted(over, key=lambda one: one != baseline)
    ]


def _over(ran: Mapping[str, Sequence[Sample]], cpus: int, shares: float) -> dict[str, float]:
    return {name: statistics.median(one.over_bound(cpus, shares) for one in runs) for name, runs in ran.items()}


def _reached(over: float, over_before: float) -> float | None:
    possible = over_before - 1.0
    return (over_before - over) / possible if possible > LEAST_POSSIBLE else None


def samples(session: Mapping[str, Any], phases: Sequence[str] = INTERLEAVED) -> dict[str, list[Sample]]:
    """Return the runs that count by scheduler, from the document of `autotune cc --json`."""
    found: dict[str, list[Sample]] = {}
    for trial in session["trials"]:
        if trial["phase"] in phases and trial["invalid"] is None:
            run = trial["run"]
            sample = Sample(float(run["wall_s"]), float(run["user_s"]) + float(run["system_s"]))
            found.setdefault(trial["candidate"], []).append(sample)
    return found


# --- as text -----------------------------------------------------------------------------------------------

HEAD = (
    *("batch", "scheduler", "runs", "median", "less than EEVDF", "over the bound", "of the possible"),
    "by work and chain alone",
)


def table_head() -> list[str]:
    return [f"| {' | '.join(HEAD)} |", "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]


def line(row: Row) -> str:
    """Return a row of the table."""
    reached, of_chain = ("-" if part is None else f"{part:.0%}" for part in (row.reached, row.reached_of_chain))
    numbers = f"{row.runs} | {row.wall_s:.2f} s | {row.saved:.1%} | {row.over_bound:.3f} | {reached} | {of_chain}"
    return f"| {row.batch} | {row.scheduler} | {numbers} |"


def summary(every: Sequence[Row], baseline: str) -> list[str]:
    """Return a line for each scheduler: what it reached on average and at least, over the batches where it ran."""
    names = dict.fromkeys(row.scheduler for row in every if row.scheduler != baseline)
    return [_summed(name, [row for row in every if row.scheduler == name]) for name in names]


def _summed(name: str, own: Sequence[Row]) -> str:
    saved = statistics.fmean(row.saved for row in own)
    reached = [row.reached for row in own if row.reached is not None]
    if not reached:
        return f"{name}: {saved:.1%} less time on average; nothing was possible"
    share = f"{statistics.fmean(reached):.0%} of the possible on average, {min(reached):.0%} at least"
    return f"{name}: {saved:.1%} less time on average, {share}, over {len(own)} batches"
