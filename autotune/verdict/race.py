# SPDX-License-Identifier: MIT
"""The policy of a session's trials: who runs in the next round, who leaves, who is confirmed, what is claimed.

A state machine without clock, chance of its own (the generator is given) or I/O: `next_round` says what to run,
`record` takes the values, until nothing is left to run.

    race = Race(keys, goal="min", rng=random.Random(seed))
    while True:
        while (round := race.next_round()) is not None:
            race.record({key: run(key) for key in round.order})
        if race.done:
            break
        more = planner.propose(race.standings())        # a set is finished
        race.add(more) if more else race.begin_confirm()

Racing only chooses; confirmation judges. This keeps the risk of a false claim at `alpha` (0.05) in spite of
peeking at every round, of candidates that come later, and of choosing the best of many:

- *Winner.* The leader of the race runs fresh pairs. At a look it has won when its interval lies above 1, has lost
  when its estimate is not above 1, from half of the pairs on not a standard error above it, and otherwise runs on to
  the next look. After how many pairs
  the looks come is fixed when the confirmation begins (without a word about it after `CONFIRM_ROUNDS` and twice as
  many), and they share alpha evenly. The rounds that chose it do not count. If it drops out (it crashes), the next
  best is confirmed with what is left of alpha.
- *Faster and slower in the race.* A set of candidates may spend 3/4 of the alpha that earlier sets left, shared
  evenly by its candidates. A candidate's share is spent over its looks, one each time it has one more pair (from
  the second on): the first `max_rounds - 1` looks share 3/4 of it evenly, the next as many 3/4 of the rest, and
  so on. So intervals hold at whatever round a candidate stopped, and no verdict changes when others are added.
- *Leaving the race* claims nothing; a wrong decision costs power, never a false winner. Therefore it may assume
  that all runs of a set have the same relative noise, which lets three rounds of seven decide what three pairs
  alone cannot: after `min_rounds` rounds, whoever is behind the best (of the candidates and the baseline) by more
  than noise explains, at one-sided alpha over the set's candidates and looks, leaves.

A set is finished when at most one candidate is left in it, or after `max_rounds` rounds. In the next set the
leader alone goes on, as the one to beat; the others rest: they run no more, yet may still be confirmed.

The defaults were chosen by simulation (tests/integration/test_race_simulation.py): with six candidates and 2 % noise
they find one that is 5 % better in 99 of 100 sessions with about 38 runs; more rounds find it hardly more often.
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
"""Rounds of a set at most."""

CONFIRM_ROUNDS = 5
"""Fresh pairs before the first look of a confirmation whose looks are not given; the second and last one comes after
twice as many."""

ALPHA = 0.05
"""Risk of a false claim in a session."""

INVALID_IN_A_ROW = 2
INVALID_IN_ALL = 3
"""A candidate (or the baseline) with so many invalid trials, in a row or in all, is dropped."""

_SPENT_AT_ONCE = 0.75
"""Share of what is left of alpha that one set of candidates, or one series of looks, may spend."""

_WORTH_ANOTHER_LOOK = 1.0
"""Standard errors above 1 that a look must show for another, from half of the pairs on."""


@dataclass(frozen=True)
class Round:
    """What to run next: every key of `order` once, in that order. `number` counts from 1 within the phase; the
    phase has `at_most` rounds as far as is known now (lost rounds of a confirmation may be made up for)."""

    phase: Literal["race", "confirm"]
    number: int
    at_most: int
    order: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """Where a candidate stands. Its intervals come from its fresh rounds once its confirmation has ended, from the
    race before that; they are None with fewer than two pairs."""

    key: str
    rounds: tuple[int, ...]
    """Rounds whose pairs the intervals rest on: those of the confirmation when `fresh`, else of the race."""
    fresh: bool
    """The intervals come from its fresh rounds: it has been through a confirmation, won or lost, or the budget ended
    one after a race of less than two pairs. The latter claims nothing."""
    invalid: int
    """Invalid trials, race and confirmation together."""
    interval: Interval | None
    """At the corrected confidence: what the verdict rests on."""
    plain: Interval | None
    """The same estimate with its 95 % interval, not corrected, for people to read."""
    verdict: Verdict
    dropped: str | None
    """Why it left the race; None while it is in, or rests."""
    confirmed: bool
    """It won its confirmation."""
    first_round: int | None
    """Rounds of the race it was first and last run in; None before."""
    last_round: int | None

    @property
    def pairs(self) -> int:
        """Pairs that the intervals rest on."""
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
    """A candidate in the race. Pairs are logarithms of speedups, by number of round."""

    key: str
    alpha: float
    pairs: dict[int, float] = field(default_factory=dict)
    reliability: _Reliability = field(default_factory=_Reliability)
    failed: bool = False
    """Dropped for what it did, not for being behind: its times mean nothing."""
    dropped: str | None = None
    resting: bool = False
    first_round: int | None = None
    last_round: int | None = None

    @property
    def estimate(self) -> float:
        """Mean logarithm of the speedup; minus infinity without a pair."""
        return math.fsum(self.pairs.values()) / len(self.pairs) if self.pairs else -math.inf

    @property
    def racing(self) -> bool:
        return self.dropped is None and not self.resting


@dataclass
class _Confirmation:
    """Fresh rounds of the one candidate that may win. `alpha` is what its looks may spend together; they come after
    `looks_at` pairs."""

    key: str
    alpha: float
    looks_at: tuple[int, ...]
    pairs: dict[int, float] = field(default_factory=dict)
    """Logarithms of speedups, by number of round."""
    looks: int = 0
    outcome: Literal["won", "lost"] | None = None

    @property
    def confidence(self) -> float:
        """Of the interval at one look."""
        return 1.0 - self.alpha / len(self.looks_at)

    @property
    def alpha_left(self) -> float:
        return self.alpha * (1 - self.looks / len(self.looks_at))

    @property
    def pairs_left(self) -> int:
        """Pairs until the last look."""
        return self.looks_at[-1] - len(self.pairs)

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
    """The trials of one session; the module's text says how. Keys are those of `records.Candidate`.

    Raises ValueError for arguments that cannot be (fewer than two rounds, unknown or repeated keys) and for calls
    out of turn: those are mistakes of the program, not of the user."""

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
        """Let more candidates in; they and the leader run a new set of rounds. Not after `begin_confirm`."""
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
        """What to run next, with the baseline always among it; None when the set is finished (`set_finished`) or
        everything is (`done`). Each round must be recorded before the next is asked for."""
        self._refuse_open_round()
        if self.done or self.set_finished:
            return None
        order = [BASELINE, *self._keys_to_run()]
        self._rng.shuffle(order)
        if self._confirmation is None:
            self._race_rounds += 1
            self._open = Round("race", self._race_rounds, self._set_ends_at, tuple(order))
        else:
            self._confirm_rounds_run += 1
            most = self._confirm_rounds_run - 1 + self._confirmation.pairs_left
            self._open = Round("confirm", self._confirm_rounds_run, most, tuple(order))
        return self._open

    def record(self, values: Mapping[str, float | None]) -> None:
        """Take the metric of every key of the open round: None for an invalid trial; a value no ratio can be taken
        of (zero, negative, not finite) is invalid too. Keys dropped during the round may be left out."""
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
        """Take a candidate out for good, also in the middle of a round: it failed, was ejected, cannot be
        attached; or, not `failed`, the user does not want it. If it was being confirmed, the next best takes its
        place. The first reason stays."""
        entrant = self._entrants.get(key)
        if entrant is None:
            raise ValueError(f"{key!r} is not a candidate of this race")
        if entrant.dropped is not None:
            return
        entrant.dropped, entrant.failed = reason, failed
        if self._confirmation and self._confirmation.key == key and self._confirmation.outcome is None:
            self._choose_for_confirmation(self._confirmation.alpha_left)

    def rename(self, old: str, new: str) -> None:
        """Let another candidate run in place of one that has not run yet, also in the middle of a round."""
        entrant = self._entrants.get(old)
        if entrant is None or entrant.pairs or new in self._entrants or new == BASELINE:
            raise ValueError(f"{old!r} cannot become {new!r}")
        entrant.key = new
        self._entrants = {new if key == old else key: one for key, one in self._entrants.items()}
        if self._open is not None:
            order = tuple(new if key == old else key for key in self._open.order)
            self._open = dataclasses.replace(self._open, order=order)

    def begin_confirm(self, looks_at: Sequence[int] | None = None) -> str | None:
        """End racing and let the leader be confirmed, with a look after each number of fresh pairs in `looks_at`,
        which must not depend on what those pairs show. Returns its key, or None when no candidate has an estimate
        above 1: then there is no winner and the race is done. May be called before a set is finished (the budget
        ends). Once only."""
        self._refuse_open_round()
        if self._confirming:
            raise ValueError("confirmation has begun already")
        if looks_at is not None:
            self._looks_at = _checked_looks(looks_at)
        self._confirming = True
        self._choose_for_confirmation(self._alpha)
        return self._confirmation.key if self._confirmation else None

    # --- what there is to know ---

    @property
    def set_finished(self) -> bool:
        """The current set needs no more rounds: `add` candidates or `begin_confirm`."""
        if self._confirming:
            return False
        racing = self._racing()
        if len(racing) > 1:
            return self._race_rounds >= self._set_ends_at
        return self._race_rounds >= self._set_ends_at or all(len(e.pairs) >= self._min_rounds for e in racing)

    @property
    def done(self) -> bool:
        """Nothing is left to run or to decide: the confirmation is over, there was nothing to confirm, or the
        baseline keeps failing (`baseline_failed`)."""
        if self.baseline_failed:
            return True
        return self._confirming and (self._confirmation is None or self._confirmation.outcome is not None)

    @property
    def baseline_failed(self) -> bool:
        """The baseline was invalid so often that nothing can be compared with it."""
        return self._baseline.lost

    @property
    def racing(self) -> int:
        """Candidates that run in the next round of the race."""
        return len(self._racing())

    @property
    def leader(self) -> str | None:
        """The candidate being confirmed, or else the one in the race with the best estimate; None without any.
        Those with fewer pairs than `min_rounds` count only while there are no others."""
        if self._confirmation is not None:
            return self._confirmation.key
        known = [entrant for entrant in self._entrants.values() if entrant.dropped is None and entrant.pairs]
        settled = [entrant for entrant in known if len(entrant.pairs) >= self._min_rounds]
        best = max(settled or known, key=lambda entrant: entrant.estimate, default=None)
        return best.key if best else None

    @property
    def winner(self) -> str | None:
        """The candidate that won its confirmation; None when there is none, or not yet."""
        confirmation = self._confirmation
        won = confirmation is not None and confirmation.outcome == "won"
        return confirmation.key if confirmation and won and not self._entrants[confirmation.key].dropped else None

    def standings(self) -> list[Standing]:
        """All candidates, best first: the winner, then by estimate; those without an estimate and those that
        failed come last."""
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

    def _keys_to_run(self) -> list[str]:
        if self._confirmation is not None:
            return [self._confirmation.key]
        return [entrant.key for entrant in self._racing()]

    def _record_one(self, entrant: _Entrant, opened: Round, baseline: float | None, value: float | None) -> None:
        entrant.reliability.count(value is not None)
        if opened.phase == "race":
            entrant.first_round = entrant.first_round or opened.number
            entrant.last_round = opened.number
        if entrant.reliability.lost:
            self.drop(entrant.key, f"{entrant.reliability.invalid} invalid runs")
        elif baseline is not None and value is not None:
            pair = log_speedup(baseline, value, self._goal)
            if opened.phase == "race":
                entrant.pairs[opened.number] = pair
            elif self._confirmation is not None and self._confirmation.key == entrant.key:
                self._confirmation.add(opened.number, pair)

    def _drop_outpaced(self) -> None:
        """Those that are behind the best by more than noise explains leave the race."""
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
            first_round=entrant.first_round,
            last_round=entrant.last_round,
        )

    def _knows_more(self, confirmation: _Confirmation, entrant: _Entrant) -> bool:
        """A confirmation that the budget ended before its look has an interval, and the race had too few pairs."""
        return confirmation.key == entrant.key and len(entrant.pairs) < 2 <= len(confirmation.pairs)

    def _verdict(
        self, entrant: _Entrant, interval: Interval | None, plain: Interval | None, *, claims: bool
    ) -> Verdict:
        """Fresh pairs claim nothing before their look."""
        if entrant.failed:
            return "invalid"
        return verdict(interval, plain, self._same_margin) if claims else "undecided"

    def _race_confidence(self, entrant: _Entrant) -> float:
        """Confidence of a candidate's interval at the look it stands at; the looks of a series share alike."""
        looks_in_series = self._max_rounds - 1
        series = max(0, len(entrant.pairs) - 2) // looks_in_series
        left = entrant.alpha * (1.0 - _SPENT_AT_ONCE) ** series
        return 1.0 - left * _SPENT_AT_ONCE / looks_in_series


def outpaced(columns: Mapping[str, Sequence[float]], alpha: float) -> tuple[str, dict[str, float]]:
    """The best column by its mean, and how far each column that noise does not explain is behind it.

    Columns are candidates, rows the rounds that all of them ran, two or more of each. Taking out the means of rows
    and columns leaves the noise, which all columns share: an analysis of variance of a randomised block design. A
    column is behind when its mean is below the best by more than t * s * sqrt(2 / rows), t one-sided at `alpha`
    for one comparison."""
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
    """The noise floor of a session: relative difference below which a winner cannot be told from the baseline,
    even by the second look of its confirmation. `noise` is the relative standard deviation of a run (0.02)."""
    looks = 2
    floor = noise_floor(noise, looks * confirm_rounds, looks, 1.0 - alpha)
    assert floor is not None
    return floor


def _checked_looks(looks_at: Sequence[int]) -> tuple[int, ...]:
    """Raises ValueError unless there is a look, none comes before the second pair, and each comes after the last."""
    looks = tuple(looks_at)
    if not looks or looks[0] < 2 or any(after <= before for before, after in itertools.pairwise(looks)):
        raise ValueError(f"no confirmation looks after {looks} pairs")
    return looks


def _valid(value: float | None) -> float | None:
    return value if usable(value) else None
