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
        race.add(more) if more else race.begin_confirm()

The race only picks a leader; the confirmation decides. This keeps the risk of a false claim at `alpha` (0.05), although
results are looked at after every round, candidates join later, and the best of many is picked:

- *Winner.* The leader runs fresh pairs; the rounds that picked it do not count. At each look it wins if its interval
  lies above 1. It loses if its estimate is at most 1 or, from half of the pairs on, less than one standard error above
  1. Otherwise it runs on to the next look, and loses at the last one. The looks are fixed when the confirmation begins
  (by default after `CONFIRM_ROUNDS` pairs and after twice as many) and share alpha evenly. If the leader fails, the
  next best is confirmed with the alpha that is left.
- *Faster and slower in the race.* A set of candidates may spend 3/4 of the alpha that earlier sets left; its candidates
  share that evenly. A candidate has a look at each pair from the second on. Its first `max_rounds - 1` looks share 3/4
  of its alpha evenly, the next as many share 3/4 of the rest, and so on. So an interval holds at whatever round a
  candidate stopped, and no verdict changes when candidates are added.
- *Dropping* claims nothing: a wrong decision costs power, never a false winner. So it may assume that all runs of a set
  have the same relative noise, and three rounds of seven runs decide what three pairs alone cannot. After `min_rounds`
  rounds, a candidate is dropped if it is behind the best (candidate or baseline) by more than noise explains, at
  one-sided alpha divided by the set's candidates and looks.

A set is finished when at most one candidate is left in it, or after `max_rounds` rounds. In the next set only the
leader goes on, as the one to beat. The others rest: they run no more, yet may still be confirmed.

Sources. Racing: Birattari et al., "A racing algorithm for configuring metaheuristics" (GECCO 2002). Spending alpha over
looks: Lan and DeMets, "Discrete sequential boundaries for clinical trials" (Biometrika 70, 1983). Shares of alpha add
up by Bonferroni's inequality, which holds however looks and candidates depend on each other: Dunn, "Multiple
comparisons among means" (JASA 56, 1961).

The defaults were chosen by simulation (tests/integration/test_race_simulation.py): with six candidates and 2 % noise
they find one that is 5 % better in 99 of 100 sessions, in about 38 runs. More rounds hardly help.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from autotune.records import BASELINE, Goal, Interval, Verdict
from autotune.verdict.stats import (
    CONFIDENCE,
    SAME_MARGIN,
    excludes_one,
    log_speedup,
    mean_and_error,
    noise_floor,
    speedup_interval,
    student_t_quantile,
    usable,
    verdict,
)

MIN_ROUNDS = 3
"""Rounds of a set before anything is decided about its candidates."""

MAX_ROUNDS = 4
"""Most rounds of a set."""

CONFIRM_ROUNDS = 5
"""Fresh pairs before the first look of a confirmation, by default. The second and last look comes after twice as
many."""

ALPHA = 0.05
"""Risk of a false claim in a session."""

INVALID_IN_A_ROW = 2
INVALID_IN_ALL = 3
"""Invalid trials, in a row or in all, after which a candidate (or the baseline) is dropped."""

_SPENT_AT_ONCE = 0.75
"""Share of the remaining alpha that one set of candidates, or one series of looks, may spend."""

_WORTH_ANOTHER_LOOK = 1.0
"""Standard errors above 1 that a look must show to go on, from half of the pairs on."""


@dataclass(frozen=True)
class Round:
    """One round to run: every key of `order` once, in that order. `number` counts from 1 within the phase. `at_most`
    is the number of rounds of the phase as known now; a confirmation may repeat invalid ones."""

    phase: Literal["race", "confirm"]
    number: int
    at_most: int
    order: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """A candidate's standing. Its intervals come from its fresh rounds once its confirmation has ended, and from the
    race before that. They are None with fewer than two pairs."""

    key: str
    rounds: tuple[int, ...]
    """Rounds that the intervals rest on: of the confirmation when `fresh`, else of the race."""
    fresh: bool
    """True when the intervals come from fresh rounds: its confirmation was won or lost, or was ended by the budget
    after a race of fewer than two pairs. The last claims nothing."""
    invalid: int
    """Invalid trials, race and confirmation together."""
    interval: Interval | None
    """Interval at the corrected confidence, which the verdict rests on."""
    plain: Interval | None
    """The same estimate with its uncorrected 95 % interval, for people to read."""
    verdict: Verdict
    dropped: str | None
    """Reason why it was dropped; None while it races or rests."""
    confirmed: bool
    """True when it won its confirmation."""

    @property
    def pairs(self) -> int:
        """Number of pairs that the intervals rest on."""
        return len(self.rounds)


@dataclass
class _Reliability:
    """Counts the invalid trials of one key."""

    invalid: int = 0
    in_a_row: int = 0

    def count(self, valid: bool) -> None:
        self.invalid += not valid
        self.in_a_row = 0 if valid else self.in_a_row + 1

    @property
    def lost(self) -> bool:
        return self.in_a_row >= INVALID_IN_A_ROW or self.invalid >= INVALID_IN_ALL


@dataclass
class _Entrant:
    """A candidate in the race. `pairs` are logarithms of speedups, by round."""

    key: str
    alpha: float
    pairs: dict[int, float] = field(default_factory=dict)
    reliability: _Reliability = field(default_factory=_Reliability)
    failed: bool = False
    """Dropped for a failure, not for being behind: its times mean nothing."""
    dropped: str | None = None
    resting: bool = False

    @property
    def estimate(self) -> float:
        """Mean logarithm of the speedup; minus infinity without a pair."""
        return math.fsum(self.pairs.values()) / len(self.pairs) if self.pairs else -math.inf

    @property
    def racing(self) -> bool:
        return self.dropped is None and not self.resting


@dataclass
class _Confirmation:
    """Fresh rounds of the one candidate that may win. Its looks come after `looks_at` pairs and together may spend
    `alpha`."""

    key: str
    alpha: float
    looks_at: tuple[int, ...]
    pairs: dict[int, float] = field(default_factory=dict)
    """Logarithms of speedups, by round."""
    looks: int = 0
    outcome: Literal["won", "lost"] | None = None

    @property
    def confidence(self) -> float:
        """Confidence of the interval at one look."""
        return 1.0 - self.alpha / len(self.looks_at)

    @property
    def alpha_left(self) -> float:
        return self.alpha * (1 - self.looks / len(self.looks_at))

    def add(self, number: int, pair: float) -> None:
        self.pairs[number] = pair
        if len(self.pairs) == self.looks_at[self.looks]:
            self.looks += 1
            self.outcome = self._look()

    def _look(self) -> Literal["won", "lost"] | None:
        pairs = list(self.pairs.values())
        interval = speedup_interval(pairs, self.confidence)
        if interval is not None and excludes_one(interval) == "faster":
            return "won"
        mean, error = mean_and_error(pairs)
        is_early = 2 * len(pairs) < self.looks_at[-1]  # with so few pairs a small gain often does not show yet
        hopeless = mean <= (0.0 if is_early else _WORTH_ANOTHER_LOOK * error)
        return "lost" if hopeless or self.looks == len(self.looks_at) else None


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
        confirm_rounds: int = CONFIRM_ROUNDS,
        alpha: float = ALPHA,
        same_margin: float = SAME_MARGIN,
    ) -> None:
        if not 2 <= min_rounds <= max_rounds or confirm_rounds < 2 or not 0.0 < alpha < 1.0:
            raise ValueError(f"no race with {min_rounds=} {max_rounds=} {confirm_rounds=} {alpha=}")
        self._goal = goal
        self._rng = rng
        self._min_rounds = min_rounds
        self._max_rounds = max_rounds
        self._looks_at: tuple[int, ...] = (confirm_rounds, 2 * confirm_rounds)
        self._alpha = alpha
        self._same_margin = same_margin
        self._entrants: dict[str, _Entrant] = {}
        self._baseline = _Reliability()
        self._alpha_for_sets = alpha
        self._set_size = 0
        self._set_ends_at = 0
        self._race_rounds = 0
        self._confirm_rounds_run = 0
        self._open: Round | None = None
        self._confirming = False
        self._confirmation: _Confirmation | None = None
        self.add(candidates)

    # --- what the tuner calls ---

    def add(self, candidates: Iterable[str]) -> None:
        """Add candidates; they and the leader run a new set of rounds. Not after `begin_confirm`."""
        keys = list(candidates)
        self._refuse_open_round()
        if self._confirming:
            raise ValueError("no candidate can join once confirmation has begun")
        if len(set(keys)) < len(keys) or self._entrants.keys() & {*keys} or BASELINE in keys:
            raise ValueError(f"candidates must be new and named once: {keys}")
        if not keys:
            return
        leader = self.leader
        for entrant in self._entrants.values():
            entrant.resting = entrant.dropped is None and entrant.key != leader
        share = self._alpha_for_sets * _SPENT_AT_ONCE
        self._alpha_for_sets -= share
        self._entrants.update((key, _Entrant(key, share / len(keys))) for key in keys)
        self._set_size = len(self._racing())
        self._set_ends_at = self._race_rounds + self._max_rounds

    def next_round(self) -> Round | None:
        """Return the next round, which always includes the baseline; None when the set is finished (`set_finished`) or
        all is (`done`). Each round must be recorded before the next call."""
        self._refuse_open_round()
        if self.done or self.set_finished:
            return None
        confirmation = self._confirmation
        keys = [entrant.key for entrant in self._racing()] if confirmation is None else [confirmation.key]
        order = [BASELINE, *keys]
        self._rng.shuffle(order)
        if confirmation is None:
            self._race_rounds += 1
            self._open = Round("race", self._race_rounds, self._set_ends_at, tuple(order))
        else:
            self._confirm_rounds_run += 1
            pairs_left = confirmation.looks_at[-1] - len(confirmation.pairs)
            most = self._confirm_rounds_run - 1 + pairs_left
            self._open = Round("confirm", self._confirm_rounds_run, most, tuple(order))
        return self._open

    def record(self, values: Mapping[str, float | None]) -> None:
        """Record the metric of every key of the open round. None is an invalid trial; so is a value that has no ratio
        (zero, negative, not finite). Keys dropped during the round may be left out."""
        opened = self._open
        if opened is None:
            raise ValueError("no round is open")
        expected = {key for key in opened.order if key == BASELINE or self._entrants[key].dropped is None}
        if not expected <= values.keys() <= set(opened.order):
            raise ValueError(f"values of {sorted(values)} do not fit the round {opened.order}")
        self._open = None
        baseline = _valid(values[BASELINE])
        self._baseline.count(baseline is not None)
        for key in opened.order:
            if key in expected and key != BASELINE:
                self._record_one(self._entrants[key], opened, baseline, _valid(values[key]))
        if opened.phase == "race":
            self._drop_outpaced()

    def drop(self, key: str, reason: str, *, failed: bool = True) -> None:
        """Drop a candidate for good, also in the middle of a round: it failed, was ejected, or cannot be attached; not
        `failed`: the user does not want it. If it was being confirmed, the next best takes its place. Only the first
        reason is kept."""
        entrant = self._entrants.get(key)
        if entrant is None:
            raise ValueError(f"{key!r} is not a candidate of this race")
        if entrant.dropped is not None:
            return
        entrant.dropped, entrant.failed = reason, failed
        if self._confirmation and self._confirmation.key == key and self._confirmation.outcome is None:
            self._choose_for_confirmation(self._confirmation.alpha_left)

    def rename(self, old: str, new: str) -> None:
        """Replace a candidate that has not run yet by another, also in the middle of a round."""
        entrant = self._entrants.get(old)
        if entrant is None or entrant.pairs or new in self._entrants or new == BASELINE:
            raise ValueError(f"{old!r} cannot become {new!r}")
        entrant.key = new
        self._entrants = {new if key == old else key: one for key, one in self._entrants.items()}
        if self._open is not None:
            order = tuple(new if key == old else key for key in self._open.order)
            self._open = dataclasses.replace(self._open, order=order)

    def begin_confirm(self, looks_at: Sequence[int] | None = None) -> str | None:
        """End racing and begin to confirm the leader, with a look after each number of fresh pairs in `looks_at`, which
        must not depend on those pairs. Return its key, or None when no candidate has an estimate above 1: then there
        is no winner and the race is done. May be called before a set is finished (the budget ends), but only once."""
        self._refuse_open_round()
        if self._confirming:
            raise ValueError("confirmation has begun already")
        if looks_at is not None:
            self._looks_at = _checked_looks(looks_at)
        self._confirming = True
        self._choose_for_confirmation(self._alpha)
        return self._confirmation.key if self._confirmation else None

    # --- state ---

    @property
    def set_finished(self) -> bool:
        """True when the current set needs no more rounds: `add` candidates or `begin_confirm`."""
        if self._confirming:
            return False
        racing = self._racing()
        if len(racing) > 1:
            return self._race_rounds >= self._set_ends_at
        return self._race_rounds >= self._set_ends_at or all(len(e.pairs) >= self._min_rounds for e in racing)

    @property
    def done(self) -> bool:
        """True when nothing is left to run: the confirmation is over, there was nothing to confirm, or the baseline
        keeps failing (`baseline_failed`)."""
        if self.baseline_failed:
            return True
        return self._confirming and (self._confirmation is None or self._confirmation.outcome is not None)

    @property
    def baseline_failed(self) -> bool:
        """True when the baseline was invalid so often that nothing can be compared with it."""
        return self._baseline.lost

    @property
    def racing(self) -> int:
        """Number of candidates in the next round of the race."""
        return len(self._racing())

    @property
    def leader(self) -> str | None:
        """Key of the candidate being confirmed, or else of the one with the best estimate; None without any. Candidates
        with fewer than `min_rounds` pairs count only while there are no others."""
        if self._confirmation is not None:
            return self._confirmation.key
        known = [entrant for entrant in self._entrants.values() if entrant.dropped is None and entrant.pairs]
        settled = [entrant for entrant in known if len(entrant.pairs) >= self._min_rounds]
        best = max(settled or known, key=lambda entrant: entrant.estimate, default=None)
        return best.key if best else None

    @property
    def winner(self) -> str | None:
        """Key of the candidate that won its confirmation; None when there is none, or not yet."""
        confirmation = self._confirmation
        won = confirmation is not None and confirmation.outcome == "won"
        return confirmation.key if confirmation and won and not self._entrants[confirmation.key].dropped else None

    def standings(self) -> list[Standing]:
        """Return all candidates, best first: the winner, then by estimate; last those without an estimate and those
        that failed."""
        entrants = self._entrants.values()
        standings = {entrant.key: self._standing(entrant) for entrant in entrants}

        def rank(entrant: _Entrant) -> tuple[bool, bool, float]:
            plain = standings[entrant.key].plain
            return entrant.key != self.winner, entrant.failed, -plain.estimate if plain else math.inf

        return [standings[entrant.key] for entrant in sorted(entrants, key=rank)]

    # --- inside ---

    def _refuse_open_round(self) -> None:
        if self._open is not None:
            raise ValueError(f"round {self._open.number} has not been recorded")

    def _racing(self) -> list[_Entrant]:
        return [entrant for entrant in self._entrants.values() if entrant.racing]

    def _record_one(self, entrant: _Entrant, opened: Round, baseline: float | None, value: float | None) -> None:
        entrant.reliability.count(value is not None)
        if entrant.reliability.lost:
            self.drop(entrant.key, f"{entrant.reliability.invalid} invalid runs")
        elif baseline is not None and value is not None:
            pair = log_speedup(baseline, value, self._goal)
            if opened.phase == "race":
                entrant.pairs[opened.number] = pair
            elif self._confirmation is not None and self._confirmation.key == entrant.key:
                self._confirmation.add(opened.number, pair)

    def _drop_outpaced(self) -> None:
        """Drop the candidates that are behind the best by more than noise explains."""
        racing = self._racing()
        rounds = set.intersection(*(set(entrant.pairs) for entrant in racing)) if racing else set()
        if len(rounds) < self._min_rounds:
            return
        columns = {entrant.key: [entrant.pairs[number] for number in sorted(rounds)] for entrant in racing}
        columns[BASELINE] = [0.0] * len(rounds)
        looks = self._max_rounds - self._min_rounds + 1
        best, behind = outpaced(columns, self._alpha / (looks * self._set_size))
        for key in behind.keys() - {BASELINE}:
            gap = -math.expm1(-behind[key]) * 100
            place = "slower than" if best == BASELINE else "behind"
            self._entrants[key].dropped = f"{gap:.1f} % {place} {best} after {len(rounds)} rounds"

    def _choose_for_confirmation(self, alpha: float) -> None:
        self._confirmation = None
        leader = self.leader
        if leader is not None and self._entrants[leader].estimate > 0.0 and alpha > 0.0:
            self._confirmation = _Confirmation(leader, alpha, self._looks_at)

    def _standing(self, entrant: _Entrant) -> Standing:
        confirmation = self._confirmation
        judged = confirmation is not None and confirmation.key == entrant.key and confirmation.outcome is not None
        if confirmation and (judged or self._knows_more(confirmation, entrant)):
            pairs, confidence, fresh = confirmation.pairs, confirmation.confidence, True
        else:
            pairs, confidence, fresh = entrant.pairs, self._race_confidence(entrant), False
        interval = speedup_interval(list(pairs.values()), confidence)
        plain = speedup_interval(list(pairs.values()), CONFIDENCE)
        return Standing(
            key=entrant.key,
            rounds=tuple(pairs),
            fresh=fresh,
            invalid=entrant.reliability.invalid,
            interval=interval,
            plain=plain,
            verdict=self._verdict(entrant, interval, plain, claims=judged or not fresh),
            dropped=entrant.dropped,
            confirmed=entrant.key == self.winner,
        )

    def _knows_more(self, confirmation: _Confirmation, entrant: _Entrant) -> bool:
        """Return whether only the confirmation, which the budget ended before a look, has an interval."""
        return confirmation.key == entrant.key and len(entrant.pairs) < 2 <= len(confirmation.pairs)

    def _verdict(
        self, entrant: _Entrant, interval: Interval | None, plain: Interval | None, *, claims: bool
    ) -> Verdict:
        """Return the verdict; fresh pairs claim nothing before their look."""
        if entrant.failed:
            return "invalid"
        return verdict(interval, plain, self._same_margin) if claims else "undecided"

    def _race_confidence(self, entrant: _Entrant) -> float:
        """Return the confidence of a candidate's interval at its current look; the looks of a series share evenly."""
        looks_in_series = self._max_rounds - 1
        series = max(0, len(entrant.pairs) - 2) // looks_in_series
        left = entrant.alpha * (1.0 - _SPENT_AT_ONCE) ** series
        return 1.0 - left * _SPENT_AT_ONCE / looks_in_series


def outpaced(columns: Mapping[str, Sequence[float]], alpha: float) -> tuple[str, dict[str, float]]:
    """Return the best column by its mean, and how far behind it each column is that noise does not explain.

    Columns are candidates, rows are the rounds that all of them ran; at least two of each. A column is behind when its
    mean is below the best by more than

        t * s * sqrt(2 / rows),   t one-sided at `alpha` with (rows - 1) * (columns - 1) df,

    where s is the noise that remains without the means of rows and columns: the least significant difference of a
    randomised complete block design (Montgomery, Design and Analysis of Experiments, chapter 4)."""
    rows = list(zip(*columns.values(), strict=True))
    count, width = len(rows), len(columns)
    means = {key: math.fsum(column) / count for key, column in columns.items()}
    grand = math.fsum(means.values()) / width
    squares = 0.0
    for row in rows:
        level = math.fsum(row) / width - grand
        squares += sum((value - mean - level) ** 2 for value, mean in zip(row, means.values(), strict=True))
    df = (count - 1) * (width - 1)
    noise = student_t_quantile(1.0 - alpha, df) * math.sqrt(squares / df * 2 / count)
    best = max(means, key=lambda key: means[key])
    return best, {key: means[best] - mean for key, mean in means.items() if means[best] - mean > noise}


def confirmable(noise: float, confirm_rounds: int = CONFIRM_ROUNDS, alpha: float = ALPHA) -> float:
    """Return the noise floor of a session: the relative difference that even the second look of a confirmation cannot
    detect. `noise` is the relative standard deviation of a run (0.02)."""
    looks = 2
    floor = noise_floor(noise, looks * confirm_rounds, looks, 1.0 - alpha)
    assert floor is not None
    return floor


def _checked_looks(looks_at: Sequence[int]) -> tuple[int, ...]:
    """Raise ValueError unless there is a look, none comes before the second pair, and their pairs increase."""
    looks = tuple(looks_at)
    if not looks or looks[0] < 2 or any(after <= before for before, after in itertools.pairwise(looks)):
        raise ValueError(f"no confirmation looks after {looks} pairs")
    return looks


def _valid(value: float | None) -> float | None:
    return value if usable(value) else None
