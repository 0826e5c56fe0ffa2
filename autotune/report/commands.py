# SPDX-License-Identifier: MIT
"""Command lines that a report offers: to repeat it, to go on, to keep the winner. Pure.

They are made to be copied: quoted for a shell, and no longer than they must be.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Sequence

from autotune.quantities import duration_flag
from autotune.records import (
    BASELINE,
    Candidate,
    CandidateResult,
    Session,
    Workload,
)
from autotune.report import program, sweep
from autotune.report.continuing import continue_step
from autotune.report.text import printable, shell_word
from autotune.verdict import guards

_CHANGES_RESULTS = frozenset({"--machine", "--cpus", "--memory", "--kernel", "--warmup", "--statistic", "--min-effect"})
"""Settings that a short command keeps. The others say how to plan or how long to run."""


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
