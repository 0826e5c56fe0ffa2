# SPDX-License-Identifier: MIT
"""What a session's budget has room for, and which budget would have room for more.

`spending` counts seconds and runs; `verdict.budget` divides them. Here both meet what this session asks for: its
candidates, rounds, pairs and statistic.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace

from autotune.errors import UsageError, WorkloadError
from autotune.quantities import duration_flag
from autotune.records import Allotment, Baseline, Chain
from autotune.report.text import duration_text
from autotune.session import continuation
from autotune.session.baselines import Baselines
from autotune.session.continuation import TakenUp
from autotune.session.options import SessionOptions
from autotune.session.spending import BudgetClock, OutOfBudget
from autotune.verdict import budget
from autotune.verdict.confirm import LEAST_PAIRS, MOST_PAIRS, pairs_to_show
from autotune.verdict.race import ALPHA, Race, Round
from autotune.verdict.statistic import Statistic

MAX_SETS = 4
"""Most sets of candidates, however large the budget."""

LEAST_RUNS_TO_WATCH = 16
"""A run is watched where so many fit: the others find a scheduler that is much faster, and it costs 6 % of them."""
PROBE_S = 3.0
"""What a probe takes to be loaded and read: 2 s under emulation."""


@dataclass
class Budgeting:
    """The budget of one session, in runs of its workload."""

    clock: BudgetClock
    options: SessionOptions
    baselines: Baselines
    statistic: Statistic | None
    """What is judged of the runs; None: the typical run."""

    def __post_init__(self) -> None:
        self._start_s = self.clock.spent_s()
        self._reserve_runs = 0
        self._reserve_s = 0.0

    @property
    def _taken_up(self) -> TakenUp | None:
        return self.options.taken_up

    # --- room ---

    @property
    def alpha(self) -> float:
        """Risk that the first confirmation gets."""
        return ALPHA / 2 if self._taken_up is None else self._taken_up.alpha

    @property
    def most_reserved(self) -> int:
        """Most runs that a confirmation takes."""
        most = MOST_PAIRS if self.statistic is None else self.statistic.most_pairs
        return self.baselines.runs_of_a_pair * min(most, self.options.most_pairs or sys.maxsize)

    def pairs_to_confirm(self, runs_before: int = 0) -> int:
        """Return how many pairs there is room for once a race has taken its half, and other runs were made before it; 0
        for too few."""
        runs = max(0, self.clock.runs_left() - runs_before)
        room = budget.reserve(runs, self.most_reserved) if self._taken_up is None else min(runs, self.most_reserved)
        pairs = room // self.baselines.runs_of_a_pair
        return pairs if pairs >= LEAST_PAIRS else 0

    def pairs_left(self) -> int:
        """Return how many pairs fit into what is left."""
        return min(self.clock.runs_left() // self.baselines.runs_of_a_pair, self.options.most_pairs or sys.maxsize)

    def first_set(self, proposed: int) -> Allotment:
        """Divide what is left after planning: reserve the runs of the confirmation, and return what fits before."""
        runs = self.clock.runs_left()
        self._reserve_runs = budget.reserve(runs, self.most_reserved)
        self._reserve_s = self.clock.cost_s(self._reserve_runs)
        return self._allotted(proposed, runs)

    def has_room_to_watch(self) -> bool:
        """Return whether one more run, which is not measured, leaves enough of the budget for those that are."""
        return self.clock.left_s() - PROBE_S >= LEAST_RUNS_TO_WATCH * self.clock.cost_s(1)

    def has_room_to_explain(self) -> bool:
        """Return whether one more run fits, with a switch and a probe, once all others are over."""
        return self.clock.left_s() >= PROBE_S + 1.5 * self.clock.cost_s(1)

    def affordable(self, *, racing: bool) -> int:
        """Return how many candidates there is room for: of a first set, or of a further one while a race is on."""
        reserved = self.reserved() if racing else None
        return self.clock.candidates_affordable(self.options.max_rounds, self.most_reserved, reserved=reserved)

    def reserved(self) -> int:
        """Return the runs that are reserved for the confirmation. Where runs turn out to take longer than the
        baseline's, race and confirmation share the loss."""
        fitting = int(self._reserve_s / max(1e-3, self.clock.cost_s(1)))
        least = min(self.baselines.runs_of_a_pair * LEAST_PAIRS, self._reserve_runs)
        return max(least, min(self._reserve_runs, fitting))

    def left_s(self, upcoming: Round, sets: int, next_best: int) -> float:
        """Estimate what the session takes at most from this round on, in the budget that is left; `sets` of candidates
        were proposed, and `next_best` of them may be confirmed where the leader is not."""
        runs = budget.runs_to_come(
            upcoming.phase,
            upcoming.at_most - upcoming.number + 1,
            len(upcoming.order),
            sets=0 if self.options.user_candidates else MAX_SETS - sets,
            most_rounds=self.options.max_rounds,
            most=self.most_reserved,
            next_best=next_best,
        )
        return min(self.clock.left_s(), self.clock.cost_s(runs))

    def _allotted(self, proposed: int, runs: int, before: int = 0) -> Allotment:
        """Divide the runs that fit after the baseline; `before` of its runs are still to come."""
        return budget.allot(
            proposed=proposed,
            runs=runs,
            most_rounds=self.options.max_rounds,
            spent_s=self.clock.spent_s() + self.clock.cost_s(before),
            run_s=self.clock.cost_s(1),
            most=self.most_reserved,
            likely=self.baselines.likely(proposed),
        )

    # --- advice ---

    def small_budget_text(self) -> str | None:
        """Return a warning of a budget that has no room for one verdict, once it is known what a run takes; None for
        one that has."""
        baseline_runs = self.baselines.least_runs - 1
        if self.clock.runs_left() >= baseline_runs + budget.VERDICT_RUNS:
            return None
        run, given = duration_text(self.clock.cost_s(1)), duration_flag(self.options.budget_s)
        wanted = duration_flag(self.wanted_s(baseline_runs))
        return (
            f"a run takes about {run}, so the budget of {given} is too small for a verdict; "
            f"--budget {wanted} has room for one"
        )

    def no_candidate_text(self) -> str:
        """Return a warning of a budget that has no room for any candidate."""
        wanted = duration_flag(self._allotted(budget.FULL_SET, self.clock.runs_left()).wanted_s)
        return f"the budget has no room for a candidate; --budget {wanted} has room for {budget.FULL_SET}"

    def wanted_s(self, before: int = 0) -> float:
        """Return a budget with room for all rounds of the candidates and a confirmation. So far only runs of the
        baseline are over, and `before` are still to come."""
        least_s = self.options.budget_s * 1.1
        if self._taken_up is not None:  # there is no race
            runs = before + max(budget.VERDICT_RUNS, self.most_reserved)
            return budget.rounded_up(max(least_s, self.clock.spent_s() + self.clock.cost_s(runs)))
        tried = len(self.options.user_candidates) * len(self.baselines.points) or budget.FULL_SET
        return max(self._allotted(tried, 0, before).wanted_s, budget.rounded_up(least_s))

    def larger_budget(self, tried: int, runs: int) -> str:
        """Return the advice to give a budget with room for all rounds of the `tried` candidates and a confirmation;
        the session has made so many `runs`."""
        raced_s = self.clock.cost_s(runs)
        least_s = self.options.budget_s * 1.1
        wanted_s = budget.rounded_up(max(least_s, self._allotted(tried, 0).wanted_s - raced_s))
        return f"--budget {duration_flag(wanted_s)} has room for that"

    def too_slow(self, error: OutOfBudget) -> WorkloadError:
        """Return the error of a workload that the budget has no room for. How long a run takes is known only from one
        that ended."""
        what = f"{error.during} did not end" if error.during else "the baseline was not measured"
        before = self._runs_before
        hint = f"give a larger --budget; a verdict takes at least {before + budget.VERDICT_RUNS} runs"
        if self.clock.cost_s(1):
            hint = f"--budget {duration_flag(self.wanted_s(before))} has room for a verdict"
        return WorkloadError(f"{what} within the budget of {duration_flag(self.options.budget_s)}", hint=hint)

    def refuse_too_few_for_statistic(self, pairs: int) -> None:
        """Raise UsageError where there is no room for the pairs that the statistic needs."""
        judged = self.statistic
        if judged is None or pairs >= judged.least_pairs:
            return
        wanted_runs = self._runs_for(judged.least_pairs) + 2
        wanted_s = budget.rounded_up(self.clock.spent_s() + self.clock.cost_s(wanted_runs))
        raise UsageError(
            f"--statistic {judged.name} needs {judged.least_pairs} pairs of runs to confirm a gain, and the budget has "
            f"room for {pairs}",
            hint=f"give --budget {duration_flag(wanted_s)}, or judge the typical run",
        )

    def with_min_effect(self, baseline: Baseline, pairs: int) -> Baseline:
        """Return the baseline with what `--min-effect` asks of the budget: half of all runs are for a confirmation."""
        least = self.options.min_effect
        factor = 1.0 if self.statistic is None else self.statistic.noise_factor
        wanted = pairs_to_show(math.log1p(least), math.sqrt(2.0) * baseline.noise * factor)
        if wanted <= pairs or wanted > MOST_PAIRS:
            return replace(baseline, min_effect=least)
        wanted_s = budget.rounded_up(self.clock.spent_s() + self.clock.cost_s(self._runs_for(wanted)))
        return replace(baseline, min_effect=least, wanted_s=wanted_s)

    def for_continuation(self, chain: Chain, baseline: Baseline | None, race: Race | None) -> Chain:
        """Return what the session leaves, with the budget that a continuation should have."""
        if not chain.contenders or baseline is None:
            return chain
        deviation = race.pair_deviation if race is not None else None
        deviation = deviation or math.sqrt(2.0) * baseline.noise
        pairs = continuation.pairs_wanted(chain, deviation, self.options.min_effect, self.statistic)
        wanted_s = self._start_s + self.clock.cost_s(self._runs_before + 2 * pairs + 1)
        return replace(chain, budget_s=budget.rounded_up(wanted_s))

    @property
    def _runs_before(self) -> int:
        """Runs of the baseline before anything is compared with it."""
        return self.options.warmup * len(self.baselines.points) + self.baselines.least_runs

    def _runs_for(self, pairs: int) -> int:
        """Return the runs after the baseline of which a confirmation of so many pairs takes its half."""
        return 2 * self.baselines.runs_of_a_pair * pairs
