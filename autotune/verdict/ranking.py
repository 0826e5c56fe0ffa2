# SPDX-License-Identifier: MIT
"""Order of results, and the recommendation from them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autotune.records import (
    Baseline,
    CandidateResult,
    Prediction,
    Verdict,
)
from autotune.verdict.stats import percent_text


def recommend(
    results: Sequence[CandidateResult], winner: str | None, baseline: Baseline | None, *, is_time: bool
) -> str:
    """Return one sentence: what to use, how much better it is and how sure that is; or to stay with EEVDF."""
    if baseline is None:
        return "Nothing can be said: the session ended before the baseline was known."
    if all(result.speedup is None for result in results):
        return "Nothing can be said: no scheduler ran often enough to be compared with EEVDF."
    best = next((result for result in results if result.candidate.key == winner), None)
    if best is None or best.speedup is None:
        floor = percent_text(baseline.floor)
        return f"Stay with EEVDF: no scheduler was shown to beat it here (differences under {floor} do not show)."
    speedup = best.speedup
    gain = f"{speedup.estimate:.3g} times as {'fast' if is_time else 'good'} as under EEVDF"
    interval = f"{speedup.confidence * 100:.3g} % interval {speedup.low:.3g} to {speedup.high:.3g}"
    return f"Use {best.candidate.short}: the command runs {gain} ({interval}), confirmed on fresh runs."


def held(prediction: Prediction | None, verdict: Verdict | None) -> bool | None:
    """Return whether a prediction came true; None when the verdict does not show it."""
    if prediction is None or verdict in (None, "undecided", "invalid"):
        return None
    return prediction == verdict


def rank(results: Iterable[CandidateResult], winner: str | None) -> list[CandidateResult]:
    """Sort results as the table shows them: the winner, those shown to be faster, EEVDF itself, those not shown to
    differ, the slower, the invalid; each group by its estimate. So only a proven gain ranks above EEVDF."""

    def place(result: CandidateResult) -> tuple[int, float]:
        estimate = result.speedup.estimate if result.speedup else 0.0
        return (0 if result.candidate.key == winner else _PLACE[result.verdict], -estimate)

    return sorted(results, key=place)


_PLACE: dict[Verdict | None, int] = {
    "faster": 1,
    None: 2,  # the baseline
    "same": 3,
    "undecided": 3,
    "slower": 4,
    "invalid": 5,
}
