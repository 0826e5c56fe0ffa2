# SPDX-License-Identifier: MIT
"""Order of results, and the recommendation from them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from autotune.records import (
    BASELINE,
    Baseline,
    CandidateResult,
    Interval,
    Outlook,
    Prediction,
    Verdict,
    point_text,
)
from autotune.verdict.confirm import FIRST_LOOK_PAIRS, pairs_to_show
from autotune.verdict.stats import excludes_one, percent_text, ratio_text
from autotune.verdict.tail import unseen_share


def recommend(
    results: Sequence[CandidateResult],
    winner: str | None,
    baseline: Baseline | None,
    outlook: Outlook | None = None,
    *,
    is_time: bool,
    min_effect: float = 0.0,
    statistic: str = "typical",
) -> str:
    """Return what to use, how much better it is and how sure that is; or to stay with EEVDF, what is excluded, and what
    would show more; and at which value of the workload's parameters EEVDF does best."""
    says = _recommended(results, winner, baseline, outlook, is_time, min_effect, statistic)
    return " ".join([says, *_best_values(results, winner)])


def _recommended(
    results: Sequence[CandidateResult],
    winner: str | None,
    baseline: Baseline | None,
    outlook: Outlook | None,
    is_time: bool,
    min_effect: float,
    statistic: str,
) -> str:
    if baseline is None:
        return "Nothing can be said: the session ended before the baseline was known."
    if all(result.speedup is None for result in results if result.candidate.scheduler != BASELINE):
        return "Nothing can be said: no scheduler ran often enough to be compared with EEVDF."
    best = next((result for result in results if result.candidate.key == winner), None)
    if best is not None and best.speedup is not None:
        what = "the command runs" if statistic == "typical" else f"the {statistic} of the command's runs is"
        good = f"times as {'fast' if is_time else 'good'} as under {_eevdf(best, baseline)}"
        return " ".join([_won(best, best.speedup, min_effect, (what, good)), *_faster_but(results)])
    breakers = _faster_but(results)
    if breakers:
        return " ".join(["Stay with EEVDF: what is faster here breaks a guard.", *breakers])
    leader = next((one for one in results if outlook is not None and one.candidate.key == outlook.candidate), None)
    if outlook is None or leader is None or leader.speedup is None:
        return "Stay with EEVDF: no scheduler was shown to beat it here."
    return f"Stay with EEVDF. Not shown: {_not_shown(leader, leader.speedup, outlook)}"


def _eevdf(result: CandidateResult, baseline: Baseline) -> str:
    """Name what a result is compared with."""
    if result.against is None:
        return "EEVDF"
    point = result.against.removeprefix(BASELINE).strip()
    return f"EEVDF with {point}, its best value" if point == point_text(baseline.params) else f"EEVDF with {point}"


def _best_values(results: Sequence[CandidateResult], winner: str | None) -> list[str]:
    """Return a sentence on EEVDF's best value, where there are several; none where the winner's sentence says it."""
    values = [one for one in results if one.candidate.scheduler == BASELINE]
    best = next((one for one in values if one.verdict is None), None)
    if best is None or len(values) < 2:
        return []
    near = [point_text(one.candidate.params) for one in values if one is not best and one.verdict != "slower"]
    if winner is not None and not near:
        return []
    also = f"; {' and '.join(near)} may be as good" if near else ""
    return [f"EEVDF does best with {point_text(best.candidate.params)}{also}."]


def _faster_but(results: Sequence[CandidateResult]) -> list[str]:
    """Return a sentence for each candidate that was faster in fresh rounds and broke a guard."""
    shown = [one for one in results if one.verdict == "faster" and one.fresh_pairs and one.but and one.speedup]
    return [f"{one.candidate.short} is faster, {_place(one.speedup)}, but {one.but}." for one in shown if one.speedup]


def _place(speedup: Interval) -> str:
    return f"{ratio_text(speedup.estimate)} [{ratio_text(speedup.low)}, {ratio_text(speedup.high)}]"


def _not_judged(best: CandidateResult) -> list[str]:
    """Return a sentence on guards of the winner that could not be judged, and might have been."""
    open_ones = [one for one in best.guards if one.outcome == "not judged" and (one.chosen or one.pairs)]
    if not open_ones:
        return []
    named = "; ".join(f"{one.name} ({one.reason})" for one in open_ones)
    return [f"Guards that could not be judged: {named}."]


def _won(best: CandidateResult, speedup: Interval, min_effect: float, words: tuple[str, str]) -> str:
    """Say what to use. `words` go before and after the number."""
    gain = f"{words[0]} {ratio_text(speedup.estimate)} {words[1]}"
    interval = f"{speedup.confidence * 100:.3g} % interval {ratio_text(speedup.low)} to {ratio_text(speedup.high)}"
    at = f" with {point_text(best.candidate.params)}" if best.candidate.params else ""
    name = f"{best.candidate.alone.short}{at}"
    sure = f"Use {name}: {gain} ({interval}), confirmed on fresh runs."
    if speedup.estimate < 1.0 + min_effect:
        sure = (
            f"Stay with EEVDF: under {name} {gain} ({interval}), confirmed on fresh "
            f"runs, but that is less than the {percent_text(min_effect)} of --min-effect."
        )
    return " ".join([sure, *([_tail(best)] if best.slowest is not None else []), *_not_judged(best)])


def _tail(best: CandidateResult) -> str:
    """Say what the runs could show of rare stalls."""
    return (
        f"The slowest of its {best.runs} runs took {best.slowest:.2f} x the median; "
        f"stalls in fewer than {unseen_share(best.runs)} runs could not have shown."
    )


def _not_shown(leader: CandidateResult, speedup: Interval, outlook: Outlook) -> str:
    """Say where the leader stands, which gains are excluded, and what would show its gain."""
    place = _place(speedup)
    if excludes_one(speedup) == "faster":  # and yet no winner
        return f"the typical run of {leader.candidate.short} is faster, at {place}; {leader.note}."
    excluded = (
        f"gains over {percent_text(speedup.high - 1.0)} are excluded" if speedup.high > 1.0 else "a gain is excluded"
    )
    known = f"the leader {leader.candidate.short} is at {place} after {leader.fresh_pairs} fresh pairs; {excluded}."
    least = outlook.least_gain
    if least and speedup.high < 1.0 + least:
        return f"{known} So is the {percent_text(least)} of --min-effect."
    if outlook.more_pairs is None or outlook.more_s is None:
        return known
    minutes, seconds = divmod(math.ceil(outlook.more_s), 60)
    more = f"{outlook.more_pairs} more pairs (about {minutes}:{seconds:02})"
    if least and speedup.estimate < 1.0 + least:
        return f"{known} If its gain is {percent_text(least)}, as --min-effect wants, {more} would show it."
    return f"{known} If its gain is real, {more} would show it."


MOST_MORE_PAIRS = 200
"""Nobody runs more pairs for one gain."""


def more_pairs(speedup: Interval, pair_deviation: float | None, had: int, least_gain: float = 0.0) -> int | None:
    """Return how many pairs more than it `had` would show a gain with a probability of 80 %: that of the estimate, and
    at least `least_gain`. None where there is no gain, one so large is excluded, or more than `MOST_MORE_PAIRS` would
    be needed."""
    if speedup.estimate <= 1.0 or not pair_deviation or speedup.high < 1.0 + least_gain:
        return None
    gain_log = math.log(max(speedup.estimate, 1.0 + least_gain))
    more = max(FIRST_LOOK_PAIRS, pairs_to_show(gain_log, pair_deviation) - had)
    return more if more <= MOST_MORE_PAIRS else None


def came_true(prediction: Prediction | None, verdict: Verdict | None) -> bool | None:
    """Return whether a prediction came true; None when the verdict does not show it."""
    if prediction is None or verdict in (None, "undecided", "invalid"):
        return None
    return prediction == verdict


def rank(results: Iterable[CandidateResult], winner: str | None, leader: str | None = None) -> list[CandidateResult]:
    """Sort results as the table shows them: the winner, those shown to be faster, EEVDF itself, those not shown to
    differ, the slower, the invalid. So only a proven gain ranks above EEVDF. In each group the `leader` of a session
    without a winner comes first, then those that had fresh rounds, the rest by estimate."""

    def place(result: CandidateResult) -> tuple[int, bool, bool, float]:
        estimate = result.speedup.estimate if result.speedup else 0.0
        group = 0 if result.candidate.key == winner else _PLACE[result.verdict]
        return group, result.candidate.key != leader, result.fresh_pairs == 0, -estimate

    return sorted(results, key=place)


_PLACE: dict[Verdict | None, int] = {
    "faster": 1,
    None: 2,  # the baseline
    "same": 3,
    "undecided": 3,
    "slower": 4,
    "invalid": 5,
}
