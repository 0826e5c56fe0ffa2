# SPDX-License-Identifier: MIT
"""Sentences of a report, and documents of a session: plain text, CSV, JSON. Pure.

What always holds here:
- a unit is chosen once per table, and values are converted only here;
- text from the workload, the kernel or a file is made printable before it becomes part of a line;
- results are shown in the order of the session's ranking.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from autotune.config import duration_flag
from autotune.records import (
    BASELINE,
    Allotment,
    Baseline,
    Candidate,
    CandidateResult,
    MachineInfo,
    Observation,
    Session,
    Spending,
    Workload,
    point_text,
)
from autotune.report import kernel_events, program, sweep, why
from autotune.report.bound import reached_sentence
from autotune.report.continuing import continue_step, continues_sentence
from autotune.report.table import Table, footnote, plain_table, table
from autotune.report.text import bytes_text, counted, duration_text, printable, sentence, shell_word, value_text
from autotune.verdict import guards
from autotune.verdict.ranking import recommend
from autotune.verdict.stats import percent_text
from autotune.wire import to_json

SCHEMA_VERSION = 2
"""Version of the JSON document. Raised when a field changes its meaning or is removed, not when one is added."""

WALL_METRIC = "wall_s"
"""`Session.metric` when it is wall time."""

BUSY = "This machine is busy"
SLOWED = "This machine is slowed down"
DISTURBED = "Runs were disturbed from outside"
CAUTIONS = (BUSY, SLOWED, DISTURBED)
"""Beginnings of the warnings that every report repeats, since they are about all numbers."""

ENVIRONMENT_KEPT = frozenset(
    {"PATH", "SHELL", "LANG", "LC_ALL", "PYTHONHASHSEED"}
    | {"CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "RUSTFLAGS"}
    | {"MAKEFLAGS", "CARGO_BUILD_JOBS", "GOMAXPROCS", "OMP_NUM_THREADS"}
)
"""Environment variables that the JSON document keeps: those that change how fast programs run. All others are left out,
since an environment may contain keys and passwords."""

# --- the cost of planning ----------------------------------------------------------------------------------


def spending_text(spending: Spending) -> str:
    """Format the cost of planning: `3 calls, 12,345 tokens (9,876 cached), 0.021 USD`."""
    calls = counted(spending.calls, "call")
    money = "" if spending.cost_usd is None else f", {spending.cost_usd:.3f} USD"
    return f"{calls}, {spending.tokens:,} tokens ({spending.cache_read_tokens:,} cached){money}"


def spending_sentence(spending: Spending) -> str:
    """Return the cost of planning as a sentence, with the model and the date of the prices."""
    dated = f" at prices of {spending.prices_as_of}" if spending.prices_as_of else ""
    waited = f"{duration_text(spending.service_s)} of waiting"
    return f"Planned by {printable(spending.model)}: {spending_text(spending)}{dated}, {waited}."


# --- sentences -------------------------------------------------------------------------------------------

_PLACES = {
    "none": "this host",
    "kvm": "a micro-VM with KVM",
    "tcg": "a micro-VM under emulation (slow: only comparisons within it mean something)",
}


def named_command(workload: Workload) -> str:
    """Return the command, after the name that the user gave it."""
    command = printable(workload.command)
    return f"{printable(workload.name)}: {command}" if workload.name else command


def machine_sentence(info: MachineInfo) -> str:
    """Return a sentence on the machine of the runs, and why it was chosen."""
    place = _PLACES[info.acceleration]
    facts = f"Linux {info.kernel}, {counted(info.cpus, 'CPU')}, {bytes_text(info.memory_bytes)}"
    why = f": {info.why}" if info.why else ""
    return sentence(printable(f"Runs on {place}, {facts}{why}"))


def baseline_sentence(baseline: Baseline, *, is_time: bool) -> str:
    """Return a sentence on the baseline, and the gain that this budget will find."""
    median = value_text(baseline.median, is_time=is_time)
    where = f" with {printable(point_text(baseline.params))}" if baseline.params else ""
    runs, noise = counted(baseline.runs, "run"), percent_text(baseline.noise)
    known = f"Under EEVDF{where}: median {median} over {runs}, noise {noise}"
    return f"{known}. {detectable_sentence(baseline)}"


def detectable_sentence(baseline: Baseline) -> str:
    """Return a sentence on the gain that is likely to be found with this budget."""
    if baseline.detectable is None:
        known = "This budget has no room to confirm a gain"
        return (
            f"{known}." if baseline.wanted_s is None else f"{known}; --budget {duration_flag(baseline.wanted_s)} has."
        )
    known = f"With this budget, gains from about {percent_text(baseline.detectable)} on are found 8 times of 10"
    if baseline.wanted_s is None:
        return f"{known}."
    wanted = f"those of {percent_text(baseline.min_effect)} (--min-effect)"
    return f"{known}; {wanted} with --budget {duration_flag(baseline.wanted_s)}."


def allotment_sentence(allotted: Allotment) -> str:
    """Return a sentence on how many candidates fit into the budget, and which budget would give all of them all
    rounds."""
    names = counted(allotted.proposed, "candidate")
    room = f"all {names}" if allotted.fitting == allotted.proposed else f"{allotted.fitting} of {names}"
    if allotted.fitting == allotted.proposed <= 2:
        room = names if allotted.proposed == 1 else "both candidates"
    each = f" of about {duration_text(allotted.run_s)} each"
    if allotted.is_complete:
        return f"The budget has room for {room} in {allotted.rounds} rounds{each}, and a confirmation."
    rounds = f" in {allotted.rounds} of {allotted.most_rounds} rounds" if allotted.rounds else ""
    wanted = duration_flag(allotted.wanted_s)
    return f"The budget has room for {room}{rounds}{each}; --budget {wanted} has room for all."


def observation_sentence(observation: Observation) -> str:
    """Return a sentence on the activity of the system during the baseline, as far as the kernel shows it."""
    facts = [
        f"CPUs {percent_text(observation.cpu_utilisation)} busy",
        f"{observation.parallelism:.1f} of {observation.cpus} used by the command",
        f"{observation.context_switches_per_s:.0f} context switches/s",
        f"{observation.forks_per_s:.0f} forks/s",
    ]
    if observation.pressure_cpu_share is not None:
        facts.append(f"tasks waited for a CPU {percent_text(observation.pressure_cpu_share)} of the time")
    return f"Meanwhile: {', '.join(facts)}."


def repeat_command(session: Session, given: Sequence[str] = (), *, seeded: bool = True) -> str:
    """Return the command line that repeats the session, quoted for a shell: with the winner, or with all candidates
    when nothing won. `given` are the options for where and how long to run, which the session's record does not
    keep."""
    workload = session.workload
    argv = ["cc", *_workload_flags(workload), *given]
    tried = [result.candidate for result in session.results if result.candidate.scheduler != BASELINE]
    chosen = [one for one in tried if one.key == session.winner] or tried
    for name in dict.fromkeys(one.alone.short for one in chosen):
        argv += ["--scheduler", name]
    argv += ["--seed", str(session.seed)] if seeded else []
    argv += ["--", *command_words(workload)]
    return " ".join((program.called(), *(shell_word(word) for word in argv)))


def cautions(session: Session) -> list[str]:
    """Return the warnings to read beside the result."""
    return [printable(warning) for warning in session.warnings if warning.startswith(CAUTIONS)]


def next_step(session: Session, given: Sequence[str] = ()) -> list[str]:
    """Return what to do when nothing won: a sentence, and a command to copy where there is one. Empty with a winner,
    and for a session that ended early and cannot be continued."""
    if session.ended_early:
        return ["Next: --no-early-end tries schedulers all the same."]
    if session.winner is not None or session.interrupted or session.failure is not None or session.baseline is None:
        return continue_step(session)
    tried = [result for result in session.results if result.candidate.scheduler != BASELINE]
    faster_but = next((one for one in tried if one.verdict == "faster" and one.fresh_pairs and one.but), None)
    if faster_but is not None:
        return _wider_guards(session, faster_but, given)
    ahead = [one for one in tried if one.verdict == "undecided" and one.speedup is not None and one.speedup.high > 1]
    if not tried:
        return _larger_budget(session, given)
    more = [] if _is_hopeless(session) else continue_step(session)
    if more:
        return more
    if ahead and not _is_hopeless(session):
        leader = max(ahead, key=lambda one: (one.fresh_pairs, one.speedup.estimate if one.speedup else 0.0))
        says = f"Next: {printable(leader.candidate.short)} is undecided; to measure it for longer:"
        return [says, closer_command(session, leader.candidate, given)]
    if all(one.verdict == "invalid" for one in tried):
        return [
            "Next: no candidate ran without fault; the notes say why, and 'autotune doctor' what this machine lacks."
        ]
    return ["Next: keep EEVDF, or try others: 'autotune schedulers' lists them, --scheduler NAME tries one."]


def _larger_budget(session: Session, given: Sequence[str]) -> list[str]:
    """Return how to give a session more time that had none for a candidate."""
    wanted_s = session.baseline.wanted_s if session.baseline is not None else None
    if wanted_s is None:
        return ["Next: give a larger --budget, so that candidates can be tried."]
    if session.planner == "user":  # the record does not name those that were not tried
        return [f"Next: give --budget {duration_flag(wanted_s)}, so that candidates can be tried."]
    return ["Next: give a larger --budget, so that candidates can be tried:", short_command(session, wanted_s, given)]


def _wider_guards(session: Session, candidate: CandidateResult, given: Sequence[str]) -> list[str]:
    """Return how to accept what a candidate costs."""
    accepted = guards.widened(session.workload.guards, candidate.guards)
    workload = dataclasses.replace(session.workload, guards=accepted)
    says = f"Next: keep EEVDF; or, if you accept what {printable(candidate.candidate.short)} costs:"
    return [says, closer_command(dataclasses.replace(session, workload=workload), candidate.candidate, given)]


def _is_hopeless(session: Session) -> bool:
    """Return whether a leader was confirmed in vain and no reasonable number of runs would show its gain."""
    return session.outlook is not None and session.outlook.more_pairs is None


def closer_command(session: Session, candidate: Candidate, given: Sequence[str] = ()) -> str:
    """Return the command line that measures one candidate alone: for as long as would show the leader's gain, or else
    twice as long as this session."""
    wanted_s = 60.0 * max(2, math.ceil(session.elapsed_s / 30))
    if session.outlook is not None and session.outlook.candidate == candidate.key:
        wanted_s = session.outlook.budget_s or wanted_s
    return short_command(session, wanted_s, given, ("--scheduler", candidate.alone.short))


_CHANGES_RESULTS = frozenset({"--machine", "--cpus", "--memory", "--kernel", "--warmup", "--statistic", "--min-effect"})
"""Settings that a short command keeps. The others say how to plan or how long to run."""


def short_command(session: Session, budget_s: float, given: Sequence[str] = (), options: Sequence[str] = ()) -> str:
    """Return a command line that is short enough to copy: the same command measured with another budget and further
    `options`, and of the options of this session only those that change what a run does or where."""
    pairs = zip(given[::2], given[1::2], strict=False)
    kept = [word for pair in pairs if pair[0] in _CHANGES_RESULTS for word in pair]
    workload = dataclasses.replace(session.workload, name="", metrics=())
    argv = ["cc", "--budget", duration_flag(budget_s), *options, *kept, *_workload_flags(workload)]
    return " ".join((program.called(), *(shell_word(word) for word in [*argv, "--", *command_words(workload)])))


def keep_command(session: Session) -> str | None:
    """Return the command line that keeps the winner attached; None without a winner, and for a session in a micro-VM,
    whose scheduler cannot be kept."""
    if session.winner is None or session.machine.kind != "host" or not session.is_worth_it:
        return None
    won = next((one.candidate for one in session.results if one.candidate.key == session.winner), None)
    return f"{program.called()} apply {shell_word(won.alone.short if won else session.winner)}"


def command_words(workload: Workload) -> tuple[str, ...]:
    """Return the command as the user gave it to `autotune cc`: one string for a shell, or an argument vector."""
    return (workload.command,) if workload.shell else workload.argv


def _workload_flags(workload: Workload) -> list[str]:
    valued = {
        "--command-name": workload.name or None,
        "--shell": shell_flag(workload),
        "--setup": workload.setup,
        "--prepare": workload.prepare,
        "--conclude": workload.conclude,
        "--cleanup": workload.cleanup,
        "--input": workload.input_path,
        "--timeout": None if workload.timeout_s is None else f"{workload.timeout_s:g}s",
        "--metric": workload.metric_regex,
    }
    flags = [word for name, value in valued.items() if value is not None for word in (name, value)]
    if workload.metric_regex is not None:
        flags += ["--goal", workload.goal]
    flags += [word for metric in workload.metrics for word in ("--metric", metric.regex)]
    flags += guards.flags(workload.guards)
    flags += sweep.flags(workload)
    ignored = f"={','.join(map(str, workload.ignored_exits))}" if workload.ignored_exits else ""
    switches = {f"--ignore-failure{ignored}": workload.ignore_failure, "--pristine": workload.pristine}
    return flags + [name for name, on in switches.items() if on]


def shell_flag(workload: Workload) -> str | None:
    """Return the value of `--shell`; None where the command's words alone say how it is run."""
    if not workload.shell:
        return "none" if len(workload.argv) == 1 else None
    return None if workload.shell == ("sh",) else shlex.join(workload.shell)


# --- the table -------------------------------------------------------------------------------------------


def session_table(session: Session) -> Table:
    """Return the table of a session."""
    return table(session.results, is_time=session.metric == WALL_METRIC, winner=session.winner, of=judged_of(session))


def judged_of(session: Session) -> str:
    """Return what the columns of values show: `median`, or the statistic that was judged instead."""
    return "median" if session.statistic == "typical" else session.statistic


def session_footnote(session: Session) -> str:
    """Return what the columns of the session's table mean."""
    known = footnote(is_time=session.metric == WALL_METRIC, of=judged_of(session))
    return " ".join([known, *sweep.footnotes(session)])


def heading(session: Session) -> list[str]:
    """Return the line above the table: the name that the user gave the command; none without one."""
    return [printable(session.workload.name)] if session.workload.name else []


# --- whole documents -------------------------------------------------------------------------------------


def conclusion(session: Session) -> str:
    """Return the sentence under the table."""
    is_time = session.metric == WALL_METRIC
    return printable(
        session.recommendation
        or recommend(
            session.results,
            session.winner,
            session.baseline,
            session.outlook,
            is_time=is_time,
            min_effect=session.min_effect,
            statistic=session.statistic,
        )
    )


def why_lines(session: Session) -> list[str]:
    """Return what was possible beside what was reached, why the winner won, and what the kernel counted of those that
    lost; no lines where that is not known."""
    said = reached_sentence(session)
    return [*([] if said is None else [said]), *why.lines(session), *kernel_events.sentences(session)]


def plain_text(session: Session, given: Sequence[str] = ()) -> str:
    """Return the report for a pipe or a file: the table, the recommendation, the command that repeats it."""
    shown = [plain_table(session_table(session)), "", session_footnote(session), *continues_sentence(session), ""]
    parts = [*heading(session), *shown]
    parts = parts if session.results else heading(session)
    parts += [conclusion(session), *why_lines(session), *cautions(session), *next_step(session, given)]
    if session.spending is not None and session.spending.calls:
        parts.append(spending_sentence(session.spending))
    if session.transcript is not None:
        parts.append(f"The conversation: {printable(session.transcript)}")
    if session.results:
        parts.append(f"To repeat it: {repeat_command(session, given)}")
    keep = keep_command(session)
    if keep is not None:
        parts.append(f"To keep it: {keep}")
    parts += sweep.winner_lines(session)
    return "\n".join(parts)


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
"""Followed by `parameter_NAME` for each parameter of the workload, as in hyperfine."""


def csv_text(session: Session) -> str:
    """Return the table as CSV, one line for each candidate and for EEVDF. Numbers are not rounded; the median is in
    seconds or in the metric's own unit; a cell without a value is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*CSV_HEADER, *(f"parameter_{one.name}" for one in session.workload.parameters)))
    for row, result in zip(session_table(session).rows, session.results, strict=True):
        interval = result.speedup
        bounds = (interval.estimate, interval.low, interval.high) if interval else ("", "", "")
        counts = (str(result.confirmed).lower(), result.runs, result.invalid_runs)
        place = row.rank if row.rank.isdigit() else ""
        medians = ("" if value is None else value for value in (result.median, result.baseline_median))
        texts = (row.note, printable(result.reason), *(printable(value) for _, value in result.candidate.params))
        writer.writerow(
            (place, result.candidate.scheduler, ",".join(row.knobs), *medians, *bounds, row.verdict, *counts, *texts)
        )
    return out.getvalue()


# --- JSON ------------------------------------------------------------------------------------------------


def session_json(session: Session) -> dict[str, Any]:
    """Return the document that `--json` writes (docs/JSON.md). An infinite bound becomes the largest number that JSON
    can carry, NaN becomes null, and of the environment only `ENVIRONMENT_KEPT` is in it."""
    env = {name: value for name, value in session.workload.env.items() if name in ENVIRONMENT_KEPT}
    document = to_json(dataclasses.replace(session, workload=dataclasses.replace(session.workload, env=env)))
    finite: dict[str, Any] = _finite(document)
    return finite


def json_text(session: Session) -> str:
    """Return the document as ASCII text, ending in a newline."""
    return json.dumps(session_json(session), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else math.copysign(sys.float_info.max, value)
    return value
