# SPDX-License-Identifier: MIT
"""The start of a session from a SessionRequest: the only way to start one, for every caller.

What always holds here:
- whatever can be checked is checked before anything starts;
- somebody else's scheduler is replaced only with consent, and restored however the session ends;
- the machine is released;
- each run is recorded as it ends; the reports are written whatever ended the session, and no older one stays in their
  place;
- nothing here needs a terminal: the listener gets events, redacted of secrets.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from autotune import config
from autotune.config import Settings
from autotune.deadline import Deadline
from autotune.errors import AutotuneError, Interrupted, as_ours
from autotune.events import Listener, Problem, Warned
from autotune.frozen import dataclass
from autotune.knowledge.store import Knowledge
from autotune.lease import handover, replacing
from autotune.machine import select
from autotune.machine.base import Machine, Place
from autotune.machine.local import invoking_identity
from autotune.planner import services
from autotune.planner.assembly import Contact, Parts, Show, contacted, planning, showing, unsent_request
from autotune.records import Candidate, Expectations, GuideSpec, ProbeSpec, Session
from autotune.schedext import build
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.schedext.programs import binaries
from autotune.schedext.resolve import CatalogResolver
from autotune.session import continuation, guiding, keeping, observing, preflight, tuner
from autotune.session.budgeting import LEAST_RUNS_TO_WATCH
from autotune.session.busy import MachineBefore, watch
from autotune.session.ending import described
from autotune.session.guiding import Resolver
from autotune.session.journal import Journal
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.recalled import Recalled
from autotune.session.recorder import Recorder, beside
from autotune.session.request import SessionRequest
from autotune.verdict.race import MIN_ROUNDS, TAIL_RUNS

SHARE_OF_A_PROBE = 1 / LEAST_RUNS_TO_WATCH
"""Of the budget that is left, what compiling the probe or the guide may take: no more than the run that is watched."""


class Engine:
    """Factory of the machine and the resolver. Tests, and callers with machines of their own, override its methods."""

    def require(self, catalog: Catalog, candidates: tuple[Candidate, ...]) -> None:
        """Check what the candidates need: programs that are installed and have the options, or clang. Raises
        AutotuneError, UsageError, BuildError."""
        resolve = CatalogResolver(None, catalog)
        programs = [one for one in candidates if catalog.get(one.scheduler).kind == "binary"]
        for candidate in programs:
            resolve(candidate)
        if not programs or len(programs) < len(candidates):
            build.newest_clang()

    def machine(
        self, request: SessionRequest, listener: Listener, deadline: Deadline
    ) -> AbstractContextManager[Machine]:
        """Return the machine as a context manager that releases it. It boots, and answers, before the deadline."""
        workload, settings = request.workload, request.settings
        return select.choose(
            settings.machine,
            place=Place(cwd=workload.cwd, pristine=workload.pristine, identity=invoking_identity()),
            cpus=settings.cpus,
            memory_bytes=settings.memory,
            kernel=settings.kernel,
            keep_writes=request.keep_writes,
            lease_s=settings.lease,
            listener=listener,
            deadline=deadline,
        )

    def busy(self) -> MachineBefore | None:
        """Return what others do on the host before the session; None where nobody looks."""
        return watch()

    def resolver(self, catalog: Catalog, machine: Machine, listener: Listener, deadline: Deadline) -> Resolver:
        """Return the function that finds or builds what attaching a candidate needs, before the deadline."""
        return CatalogResolver(machine.headers, catalog, notify=lambda text: listener(Warned(text)), deadline=deadline)

    def probe(self, machine: Machine, deadline: Deadline) -> ProbeSpec:
        """Return the probe that watches a run on this machine. Raises BuildError."""
        return observing.compiled(machine, deadline)

    def guide(self, machine: Machine, deadline: Deadline, expected: Expectations) -> GuideSpec:
        """Return the guide that tells schedulers on this machine what to expect. Raises BuildError."""
        return guiding.compiled(machine, deadline, expected)


# --- a session -------------------------------------------------------------------------------------------


def run(request: SessionRequest, listener: Listener, engine: Engine | None = None) -> Session:
    """Run one session and return it. One that ended early is returned too, and says so (`interrupted`, `failure`).

    Raises AutotuneError when there is nothing to return: a check fails, consent is refused, there is no machine, the
    workload fails under the baseline, or Ctrl-C comes before that. Also when the winner cannot be applied, or the
    replaced scheduler cannot be restored. The listener gets every Session, as Finished."""
    engine = engine or Engine()
    journal = Journal(Knowledge(warn=lambda text: recorder.about_knowledge(text), between_runs=True))
    recorder = Recorder(listener, journal)
    with _errors_as_ours(), contextlib.closing(recorder), contextlib.closing(journal):
        catalog = custom.catalog()
        preflight.check(request, catalog, engine, warn=recorder.about_knowledge)
        other = handover.make_way(request.settings.machine, request.consent, apply=request.apply)
        name = os.urandom(4).hex()
        deadline = Deadline(request.settings.budget)
        try:
            with (
                _taken(request, name),
                _contacted(request, deadline) as contact,
                replacing.replaced(other, recorder.notice),
            ):
                session = _session(request, catalog, recorder, engine, journal, (name, deadline, contact))
                if request.apply:
                    handover.keep_winner(session, catalog, request.settings.lease, recorder.notice)
        except _EndedEarlyError as early:
            session = early.session
    return session


@contextlib.contextmanager
def _taken(request: SessionRequest, name: str) -> Iterator[None]:
    """Note for the time of a continuation that it is one, so that nobody else continues the same session. Raises
    UsageError when somebody did, AutotuneError when that cannot be known: two that continue the same session would
    spend the same risk twice."""
    if request.continues is None:
        yield
        return
    before = request.continues.session
    with Knowledge() as knowledge, contextlib.closing(knowledge.claim()) as claim:
        other = knowledge.take(before, name, claim)
        if other is not None:
            raise continuation.continued_already(before.id, other)
        yield


def _contacted(request: SessionRequest, deadline: Deadline) -> AbstractContextManager[Contact]:
    return contacted(_planning_settings(request), Path(request.workload.cwd), deadline)


def _planning_settings(request: SessionRequest) -> Settings:
    """Return the settings, with a planner that needs no key where the user named the candidates."""
    return dataclasses.replace(request.settings, planner="offline") if request.candidates else request.settings


def ending(session: Session, error: BaseException | None) -> BaseException | None:
    """Return the exception to raise for a session that ended early; None for one that completed. `error` is that of
    Finished. A bug keeps its own exception."""
    known = "the report holds what is known so far"
    if session.interrupted:
        return Interrupted("interrupted", hint=known)
    if session.failure is not None:
        if error is not None and not isinstance(error, AutotuneError):
            return error
        failure = AutotuneError(session.failure, hint=known, stage=error.stage if error is not None else "session")
        failure.__cause__ = error
        return failure
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        return Interrupted("interrupted during cleanup", hint="the report is complete")
    return None


class _EndedEarlyError(Exception):
    """Carries a session that ended early out of `replaced`, which must see an exception then."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session


def _session(
    request: SessionRequest,
    catalog: Catalog,
    recorder: Recorder,
    engine: Engine,
    journal: Journal,
    given: tuple[str, Deadline, Contact],
) -> Session:
    """Tune, then record and write reports, whatever happened. Raises _EndedEarlyError for a session that ended
    early."""
    try:
        for remark in _without_effect(catalog, request.candidates):
            recorder(Warned(remark))
        _tune(request, catalog, recorder, engine, *given)
    except BaseException as ended:
        _keep(request, recorder, journal, described(ended))
        raise
    _keep(request, recorder, journal, "")
    session, error = recorder.session, recorder.error
    assert session is not None, "the tuner ended without a session"
    if ending(session, error) is not None:
        raise _EndedEarlyError(session)
    if error is not None:
        recorder(Problem("cleanup", beside("cleanup", error)))
    recorder.close()
    return session


def _keep(request: SessionRequest, recorder: Recorder, journal: Journal, failure: str) -> None:
    """Keep what is known of the session. `failure` describes what ended it when the tuner did not."""
    session = recorder.session or recorder.unmeasured or journal.so_far(failure)
    if session is None:
        keeping.remove_older(request.reports, recorder)
        return

    def record() -> None:
        with Knowledge(warn=recorder.about_knowledge) as knowledge:
            journal.finish(session, knowledge)

    keeping.keep(session, record, request.reports, config.as_flags(request.settings), recorder)


def _tune(
    request: SessionRequest,
    catalog: Catalog,
    recorder: Recorder,
    engine: Engine,
    name: str,
    deadline: Deadline,
    contact: Contact | None,
    show: Show | None = None,
) -> None:
    """Compose the parts and run the tuner. With `show`, only up to the first request to the model, which is passed to
    `show` instead of sent."""
    busy = engine.busy()  # before a micro-VM adds its own work
    warned = Knowledge(warn=recorder.about_knowledge)
    with engine.machine(request, recorder, deadline) as machine, contextlib.closing(warned) as knowledge:
        resolve = engine.resolver(catalog, machine, recorder, deadline)
        options = _options(request, name, busy or MachineBefore())
        past = Recalled(knowledge, request.workload, machine.info, lambda text: recorder(Warned(text)))
        confirmed = past.confirmed() if request.settings.recall else frozenset()
        options = dataclasses.replace(options, known=options.known or past.profile(), tail_known=confirmed)

        def share() -> Deadline:
            return Deadline(deadline.left_s() * SHARE_OF_A_PROBE)

        guide = guiding.Guiding(lambda expected: engine.guide(machine, share(), expected), past.merged)
        past.guide(guide)
        parts = dataclasses.replace(
            _parts(request, catalog, machine, guide.resolver(resolve), recorder, knowledge),
            contact=contact,
            deadline=deadline,
            seed=options.seed,
        )
        with planning(parts) if show is None else showing(parts, show) as planner:
            whole = SessionParts(
                machine,
                planner,
                recorder,
                resolve,
                deadline=deadline,
                probe=lambda: engine.probe(machine, share()),
                guiding=guide,
            )
            tuner.tune(request.workload, whole, options)


def _parts(
    request: SessionRequest,
    catalog: Catalog,
    machine: Machine | None,
    resolve: Resolver,
    listener: Listener,
    knowledge: Knowledge,
) -> Parts:
    return Parts(
        _planning_settings(request),
        request.workload,
        catalog,
        machine,
        resolve,
        listener,
        knowledge,
        show_output=request.output_to_model,
        proposes=not request.candidates,
    )


def _options(request: SessionRequest, name: str, busy: MachineBefore) -> SessionOptions:
    settings = request.settings
    return SessionOptions(
        warmup=settings.warmup,
        min_rounds=MIN_ROUNDS if request.brief else settings.least_rounds,
        max_rounds=MIN_ROUNDS if request.brief else settings.most_rounds,
        tail_runs=0 if request.brief else TAIL_RUNS,
        most_pairs=settings.runs,
        min_effect=settings.min_effect,
        statistic=settings.statistic,
        budget_s=settings.budget,
        seed=int.from_bytes(os.urandom(4), "big") if settings.seed is None else settings.seed,
        user_candidates=request.candidates,
        approve=request.approve,
        show_output=request.show_output,
        known_before=(busy.warning,) if busy.warning else (),
        others_before=busy.others_cpus,
        id=name,
        known=request.continues.session.watched if request.continues is not None else None,
        not_watched=_not_watched(request),
        explain=settings.explain,
        early_end=_may_end_early(request),
        taken_up=request.continues,
        repeats=continuation.kept_options(config.as_flags(settings)),
    )


def _not_watched(request: SessionRequest) -> str:
    """Return why no run shall be watched; empty where one shall."""
    if request.continues is not None:
        return "a continuation watches no run"
    if request.brief:
        return "a recheck watches no run"
    return "" if request.settings.observe else "--no-observe"


def _may_end_early(request: SessionRequest) -> bool:
    """Whoever names the candidates, or says who proposes them, wants them tried."""
    settings = request.settings
    return settings.early_end and not request.candidates and settings.planner == "auto"


def _without_effect(catalog: Catalog, candidates: tuple[Candidate, ...]) -> Iterator[str]:
    """Yield a remark for each given knob that the program accepts but that has no effect."""
    for candidate in candidates:
        for name, _ in candidate.knobs:
            knob = catalog.get(candidate.scheduler).knob(name)
            if knob.status != "active":
                why = f" ({knob.note})" if knob.note else ""
                yield f"{candidate.scheduler}: knob '{name}' is accepted but has no effect{why}"


@contextlib.contextmanager
def _errors_as_ours() -> Iterator[None]:
    try:
        yield
    except AutotuneError:
        raise
    except (KeyboardInterrupt, Exception) as error:
        raise as_ours(error) from error


# --- without a race --------------------------------------------------------------------------------------


def first_request(request: SessionRequest, listener: Listener, engine: Engine | None = None) -> dict[str, Any]:
    """Measure the baseline and return the first request that a model would get. Nothing is sent, attached or written.
    Raises AutotuneError when the session ends before that."""
    recorder = Recorder(listener)
    requests: list[dict[str, Any]] = []
    with _errors_as_ours(), contextlib.closing(recorder):
        alone, catalog = dataclasses.replace(request, candidates=(), approve=None), custom.catalog()
        preflight.check(alone, catalog, engine or Engine(), baseline_only=True)
        deadline = Deadline(request.settings.budget)
        _tune(alone, catalog, recorder, engine or Engine(), "", deadline, None, requests.append)
        if not requests:
            ended = ending(recorder.session, recorder.error) if recorder.session else None
            raise ended or AutotuneError("the budget ended before planning began", hint="give a larger --budget")
    return requests[0]


@dataclass(frozen=True)
class Plan:
    """Plan of a session, as far as it is known before the start."""

    where: str
    """The machine, in one sentence."""
    schedulers: tuple[str, ...]
    """The schedulers on this machine, which a planner may choose from."""
    model_plans: bool
    why_not: str = ""
    """Reason why no model plans although the settings allow one."""
    first_request: dict[str, Any] | None = None
    """First request to the model, with marks where facts are not known yet; None when no model plans."""


def problems(request: SessionRequest, engine: Engine | None = None) -> list[AutotuneError]:
    """Return everything that would keep a session from starting, as far as that can be checked without a machine;
    nothing is started. Raises AutotuneError where not even that can be said."""
    with _errors_as_ours():
        return preflight.problems(request, custom.catalog(), engine or Engine())


def problems_later(request: SessionRequest) -> list[AutotuneError]:
    """Return what would keep a session that begins later from starting, as things are now. Raises AutotuneError for
    what no wait can mend."""
    with _errors_as_ours():
        return preflight.check_for_later(request, custom.catalog(), Engine())


def describe(request: SessionRequest) -> Plan:
    """Return the plan of a session that has no problems; nothing is started. Raises AutotuneError."""
    with _errors_as_ours():
        settings, catalog = request.settings, custom.catalog()
        where = select.describe(
            settings.machine, cpus=settings.cpus, memory_bytes=settings.memory, kernel=settings.kernel
        )
        wished = not request.candidates and settings.planner not in config.WITHOUT_MODEL
        why_not = _no_model(request) if wished else ""
        plans = wished and not why_not
        return Plan(where, _here(catalog), plans, why_not, _unsent(request, catalog) if plans else None)


def _no_model(request: SessionRequest) -> str:
    """Return why no model would plan; empty when one would. Raises PlannerError when that would end a session."""
    try:
        services.require(request.settings, Path(request.workload.cwd), os.environ)
    except AutotuneError as error:
        if services.must_plan(request.settings):
            raise
        return f"{error.message}; {error.hint}"
    return ""


def _here(catalog: Catalog) -> tuple[str, ...]:
    places = binaries.here()

    def is_here(scheduler: Scheduler) -> bool:
        with contextlib.suppress(AutotuneError):
            return scheduler.kind == "bpf" or binaries.find(scheduler, places=places) is not None
        return False

    return tuple(scheduler.name for scheduler in catalog.schedulers if is_here(scheduler))


def _unsent(request: SessionRequest, catalog: Catalog) -> dict[str, Any]:
    def nothing(_candidate: Candidate) -> Any:
        raise AssertionError("nothing is attached before a session")

    listener: Callable[[object], None] = lambda _event: None  # noqa: E731
    with contextlib.closing(Knowledge()) as knowledge:
        return unsent_request(_parts(request, catalog, None, nothing, listener, knowledge))
