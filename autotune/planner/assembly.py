# SPDX-License-Identifier: MIT
"""Assembles a session's planner from its parts."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotune import prompt
from autotune.canary import standing
from autotune.config import WITHOUT_MODEL, Settings
from autotune.deadline import Deadline, unlimited
from autotune.errors import AutotuneError, PlannerError
from autotune.events import LeftOut, Listener, Step, Warned
from autotune.frozen import dataclass
from autotune.knowledge import experience, similar
from autotune.knowledge.best import Whereabouts
from autotune.knowledge.experience import KnownCandidate
from autotune.knowledge.past import sentences
from autotune.knowledge.similar import Likeness
from autotune.knowledge.store import Knowledge
from autotune.machine.base import Machine
from autotune.machine.vm import healing
from autotune.planner import fallback, knob_model, remote, services
from autotune.planner.base import Planner, Situation
from autotune.planner.claude import cost
from autotune.planner.claude.conversation import Conversation, PlanningLimits, Reply, Service
from autotune.planner.claude.transcript import Transcript
from autotune.planner.informed import Informed, Recollection
from autotune.planner.knob_search import KnobSearch
from autotune.planner.offline import OfflinePlanner
from autotune.planner.remote import RemoteService
from autotune.records import AttachSpec, Candidate, Proposal, Workload
from autotune.redact import Redactor
from autotune.schedext.catalogue.catalog import Catalog
from autotune.schedext.catalogue.origin import Maker
from autotune.schedext.holding.client import bounded
from autotune.secrecy import known_secrets
from autotune.tools.reasons import by_reason, unusable
from autotune.tools.rehearsal import Rehearsal
from autotune.tools.toolbox import Toolbox
from autotune.tools.workshop import Workshop
from autotune.verdict.promotion import Promotion
from autotune.verify.submission import Submission

if TYPE_CHECKING:
    from autotune.verify.gates import Verification

PAST_SESSIONS = 3
MOST_OWN = 20
"""Most sessions of a workload that tell what is known of it."""
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
    contact: Contact | None = None
    """The model's service as it answered before the machine was started; None: it is looked for now."""
    deadline: Deadline | None = None
    """The end of the budget, for verifications."""
    seed: int = 0
    """Seed of the session, for a search."""

    @functools.cached_property
    def standings(self) -> dict[str, Promotion]:
        """The standing of generated schedulers, by name: all planners of a session see the same."""
        return standing.standings(self.catalog.schedulers, self.knowledge)


@dataclass(frozen=True)
class Contact:
    """The model's service, as it was found and answered before a session. `problem` says why it cannot be used."""

    service: RemoteService[Reply] | None = None
    origin: str = ""
    problem: PlannerError | None = None

    def require(self) -> RemoteService[Reply]:
        """Return the service. Raises PlannerError when it cannot be used."""
        if self.service is None:
            raise self.problem or PlannerError("no model is used in this session", hint="use --planner claude")
        return self.service


@contextlib.contextmanager
def contacted(settings: Settings, cwd: Path, deadline: Deadline | None = None) -> Iterator[Contact]:
    """Find the key and check that the service accepts key and model; close the connection at the end. Raises
    PlannerError when only a model may plan and cannot."""
    if settings.planner in WITHOUT_MODEL:
        yield Contact()
        return
    with contextlib.ExitStack() as stack:
        try:
            found = services.require(settings, cwd, os.environ)
            service = _connected(found, settings, deadline or unlimited(), stack)
        except PlannerError as error:
            if services.must_plan(settings):
                raise
            contact = Contact(problem=error)
        else:
            contact = Contact(service, found.origin)
        yield contact


def _connected(
    found: services.Found, settings: Settings, deadline: Deadline, stack: contextlib.ExitStack
) -> RemoteService[Reply]:
    service = services.client(found, settings)
    stack.callback(service.close)
    within_s = min(deadline.bound(remote.CHECK_S), settings.model_timeout)
    service.check(settings.model, within_s, must_answer=services.must_plan(settings))
    return service


@contextlib.contextmanager
def planning(parts: Parts) -> Iterator[Planner]:
    """Yield the planner that the settings name, and close it at the end. Raises PlannerError, UsageError."""
    assert parts.machine is not None
    reasons = unusable(parts.catalog, parts.machine.info, directory=Path(parts.workload.cwd))
    if parts.proposes:
        programs = any(one.kind == "binary" and one.name not in reasons for one in parts.catalog.schedulers)
        parts.listener(LeftOut(by_reason(reasons), programs_here=programs))
    offline = without_model(parts, reasons)
    if parts.settings.planner in WITHOUT_MODEL:
        yield informed(parts, offline, reasons)
        return
    deadline = parts.deadline or unlimited()
    rehearsal = Rehearsal(parts.machine, lambda candidate: bounded(parts.resolve(candidate), deadline))
    with contextlib.ExitStack() as stack:
        contact = parts.contact or stack.enter_context(contacted(parts.settings, Path(parts.workload.cwd)))

        def make(service: RemoteService[Reply]) -> tuple[Planner, str]:
            talk = conversation(parts, service, rehearsal)
            stack.callback(talk.transcript_file.close)
            stack.callback(rehearsal.release)
            return talk, f"{parts.settings.model}, with {contact.origin}"

        chosen = fallback.choose(parts.settings.planner, contact.require, make, offline, parts.listener)
        yield informed(parts, chosen, reasons)


def without_model(parts: Parts, reasons: Container[str]) -> Planner:
    """Return the planner that needs no model. With the extra `search` it searches knobs after its first set. Raises
    PlannerError when only the search may plan and the extra is not installed."""
    is_search = parts.settings.planner == "search"
    if is_search and parts.proposes:
        knob_model.require()
    known = parts.standings
    if not knob_model.available():
        return OfflinePlanner(parts.catalog, reasons, known)
    name = "search" if is_search else OfflinePlanner.name
    return KnobSearch(parts.catalog, reasons, seed=parts.seed, name=name, standings=known)


def informed(parts: Parts, planner: Planner, reasons: Container[str]) -> Planner:
    """Return the planner beginning with what is known. Whoever asks for a search, or for a model, wants more than a
    check of what is known."""
    if not parts.settings.recall or not parts.proposes:
        return planner
    settles = parts.settings.planner in ("auto", "offline")
    recall = functools.partial(recollection, parts)
    return Informed(planner, parts.catalog, recall, settles=settles, unusable=reasons)


def recollection(parts: Parts, situation: Situation) -> Recollection:
    """Return what past sessions found: of this workload, and winners of similar ones. When the knowledge cannot be
    read, warn and return nothing."""
    knowledge, workload = parts.knowledge, parts.workload
    try:
        own, others = knowledge.sessions_of(workload, MOST_OWN), knowledge.others(workload)
    except AutotuneError as error:
        parts.listener(Warned(str(error)))
        return Recollection()
    here = experience.here_of(situation.machine)
    found = similar.ranked(workload, situation.observation, others)
    winners = (_winner_of(one, here) for one in found)
    return Recollection(experience.of_sessions(own, here), tuple(one for one in winners if one is not None))


def _winner_of(alike: Likeness, here: Whereabouts) -> KnownCandidate | None:
    """Return the winner of a similar workload, with why it may win here too."""
    won = experience.of_sessions([alike.session], here).good
    return replace(won[0], why=f"it won for another command: {alike.why}") if won else None


def conversation(parts: Parts, service: Service, rehearsal: Rehearsal | None) -> Conversation:
    """Return the conversation of a session with the given service."""
    settings, workload = parts.settings, parts.workload
    redactor = Redactor({**known_secrets(Path(workload.cwd), os.environ), **workload.env})
    prices = services.prices(settings)
    cost.refuse_unkept_limit(settings.model, prices, settings.max_cost)
    account = cost.Bill(settings.model, prices)
    shop = workshop(parts) if rehearsal else None
    hidden = unusable(parts.catalog, parts.machine.info, directory=Path(workload.cwd)) if parts.machine else {}
    toolbox = Toolbox(
        catalog=parts.catalog,
        rehearsal=rehearsal,
        knowledge=parts.knowledge,
        directory=Path(workload.cwd),
        redactor=redactor,
        workshop=shop,
        is_time=workload.metric_regex is None,
        unusable=hidden,
        standings=standing.texts(parts.standings),
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
        name="model" if services.is_own_server(settings) else "claude",
        away_s=lambda: (rehearsal.took_s if rehearsal else 0.0) + (shop.took_s if shop else 0.0),
    )


def workshop(parts: Parts) -> Workshop:
    """Return a workshop that verifies in a micro-VM of its own and reports its progress."""

    def verified(submission: Submission) -> Verification:
        from autotune.verify.gates import verify

        kernel = healing.sound(parts.settings.kernel, lambda text: parts.listener(Warned(text)))
        return verify(
            submission,
            kernel,
            lambda text: parts.listener(Step("verify", f"{submission.name}: {text.strip()}")),
            parts.deadline,
            made_in=Path(parts.workload.cwd),
            maker=Maker("model", parts.settings.model),
        )

    return Workshop(parts.catalog, verified)


def learned(knowledge: Knowledge, workload: Workload, listener: Listener) -> Sequence[str]:
    """Return what past sessions found, one sentence each: of this workload first, then of the same program elsewhere.
    When the knowledge cannot be read, warn and return nothing."""
    try:
        past = knowledge.sessions_of(workload, PAST_SESSIONS)
        alike = similar.ranked(workload, None, knowledge.others(workload), PAST_SESSIONS)
        return [*sentences(past), *(f"{sentences([one.session])[0]} {one.sentence}" for one in alike)]
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
