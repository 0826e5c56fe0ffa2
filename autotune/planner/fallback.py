# SPDX-License-Identifier: MIT
"""Chooses a session's planner: a model, the offline planner, or a model with the offline planner as its fallback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from autotune.config import MODEL_ONLY, WITHOUT_MODEL
from autotune.errors import PlannerError
from autotune.events import Listener, PlannerChosen
from autotune.planner.base import Planner, Situation
from autotune.records import Proposal, Spending

Connection = TypeVar("Connection")


class WithFallback:
    """Uses the first planner until it raises PlannerError, and the second from then on."""

    def __init__(self, first: Planner, second: Planner, listener: Listener) -> None:
        self._first, self._second = first, second
        self._listener = listener
        self._failed = False
        self._first_proposed = False

    @property
    def name(self) -> str:
        if not self._failed:
            return self._first.name
        return f"{self._first.name}, then {self._second.name}" if self._first_proposed else self._second.name

    @property
    def spending(self) -> Spending | None:
        return self._first.spending

    @property
    def transcript(self) -> str | None:
        return self._first.transcript

    def remarks(self) -> Sequence[str]:
        return [*self._first.remarks(), *self._second.remarks()]

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        if not self._failed:
            try:
                proposals = self._first.propose(situation)
            except PlannerError as error:
                self._failed = True
                self._listener(PlannerChosen(self._second.name, f"{error.message}; {error.hint}"))
            else:
                self._first_proposed = self._first_proposed or bool(proposals)
                return proposals
        return self._second.propose(situation)


def choose(
    kind: str,
    connect: Callable[[], Connection],
    planned: Callable[[Connection], tuple[Planner, str]],
    offline: Planner,
    listener: Listener,
) -> Planner:
    """Choose the planner and report it as one event.

    `kind` is auto, claude, model, or a planner without a model. `connect` finds the key and makes the client; `planned`
    returns the planner with a model and why it can be used. Raises PlannerError when only a model may plan and there is
    no connection.
    """
    if kind in WITHOUT_MODEL:
        return offline
    try:
        connection = connect()
    except PlannerError as error:
        if kind in MODEL_ONLY:
            raise
        listener(PlannerChosen(offline.name, f"{error.message}; {error.hint}"))
        return offline
    planner, why = planned(connection)
    listener(PlannerChosen(planner.name, why))
    return planner if kind in MODEL_ONLY else WithFallback(planner, offline, listener)
