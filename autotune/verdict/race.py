# SPDX-License-Identifier: MIT
"""Policy of a session's trials: which candidates run next, which are dropped, which is confirmed, what is claimed.

A state machine without clock or I/O; the random generator is given. `next_round` says what to run, `record` takes the
values, until nothing is left to run.

    race = Race(keys, goal="min", rng=random.Random(seed))
    while True:
        while (round := race.next_round()) is not None:
            race.record({key: run(key) for key in round.order})
        if race.done:
            break
        more = planner.propose(race.standings())        # a set is finished
        race.add(more) if more else race.begin_confirm(pairs)

The race only picks a leader; the confirmation decides. This keeps the risk of a false winner at `alpha` (0.05), though
results are looked at after every round, candidates join later, and the best of many is picked:

- *Winner.* The leader runs fresh pairs; the rounds that picked it do not count. How many at most is fixed before the
  first of them. At each look (`verdict.confirm`) it wins if its interval lies above 1, and is given up if it is not
  far enough above 1 to go on. Then the next best is confirmed, over the pairs that are left and with half the alpha of
  the one before: 1/2, 1/4, 1/8 and so on, never more than alpha in all. Nothing is handed on that a leader "has not
  spent": whether it was given up depends on its data. Only a leader that fails before its first look hands on all.
- *The least gain that is wanted.* With `min_effect`, a leader runs no more pairs than would show such a gain, and is
  given up once its gain is shown to be smaller. Both are fixed by the race's noise, or end a confirmation without a
  claim, so they add no false winner.
- *Another statistic.* With `statistic` the confirmation judges the mean or a percentile of the runs
  (`verdict.statistic`), at the same looks and levels but none before that has enough pairs. The race still chooses by
  the typical run, and claims nothing: its rows have no interval.
- *No rare stalls.* A winner's mean must be better too, not only its typical run, over all runs that were compared.
  Then it runs alone until `tail_runs` of its runs are known, as far as the budget goes: a run that takes far longer
  than its median counts into the mean, and may cost it the win.
- *Faster and slower in the race.* A set of candidates may spend 3/4 of the alpha that earlier sets left; its candidates
  share that evenly. A candidate has a look at each pair from the second on. Its first `max_rounds - 1` looks share 3/4
  of its alpha evenly, the next as many share 3/4 of the rest, and so on. So an interval holds at whatever round a
  candidate stopped. The noise is moderated as in the confirmation.
- *Dropping* claims nothing: a wrong decision costs power, never a false winner. So it may assume that all runs of a set
  have the same relative noise. After `min_rounds`, a candidate is dropped if it is behind the best one by more than
  noise explains, at one-sided `OUTPACED_LEVEL`; behind the baseline only after `BASELINE_ROUNDS`. Where `min_rounds` is
  not raised, the first round of a set of at least `LEAST_IN_A_ROUND` drops those that are far behind: by more than the
  scatter of that round explains, or that of `baseline_values`, the baseline's runs before the race.
- *Who is confirmed.* The best of those that are left, though the race may show it a little below 1 (`BARELY_BEHIND`):
  a few rounds do not know better, and its pairs would be left over.
- *Several baselines.* Where the workload has parameters, the baseline is EEVDF at its best values, and `rivals` are
  EEVDF at the others that may be the best (`verdict.sweep`). The race compares with the baseline alone; in the
  confirmation all run in every round, and the leader must be shown better than each.
- *Continuations.* A race may begin with what another one left, its candidates and the alpha that no confirmation was
  given (`verdict.chain`): then it only confirms.
- *Cold starts.* Where the first run of every candidate of a set was its slowest by far, that round is left out for all.

A set is finished when at most one candidate is left in it, or after `max_rounds` rounds. In the next set only the
leader goes on, as the one to beat. The others rest: they run no more, yet may still be confirmed.

Sources. Racing: Birattari et al., "A racing algorithm for configuring metaheuristics" (GECCO 2002). Spending alpha over
looks: Lan and DeMets, "Discrete sequential boundaries for clinical trials" (Biometrika 70, 1983). Shares of alpha add
up by Bonferroni's inequality, which holds however looks and candidates depend on each other: Dunn, "Multiple
comparisons among means" (JASA 56, 1961).

The defaults were chosen by simulation (tests/integration/test_race_simulation.py prints the numbers).
"""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from autotune.frozen import dataclass
from autotune.records import BASELINE, Goal, Interval, Verdict
from autotune.verdict.chain import Remainder
from autotune.verdict.coldstart import BY_FAR, cold_round
from autotune.verdict.confirm import (
    MOST_PAIRS,
    Confirmation,
    Estimate,
    Scatter,
)
from autotune.verdict.entrant import Entrant, Reliability
from autotune.verdict.leaders import Leaders
from autotune.verdict.outpaced import outpaced, outpaced_at_once
from autotune.verdict.standing import Standing
from autotune.verdict.statistic import Statistic
from autotune.verdict.stats import (
    SAME_MARGIN,
    log_speedup,
    usable,
    verdict,
)
from autotune.verdict.tail import Tail

MIN_ROUNDS = 2
"""Rounds of a set before anything is decided about its candidates."""

BASELINE_ROUNDS = 3
"""Rounds of a set before a candidate is dropped for being slower than the baseline, or a set of one is finished, if
`min_rounds` is less: a cold start has shown by then."""

MAX_ROUNDS = 4
"""Most rounds of a set."""

ALPHA = 0.05
"""Risk of a false claim in a session."""

OUTPACED_LEVEL = 0.05
"""One-sided level of being behind the best, for each comparison. It claims nothing, so it may be loose."""

TAIL_RUNS = 24
"""Valid runs of a winner after which its slow tail is known well enough: stalls in one run of eight would have shown
with a probability of 95 % (the rule of three: Hanley and Lippman-Hand, JAMA 249, 1983)."""

_SPENT_AT_ONCE = 0.75
"""Share of the remaining alpha that one set of candidates, or one series of looks, may spend."""


@dataclass(frozen=True)
class Round:
    """One round to run: every key of `order` once, in that order; in the tail the winner alone. `number` counts from 1
    within the phase. `at_most` is the number of rounds of the phase as known now; invalid ones may be repeated."""

    phase: Literal["race", "confirm", "tail"]
    number: int
    at_most: int
    order: tuple[str, ...]


class Race:
    """The trials of one session, by the policy above. Keys are those of `records.Candidate`.

    Raises ValueError for impossible arguments (fewer than two rounds, unknown or repeated keys) and for calls out of
    turn: mistakes of the program, not of the user."""

    def __init__(
        self,
        candidates: Sequence[str],
        *,
        goal: Goal,
        rng: random.Random,
        min_rounds: int = MIN_ROUNDS,
        max_rounds: int = MAX_ROUNDS,
        tail_runs: int = TAIL_RUNS,
        alpha: float = ALPHA,
        same_margin: float = SAME_MARGIN,
        min_effect: float = 0.0,
        statistic: Statistic | None = None,
        baseline: str = BASELINE,
        rivals: Sequence[str] = (),
        baseline_values: Sequence[float] = (),
    ) -> None:
        if not 2 <= min_rounds <= max_rounds or not 0.0 < alpha < 1.0:
            raise ValueError(f"no race with {min_rounds=} {max_rounds=} {alpha=}")
        self._goal = goal
        self._rng = rng
        self._min_rounds = min_rounds
        self._max_rounds = max_rounds
        self._tail_runs = tail_runs
        self._baseline_rounds = min(max(min_rounds, BASELINE_ROUNDS), max_rounds)
        self._alpha = alpha
        self._same_margin = same_margin
        self._run_deviation = _log_deviation(baseline_values)
        self._statistic = statistic
        self._leaders = Leaders(
            alpha,
            goal=goal,
            least_log=math.log1p(min_effect),
            statistic=statistic,
            seed=rng.getrandbits(32) if statistic is not None else 0,
        )
        self._entrants: dict[str, Entrant] = {}
        self.baselines = (baseline, *rivals)
        self._baseline = Reliability()
        self._alpha_for_sets = alpha
        self._others = Scatter()
        self._set_size = 0
        self._set_began_at = 0
        self._set_ends_at = 0
        self._race_rounds = 0
        self._confirm_rounds_run = 0
        self._tail_rounds_run = 0
        self._open: Round | None = None
        self._race_is_over = False
        self.add(candidates)

    # --- what the tuner calls ---

    def add(self, candidates: Iterable[str]) -> None:
        """Add candidates; they and the leader run a new set of rounds. Not after `begin_confirm`."""
        keys = list(candidates)
        self._refuse_open_round()
        if self._race_is_over:
            raise ValueError("no candidate can join once confirmation has begun")
        if len(set(keys)) < len(keys) or self._entrants.keys() & {*keys} or {*self.baselines} & {*keys}:
            raise ValueError(f"candidates must be new and named once: {keys}")
        if not keys:
            return
        leader = self.leader
        for entrant in self._entrants.values():
            entrant.resting = entrant.dropped is None and entrant.key != leader
        share = self._alpha_for_sets * _SPENT_AT_ONCE
        self._alpha_for_sets -= share
        joined_at = self._race_rounds
        self._entrants.update((key, Entrant(key, share / len(keys), joined_at=joined_at)) for key in keys)
        self._set_size = len(self._racing())
        self._set_began_at = self._race_rounds
        self._set_ends_at = self._race_rounds + self._max_rounds

    def next_round(self) -> Round | None:
        """Return the next round, which includes the baseline except in the tail; None when the set is finished
        (`set_finished`) or all is (`done`). Each round must be recorded before the next call."""
        self._refuse_open_round()
        if self.done or self.set_finished:
            return None
        confirmation = self._confirmation
        if confirmation is None:
            self._race_rounds += 1
            order = self._shuffled(entrant.key for entrant in self._racing())
            self._open = Round("race", self._race_rounds, self._set_ends_at, order)
        elif confirmation.outcome is None:
            self._confirm_rounds_run += 1
            most = self._confirm_rounds_run - 1 + confirmation.pairs_left
            order = self._shuffled([confirmation.key, *self.baselines[1:]])
            self._open = Round("confirm", self._confirm_rounds_run, most, order)
        else:
            self._tail_rounds_run += 1
            most = self._tail_rounds_run - 1 + self._tail_runs_left()
            self._open = Round("tail", self._tail_rounds_run, most, (confirmation.key,))
        return self._open

    def record(self, values: Mapping[str, float | None]) -> None:
        """Record the metric of every key of the open round. None is an invalid trial; so is a value that has no ratio
        (zero, negative, not finite). Keys dropped during the round may be left out."""
        opened = self._open
        if opened is None:
            raise ValueError("no round is open")
        expected = {key for key in opened.order if key in self.baselines or self._entrants[key].dropped is None}
        if not expected <= values.keys() <= set(opened.order):
            raise ValueError(f"values of {sorted(values)} do not fit the round {opened.order}")
        self._open = None
        baselines = {key: _valid(values[key]) for key in self.baselines if key in opened.order}
        valid = {key: value for key, value in baselines.items() if value is not None}
        complete = len(valid) == len(baselines)
        if baselines:
            self._baseline.count(complete)
        for key in opened.order:
            if key in expected and key not in baselines:
                self._record_one(self._entrants[key], opened, valid if complete else {}, _valid(values[key]))
        if opened.phase == "race":
            self._leave_out_cold_starts()
            self._drop_outpaced()

    def drop(self, key: str, reason: str, *, failed: bool = True) -> None:
        """Drop a candidate for good, also in the middle of a round: it failed, was ejected, or cannot be attached; not
        `failed`: the user does not want it. If it was being confirmed, the next best takes its place. Only the first
        reason is kept."""
        entrant = self._entrants.get(key)
        if entrant is None:
            raise ValueError(f"{key!r} is not a candidate of this race")
        if entrant.dropped is not None:
            entrant.behind = None  # for good
            return
        entrant.dropped, entrant.failed = reason, failed
        ended = self._confirmation
        if ended is not None and ended.key == key and ended.outcome != "lost":
            self._leaders.go_on(self._best_left, self._shared())

    def refuse(self, key: str, reason: str) -> None:
        """Refuse a winner that costs too much of something else. The next best takes its place, as after a loss: those
        dropped for being behind this one are among them."""
        if key != self.winner:
            raise ValueError(f"{key!r} has not won")
        self._readmit_behind(key)
        self.drop(key, reason, failed=False)

    def rename(self, old: str, new: str) -> None:
        """Replace a candidate that has not run yet by another, also in the middle of a round."""
        entrant = self._entrants.get(old)
        if entrant is None or entrant.pairs or new in {*self._entrants, *self.baselines}:
            raise ValueError(f"{old!r} cannot become {new!r}")
        entrant.key = new
        self._entrants = {new if key == old else key: one for key, one in self._entrants.items()}
        if self._open is not None:
            order = tuple(new if key == old else key for key in self._open.order)
            self._open = dataclasses.replace(self._open, order=order)

    def begin_confirm(self, pairs: int = MOST_PAIRS) -> str | None:
        """End racing and begin to confirm the leader, after it the next best, over `pairs` fresh pairs in all. Their
        number must not depend on their data; one candidate gets at most `MOST_PAIRS`. Return its key, or None when no
        candidate may gain (another statistic: none is left): then there is no winner and the race is done. May be
        called before a set is finished (the budget ends), but only once."""
        self._refuse_open_round()
        if self._race_is_over:
            raise ValueError("confirmation has begun already")
        self._leaders.begin(pairs, self._best_left, self._shared())
        self._race_is_over = True
        return self._confirmation.key if self._confirmation else None

    def take_up(self, remainder: Remainder) -> None:
        """Begin with what another race left, in place of racing. Its candidates are those of this race, and its alpha
        is this race's."""
        self._refuse_open_round()
        if {one.key for one in remainder.carried} != self._entrants.keys() or remainder.alpha != self._leaders.alpha:
            raise ValueError("this race does not continue the one that left that")
        self._others = remainder.others
        for one in remainder.carried:
            entrant = self._entrants[one.key]
            entrant.pairs, entrant.carried = dict(enumerate(one.pairs, 1)), one
            entrant.tail = Tail(list(one.tail.compared), list(one.tail.alone))

    def remainder(self) -> Remainder:
        """Return what a race that continues this one may begin with."""
        known = [one.left_over() for one in self._entrants.values() if one.dropped is None and one.pairs]
        known.sort(key=lambda one: one.estimate, reverse=True)
        ahead = tuple(one for one in known if self._statistic is not None or one.estimate > 0.0)
        keys = {one.key for one in ahead}
        others = (Scatter.of(one.pairs.values()) for key, one in self._entrants.items() if key not in keys)
        return Remainder(self._leaders.alpha_left, ahead, sum(others, self._others))

    # --- state ---

    @property
    def set_finished(self) -> bool:
        """True when the current set needs no more rounds: `add` candidates or `begin_confirm`."""
        if self._race_is_over:
            return False
        racing = self._racing()
        if self._race_rounds >= self._set_ends_at or not racing:
            return True
        if len(racing) > 1:
            return False
        early = self._set_size > 1 and not self._may_have_started_cold(racing[0])  # it outpaced the others
        return len(racing[0].pairs) >= (self._min_rounds if early else self._baseline_rounds)

    @property
    def done(self) -> bool:
        """True when nothing is left to run: the confirmation and the winner's tail are over, there was nothing to
        confirm, or the baseline keeps failing (`baseline_failed`)."""
        if self.baseline_failed:
            return True
        if not self._race_is_over or self.confirming:
            return False
        return self._won() is None or not self._tail_runs_left()

    @property
    def confirming(self) -> bool:
        """True while a leader runs its fresh pairs."""
        return self._leaders.runs

    @property
    def baseline_failed(self) -> bool:
        """True when the baseline was invalid so often that nothing can be compared with it."""
        return self._baseline.lost

    @property
    def next_best(self) -> int:
        """Number of candidates that may be confirmed where the leader is given up; those dropped for being behind may
        come back."""
        leader = self.leader
        rest = (one for one in self._entrants.values() if one.key != leader and one.confirmation is None)
        return sum(one.dropped is None or one.behind not in (None, *self.baselines) for one in rest)

    @property
    def racing(self) -> int:
        """Number of candidates in the next round of the race."""
        return len(self._racing())

    @property
    def leader(self) -> str | None:
        """Key of the candidate being confirmed, or else of the one with the best estimate; None without any. A single
        pair counts only while there are no others."""
        if self._confirmation is not None:
            return self._confirmation.key
        best = self._best_left
        return best.key if best else None

    @property
    def _confirmation(self) -> Confirmation | None:
        return self._leaders.current

    @property
    def _best_left(self) -> Entrant | None:
        """The candidate with the best estimate of those that have not been confirmed."""
        known = [
            entrant
            for entrant in self._entrants.values()
            if entrant.dropped is None and entrant.pairs and entrant.confirmation is None
        ]
        settled = [entrant for entrant in known if len(entrant.pairs) >= 2]
        return max(settled or known, key=lambda entrant: entrant.estimate, default=None)

    @property
    def winner(self) -> str | None:
        """Key of the candidate that won its confirmation, and whose mean is better too as far as its runs show; None
        when there is none, or not yet."""
        won = self._won()
        return won.key if won is not None and not self._stalls(won) else None

    @property
    def least_pairs(self) -> int:
        """Fewest pairs of a confirmation."""
        return self._leaders.least_pairs

    @property
    def shown_leader(self) -> Standing | None:
        """Standing of the best candidate that was confirmed, by its fresh rounds; without a winner, it is the one to
        speak of."""
        confirmed = [one for one in self._entrants.values() if one.confirmation is not None and not one.failed]
        return max(map(self._standing, confirmed), key=lambda one: one.by_estimate, default=None)

    @property
    def pair_deviation(self) -> float | None:
        """Standard deviation of the logarithm of a speedup, over all pairs of the session; None before it is known. Of
        another statistic, what pairs would have whose mean is as noisy."""
        if self._statistic is not None:
            return max((found for one in self._entrants.values() if (found := one.deviation)), default=None)
        fresh = (Scatter.of(one.confirmation.pairs.values()) for one in self._entrants.values() if one.confirmation)
        return sum(fresh, self._shared()).deviation

    def standings(self) -> list[Standing]:
        """Return all candidates, best first: the winner, then by estimate; last those without an estimate and those
        that failed."""
        entrants = self._entrants.values()
        standings = {entrant.key: self._standing(entrant) for entrant in entrants}

        def rank(entrant: Entrant) -> tuple[bool, bool, float]:
            interval = standings[entrant.key].interval
            return entrant.key != self.winner, entrant.failed, -interval.estimate if interval else math.inf

        return [standings[entrant.key] for entrant in sorted(entrants, key=rank)]

    # --- inside ---

    def _refuse_open_round(self) -> None:
        if self._open is not None:
            raise ValueError(f"round {self._open.number} has not been recorded")

    def _won(self) -> Entrant | None:
        """Return the candidate that won its confirmation, whatever its runs alone show."""
        confirmation = self._confirmation
        if confirmation is None or confirmation.outcome != "won":
            return None
        entrant = self._entrants[confirmation.key]
        return None if entrant.dropped else entrant

    def _shuffled(self, keys: Iterable[str]) -> tuple[str, ...]:
        order = [self.baselines[0], *keys]
        self._rng.shuffle(order)
        return tuple(order)

    def _racing(self) -> list[Entrant]:
        return [entrant for entrant in self._entrants.values() if entrant.racing]

    def _may_have_started_cold(self, entrant: Entrant) -> bool:
        """Return whether a candidate's first run of this set was slower by far than its last."""
        costs = [cost for number, cost in entrant.costs.items() if number > self._set_began_at]
        return bool(costs) and costs[0] > (1.0 + BY_FAR) * costs[-1]

    def _tail_runs_left(self) -> int:
        entrant = self._entrants[self._confirmation.key] if self._confirmation else None
        return max(0, self._tail_runs - entrant.tail.runs) if entrant else 0

    def _record_one(self, entrant: Entrant, opened: Round, baselines: Mapping[str, float], value: float | None) -> None:
        """Record a candidate's value beside those of the round's baselines; without any, it has no pair."""
        entrant.reliability.count(value is not None)
        if entrant.reliability.lost:
            self.drop(entrant.key, f"{entrant.reliability.invalid} invalid runs")
        elif value is not None and opened.phase == "tail":
            entrant.tail.alone.append(self._cost(value))
            if not self._tail_runs_left():
                self._judge_tail(entrant)
        elif baselines and value is not None:
            pairs = {key: log_speedup(baseline, value, self._goal) for key, baseline in baselines.items()}
            for key, baseline in baselines.items():
                is_first = key == self.baselines[0]
                kept = entrant.tail.compared if is_first else entrant.tail.rivals.setdefault(key, [])
                kept.append((self._cost(baseline), self._cost(value)))
            pair = pairs.pop(self.baselines[0])
            values = {None if key == self.baselines[0] else key: (one, value) for key, one in baselines.items()}
            if opened.phase == "race":
                entrant.pairs[opened.number] = pair
                entrant.costs[opened.number] = self._cost(value)
            elif self._confirmation is not None and self._confirmation.key == entrant.key:
                self._confirmation.add(opened.number, pair, pairs, values)
                self._see_confirmation(entrant, self._confirmation)

    def _cost(self, value: float) -> float:
        """Return the cost of a run, which is to be small: the value itself, or time per work where the value is to be
        large."""
        return value if self._goal == "min" else 1.0 / value

    def _see_confirmation(self, entrant: Entrant, confirmation: Confirmation) -> None:
        self._leaders.pairs_left -= 1
        if confirmation.outcome == "won":
            self._judge_tail(entrant)
        elif confirmation.outcome == "lost":
            self._readmit_behind(entrant.key)
            self._leaders.go_on(self._best_left, self._shared())

    def _readmit_behind(self, key: str) -> None:
        """Let those rest that were dropped for being behind a candidate that has not won: they may be the best of what
        is left."""
        for entrant in self._entrants.values():
            if entrant.behind == key and not entrant.failed:
                entrant.dropped, entrant.behind, entrant.resting = None, None, True

    def _judge_tail(self, entrant: Entrant) -> None:
        """End the win of a candidate whose rare stalls cost more than its typical run gains."""
        if self._stalls(entrant):
            self.drop(entrant.key, entrant.tail.problem, failed=False)

    def _stalls(self, entrant: Entrant) -> bool:
        """Return whether rare stalls cost more than the typical run gains; what is judged may contain them already."""
        covered = self._statistic is not None and self._statistic.covers_tail
        return not covered and not entrant.tail.mean_is_better

    def _leave_out_cold_starts(self) -> None:
        """Leave out the first round of the set for all alike, where it was the slowest by far for each candidate."""
        if self._race_rounds != self._set_began_at + self._baseline_rounds:
            return
        first = self._set_began_at + 1
        new = [entrant for entrant in self._racing() if entrant.joined_at == self._set_began_at]
        if cold_round([entrant.costs for entrant in new], first):
            for entrant in self._entrants.values():
                entrant.pairs.pop(first, None)

    def _drop_outpaced(self) -> None:
        """Drop the candidates that are behind the best by more than noise explains."""
        racing = self._racing()
        ran = self._race_rounds - self._set_began_at
        rounds = set.intersection(*(set(entrant.pairs) for entrant in racing)) if racing else set()
        if ran == 1 and self._min_rounds == MIN_ROUNDS and self._race_rounds in rounds:
            row = {entrant.key: entrant.pairs[self._race_rounds] for entrant in racing}
            self._drop_behind(*outpaced_at_once(row, OUTPACED_LEVEL, self._run_deviation), rounds=1)
            return
        if len(rounds) < 2 or ran < self._min_rounds:
            return
        columns = {entrant.key: [entrant.pairs[number] for number in sorted(rounds)] for entrant in racing}
        if ran >= self._baseline_rounds:
            columns[self.baselines[0]] = [0.0] * len(rounds)
        if len(columns) < 2:
            return
        self._drop_behind(*outpaced(columns, OUTPACED_LEVEL), rounds=len(rounds))

    def _drop_behind(self, best: str, behind: Mapping[str, float], *, rounds: int) -> None:
        """Drop the candidates that are behind the best, each by a logarithm, after so many rounds."""
        after = f"{rounds} round{'s' if rounds > 1 else ''}"
        for key in behind.keys() - {self.baselines[0]}:
            gap = -math.expm1(-behind[key]) * 100
            place = "slower than" if best == self.baselines[0] else "behind"
            self._entrants[key].dropped = f"{gap:.1f} % {place} {best} after {after}"
            self._entrants[key].behind = best

    def _shared(self) -> Scatter:
        """Scatter of the race's pairs, each around its candidate's mean."""
        return sum((Scatter.of(entrant.pairs.values()) for entrant in self._entrants.values()), self._others)

    def _standing(self, entrant: Entrant) -> Standing:
        confirmation = entrant.confirmation
        judged = confirmation is not None and confirmation.outcome is not None
        against = self.baselines[0]
        if confirmation and (judged or len(entrant.pairs) < 2 <= len(confirmation.pairs)):
            rounds, fresh, interval = tuple(confirmation.pairs), True, confirmation.interval()
            against = confirmation.against or against
        else:
            rounds, fresh, interval = tuple(entrant.pairs), False, self._race_interval(entrant)
        stalls = self._won() is entrant and self._stalls(entrant)  # its runs alone were cut short
        return Standing(
            key=entrant.key,
            rounds=rounds,
            fresh=fresh,
            invalid=entrant.reliability.invalid,
            interval=interval,
            verdict=self._verdict(entrant, interval, claims=judged or not fresh),
            dropped=entrant.dropped or (entrant.tail.problem if stalls else None),
            confirmed=entrant.key == self.winner,
            fresh_pairs=len(confirmation.pairs) if confirmation else 0,
            tail=entrant.tail if entrant.tail.runs else None,
            against=against,
        )

    def _verdict(self, entrant: Entrant, interval: Interval | None, *, claims: bool) -> Verdict:
        """Return the verdict; fresh pairs claim nothing before their look."""
        if entrant.failed:
            return "invalid"
        return verdict(interval, self._same_margin) if claims else "undecided"

    def _race_interval(self, entrant: Entrant) -> Interval | None:
        """Return a candidate's interval at its current look; the looks of a series share evenly. None for another
        statistic than the typical run: the race has too few rounds to claim anything of it."""
        if self._statistic is not None:
            return None
        estimate = Estimate.of(list(entrant.pairs.values()), self._shared().lent())
        looks_in_series = self._max_rounds - 1
        series = max(0, len(entrant.pairs) - 2) // looks_in_series
        left = entrant.alpha * (1.0 - _SPENT_AT_ONCE) ** series
        return estimate.interval(left * _SPENT_AT_ONCE / looks_in_series / 2) if estimate is not None else None


def _log_deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of the logarithms of runs; 0 where fewer than two are known."""
    logs = [math.log(value) for value in values if usable(value)]
    return statistics.stdev(logs) if len(logs) > 1 else 0.0


def _valid(value: float | None) -> float | None:
    return value if usable(value) else None
