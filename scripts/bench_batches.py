# SPDX-License-Identifier: MIT
"""The long-tail batches under EEVDF and under schedulers, in the micro-VM: `scripts/bench batches [NAME...]`.

For each batch: one session of `autotune cc` with the candidates, and runs of EEVDF with the long job at nice -20, which
is what anybody can do who knows which job is long. What was reached is told as a part of what is possible: no schedule
ends before the work is shared evenly, nor before the longest job.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from autotune.errors import AutotuneError  # noqa: E402
from autotune.records import BASELINE  # noqa: E402
from scripts.longtail import measuring, results  # noqa: E402
from scripts.longtail.__main__ import add_shape  # noqa: E402
from scripts.longtail.batch import KINDS, Batch, Shape, make  # noqa: E402

CANDIDATES = ("at_batch", "at_batch:long_first=true", measuring.GUIDED)
JUDGED = measuring.GUIDED
GOAL_MEAN, GOAL_EACH = 0.9, 0.8
"""Parts of the possible that the judged scheduler is to reach, on average and in each batch."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table and write the JSON. Return 0 when the goals are met, or nobody was judged."""
    given = _parser().parse_args(argv)
    try:
        shape = Shape(given.jobs, given.long, given.scale, given.shuffle)
        names = given.names or list(KINDS)
        batches = [make(name, shape) for name in names]
    except (ValueError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    candidates = measuring.known(given.scheduler or CANDIDATES)
    print("\n".join(results.table_head()))
    found: list[results.Row] = []
    jobs: dict[str, results.Lengths] = {}
    for batch in batches:
        found += measured(batch, candidates, given.cpus, given.rounds, jobs)
        if given.json is not None:  # after each: the next may fail
            document = {"version": 1, "jobs": {name: asdict(one) for name, one in jobs.items()}, "rows": found}
            given.json.write_text(json.dumps(document, indent=1, default=asdict) + "\n")
    print("\n".join(["", *results.summary(found, BASELINE)]))
    return 0 if is_good(found) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench batches", description="Measure the long-tail batches.")
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"a batch: {', '.join(KINDS)}; default: all")
    parser.add_argument(
        "--scheduler", action="append", metavar="NAME[:KNOB=...]", help=f"default: {', '.join(CANDIDATES)}"
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="runs of each (%(default)s)")
    parser.add_argument("--cpus", type=int, default=2, metavar="N", help="CPUs of the micro-VM (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON too")
    add_shape(parser)
    return parser


def measured(
    batch: Batch, candidates: Sequence[str], cpus: int, rounds: int, jobs: dict[str, results.Lengths]
) -> list[results.Row]:
    """Measure one batch, print its rows and note what its jobs took. What fails is said, and the other batches go
    on."""
    name = batch.kind.name
    print(f"{name}: {batch.kind.summary}", file=sys.stderr)
    try:
        took, own = measuring.watched_and_niced(batch, cpus=cpus, rounds=rounds)
        jobs[name] = took
        print(f"{name}: {_told(took, batch)}", file=sys.stderr)
        niced = results.rows(name, own, BASELINE, cpus=cpus, took=took)[1:]
        compared = measuring.of_batch(batch, candidates, cpus=cpus, rounds=rounds) if candidates else own
        raced = results.rows(name, compared, BASELINE, cpus=cpus, took=took)
    except (RuntimeError, ValueError, AutotuneError) as error:
        print(f"bench: {name} was not measured: {error}", file=sys.stderr)
        return []
    found = [*raced[:1], *niced, *(raced[1:] if candidates else [])]
    for row in found:
        print(results.line(row), flush=True)
    return found


def _told(took: results.Lengths, batch: Batch) -> str:
    """Say what the jobs took, and what of it was starting the program: so the sizes of a kind are set right."""
    short = next(job for job in batch.jobs if not job.is_long)
    share = took.start_up(short.units, batch.long.units)
    times = f"short {took.short_s:.2f} s, long {took.long_s:.2f} s ({took.ratio:.1f} times)"
    starts = f"{share:.0%} of a short one does not grow with its input ({batch.kind.start_up:.0%} assumed)"
    return f"{times}; {starts}; the last started after {took.last_start_s:.2f} s"


def is_good(rows: Sequence[results.Row]) -> bool:
    """Return whether the judged scheduler meets the goals. Where it did not run there is nothing to meet."""
    reached = [row.reached for row in rows if row.scheduler == JUDGED and row.reached is not None]
    if not reached:
        return True
    met = statistics.fmean(reached) >= GOAL_MEAN and min(reached) >= GOAL_EACH
    print(f"goal: {GOAL_MEAN:.0%} of the possible on average, {GOAL_EACH:.0%} in each: {'met' if met else 'MISSED'}")
    return met


if __name__ == "__main__":
    sys.exit(main())
