# SPDX-License-Identifier: MIT
"""Sentences of a report, for every document and for the terminal. Pure.

Text from the workload, the kernel or a file is made printable before it becomes part of a sentence.
"""

from __future__ import annotations

from autotune.quantities import duration_flag
from autotune.records import (
    Allotment,
    Baseline,
    MachineInfo,
    Observation,
    Profile,
    Session,
    Spending,
    Workload,
    point_text,
)
from autotune.report import kernel_events, why
from autotune.report.bound import reached_sentence
from autotune.report.session_table import WALL_METRIC
from autotune.report.text import bytes_text, counted, duration_text, printable, sentence, value_text
from autotune.verdict.ranking import recommend
from autotune.verdict.stats import percent_text
from autotune.verdict.workload_kind import classify

BUSY = "This machine is busy"

SLOWED = "This machine is slowed down"

DISTURBED = "Runs were disturbed from outside"

CAUTIONS = (BUSY, SLOWED, DISTURBED)
"""Beginnings of the warnings that every report repeats, since they are about all numbers."""

_PLACES = {
    "none": "this host",
    "kvm": "a micro-VM with KVM",
    "tcg": "a micro-VM under emulation (slow: only comparisons within it mean something)",
}


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


def kind_sentence(observation: Observation | None, watched: Profile | None) -> str:
    """Say what kind of work a command does, and by what that shows; empty where nothing is clear."""
    return classify(observation, watched).sentence


def cautions(session: Session) -> list[str]:
    """Return the warnings to read beside the result."""
    return [printable(warning) for warning in session.warnings if warning.startswith(CAUTIONS)]


def heading(session: Session) -> list[str]:
    """Return the line above the table: the name that the user gave the command; none without one."""
    return [printable(session.workload.name)] if session.workload.name else []


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
