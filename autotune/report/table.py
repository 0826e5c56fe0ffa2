# SPDX-License-Identifier: MIT
"""The ranked table as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from autotune.frozen import dataclass
from autotune.records import (
    BASELINE,
    Candidate,
    CandidateResult,
    Interval,
    MetricResult,
    knob_text,
    point_text,
)
from autotune.report.text import Scale, counted, printable, scale_for, value_text
from autotune.verdict.stats import ratio_text

RowKind = Literal["winner", "baseline", "faster", "slower", "same", "undecided", "invalid"]


@dataclass(frozen=True)
class Row:
    """One line of the table, as text. `kind` says how a view may colour it; `rank` counts only what was shown to differ
    from EEVDF, and EEVDF."""

    kind: RowKind
    rank: str
    scheduler: str
    knobs: tuple[str, ...]
    median: str
    baseline_median: str
    """EEVDF's median over the same rounds."""
    speedup: str
    verdict: str
    runs: str
    note: str
    interval: Interval | None = None
    """What `speedup` says; None without one, and for EEVDF."""
    params: tuple[str, ...] = ()
    """Values of the workload's parameters: `jobs=8`."""

    @property
    def name(self) -> str:
        """The candidate as `--scheduler` takes it, followed by the values of the workload's parameters."""
        setting = f"{self.scheduler}:{','.join(self.knobs)}" if self.knobs else self.scheduler
        return " ".join((setting, *self.params))

    @property
    def parts(self) -> tuple[str, ...]:
        """What may stand below the scheduler where the name is too long for a line."""
        return (*self.knobs, *self.params)

    @property
    def cells(self) -> tuple[str, ...]:
        """Cells in the order of `Table.header`."""
        return (
            self.rank,
            self.name,
            self.median,
            self.baseline_median,
            self.speedup,
            self.verdict,
            self.runs,
            self.note,
        )


@dataclass(frozen=True)
class Table:
    """The ranked table; every cell is text."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]


def table(results: Sequence[CandidateResult], *, is_time: bool, winner: str | None = None, of: str = "median") -> Table:
    """Return the table of results, in their order; `of` is what the columns of values show. Both have the same unit;
    EEVDF's value is of the same rounds as the candidate's, those that the speedup rests on."""
    medians = (median for result in results for median in (result.median, result.baseline_median))
    scale = scale_for((median for median in medians if median is not None), is_time=is_time)
    unit = f" [{scale.unit}]" if scale.unit else ""
    header = ("#", "scheduler", f"{of}{unit}", f"EEVDF{unit}", "speedup [interval]", "verdict", "runs", "note")
    return Table(header, tuple(_rows(results, scale, winner)))


def _rows(results: Sequence[CandidateResult], scale: Scale, winner: str | None) -> Iterable[Row]:
    place = 0
    for result in results:
        is_ranked = result.verdict in (None, "faster", "slower") and result.median is not None
        place += is_ranked
        rank = str(place) if is_ranked else "=" if result.verdict in ("same", "undecided") and result.speedup else "-"
        yield _row(result, rank, scale, winner)


def _row(result: CandidateResult, place: str, scale: Scale, winner: str | None) -> Row:
    is_baseline = result.verdict is None
    eevdf = result.baseline_median
    kind: RowKind = "baseline" if result.verdict is None else result.verdict
    return Row(
        kind="winner" if result.candidate.key == winner else kind,
        rank=place,
        scheduler="EEVDF" if result.candidate.scheduler == BASELINE else printable(result.candidate.scheduler),
        knobs=_knobs(result.candidate),
        median="-" if result.median is None else scale.text(result.median),
        baseline_median=("" if is_baseline else "-") if eevdf is None else scale.text(eevdf),
        speedup=("1" if is_baseline else "-") if result.speedup is None else interval_text(result.speedup),
        verdict=verdict_text(result),
        runs=str(result.runs),
        note=_note(result, winner),
        interval=result.speedup,
        params=tuple(printable(point_text((one,))) for one in result.candidate.params),
    )


def _knobs(candidate: Candidate) -> tuple[str, ...]:
    """Return the settings as `--scheduler` takes them: those of a profile by its name."""
    if candidate.profile:
        return (f"mode={printable(candidate.profile)}",)
    return tuple(printable(f"{name}={knob_text(value)}") for name, value in sorted(candidate.knobs))


def interval_text(interval: Interval) -> str:
    """Format an interval: `1.084 [1.051, 1.118]`."""
    low, high = ratio_text(interval.low), ratio_text(interval.high)
    return f"{ratio_text(interval.estimate)} [{low}, {high}]"


def _note(result: CandidateResult, winner: str | None) -> str:
    parts = []
    if result.candidate.key == winner:
        parts.append("confirmed")
    elif result.verdict == "faster" and "not confirmed" not in result.note and not (result.but and result.fresh_pairs):
        parts.append("not confirmed")
    if result.note and result.note not in parts:
        parts.append(printable(result.note))
    if result.verdict == "faster" and result.but and result.but not in result.note:
        parts.append(printable(result.but))
    parts += [_metric_text(metric) for metric in result.metrics]
    if result.prediction is not None:
        parts.append(_prediction_text(result))
    if result.invalid_runs and "invalid" not in result.note:
        parts.append(counted(result.invalid_runs, "invalid run"))
    if result.disturbed_runs:
        parts.append(counted(result.disturbed_runs, "disturbed run"))
    if not parts and not result.runs and result.verdict is not None:
        parts.append("not run")
    return "; ".join(parts)


def verdict_text(result: CandidateResult) -> str:
    """Return the verdict in words; a candidate that breaks a guard is `faster, but`, and the note says what."""
    if result.verdict is None:
        return "baseline"
    return "faster, but" if result.verdict == "faster" and result.but else result.verdict


def _metric_text(metric: MetricResult) -> str:
    eevdf = "" if metric.baseline_median is None else f" (EEVDF {value_text(metric.baseline_median, is_time=False)})"
    return f"{printable(metric.name)} {value_text(metric.median, is_time=False)}{eevdf}"


def _prediction_text(result: CandidateResult) -> str:
    """Return the reason of a candidate, its prediction, and whether that came true."""
    outcome = {True: "came true", False: "did not come true", None: "open"}[result.held]
    reason = printable(result.reason).strip().rstrip(".")
    return f"{reason} (predicted {result.prediction}: {outcome})"


def footnote(*, is_time: bool, of: str = "median") -> str:
    """Return a sentence on the columns, to stand below the table; `of` is what the columns of values show."""
    if of != "median":
        return (
            f"speedup: EEVDF's {of} over the scheduler's, or the inverse where more is better; above 1 is better. Its "
            f"interval is the one that the verdict used. EEVDF: its {of} in the same rounds."
        )
    ratio = "EEVDF's time over the scheduler's" if is_time else "the gain over EEVDF as a ratio"
    return (
        f"speedup: {ratio}, round by round; above 1 is better. Its interval is the one that the verdict used. "
        "EEVDF: its median in the same rounds. =: not shown to differ from EEVDF."
    )


RIGHT_ALIGNED = frozenset({0, 2, 3, 6})
"""Columns of numbers: rank, the two medians, runs."""


def plain_table(shown: Table) -> str:
    """Return the table as aligned text; it adds nothing but spaces and newlines to the cells."""
    lines = [shown.header, *(row.cells for row in shown.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(shown.header))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column in RIGHT_ALIGNED else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()
