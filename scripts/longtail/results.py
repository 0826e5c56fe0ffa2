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

    def over_bound(self, cpus: int, longest_s: float) -> float:
        """Return the run's time over its own bound: the work shared evenly, or the longest job. 1 is perfect."""
        return self.wall_s / max(self.cpu_s / cpus, longest_s, 1e-9)


@dataclass(frozen=True)
class Lengths:
    """What the jobs of a batch took in a run that was watched: CPU time of the median short one and of the long one,
    the longest chain of tasks that had to follow one another, and when the last job started."""

    short_s: float
    long_s: float
    chain_s: float
    last_start_s: float

    @property
    def ratio(self) -> float:
        return self.long_s / self.short_s if self.short_s else 0.0


@dataclass(frozen=True)
class Row:
    """How one scheduler did in one batch. `saved` is by how much its median is less than EEVDF's in the same session:
    0.2 for 20 %. `reached` is the part of the way from EEVDF's time to the bound, each run against its own bound;
    None where hardly anything is possible."""

    batch: str
    scheduler: str
    runs: int
    wall_s: float
    over_bound: float
    saved: float
    reached: float | None


def rows(
    batch: str, by_scheduler: Mapping[str, Sequence[Sample]], baseline: str, *, cpus: int, longest_s: float
) -> list[Row]:
    """Return a row for each scheduler that ran, the baseline first. `longest_s` is the CPU time of the longest job.
    Raises ValueError when the baseline did not run."""
    over = {
        name: statistics.median(one.over_bound(cpus, longest_s) for one in runs)
        for name, runs in by_scheduler.items()
        if runs
    }
    wall_s = {name: statistics.median(one.wall_s for one in by_scheduler[name]) for name in over}
    if baseline not in over:
        raise ValueError(f"{batch}: {baseline} did not run")
    possible = over[baseline] - 1.0
    return [
        Row(
            batch=batch,
            scheduler=name,
            runs=len(by_scheduler[name]),
            wall_s=wall_s[name],
            over_bound=over[name],
            saved=1.0 - wall_s[name] / wall_s[baseline],
            reached=(over[baseline] - over[name]) / possible if possible > LEAST_POSSIBLE else None,
        )
        for name in sorted(over, key=lambda one: one != baseline)
    ]


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

HEAD = ("batch", "scheduler", "runs", "median", "less than EEVDF", "over the bound", "of the possible")


def table_head() -> list[str]:
    return [f"| {' | '.join(HEAD)} |", "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]


def line(row: Row) -> str:
    """Return a row of the table."""
    reached = "-" if row.reached is None else f"{row.reached:.0%}"
    numbers = f"{row.runs} | {row.wall_s:.2f} s | {row.saved:.1%} | {row.over_bound:.3f} | {reached}"
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
