# SPDX-License-Identifier: MIT
"""Wording of events: event -> lines of text, the same for every view. Pure, except that it remembers the metric.

The live view keeps `lasting` lines on the screen and shows the others in its moving part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from autotune import events
from autotune.frozen import dataclass
from autotune.records import BASELINE, Phase, is_baseline
from autotune.report.bound import advice, bound_sentence
from autotune.report.sentences import (
    allotment_sentence,
    baseline_sentence,
    machine_sentence,
    named_command,
    observation_sentence,
    spending_text,
)
from autotune.report.sweep import parameter_lines, value_lines
from autotune.report.table import interval_text
from autotune.report.text import bytes_text, counted, duration_text, printable, sentence, value_text

Tone = Literal["plain", "strong", "good", "bad", "warning"]

PHASES: dict[Phase, str] = {
    "warmup": "Warm-up",
    "baseline": "Baseline",
    "race": "Race",
    "confirm": "Confirmation",
    "tail": "Slow runs",
}


@dataclass(frozen=True)
class Line:
    """One printable line."""

    text: str
    tone: Tone = "plain"
    lasting: bool = True


def shown_key(key: str) -> str:
    """Return a candidate's key for people."""
    return f"EEVDF{printable(key.removeprefix(BASELINE))}" if is_baseline(key) else printable(key)


class Wording:
    """Turns each event of a session into lines; none for events that only a moving view needs."""

    def __init__(self, *, verbose: bool = False) -> None:
        """Leave out what is seldom of use, unless `verbose`."""
        self._verbose = verbose
        self.is_time = True
        """True when wall time is the metric; set when the machine is ready."""
        self._words: dict[type[Any], Callable[[Any], list[Line]]] = {
            events.Step: self._step,
            events.MachineReady: self._machine,
            events.ValuesKnown: self._values,
            events.BaselineKnown: self._baseline,
            events.WorkloadSeen: self._seen,
            events.Proposed: self._proposed,
            events.RacePlanned: self._race_planned,
            events.PlannerChosen: self._planner,
            events.LeftOut: self._left_out,
            events.PlannerActed: self._planning,
            events.RoundStarted: self._round,
            events.Attached: self._attached,
            events.Detached: self._detached,
            events.RunFinished: self._run,
            events.Dropped: self._dropped,
            events.Standings: self._standings,
            events.Warned: self._warned,
        }

    def lines(self, event: events.Event) -> list[Line]:
        """Return the lines for this event."""
        words = self._words.get(type(event))
        return words(event) if words else []

    def _step(self, event: events.Step) -> list[Line]:
        attaching = event.name == "attach"  # shown when it is done, with the time it took
        return [] if attaching else [Line(step_text(event), lasting=False)]

    def _machine(self, event: events.MachineReady) -> list[Line]:
        workload = event.workload
        self.is_time = workload.metric_regex is None
        lines = [Line(machine_sentence(event.info), "strong"), Line(f"Command: {named_command(workload)}")]
        lines += [Line(line) for line in parameter_lines(workload)]
        if workload.metric_regex is not None:
            aim = "smaller" if workload.goal == "min" else "larger"
            lines.append(Line(f"Metric: {printable(workload.metric_regex)}, {aim} is better"))
        if event.continues is not None:
            lines.append(
                Line(f"Continues session {event.continues}: its leaders run fresh pairs, and only those decide.")
            )
        return lines

    def _values(self, event: events.ValuesKnown) -> list[Line]:
        return [Line(line) for line in value_lines(event.results, is_time=self.is_time)]

    def _baseline(self, event: events.BaselineKnown) -> list[Line]:
        sentence = baseline_sentence(event.baseline, is_time=self.is_time)
        return [Line(sentence, "strong"), Line(observation_sentence(event.observation))]

    def _seen(self, event: events.WorkloadSeen) -> list[Line]:
        seen, why_not = event.watched, printable(event.not_watched)
        if seen is None:
            return [Line(f"No run was watched: {sentence(why_not)}")]
        before = [Line(f"No run was watched ({why_not}); what an earlier session saw:")] if why_not else []
        return [*before, Line(bound_sentence(seen, is_time=self.is_time)), *map(Line, advice(seen))]

    def _proposed(self, event: events.Proposed) -> list[Line]:
        count = counted(len(event.proposals), "candidate")
        origin = "from you" if event.planner == "user" else f"from the {printable(event.planner)} planner"
        lines = [Line(f"{count} {origin}:", "strong")]
        named: dict[str, list[str]] = {}  # by reason: planners give the same one for several
        for proposal in event.proposals:
            expected = f"expected: {proposal.expected}" if proposal.expected else ""
            named.setdefault(_sentences(proposal.reason, expected), []).append(printable(proposal.candidate.short))
        for reason, names in named.items():
            lines += [Line(f"  {', '.join(names)}"), *([Line(f"    {reason}")] if reason else [])]
        return lines

    def _race_planned(self, event: events.RacePlanned) -> list[Line]:
        return [Line(allotment_sentence(event.allotted))]

    def _planner(self, event: events.PlannerChosen) -> list[Line]:
        why = printable(event.why).strip().rstrip(". ")
        return [Line(f"Planner: {printable(event.name)} ({why})")]

    def _left_out(self, event: events.LeftOut) -> list[Line]:
        absent = len(event.names_by_reason.get("", ()))
        are = "scheduler is" if absent == 1 else "schedulers are"
        advice = f"{absent} more {are} not installed: 'autotune schedulers' says how to get more"
        if not self._verbose:
            return [Line(advice)] if absent and not event.programs_here else []
        lines = [Line(f"  {', '.join(names)}: {printable(why)}") for why, names in event.names_by_reason.items() if why]
        lines += [Line(f"  {advice}")] if absent else []
        return [Line("Not proposed here:"), *lines] if lines else []

    def _planning(self, event: events.PlannerActed) -> list[Line]:
        return [Line(f"  {printable(event.what)}: {spending_text(event.spending)} so far", lasting=False)]

    def _round(self, event: events.RoundStarted) -> list[Line]:
        order = ", ".join(shown_key(key) for key in event.order)
        return [Line(f"{PHASES[event.phase]}, round {event.round} of {event.at_most}: {order}", lasting=False)]

    def _attached(self, event: events.Attached) -> list[Line]:
        took = duration_text(event.attachment.attach_s)
        return [Line(f"  {shown_key(event.candidate)}: attached in {took}", lasting=False)]

    def _detached(self, event: events.Detached) -> list[Line]:
        detachment = event.detachment
        if detachment.exit is not None and detachment.exit.is_error:
            reason = printable(detachment.exit.reason or detachment.exit.message or f"kind {detachment.exit.kind}")
            return [Line(f"  {shown_key(event.candidate)}: ejected by the kernel: {reason}", "bad")]
        took = duration_text(detachment.detach_s)
        return [Line(f"  {shown_key(event.candidate)}: detached in {took}", lasting=False)]

    def _run(self, event: events.RunFinished) -> list[Line]:
        trial = event.trial
        name = shown_key(trial.candidate)
        if trial.invalid is not None:
            where = f"{PHASES[trial.phase].lower()} round {trial.round}"
            return [Line(f"  {name}: run of {where} does not count: {printable(trial.invalid)}", "bad")]
        value = trial.run.wall_s if trial.value is None else trial.value
        cpu = duration_text(trial.run.user_s + trial.run.system_s)
        text = value_text(value, is_time=self.is_time or trial.value is None)
        if trial.phase in ("warmup", "baseline"):  # these have runs without rounds
            at = "" if trial.candidate == BASELINE else f", {name}"
            name = f"{PHASES[trial.phase]} run {trial.round}{at}"
        return [Line(f"  {name}: {text} (CPU {cpu}, {bytes_text(trial.run.max_rss_bytes)})", lasting=False)]

    def _dropped(self, event: events.Dropped) -> list[Line]:
        return [Line(f"  {shown_key(event.candidate)} is dropped: {printable(event.reason)}")]

    def _standings(self, event: events.Standings) -> list[Line]:
        known = [(shown_key(r.candidate.short), r.speedup) for r in event.results if r.speedup is not None]
        if not known:
            return []
        places = "; ".join(f"{name} {interval_text(speedup)}" for name, speedup in known)
        return [Line(f"  speedups so far: {places}", lasting=False)]

    def _warned(self, event: events.Warned) -> list[Line]:
        return [Line(f"Warning: {printable(event.text)}", "warning")]


def _sentences(*texts: str) -> str:
    """Join texts as sentences, with capitals and full stops."""
    return " ".join(_capital(text) for text in (sentence(printable(text)) for text in texts) if text)


def _capital(text: str) -> str:
    """Return the text with a capital first letter, unless it begins with a name (`at_fifo leads`)."""
    first = text.partition(" ")[0]
    return text[:1].upper() + text[1:] if first.rstrip(",:;.?!").isalpha() else text


STEPS = {
    "boot": "{}",
    "keep": "{}",
    "plan": "Planning ({} planner)",
    "build": "Preparing {}",
    "attach": "Attaching {}",
    "start": "Starting {}",
    "verify": "Verifying {}",
    "canary": "{}",
    "setup": "Running the setup command: {}",
    "observe": "Watching a run, which is not measured: {}",
    "prepare": "Running the prepare command: {}",
    "conclude": "Running the conclude command: {}",
    "cleanup": "Running the cleanup command: {}",
}


def step_text(step: events.Step) -> str:
    """Return a step as one line; a step without an entry in STEPS is shown as it is."""
    text = printable(STEPS.get(step.name, step.name + ": {}").format(step.detail)).removesuffix(": ")
    return _capital(text)
