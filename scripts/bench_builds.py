# SPDX-License-Identifier: MIT
"""A build under EEVDF and under schedulers, with as many jobs as CPUs, twice and four times as many, in the micro-VM:
`scripts/bench builds`.

A scheduler can only order what is runnable, so more jobs give it more to do; but more jobs alone may do as well. Each
scheduler is therefore shown against EEVDF at the same -j, and against EEVDF at its best -j, all in one session.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from autotune.records import BASELINE  # noqa: E402
from scripts.longtail import measuring, project  # noqa: E402
from scripts.longtail.results import Sample, samples  # noqa: E402

CANDIDATES = ("at_batch", "at_guided")
PHASES = ("baseline", "race", "confirm")
"""EEVDF runs with each -j in the first of them."""


@dataclass(frozen=True)
class Row:
    """One scheduler at one -j. `of_same` and `of_best` are EEVDF's median over its own, at the same and at the best -j:
    above 1 it is faster."""

    scheduler: str
    jobs: int
    runs: int
    wall_s: float
    of_same: float
    of_best: float


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table and write the JSON."""
    given = _parser().parse_args(argv)
    jobs = [given.cpus * times for times in (1, 2, 4)]
    try:
        directory = project.make(given.scale)
        candidates = measuring.known(given.scheduler or CANDIDATES)
        options = ["--param", f"jobs={','.join(map(str, jobs))}", "--prepare", "make -s clean"]
        command = "make -s -j{jobs}"
        session = measuring.session(
            directory, command, candidates, cpus=given.cpus, rounds=given.rounds, options=options
        )
        found = rows(samples(session, PHASES))
    except (RuntimeError, ValueError, OSError) as error:
        print(f"bench: the build was not measured: {error}", file=sys.stderr)
        return 1
    if given.json is not None:
        given.json.write_text(json.dumps({"version": 1, "rows": [asdict(row) for row in found]}, indent=1) + "\n")
    print("\n".join(lines(found)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench builds", description="Measure a build with several -j.")
    parser.add_argument(
        "--scheduler", action="append", metavar="NAME[:KNOB=...]", help=f"default: {', '.join(CANDIDATES)}"
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="runs of each (%(default)s)")
    parser.add_argument("--cpus", type=int, default=2, metavar="N", help="CPUs of the micro-VM (%(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="length of the files (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows as JSON too")
    return parser


def rows(by_key: Mapping[str, Sequence[Sample]]) -> list[Row]:
    """Return a row for each scheduler and -j, from runs by key (`at_batch jobs=4`), EEVDF first. Raises ValueError when
    EEVDF did not run at one of them."""
    medians = {_split(key): statistics.median(one.wall_s for one in runs) for key, runs in by_key.items() if runs}
    runs = {_split(key): len(found) for key, found in by_key.items()}
    of_eevdf = {jobs: wall_s for (name, jobs), wall_s in medians.items() if name == BASELINE}
    if missing := {jobs for _, jobs in medians} - of_eevdf.keys() or (set() if of_eevdf else {0}):
        raise ValueError(f"EEVDF did not run with -j {min(missing)}")
    best_s = min(of_eevdf.values())
    return [
        Row(name, jobs, runs[name, jobs], wall_s, of_eevdf[jobs] / wall_s, best_s / wall_s)
        for (name, jobs), wall_s in sorted(medians.items(), key=lambda one: (one[0][0] != BASELINE, *one[0]))
    ]


def _split(key: str) -> tuple[str, int]:
    name, _, jobs = key.rpartition(" jobs=")
    return name, int(jobs)


def lines(found: Sequence[Row]) -> list[str]:
    """Return the rows as a table."""
    head = "| scheduler | -j | runs | median | against EEVDF at the same -j | against EEVDF at its best -j |"
    return [head, "| --- | ---: | ---: | ---: | ---: | ---: |", *map(_line, found)]


def _line(row: Row) -> str:
    return f"| {row.scheduler} | {row.jobs} | {row.runs} | {row.wall_s:.2f} s | {row.of_same:.3f} | {row.of_best:.3f} |"


if __name__ == "__main__":
    sys.exit(main())
