# SPDX-License-Identifier: MIT
"""The knob search against an exhaustive grid, on a real scheduler in the micro-VM: `.venv/bin/python
scripts/bench_search.py`.

The grid measures 35 settings of at_vtime three times each, in random order. The search gets a third of those runs, its
runs of EEVDF among them. Then the best of each runs eight times more, in turns; the goal is that the search's is at
most 2 % worse. It takes about 160 runs.

The workload is bench_search.c: how much work of others goes by while two threads send a byte to and fro. Time slices
decide that, and other work on this machine hardly changes it.
"""

from __future__ import annotations

import itertools
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from autotune.config import Settings  # noqa: E402
from autotune.deadline import unlimited  # noqa: E402
from autotune.planner.base import Situation  # noqa: E402
from autotune.planner.knob_search import KnobSearch  # noqa: E402
from autotune.records import Baseline, Candidate, CandidateResult, Observation, Run, Workload  # noqa: E402
from autotune.schedext.catalogue.catalog import Catalog  # noqa: E402
from autotune.session.request import SessionRequest  # noqa: E402
from autotune.session.start import Engine  # noqa: E402
from autotune.session.trials import TrialOutcome, Trials  # noqa: E402
from autotune.verdict.race import Race  # noqa: E402
from autotune.verdict.standing import Standing  # noqa: E402

SLICES_US = (100, 300, 1000, 5000, 15_000, 50_000, 200_000)
LAGS_US = (0, 1000, 5000, 30_000, 200_000)
GRID_ROUNDS, FRESH_ROUNDS = 3, 8
GOAL = 1.02
PIECES = 100_000
"""Work of one run."""
METRIC = r"work per byte: ([0-9.]+)"
CATALOG = Catalog([Catalog.load().get("at_vtime")])


class Bench:
    """Measures candidates on one machine, and counts the runs."""

    def __init__(self, trials: Trials, resolve: object) -> None:
        self._trials, self._resolve = trials, resolve
        self.runs = 0
        self.last: Run | None = None

    def value(self, candidate: Candidate | None) -> float | None:
        """Run once and return the metric; None for a run that does not count."""
        self.runs += 1
        if candidate is None:
            outcome = self._trials.baseline("race", self.runs)
        else:
            outcome = self._trials.candidate("race", self.runs, candidate, self._resolve(candidate))  # type: ignore[operator]
        if not isinstance(outcome, TrialOutcome):
            return None
        self.last = outcome.trial.run
        return outcome.trial.value

    def medians(self, candidates: Sequence[Candidate], rounds: int) -> dict[Candidate, float]:
        """Return the median of each, over interleaved rounds in random order."""
        values: dict[Candidate, list[float]] = {one: [] for one in candidates}
        for number in range(rounds):
            for one in random.sample(candidates, len(candidates)):
                value = self.value(one)
                if value is not None:
                    values[one].append(value)
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        return {one: statistics.median(found) for one, found in values.items() if found}


def grid() -> list[Candidate]:
    scheduler = CATALOG.schedulers[0]
    settings = (
        {"slice_us": slice_us, "lag_limit_us": lag_us} for slice_us, lag_us in itertools.product(SLICES_US, LAGS_US)
    )
    return list(dict.fromkeys(scheduler.candidate(one) for one in settings))


def search(bench: Bench, situation: Situation, most_runs: int, seed: int) -> Candidate:
    """Return the leader of a race over what the search proposes, within so many runs."""
    planner = KnobSearch(CATALOG, seed=seed)
    end = bench.runs + most_runs
    candidates = {
        one.candidate.key: one.candidate for one in planner.propose(replace(situation, candidates_affordable=3))
    }
    race = Race(list(candidates), goal="min", rng=random.Random(seed), max_rounds=2)
    while True:
        while (opened := race.next_round()) is not None:
            race.record({key: bench.value(candidates.get(key)) for key in opened.order})
        affordable = (end - bench.runs) // 2 - 2
        results = tuple(_results(race.standings(), candidates))
        more = planner.propose(replace(situation, results=results, candidates_affordable=min(3, max(0, affordable))))
        if not more:
            break
        fresh = {one.candidate.key: one.candidate for one in more}
        candidates.update(fresh)
        race.add(list(fresh))
    judged = [one for one in race.standings() if one.interval is not None]
    leader = race.leader or max(judged, key=lambda one: one.interval.estimate if one.interval else 0.0).key
    return candidates[leader]


def _results(standings: Iterable[Standing], candidates: Mapping[str, Candidate]) -> list[CandidateResult]:
    return [
        CandidateResult(candidates[one.key], "", one.verdict, one.interval, None, one.pairs, one.invalid, False)
        for one in standings
    ]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-search-") as directory:
        program = Path(directory) / "bench_search"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["cc", "-O1", "-pthread", "-o", program, source], check=True)
        argv = (str(program), str(PIECES))
        return compare(Workload(command=" ".join(argv), argv=argv, cwd=directory, metric_regex=METRIC, guards=()))


def compare(workload: Workload) -> int:
    """Run grid, search and the best of both; return the exit code."""
    request = SessionRequest(workload, Settings(machine="vm"))
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    random.seed(seed)
    engine, deadline = Engine(), unlimited()
    with engine.machine(request, lambda _event: None, deadline) as machine:
        trials = Trials(workload, machine, lambda _event: None, show_output=False)
        bench = Bench(trials, engine.resolver(CATALOG, machine, lambda _event: None, deadline))
        eevdf = statistics.median(filter(None, (bench.value(None) for _ in range(3))))
        assert bench.last is not None
        seen = Observation(bench.last.wall_s, 1.0, 2.0, None, None, None, 1000.0, 0.5, 10.0, machine.info.cpus)
        situation = Situation(machine.info, workload, Baseline(eevdf, 3, 0.02, None), seen, bench.last, (), 1e6, 3)
        print(f"EEVDF {eevdf:.3f}", flush=True)
        bench.runs = 0
        of_grid = bench.medians(grid(), GRID_ROUNDS)
        grid_runs, bench.runs = bench.runs, 0
        best = min(of_grid, key=lambda one: of_grid[one])
        default = of_grid.get(Candidate("at_vtime"), float("nan"))
        spread = f"{min(of_grid.values()):.3f} to {max(of_grid.values()):.3f}, the defaults {default:.3f}"
        print(f"grid: {grid_runs} runs, {spread}; best {best.key}", flush=True)
        found = search(bench, situation, grid_runs // 3, seed)
        print(f"search: {bench.runs} runs; best {found.key}", flush=True)
        fresh = bench.medians(list(dict.fromkeys([best, found])), FRESH_ROUNDS)
        trials.cleanup()
    ratio = fresh[found] / fresh[best]
    print(f"fresh runs: the search's best is at {ratio:.3f} times the grid's best (goal: {GOAL} at most)")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
