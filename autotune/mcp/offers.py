# SPDX-License-Identifier: MIT
"""The tools at this door: those of Claude's own loop (`tools/toolbox.py`), and those that start, follow and use
sessions.

What the loop's tools are called, say and take is written there, once. Here stands only what differs for a client that
has no session: arguments that SchedCP's clients leave out, pages, and a sentence about long work.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from autotune.frozen import dataclass
from autotune.mcp import results
from autotune.mcp.requests import TuningStart
from autotune.report import activity
from autotune.tools import toolbox
from autotune.tools.toolbox import ToolArguments

Effects = Literal["reads", "adds", "changes"]
MOST_WAIT_S = 25.0
"""Clients drop calls that take above a minute."""
_OFFSET = "Where to begin; 0 for the beginning."


class ListSchedulersHere(toolbox.ListSchedulers):
    offset: int = Field(0, ge=0, description=_OFFSET)


class RunSchedulerHere(toolbox.RunScheduler):
    args: list[str] = Field([], description=toolbox.RunScheduler.model_fields["args"].description)


class CreateSchedulerHere(toolbox.CreateScheduler):
    knobs: list[toolbox.GeneratedKnob] = Field(
        [], description=toolbox.CreateScheduler.model_fields["knobs"].description
    )
    unfair_by_design: bool = Field(
        False, description=toolbox.CreateScheduler.model_fields["unfair_by_design"].description
    )


class ReadWorkloadFileHere(toolbox.ReadWorkloadFile):
    offset: int = Field(0, ge=0, description=_OFFSET)


class ObserveCommand(ToolArguments):
    command: str | list[str] = Field(description="As it was tuned or observed: a text for sh, or words.")
    cwd: str | None = Field(None, description="Absolute directory; without it, the server's.")
    view: activity.View = Field("tasks", description=toolbox.ObserveWorkload.model_fields["view"].description)
    offset: int = Field(0, ge=0, description=_OFFSET)


class TuningStatus(ToolArguments):
    id: str = Field(description="As tuning_start gave it.")
    wait_s: float = Field(0.0, ge=0.0, le=MOST_WAIT_S, description="Wait so long for its end; progress is notified.")


class TuningId(ToolArguments):
    id: str = Field(description="As tuning_start gave it.")


class HistorySearch(ToolArguments):
    query: str = Field(
        "", max_length=500, description="Words: sessions that have all, or else the nearest; empty: the newest."
    )
    offset: int = Field(0, ge=0, description=_OFFSET)


class CommandAsked(ToolArguments):
    command: str | list[str] = Field(description="A text for sh, or words, as it was tuned.")
    cwd: str | None = Field(None, description="Absolute directory; without it, the server's.")


class ApplyScheduler(ToolArguments):
    scheduler: str = Field(max_length=500, description="NAME or NAME:knob=value,..., such as best_known gives it.")


class NoArguments(ToolArguments):
    """Takes nothing."""


@dataclass(frozen=True)
class Offer:
    """A tool as a client sees it. `answer` is the shape of its structured answer."""

    name: str
    description: str
    arguments: type[BaseModel]
    answer: type[BaseModel]
    effect: Effects
    """What a client may show, or decide by."""


_READS: Effects = "reads"
_CHANGES: Effects = "changes"
_ADDS: Effects = "adds"


def _of_loop(
    name: str,
    answer: type[BaseModel],
    effect: Effects,
    arguments: type[BaseModel] | None = None,
    more: str = "",
) -> Offer:
    tool = next(tool for tool in toolbox.TOOLS if tool.name == name)
    return Offer(name, f"{tool.description} {more}".strip(), arguments or tool.arguments, answer, effect)


_OBSERVED = "Here it is about the command that is named, as it was when last tuned or observed on such a machine."
ALL: tuple[Offer, ...] = (
    _of_loop("list_schedulers", results.SchedulersListed, _READS, ListSchedulersHere),
    _of_loop("describe_scheduler", results.SchedulerDescribed, _READS),
    _of_loop("run_scheduler", results.ExecutionStarted, _CHANGES, RunSchedulerHere),
    _of_loop("stop_scheduler", results.ExecutionShown, _CHANGES),
    _of_loop("get_execution_status", results.ExecutionShown, _READS),
    _of_loop(
        "create_and_verify_scheduler",
        results.ExecutionShown,
        _ADDS,
        CreateSchedulerHere,
        "It answers at once with an execution_id, whose outcome get_execution_status has.",
    ),
    _of_loop("system_monitor", results.MonitorSeen, _READS),
    _of_loop("workload", results.WorkloadNotes, _ADDS),
    _of_loop("read_workload_file", results.FilePiece, _READS, ReadWorkloadFileHere),
    _of_loop("observe_workload", results.WorkloadObserved, _READS, ObserveCommand, _OBSERVED),
    Offer(
        "tuning_start",
        "Start to measure which scheduler makes a command better: it runs under EEVDF and under candidates, many "
        "times, in random order, and the winner is confirmed in fresh runs. Returns an id at once; ask tuning_status "
        "until it is finished. The person at the client is asked first, since the command runs as that person.",
        TuningStart,
        results.TuningShown,
        _CHANGES,
    ),
    Offer(
        "tuning_status",
        "How far a tuning is, and its result once it is finished: verdicts with intervals, the report, the winner or "
        "that nothing beats EEVDF.",
        TuningStatus,
        results.TuningShown,
        _READS,
    ),
    Offer(
        "tuning_stop",
        "End a tuning in order; what is known by then is kept, and tuning_status has it.",
        TuningId,
        results.TuningShown,
        _ADDS,
    ),
    Offer(
        "history_search",
        "Past sessions of all commands of this user: what each found. Words are searched in commands, directories, "
        "schedulers, verdicts and notes; has_all_words says whether these have all.",
        HistorySearch,
        results.HistoryFound,
        _READS,
    ),
    Offer(
        "best_known",
        "The known best scheduler of a command in a directory, with its evidence, its age and what has changed since; "
        "and candidates known to be bad for it. Nothing runs for it.",
        CommandAsked,
        results.BestKnown,
        _READS,
    ),
    Offer(
        "apply",
        "Attach a scheduler to this machine, and keep it until release, or until this server ends. The person at the "
        "client is asked first.",
        ApplyScheduler,
        results.SchedulerKept,
        _CHANGES,
    ),
    Offer(
        "release",
        "Detach the scheduler that apply attached; the kernel is back on the scheduler it had before.",
        NoArguments,
        results.SchedulerKept,
        _CHANGES,
    ),
)
BY_NAME = {offer.name: offer for offer in ALL}


def input_schema(offer: Offer) -> dict[str, Any]:
    return offer.arguments.model_json_schema()


def output_schema(offer: Offer) -> dict[str, Any]:
    return offer.answer.model_json_schema(mode="serialization")
