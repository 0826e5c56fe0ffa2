# SPDX-License-Identifier: MIT
"""A machine whose commands end as scripted, and a session on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from autotune.events import Event, Finished
from autotune.machine.base import OutputHandler
from autotune.records import BASELINE, Run, RunSpec, Session, Workload
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.tuner import tune
from tests.support.list_planner import ListPlanner, resolve
from tests.support.scripted_machine import ScriptedMachine, a_run


class Rough(ScriptedMachine):
    """A machine whose commands, and whose release, end as scripted; a command is named by its text."""

    def __init__(self, commands: dict[str, Iterator[BaseException | int]] | None = None) -> None:
        super().__init__({BASELINE: 1.0, "x": 0.8})
        self.commands = commands or {}
        self.releasing: Iterator[BaseException] = iter(())

    def run(self, spec: RunSpec, on_output: OutputHandler | None = None) -> Run:
        ending = next(self.commands.get(spec.argv[-1], iter(())), 0)
        done = super().run(spec, on_output)
        if isinstance(ending, BaseException):
            raise ending
        return a_run(0.0, ending) if ending else done

    def release(self) -> None:
        super().release()
        for error in self.releasing:
            raise error


def after(good: int, *then: BaseException | int) -> Iterator[BaseException | int]:
    yield from [0] * good
    yield from then


def session(machine: ScriptedMachine, events: list[Event] | None = None, **workload: Any) -> tuple[Session, Finished]:
    heard: list[Event] = [] if events is None else events
    work = Workload("true", ("true",), "/", **workload)
    result = tune(work, SessionParts(machine, ListPlanner([["x"]]), heard.append, resolve), SessionOptions(seed=3))
    finished = heard[-1]
    assert isinstance(finished, Finished)
    assert finished.session == result
    assert machine.attached is None, "a scheduler was left attached"
    return result, finished
