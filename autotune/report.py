# SPDX-License-Identifier: MIT
"""Records -> what people and programs read: table rows, plain text, Markdown, CSV, JSON. Pure.

What always holds here:
- a unit is chosen once per table and values are converted only here;
- text that came from the workload, the kernel or a file is made printable before it becomes part of a line;
- results are shown in the order the session ranked them.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import shlex
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from autotune.budget import Allotment
from autotune.config import duration_flag
from autotune.records import (
    BASELINE,
    Baseline,
    Candidate,
    CandidateResult,
    Interval,
    MachineInfo,
    Observation,
    Prediction,
    Session,
    Spending,
    Verdict,
    Workload,
    knob_text,
    to_json,
)

SCHEMA_VERSION = 1
"""Of the JSON document. Goes up when a field changes its meaning or goes away, not when one is added."""

WALL_METRIC = "wall_s"
"""`Session.metric` when it is wall time."""

ENVIRONMENT_KEPT = frozenset(
    {"PATH", "SHELL", "LANG", "LC_ALL", "PYTHONHASHSEED"}
    | {"CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "RUSTFLAGS"}
    | {"MAKEFLAGS", "CARGO_BUILD_JOBS", "GOMAXPROCS", "OMP_NUM_THREADS"}
)
"""Variables of the workload's environment that the JSON document keeps: those that change how fast programs run.
All others are left out, since an environment holds keys and passwords."""

# --- text ------------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """Text from outside as part of one line: no control characters, no invisible direction marks, no lone
    surrogates, so that it can neither move the cursor nor fail to be encoded."""
    return "".join(_printable_character(character) for character in text)


def _printable_character(character: str) -> str:
    if " " <= character <= "~":
        return character
    if character in "\t\n\r\v\f\u2028\u2029":
        return " "
    category = unicodedata.category(character)
    if category == "Cs":
        return "\ufffd"
    return "" if category in ("Cc", "Cf") else character


def duration_text(seconds: float) -> str:
    """A measured time for a sentence, three or four digits of it: `950 us`, `85.3 ms`, `1.234 s`, `95.1 s`."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1.0:
        return f"{seconds * 1e3:.{2 if seconds < 0.01 else 1}f} ms"
    return f"{seconds:.{3 if seconds < 10 else 2 if seconds < 100 else 1}f} s"


def clock_text(seconds: float) -> str:
    """A span for a progress line: `0:07`, `12:40`, `1:02:40`."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def percent_text(share: float) -> str:
    """A share for a sentence: 0.021 is `2.1 %`, 0.25 is `25 %`."""
    percent = share * 100
    return f"{percent:.0f} %" if abs(percent) >= 9.95 else f"{percent:.1f} %"


def bytes_text(size_bytes: int) -> str:
    """A size of memory for a sentence, in binary units: `3.8 GiB`, `512 MiB`."""
    gib = size_bytes / (1 << 30)
    return f"{gib:.1f} GiB" if gib >= 1 else f"{size_bytes / (1 << 20):.0f} MiB"


def spending_text(spending: Spending) -> str:
    """What planning took: `3 calls, 12,345 tokens (9,876 cached), 0.021 USD`."""
    calls = "1 call" if spending.calls == 1 else f"{spending.calls} calls"
    money = "" if spending.cost_usd is None else f", {spending.cost_usd:.3f} USD"
    return f"{calls}, {spending.tokens:,} tokens ({spending.cache_read_tokens:,} cached){money}"


def spending_sentence(spending: Spending) -> str:
    """The same for the end of a session, with the model and the date of the prices."""
    dated = f" at prices of {spending.prices_as_of}" if spending.prices_as_of else ""
    waited = f"{duration_text(spending.service_s)} of waiting"
    return f"Planned by {printable(spending.model)}: {spending_text(spending)}{dated}, {waited}."


# --- the metric ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """How the metric's values appear in one table. `unit` is empty for a metric of the user's own."""

    unit: str
    factor: float
    decimals: int

    def text(self, value: float) -> str:
        """The value in this scale without the unit; very large and very small ones in scientific notation."""
        shown = value * self.factor
        if shown and not 1e-4 <= abs(shown) < 1e9:
            return f"{shown:.4g}"
        return f"{shown:.{self.decimals}f}"


def scale_for(values: Iterable[float], *, is_time: bool) -> Scale:
    """The scale that suits all the values together: milliseconds when all are below a second, and as many decimals
    as give the smallest about four digits."""
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return Scale("s" if is_time else "", 1.0, 3 if is_time else 0)
    in_ms = is_time and max(sizes) < 1.0
    factor = 1000.0 if in_ms else 1.0
    digits_before = math.floor(math.log10(min(sizes) * factor)) + 1
    whole = not is_time and all(size.is_integer() for size in sizes)
    decimals = 0 if whole else min(3, max(0, 4 - max(1, digits_before)))
    return Scale(("ms" if in_ms else "s") if is_time else "", factor, decimals)


def value_text(value: float, *, is_time: bool) -> str:
    """One value of the metric for a sentence, with its unit."""
    return duration_text(value) if is_time else f"{value:.6g}"


# --- sentences -------------------------------------------------------------------------------------------

_PLACES = {
    "none": "this host",
    "kvm": "a micro-VM with KVM",
    "tcg": "a micro-VM under emulation (slow: only comparisons within it mean something)",
}


def machine_sentence(info: MachineInfo) -> str:
    """Where the runs happen and why there."""
    place = _PLACES[info.acceleration]
    cpus = "1 CPU" if info.cpus == 1 else f"{info.cpus} CPUs"
    facts = f"Linux {info.kernel}, {cpus}, {bytes_text(info.memory_bytes)}"
    why = f": {info.why.rstrip('.')}" if info.why else ""
    return printable(f"Runs on {place}, {facts}{why}.")


def baseline_sentence(baseline: Baseline, *, is_time: bool) -> str:
    """The workload under EEVDF, and what differences can be told apart here."""
    median = value_text(baseline.median, is_time=is_time)
    runs = "1 run" if baseline.runs == 1 else f"{baseline.runs} runs"
    return (
        f"Under EEVDF: median {median} over {runs}, noise {percent_text(baseline.noise)}; "
        f"differences under {percent_text(baseline.floor)} cannot be told apart here."
    )


def allotment_sentence(allotted: Allotment) -> str:
    """How many candidates the budget has room for, and which budget would give all of them all rounds."""
    names = "1 candidate" if allotted.proposed == 1 else f"{allotted.proposed} candidates"
    room = f"all {names}" if allotted.fitting == allotted.proposed else f"{allotted.fitting} of {names}"
    room = names if allotted.fitting == allotted.proposed == 1 else room
    each = f" of about {duration_text(allotted.run_s)} each"
    if allotted.is_complete:
        return f"The budget has room for {room} in {allotted.rounds} rounds{each}, and a confirmation."
    rounds = f" in {allotted.rounds} of {allotted.most_rounds} rounds" if allotted.rounds else ""
    return f"The budget has room for {room}{rounds}{each}; --budget {_budget_text(allotted.wanted_s)} has room for all."


def _budget_text(seconds: float) -> str:
    return duration_flag(seconds)


def observation_sentence(observation: Observation) -> str:
    """What the system did during the baseline, as far as the kernel shows it."""
    facts = [
        f"CPUs {percent_text(observation.cpu_utilisation)} busy",
        f"{observation.parallelism:.1f} of {observation.cpus} used by the command",
        f"{observation.context_switches_per_s:.0f} context switches/s",
        f"{observation.forks_per_s:.0f} forks/s",
    ]
    if observation.pressure_cpu_share is not None:
        facts.append(f"tasks waited for a CPU {percent_text(observation.pressure_cpu_share)} of the time")
    return f"Meanwhile: {', '.join(facts)}."


def recommend(
    results: Sequence[CandidateResult], winner: str | None, baseline: Baseline | None, *, is_time: bool
) -> str:
    """One sentence: what to use, how much better it is and how sure that is; or to stay with EEVDF."""
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
    return f"Use {best.candidate.key}: the command runs {gain} ({interval}), confirmed on fresh runs."


def repeat_command(session: Session, given: Sequence[str] = ()) -> str:
    """The command line that repeats the session's finding, quoted for a shell: with the winner, or with all that
    was tried when nothing won. `given` are options for where and how long to run, which the session's record does
    not keep."""
    workload = session.workload
    argv = ["autotune", "cc", *_workload_flags(workload), *given]
    for key in _keys_to_repeat(session):
        argv += ["--scheduler", key]
    argv += ["--seed", str(session.seed), "--", *command_words(workload)]
    return " ".join(shell_word(word) for word in argv)


def keep_command(session: Session) -> str | None:
    """The command line that keeps the winner attached; None without a winner, and for what a micro-VM found, which
    nothing can be kept of."""
    if session.winner is None or session.machine.kind != "host":
        return None
    return f"autotune apply {shell_word(session.winner)}"


def shell_word(word: str) -> str:
    """The word quoted for a shell, on one line: one with control characters or bytes that are not UTF-8 is written
    as `$'...'` with escapes, which bash, zsh and POSIX shells since 2024 read."""
    if printable(word) == word:
        return shlex.quote(word)
    return f"$'{''.join(_shell_escape(character) for character in word)}'"


def _shell_escape(character: str) -> str:
    if character in "\\'":
        return "\\" + character
    if printable(character) == character:
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))


def command_words(workload: Workload) -> tuple[str, ...]:
    """The command as its user gave it to `autotune cc`: one string for a shell, or an argument vector."""
    as_string = workload.argv == ("sh", "-c", workload.command)
    return (workload.command,) if as_string else workload.argv


def _keys_to_repeat(session: Session) -> list[str]:
    if session.winner is not None:
        return [session.winner]
    return [result.candidate.key for result in session.results if result.candidate.scheduler != BASELINE]


def _workload_flags(workload: Workload) -> list[str]:
    valued = {
        "--setup": workload.setup,
        "--prepare": workload.prepare,
        "--cleanup": workload.cleanup,
        "--input": workload.input_path,
        "--timeout": None if workload.timeout_s is None else f"{workload.timeout_s:g}s",
        "--metric": workload.metric_regex,
    }
    flags = [word for name, value in valued.items() if value is not None for word in (name, value)]
    if workload.metric_regex is not None:
        flags += ["--goal", workload.goal]
    switches = {"--ignore-failure": workload.ignore_failure, "--pristine": workload.pristine}
    return flags + [name for name, on in switches.items() if on]


# --- the table -------------------------------------------------------------------------------------------

RowKind = Literal["winner", "baseline", "faster", "slower", "same", "undecided", "invalid"]


@dataclass(frozen=True)
class Row:
    """One line of the table, as text. `kind` says how a view may colour it."""

    kind: RowKind
    rank: str
    scheduler: str
    knobs: tuple[str, ...]
    median: str
    baseline_median: str
    """EEVDF's over the same rounds."""
    speedup: str
    verdict: str
    runs: str
    note: str

    @property
    def name(self) -> str:
        """Scheduler and knobs as `--scheduler` takes them."""
        return f"{self.scheduler}:{','.join(self.knobs)}" if self.knobs else self.scheduler

    @property
    def cells(self) -> tuple[str, ...]:
        """In the order of `Table.header`."""
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
    """The ranked table: every cell is text and ready to be aligned."""

    header: tuple[str, ...]
    rows: tuple[Row, ...]


def table(results: Sequence[CandidateResult], *, is_time: bool, winner: str | None = None) -> Table:
    """The table of results, in their order; its median columns are in one unit. Beside a candidate's median stands
    EEVDF's of the same rounds: those that the speedup rests on."""
    medians = (median for result in results for median in (result.median, result.baseline_median))
    scale = scale_for((median for median in medians if median is not None), is_time=is_time)
    unit = f" [{scale.unit}]" if scale.unit else ""
    header = ("#", "scheduler", f"median{unit}", f"EEVDF{unit}", "speedup [95 % interval]", "verdict", "runs", "note")
    return Table(header, tuple(_rows(results, scale, winner)))


def session_table(session: Session) -> Table:
    """The table of a session."""
    return table(session.results, is_time=session.metric == WALL_METRIC, winner=session.winner)


def held(prediction: Prediction | None, verdict: Verdict | None) -> bool | None:
    """Whether a prediction came true: only a verdict that tells can say so."""
    if prediction is None or verdict in (None, "undecided", "invalid"):
        return None
    return prediction == verdict


def rank(results: Iterable[CandidateResult], winner: str | None) -> list[CandidateResult]:
    """Results as the table ranks them: the winner, those shown to be faster, EEVDF itself, those not shown to
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


def _rows(results: Sequence[CandidateResult], scale: Scale, winner: str | None) -> Iterable[Row]:
    place = 0
    for result in results:
        counts = result.verdict != "invalid" and result.median is not None
        place += counts
        yield _row(result, str(place) if counts else "-", scale, winner)


def _row(result: CandidateResult, place: str, scale: Scale, winner: str | None) -> Row:
    is_baseline = result.candidate.scheduler == BASELINE
    kind: RowKind = "baseline" if result.verdict is None else result.verdict
    return Row(
        kind="winner" if result.candidate.key == winner else kind,
        rank=place,
        scheduler="EEVDF" if is_baseline else printable(result.candidate.scheduler),
        knobs=knob_texts(result.candidate),
        median="-" if result.median is None else scale.text(result.median),
        baseline_median=_baseline_median(result, scale),
        speedup=("1" if is_baseline else "-") if result.speedup is None else interval_text(result.speedup),
        verdict="baseline" if result.verdict is None else result.verdict,
        runs=str(result.runs),
        note=_note(result, winner),
    )


def _baseline_median(result: CandidateResult, scale: Scale) -> str:
    if result.baseline_median is not None:
        return scale.text(result.baseline_median)
    return "" if result.candidate.scheduler == BASELINE else "-"


def knob_texts(candidate: Candidate) -> tuple[str, ...]:
    """`slice_us=5000` and so on, by name."""
    return tuple(printable(f"{name}={knob_text(value)}") for name, value in sorted(candidate.knobs))


def interval_text(interval: Interval) -> str:
    """`1.084 [1.051, 1.118]`."""
    low, high = _ratio_text(interval.low), _ratio_text(interval.high)
    return f"{_ratio_text(interval.estimate)} [{low}, {high}]"


def _ratio_text(ratio: float) -> str:
    """Five characters at most; intervals of few noisy runs can be very wide."""
    if ratio >= 999.5:
        return ">999"
    return f"{ratio:.{3 if ratio < 9.9995 else 2 if ratio < 99.995 else 1}f}"


def _note(result: CandidateResult, winner: str | None) -> str:
    parts = []
    if result.candidate.key == winner:
        parts.append("confirmed")
    elif result.verdict == "faster" and "not confirmed" not in result.note:
        parts.append("not confirmed")
    if result.note and result.note not in parts:
        parts.append(printable(result.note))
    if result.prediction is not None:
        parts.append(_prediction_text(result))
    if result.invalid_runs and "invalid" not in result.note:
        parts.append("1 invalid run" if result.invalid_runs == 1 else f"{result.invalid_runs} invalid runs")
    if not parts and not result.runs and result.verdict is not None:
        parts.append("not run")
    return "; ".join(parts)


def _prediction_text(result: CandidateResult) -> str:
    """Why it was tried and what was predicted, with what came of that."""
    outcome = {True: "held", False: "did not hold", None: "open"}[result.held]
    reason = printable(result.reason).strip().rstrip(".")
    return f"{reason} (predicted {result.prediction}: {outcome})"


RIGHT_ALIGNED = frozenset({0, 2, 3, 6})
"""Columns of the table that hold numbers: rank, the two medians, runs."""


def plain_table(shown: Table) -> str:
    """The table as aligned text, without anything but printable ASCII of its own."""
    lines = [shown.header, *(row.cells for row in shown.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(shown.header))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column in RIGHT_ALIGNED else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


# --- whole documents -------------------------------------------------------------------------------------


def conclusion(session: Session) -> str:
    """The sentence under the table."""
    is_time = session.metric == WALL_METRIC
    return printable(
        session.recommendation or recommend(session.results, session.winner, session.baseline, is_time=is_time)
    )


def plain_text(session: Session, given: Sequence[str] = ()) -> str:
    """What stands at the end of a session, for a pipe or a file: the table, the recommendation, the command."""
    parts = [plain_table(session_table(session)), ""] if session.results else []
    parts.append(conclusion(session))
    if session.spending is not None:
        parts.append(spending_sentence(session.spending))
    if session.transcript is not None:
        parts.append(f"The conversation: {printable(session.transcript)}")
    if session.results:
        parts.append(f"To repeat it: {repeat_command(session, given)}")
    keep = keep_command(session)
    if keep is not None:
        parts.append(f"To keep it: {keep}")
    return "\n".join(parts)


def markdown(session: Session, given: Sequence[str] = ()) -> str:
    """The report as a Markdown section."""
    shown = session_table(session)
    header = [_markdown_cell(cell) for cell in shown.header]
    rules = ["---:" if column in RIGHT_ALIGNED else ":---" for column in range(len(header))]
    rows = [[_markdown_cell(cell) for cell in row.cells] for row in shown.rows]
    lines = [f"| {' | '.join(cells)} |" for cells in (header, rules, *rows)]
    text = [f"## autotune: {_markdown_text(session.workload.command)}", "", machine_sentence(session.machine), ""]
    if session.baseline is not None:
        text += [baseline_sentence(session.baseline, is_time=session.metric == WALL_METRIC), ""]
    text += [*lines, "", _markdown_text(conclusion(session)), ""]
    if session.spending is not None:
        text += [_markdown_text(spending_sentence(session.spending)), ""]
    text += [f"    {repeat_command(session, given)}", ""]
    return "\n".join(text)


_MARKDOWN_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|#~"})


def _markdown_text(text: str) -> str:
    return printable(text).translate(_MARKDOWN_SPECIAL)


def _markdown_cell(text: str) -> str:
    return _markdown_text(text) or " "


CSV_HEADER = (
    "rank",
    "scheduler",
    "knobs",
    "median",
    "baseline_median",
    "speedup",
    "speedup_low",
    "speedup_high",
    "verdict",
    "confirmed",
    "runs",
    "invalid_runs",
    "note",
    "reason",
)


def csv_text(session: Session) -> str:
    """One line for each candidate and for EEVDF. Numbers are unrounded; the median is in seconds or in the
    metric's own unit; a cell is empty where there is no value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for row, result in zip(session_table(session).rows, session.results, strict=True):
        interval = result.speedup
        bounds = (interval.estimate, interval.low, interval.high) if interval else ("", "", "")
        counts = (str(result.confirmed).lower(), result.runs, result.invalid_runs)
        place = "" if row.rank == "-" else row.rank
        medians = ("" if value is None else value for value in (result.median, result.baseline_median))
        texts = (row.note, printable(result.reason))
        writer.writerow(
            (place, result.candidate.scheduler, ",".join(row.knobs), *medians, *bounds, row.verdict, *counts, *texts)
        )
    return out.getvalue()


# --- JSON ------------------------------------------------------------------------------------------------


def session_json(session: Session) -> dict[str, Any]:
    """The document that `--json` writes, as docs/JSON.md describes it. Infinite bounds become the largest number
    JSON can carry, what is not a number becomes null, and of the environment only `ENVIRONMENT_KEPT` is in it."""
    env = {name: value for name, value in session.workload.env.items() if name in ENVIRONMENT_KEPT}
    document = to_json(dataclasses.replace(session, workload=dataclasses.replace(session.workload, env=env)))
    finite: dict[str, Any] = _finite(document)
    return finite


def json_text(session: Session) -> str:
    """The document as ASCII text, ending in a newline."""
    return json.dumps(session_json(session), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else math.copysign(sys.float_info.max, value)
    return value


def schema() -> dict[str, Any]:
    """The JSON schema of the document, made from the records; the descriptions are their docstrings."""
    from pydantic import TypeAdapter

    from autotune import records

    document = TypeAdapter(Session).json_schema()
    notes = _field_notes(records.__file__)
    for name, definition in {**document.get("$defs", {}), "Session": document}.items():
        for field_name, shape in definition.get("properties", {}).items():
            if (name, field_name) in notes:
                shape["description"] = notes[name, field_name]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"version {SCHEMA_VERSION}",
        **document,
    }


def schema_text() -> str:
    """The text of docs/session.schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


def _field_notes(source_path: str) -> dict[tuple[str, str], str]:
    """The strings that follow fields in the classes of a Python file, by class and field."""
    import ast
    from pathlib import Path

    notes = {}
    classes = (n for n in ast.parse(Path(source_path).read_text()).body if isinstance(n, ast.ClassDef))
    for owner in classes:
        for item, after in zip(owner.body, owner.body[1:], strict=False):
            target = item.target if isinstance(item, ast.AnnAssign) else None
            note = after.value if isinstance(after, ast.Expr) else None
            if isinstance(target, ast.Name) and isinstance(note, ast.Constant):
                notes[owner.name, target.id] = " ".join(str(note.value).split())
    return notes
