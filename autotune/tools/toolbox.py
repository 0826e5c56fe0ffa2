# SPDX-License-Identifier: MIT
"""The tools that a model may call while it plans: small typed functions with small JSON results.

What always holds here:
- pydantic checks the arguments before anything is done, and the catalogue checks knobs;
- an error is a result that names what is allowed; no call can end the session;
- nothing is measured here, nothing stays attached (`rehearsal`), no file outside the command's directory is read
  (`workload_files`), and every result is redacted and bounded.

Tools that SchedCP also has keep their names and meaning.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autotune import frozen
from autotune.errors import AutotuneError, UsageError
from autotune.knowledge.store import Knowledge
from autotune.records import Candidate, Prediction, Profile, Proposal
from autotune.redact import Redactor
from autotune.report import activity
from autotune.schedext.catalogue import finding
from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.schedext.catalogue.knobs import Knob
from autotune.tools.reasons import ELSEWHERE
from autotune.tools.rehearsal import Rehearsal, RehearsalRun
from autotune.tools.workload_files import WorkloadFiles
from autotune.tools.workshop import Workshop

A = TypeVar("A", bound=BaseModel)
RESULT_CHARACTERS = 12000
MOST_SUBMITTED = 8
MOST_FOUND = 10
REASON_CHARACTERS = 300
SAME_CALL = 3
"""Answers to the same call with the same arguments within one planning turn."""


class ToolArguments(BaseModel):
    """Arguments of a tool: no others, and of the very type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ListSchedulers(ToolArguments):
    name: str | None = Field(None, description="Part of a name; leave out for all.")
    tag: str | None = Field(None, description="Only those with this tag, such as latency, throughput, build or batch.")
    production_ready: bool | None = Field(None, description="Only those that are, or are not, made for production use.")
    query: str | None = Field(None, description="What it is for, in words: the best fits first, ten at most.")


class DescribeScheduler(ToolArguments):
    name: str = Field(description="As list_schedulers gives it.")


class RunScheduler(ToolArguments):
    name: str = Field(description="As list_schedulers gives it.")
    args: list[str] = Field(
        description="Knob settings as knob=value, such as slice_us=5000, or mode=NAME; empty for the defaults."
    )


class ExecutionId(ToolArguments):
    execution_id: str = Field(description="As run_scheduler gave it.")


class SystemMonitor(ToolArguments):
    command: Literal["start", "stop"]
    session_id: str | None = Field(None, description="For stop: as start gave it.")


class ObserveWorkload(ToolArguments):
    view: activity.View = Field(description="tasks: by CPU time; timeline: CPUs busy, longest chain; waits: who waits.")
    offset: int = Field(description="Row to begin at; 0 for the beginning.")


class WorkloadCommand(ToolArguments):
    command: Literal["create", "list", "get_history", "add_history"]
    description: str | None = Field(None, description="For create: what the workload is.")
    workload_id: str | None = Field(None, description="For get_history and add_history.")
    execution_id: str | None = Field(None, description="For add_history: the execution that it is about, if any.")
    result_description: str | None = Field(None, description="For add_history: what was found.")


class ReadWorkloadFile(ToolArguments):
    path: str = Field(description="Relative to the command's directory; '.' and other directories are listed.")
    offset: int = Field(description="Character to begin at; 0 for the beginning.")


class GeneratedKnob(ToolArguments):
    name: str = Field(description="Of the AT_KNOB variable.")
    type: Literal["integer", "boolean"]
    default: str = Field(description="What the source says, as text: 5000, true.")
    min: int | None = Field(None, description="For an integer: the least that makes sense.")
    max: int | None = Field(None, description="For an integer: the most that makes sense.")
    unit: str | None = Field(None, description="Such as us.")
    description: str


class CreateScheduler(ToolArguments):
    name: str = Field(description="a-z, 0-9 and _; also the ops name in the source. It becomes custom:NAME.")
    source_code: str = Field(description="A complete scheduler in BPF C, as the writing guide says.")
    description: str = Field(description="What it is, in at most 100 characters.")
    algorithm: str
    use_cases: list[str]
    characteristics: str
    limitations: list[str]
    performance_profile: str = Field(description="What to expect of it, in a sentence.")
    knobs: list[GeneratedKnob] = Field(description="Every AT_KNOB of the source.")
    unfair_by_design: bool = Field(description="It means to share CPU time unequally among equals.")
    made_from: list[str] = Field([], description="Schedulers that it was made from, as list_schedulers names them.")


class KnobSetting(ToolArguments):
    name: str = Field(description="Of a knob; or mode, for the settings of a profile, which other knobs change.")
    value: str = Field(description="As text: 5000, true. Several values of one knob are joined by +.")


class Submitted(ToolArguments):
    scheduler: str
    knobs: list[KnobSetting] = Field(description="Knobs that differ from their defaults; empty for none.")
    reason: str = Field(description="One sentence for people: why this one could help with what the baseline shows.")
    hypothesis: str = Field(description="What you expect to see, in a few words, such as: fewer switches, 5 % faster.")
    prediction: Literal["faster", "same", "slower"] = Field(description="Against EEVDF.")


class SubmitCandidates(ToolArguments):
    candidates: list[Submitted] = Field(description="What to measure next; empty when nothing better is in sight.")


@frozen.dataclass(frozen=True)
class Tool:
    """A tool as the model sees it, and the method of Toolbox that implements it."""

    name: str
    description: str
    arguments: type[ToolArguments]
    replayable: bool
    """True when the result depends only on the catalogue and the arguments, so that a replay can call it."""


TOOLS = (
    Tool(
        "list_schedulers",
        "List all schedulers, our own and scx programs: a line on each, and why it cannot help on this machine, if so. "
        "Look here first.",
        ListSchedulers,
        True,
    ),
    Tool(
        "describe_scheduler",
        "Everything about one scheduler: how it works, its limits, what the machine must have, its profiles, what must "
        "change together, and each knob with what it takes, its default and what it does.",
        DescribeScheduler,
        True,
    ),
    Tool(
        "run_scheduler",
        "Attach a scheduler to the machine for a few seconds to see that it loads and stays. Nothing is measured and "
        "the command does not run. Only one at a time: a second call ends the first. It is ended by stop_scheduler, by "
        "its time limit, or when you submit.",
        RunScheduler,
        False,
    ),
    Tool(
        "get_execution_status",
        "How a scheduler started with run_scheduler is doing: running, stopped, expired, ejected or failed, and why.",
        ExecutionId,
        False,
    ),
    Tool("stop_scheduler", "End a scheduler started with run_scheduler.", ExecutionId, False),
    Tool(
        "system_monitor",
        "Watch the machine: start samples CPU use, memory, context switches, pressure and scheduler statistics twice a "
        "second; stop returns averages and maxima. Useful around run_scheduler, to see an idle machine's own load.",
        SystemMonitor,
        False,
    ),
    Tool(
        "observe_workload",
        "What the command's tasks did in the run under EEVDF that was watched, beyond what you were told: which took "
        "the CPU time, how many CPUs were busy when, or who waited for one. Nothing runs for it.",
        ObserveWorkload,
        False,
    ),
    Tool(
        "workload",
        "Notes that outlive the session, by workload: create one, list them, read one's history, add to it. autotune "
        "keeps its own measurements by itself; note here what they do not say.",
        WorkloadCommand,
        False,
    ),
    Tool(
        "read_workload_file",
        "Read a piece of a text file below the command's directory (a Makefile, a benchmark's source), or list a "
        "directory. Files that may hold secrets are refused.",
        ReadWorkloadFile,
        False,
    ),
    Tool(
        "create_and_verify_scheduler",
        "Write a scheduler of your own when none fits. The source is checked, compiled, loaded by a real kernel and "
        "put under loads in a micro-VM (a minute of the budget). What passes can be submitted as custom:NAME; what "
        "does not comes back with the gate, the place and what to mend.",
        CreateScheduler,
        False,
    ),
    Tool(
        "submit_candidates",
        "End your turn: submit what to measure next. All candidates must be valid, or none is taken. An empty list "
        "ends the planning for good.",
        SubmitCandidates,
        True,
    ),
)
SUBMIT = "submit_candidates"
SLOW = frozenset(tool.name for tool in TOOLS if not tool.replayable)
"""Tools that use the machine, its files or its knowledge, and may take seconds or minutes."""


def definitions() -> list[dict[str, Any]]:
    """Return the tools as the Messages API takes them, with strict schemas. The same in every session, so that they are
    cached."""
    return [
        {
            "name": tool.name,
            "description": tool.description,
            "input_schema": strict_schema(tool.arguments),
            "strict": True,
        }
        for tool in TOOLS
    ]


@functools.cache
def strict_schema(arguments: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments in the subset that strict tool use accepts: closed objects, no
    titles, no defaults."""
    document = arguments.model_json_schema()
    definitions = document.pop("$defs", {})
    cleaned: dict[str, Any] = _strict(document, definitions)
    return cleaned


def _strict(shape: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(shape, list):
        return [_strict(item, definitions) for item in shape]
    if not isinstance(shape, dict):
        return shape
    if "$ref" in shape:
        return _strict(definitions[shape["$ref"].rpartition("/")[2]], definitions)
    properties = shape.get("properties")
    kept = {
        key: _strict(value, definitions)
        for key, value in shape.items()
        if key not in ("title", "default", "properties", "additionalProperties")
    }
    if properties is not None:
        kept["properties"] = {name: _strict(value, definitions) for name, value in properties.items()}
        kept["additionalProperties"] = False
    return kept


@frozen.dataclass(frozen=True)
class Result:
    """The result of a call: text for the model, and the proposals when the call ended the turn."""

    text: str
    is_error: bool = False
    proposals: tuple[Proposal, ...] | None = None


@dataclass
class Toolbox:
    """The tools of one session. `begin_turn` sets what the next planning turn may use."""

    catalog: Catalog
    rehearsal: Rehearsal | None
    """None without a machine: nothing can be attached."""
    knowledge: Knowledge
    directory: Path
    redactor: Redactor
    workshop: Workshop | None = None
    """None where no source can be verified."""
    unusable: dict[str, str] = field(default_factory=dict)
    """Schedulers that cannot run here, with the reason."""
    standings: dict[str, str] = field(default_factory=dict)
    """What generated schedulers have shown here (`verdict.promotion`), by name."""
    is_time: bool = True
    """Wall time is judged."""
    _tried: frozenset[str] = frozenset()
    _affordable: int = MOST_SUBMITTED
    _calls: dict[str, int] = field(default_factory=dict)
    _files: WorkloadFiles | None = None
    _watched: Profile | None = None
    """What the command does; None where no run was watched."""

    def begin_turn(self, tried: Sequence[str], affordable: int, watched: Profile | None = None) -> None:
        self._watched = watched
        self._tried = frozenset(tried)
        self._affordable = max(0, min(affordable, MOST_SUBMITTED))
        self._calls = {}

    def call(self, name: str, given: object) -> Result:
        """Execute a call. Never raises for a mistake of the model."""
        tool = next((tool for tool in TOOLS if tool.name == name), None)
        if tool is None:
            return self._refused(f"there is no tool '{name[:100]}'; there are {', '.join(t.name for t in TOOLS)}")
        if self._loops(name, given):
            return self._refused(f"this very call was answered {SAME_CALL} times; do something else, or {SUBMIT}")
        try:
            answer = self.answer(tool.name, checked(tool.arguments, given))
        except AutotuneError as error:
            return self._refused(str(error))
        if isinstance(answer, Result):
            return answer
        return Result(self._bounded(json.dumps(self.redactor.data(answer), ensure_ascii=False)))

    def answer(self, name: str, arguments: BaseModel) -> Any:
        """Return what a tool answers, as data that is neither redacted nor bounded; a Result where the call ends the
        turn or is refused with data. Raises AutotuneError. This is the other door: `call` is for Claude's own loop."""
        return getattr(self, f"_{name}")(arguments)

    def _loops(self, name: str, given: object) -> bool:
        key = f"{name} {json.dumps(given, sort_keys=True, default=str)}"
        self._calls[key] = self._calls.get(key, 0) + 1
        return self._calls[key] > SAME_CALL and name not in ("get_execution_status",)

    def _refused(self, text: str) -> Result:
        return Result(self._bounded(json.dumps({"error": self.redactor.text(text)}, ensure_ascii=False)), is_error=True)

    def _bounded(self, text: str) -> str:
        return text if len(text) <= RESULT_CHARACTERS else f"{text[:RESULT_CHARACTERS]} [cut off]"

    # --- the catalogue ---

    def _list_schedulers(self, arguments: ListSchedulers) -> Any:
        found = [one for one in self.catalog.schedulers if _matches(one, arguments) and not self._is_hidden(one)]
        if arguments.query:
            found = finding.found(found, arguments.query, MOST_FOUND)
        return {"schedulers": [{**_line(one), **self._standing(one), **self._reason(one)} for one in found]}

    def _describe_scheduler(self, arguments: DescribeScheduler) -> Any:
        one = self.catalog.get(arguments.name)
        if self._is_hidden(one):
            raise UsageError(f"{one.name} cannot run here: {self.unusable[one.name]}")
        return {**self._reason(one), **self._standing(one), **_everything(one)}

    def _is_hidden(self, one: Scheduler) -> bool:
        """Return whether its texts were written in a session of another directory."""
        return self.unusable.get(one.name) == ELSEWHERE

    def _standing(self, one: Scheduler) -> dict[str, str]:
        """Return the standing of a generated scheduler; one that was just made has none yet but passed the gates."""
        if not one.is_generated:
            return {}
        return {"standing": self.standings.get(one.name, "candidate: it passed the gates")}

    def _reason(self, one: Scheduler) -> dict[str, str]:
        return {"cannot_run_here": self.unusable[one.name]} if one.name in self.unusable else {}

    # --- short attachments ---

    @property
    def _rehearsal(self) -> Rehearsal:
        if self.rehearsal is None:
            raise UsageError("there is no machine to attach schedulers on")
        return self.rehearsal

    def _run_scheduler(self, arguments: RunScheduler) -> Any:
        candidate = self._candidate(arguments.name, [tuple(setting.partition("=")[::2]) for setting in arguments.args])
        execution = self._rehearsal.start(candidate)
        shown = {"execution_id": execution.execution_id, "scheduler": arguments.name, "status": "started"}
        return {**shown, "message": execution.output[-1]}

    def _get_execution_status(self, arguments: ExecutionId) -> Any:
        return self._execution(self._rehearsal.status(arguments.execution_id), arguments)

    def _stop_scheduler(self, arguments: ExecutionId) -> Any:
        return self._execution(self._rehearsal.stop(arguments.execution_id), arguments)

    def _execution(self, execution: RehearsalRun | None, arguments: ExecutionId) -> Any:
        if execution is None:
            known = ", ".join(self._rehearsal.ids) or "none yet"
            raise UsageError(f"there is no execution '{arguments.execution_id[:100]}'; there are: {known}")
        return execution.shown()

    def _system_monitor(self, arguments: SystemMonitor) -> Any:
        if arguments.command == "start":
            return {"session_id": self._rehearsal.monitor()}
        summary = self._rehearsal.stop_monitor(arguments.session_id or "")
        if summary is None:
            known = ", ".join(self._rehearsal.monitor_ids) or "none yet"
            raise UsageError(f"there is no monitor '{arguments.session_id}'; there are: {known}")
        return {**summary, **self._command()}

    def _command(self) -> dict[str, Any]:
        """Return what the command itself does, to set beside the machine's numbers: it does not run meanwhile."""
        seen = self._watched
        return {} if seen is None else {"command_when_watched": list(activity.lines(seen, is_time=self.is_time))}

    def _observe_workload(self, arguments: ObserveWorkload) -> Any:
        if self._watched is None:
            raise UsageError("no run of the command was watched")
        return activity.view(self._watched, arguments.view, arguments.offset)

    def _create_and_verify_scheduler(self, arguments: CreateScheduler) -> Any:
        if self.workshop is None:
            raise UsageError("no scheduler can be verified here")
        passed, said = self.workshop.create(submitted(arguments))
        return said if passed else self._refused(said)

    # --- notes and files ---

    def _workload(self, arguments: WorkloadCommand) -> Any:
        where = str(self.directory)
        if arguments.command == "create":
            description = self._needed(arguments, "description")
            return {"workload_id": self.knowledge.create_profile(description, where)}
        if arguments.command == "list":
            return {"profiles": self.knowledge.list_profiles(directory=where)}
        profile = self._needed(arguments, "workload_id")
        if arguments.command == "get_history":
            return self.knowledge.profile_history(profile, directory=where)
        execution = self._rehearsal.status(arguments.execution_id) if arguments.execution_id else None
        scheduler = execution.candidate.key if execution else None
        text = self._needed(arguments, "result_description")
        return {"history_id": self.knowledge.add_profile_note(profile, arguments.execution_id, scheduler, text, where)}

    def _needed(self, arguments: WorkloadCommand, name: str) -> str:
        value = getattr(arguments, name)
        if not value:
            raise UsageError(f"the command '{arguments.command}' needs {name}")
        return self.redactor.text(str(value))

    def _read_workload_file(self, arguments: ReadWorkloadFile) -> Any:
        if self._files is None:
            self._files = WorkloadFiles(self.directory, self.redactor.text)
        return self._files.read_piece(arguments.path, arguments.offset)

    # --- the end of a turn ---

    def _submit_candidates(self, arguments: SubmitCandidates) -> Result:
        if len(arguments.candidates) > self._affordable:
            advice = "choose the best" if self._affordable else "submit an empty list"
            raise UsageError(f"the budget allows {self._affordable} now, not {len(arguments.candidates)}; {advice}")
        proposals, problems = [], []
        keys: set[str] = set()
        for number, one in enumerate(arguments.candidates, 1):
            try:
                proposal = self._proposal(one)
                self._refuse_known(proposal.candidate.key, keys)
            except AutotuneError as error:
                problems.append(f"candidate {number} ({one.scheduler[:60]}): {error}")
                continue
            keys.add(proposal.candidate.key)
            proposals.append(proposal)
        if problems:
            raise UsageError("nothing was taken: " + "; ".join(problems))
        return Result("", proposals=tuple(proposals))

    def _proposal(self, one: Submitted) -> Proposal:
        candidate = self._candidate(one.scheduler, [(knob.name, knob.value) for knob in one.knobs])
        prediction: Prediction = one.prediction
        texts = [
            " ".join(self.redactor.text(text).split())[:REASON_CHARACTERS] for text in (one.reason, one.hypothesis)
        ]
        if not texts[0]:
            raise UsageError("give a reason, in one sentence")
        return Proposal(candidate, texts[0], texts[1], prediction)

    def _refuse_known(self, key: str, keys: set[str]) -> None:
        if key in keys:
            raise UsageError(f"{key} is in the list twice")
        if key in self._tried:
            raise UsageError(f"{key} was tried already; change a knob or choose another")

    def _candidate(self, name: str, settings: Sequence[tuple[str, ...]]) -> Candidate:
        scheduler = self.catalog.get(name)
        if name in self.unusable:
            raise UsageError(f"{name} cannot run here: {self.unusable[name]}")
        return scheduler.candidate(scheduler.settings({knob.strip(): text.strip() for knob, text in settings}))


def _matches(one: Scheduler, arguments: ListSchedulers) -> bool:
    named = arguments.name is None or arguments.name.lower() in one.name
    tagged = arguments.tag is None or arguments.tag.lower() in one.tags
    return named and tagged and arguments.production_ready in (None, bool(one.production_ready))


def submitted(arguments: CreateScheduler) -> dict[str, Any]:
    """Return the fields of a submission to the gates."""
    given = arguments.model_dump(exclude={"source_code", "knobs"})
    knobs = [_catalogue_knob(knob) for knob in arguments.knobs]
    return {**given, "source": arguments.source_code, "knobs": knobs}


def _catalogue_knob(knob: GeneratedKnob) -> dict[str, Any]:
    """Encode a knob for the catalogue."""
    range_ = None if knob.type == "boolean" else {"min": knob.min, "max": knob.max}
    described = Knob(name=knob.name, type=knob.type, unit=knob.unit, description=knob.description)
    return {**described.model_dump(), "default": described.parse(knob.default), "range": range_}


def _line(one: Scheduler) -> dict[str, Any]:
    """Return a scheduler's line in the list; describe_scheduler has the rest."""
    return {
        "name": one.name,
        "description": one.description,
        "production_ready": one.production_ready,
        "tags": one.tags,
        "knobs": len(one.active_knobs),
    }


def _everything(one: Scheduler) -> dict[str, Any]:
    """Return everything about a scheduler, without fields that do not apply."""
    dead = [knob.name for knob in one.knobs if knob.status != "active"]
    facts = {
        "name": one.name,
        "kind": "our own" if one.kind == "bpf" else "a program",
        "description": one.description,
        "production_ready": one.production_ready,
        "algorithm": one.algorithm,
        "use_cases": one.use_cases,
        "characteristics": one.characteristics,
        "limitations": one.limitations,
        "performance_profile": one.performance_profile,
        "requirements": one.requirements.model_dump(exclude_defaults=True),
        "side_effects": one.program.side_effects if one.program else (),
        "modes": one.modes,
        "must_hold": [rule.sentence() for rule in one.rules],
        "tuning_parameters": {knob.name: _knob(knob) for knob in one.active_knobs},
        "without_effect": dead,
    }
    return {name: value for name, value in facts.items() if value or name == "production_ready"}


def _knob(knob: Knob) -> str:
    """Describe one knob in a line: there may be sixty."""
    parts = [f"{knob.description} Takes {knob.allowed()}; default {knob.default_text()}."]
    parts += [f"With {', '.join(knob.requires)}."] if knob.requires else []
    parts += [f"Not with {', '.join(knob.conflicts)}."] if knob.conflicts else []
    parts += [f"Only where there is {', '.join(knob.needs)}."] if knob.needs else []
    parts += [knob.note] if knob.note else []
    return " ".join(parts)


def checked(arguments: type[A], given: object) -> A:
    """Return the arguments of a tool. Raises UsageError that lists their faults, without repeating them."""
    try:
        return arguments.model_validate(given)
    except ValidationError as error:
        raise UsageError(_validation_text(error)) from None


def _validation_text(error: ValidationError) -> str:
    """List the faults in the arguments, without repeating the arguments."""
    problems = [f"{'.'.join(map(str, item['loc'])) or 'arguments'}: {item['msg']}" for item in error.errors()[:5]]
    return "wrong arguments: " + "; ".join(problems)
