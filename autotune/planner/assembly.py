# SPDX-License-Identifier: MIT
"""Assembly of a session's planner from its parts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotune import prompt
from autotune.config import Settings
from autotune.errors import AutotuneError, PlannerError
from autotune.events import LeftOut, Listener, Step, Warned
from autotune.knowledge.past import sentences
from autotune.knowledge.store import Knowledge
from autotune.machine.base import Machine
from autotune.machine.vm import kernels
from autotune.planner import fallback
from autotune.planner.base import Planner, Situation
from autotune.planner.claude import cost, credentials
from autotune.planner.claude.conversation import Conversation, PlanningLimits, Reply, Service
from autotune.planner.claude.transcript import Transcript
from autotune.planner.offline import OfflinePlanner
from autotune.records import AttachSpec, Candidate, Proposal, Workload
from autotune.redact import Redactor
from autotune.schedext.catalogue.catalog import Catalog
from autotune.secrecy import known_secrets
from autotune.tools.reasons import by_reason, unusable
from autotune.tools.rehearsal import Rehearsal
from autotune.tools.toolbox import Toolbox
from autotune.tools.workshop import Workshop
from autotune.verify.submission import Submission

if TYPE_CHECKING:
    from autotune.verify.gates import Verification

PAST_SESSIONS = 3
Resolve = Callable[[Candidate], AttachSpec]


@dataclass(frozen=True)
class Parts:
    """The parts that a planner is made from."""

    settings: Settings
    workload: Workload
    catalog: Catalog
    machine: Machine | None
    """None when nothing is started (`--dry-run`)."""
    resolve: Resolve
    listener: Listener
    knowledge: Knowledge
    show_output: bool = True
    proposes: bool = True
    """False when the user named all candidates."""


@contextlib.contextmanager
def planning(parts: Parts) -> Iterator[Planner]:
    """Yield the planner that the settings name, and close it at the end. Raises PlannerError, UsageError."""
    assert parts.machine is not None
    reasons = unusable(parts.catalog, parts.machine.info)
    if parts.proposes:
        parts.listener(LeftOut(by_reason(reasons)))
    offline = OfflinePlanner(parts.catalog, reasons)
    if parts.settings.planner == "offline":
        yield offline
        return
    from autotune.planner.claude import service as claude_service

    origin = ""
    rehearsal = Rehearsal(parts.machine, parts.resolve)
    with contextlib.ExitStack() as stack:

        def connect() -> claude_service.ClaudeService:
            nonlocal origin
            found = credentials.require(parts.settings.planner, Path(parts.workload.cwd), os.environ)
            origin = found.origin
            service = claude_service.ClaudeService(found, silence_s=parts.settings.model_timeout)
            stack.callback(service.close)
            return service

        def make(service: claude_service.ClaudeService) -> tuple[Planner, str]:
            talk = conversation(parts, service, rehearsal)
            stack.callback(talk.transcript_file.close)
            stack.callback(rehearsal.release)
            return talk, f"{parts.settings.model}, with {origin}"

        yield fallback.choose(parts.settings.planner, connect, make, offline, parts.listener)


def conversation(parts: Parts, service: Service, rehearsal: Rehearsal | None) -> Conversation:
    """Return the conversation of a session with the given service."""
    settings, workload = parts.settings, parts.workload
    redactor = Redactor({**known_secrets(Path(workload.cwd), os.environ), **workload.env})
    prices = cost.load(settings.prices)
    cost.refuse_unkept_limit(settings.model, prices, settings.max_cost)
    account = cost.Account(settings.model, prices)
    shop = workshop(parts) if rehearsal else None
    toolbox = Toolbox(
        catalog=parts.catalog,
        rehearsal=rehearsal,
        knowledge=parts.knowledge,
        directory=Path(workload.cwd),
        redactor=redactor,
        workshop=shop,
        unusable=unusable(parts.catalog, parts.machine.info) if parts.machine else {},
    )
    return Conversation(
        service=service,
        tools=toolbox,
        account=account,
        transcript_file=Transcript(redactor),
        redact=redactor.text,
        listener=parts.listener,
        model=settings.model,
        budget_s=settings.budget,
        limits=PlanningLimits(settings.max_cost, settings.max_calls),
        show_output=parts.show_output,
        learned=lambda: learned(parts.knowledge, workload, parts.listener),
        release=rehearsal.release if rehearsal else lambda: None,
        away_s=lambda: (rehearsal.took_s if rehearsal else 0.0) + (shop.took_s if shop else 0.0),
    )


def workshop(parts: Parts) -> Workshop:
    """Return a workshop that verifies in a micro-VM of its own and reports its progress."""

    def verified(submission: Submission) -> Verification:
        from autotune.verify.gates import verify

        kernel = kernels.find(parts.settings.kernel)
        return verify(
            submission, kernel, lambda text: parts.listener(Step("verify", f"{submission.name}: {text.strip()}"))
        )

    return Workshop(parts.catalog, verified)


def learned(knowledge: Knowledge, workload: Workload, listener: Listener) -> Sequence[str]:
    """Return what past sessions found, one sentence each: of this workload first, then of the same program elsewhere.
    When the knowledge cannot be read, warn and return nothing."""
    try:
        past = knowledge.sessions_of(workload, PAST_SESSIONS)
        return sentences(past + knowledge.similar(workload, PAST_SESSIONS))
    except AutotuneError as error:
        listener(Warned(str(error)))
        return ()


# --- showing the first request -----------------------------------------------------------------------


Show = Callable[[dict[str, Any]], None]


class _Nobody:
    """A service that never sends anything."""

    def send(self, request: dict[str, Any], within_s: float) -> Reply:
        del within_s
        raise PlannerError(f"nothing is sent to {request.get('model')} when a prompt is only shown")


class _Shower(OfflinePlanner):
    """A planner that shows its first request and proposes nothing, so that the session ends."""

    def __init__(self, talk: Conversation, show: Show, catalog: Catalog) -> None:
        super().__init__(catalog)
        self._talk = talk
        self._show = show

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        self._show(self._talk.first_request(situation))
        return ()


@contextlib.contextmanager
def showing(parts: Parts, show: Show) -> Iterator[Planner]:
    """Yield a planner that only shows its first request."""
    yield _Shower(conversation(parts, _Nobody(), None), show, parts.catalog)


def unsent_request(parts: Parts) -> dict[str, Any]:
    """Return the first request of a session that has not run; facts not known yet are marked."""
    talk = conversation(parts, _Nobody(), None)
    brief = prompt.Brief(
        machine=None,
        workload=parts.workload,
        measured=None,
        learned=tuple(learned(parts.knowledge, parts.workload, parts.listener)),
        show_output=parts.show_output,
    )
    return talk.first_request(None, brief)
