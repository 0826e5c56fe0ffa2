# SPDX-License-Identifier: MIT
"""Finds the candidates that are behind the best by more than noise explains, from one round or from several that all of
them ran. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from autotune.verdict.stats import student_t_quantile


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


LEAST_IN_A_ROUND = 4
"""Candidates that one round must have, for their scatter to say what noise is."""


def outpaced_at_once(
    row: Mapping[str, float], alpha: float, known_deviation: float = 0.0
) -> tuple[str, dict[str, float]]:
    """Return the best value of one round, and how far behind it each value is that noise does not explain; nothing is
    behind in a round of fewer than `LEAST_IN_A_ROUND`.

    Noise is the standard deviation s of all values but the best, which holds what really differs among them too: so it
    is too large rather than too small. It is no less than `known_deviation`, that of single runs before: a few values
    may lie close together by chance. A value is behind when it is below the best by more than t * s * sqrt(2), with t
    one-sided at `alpha`, and one df less than there are such values."""
    best = max(row, key=lambda key: row[key])
    others = [value for key, value in row.items() if key != best]
    if len(row) < LEAST_IN_A_ROUND:
        return best, {}
    deviation = max(statistics.stdev(others), known_deviation)
    noise = student_t_quantile(1.0 - alpha, len(others) - 1) * deviation * math.sqrt(2)
    return best, {key: row[best] - value for key, value in row.items() if row[best] - value > noise}
