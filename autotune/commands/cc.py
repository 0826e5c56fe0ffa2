# SPDX-License-Identifier: MIT
"""`autotune cc` and `autotune prompt`: from arguments to a session, and from the session to what is written.

Everything the user could have got wrong is found before anything is started; whatever happens then, the machine is
given back and what is known is written.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from autotune.commands.arguments import CcArguments, current_directory, flags, workload_from
from autotune.commands.printing import encode_anything, say, undisturbed
from autotune.errors import AutotuneError, Interrupted, UsageError
from autotune.secrecy import event_without_secrets
from autotune.views.steady import Steady, reader_left

if TYPE_CHECKING:
    from autotune.config import Settings
    from autotune.machine.base import Machine
    from autotune.planner.assembly import Show
    from autotune.records import Candidate, Session, Workload
    from autotune.schedext.catalogue.catalog import Catalog, Scheduler
    from autotune.session.tuner import Resolver, SessionOptions
    from autotune.views.live import LiveView
    from autotune.views.plain import PlainView
    from autotune.views.prompts import Approver


def run_cc(asked: CcArguments) -> int:
    """One session from arguments to exit code. Everything the user could have got wrong is found before anything
    is started."""
    from autotune import config

    settings = config.load(flags(asked), cwd=current_directory(), environ=os.environ)
    workload = workload_from(asked)
    shown = _shown(asked)
    human = shown.as_stream()
    _check(asked, settings, human)
    from autotune.schedext.catalogue import custom

    catalog = custom.catalog()
    candidates = tuple(catalog.parse_candidate(text) for text in asked.scheduler or ())
    code = 0
    if asked.dry_run:
        _dry_run(human, settings, workload, catalog, candidates, show_output=not asked.no_output_to_model)
    else:
        code = _session(asked, settings, workload, catalog, candidates, human)
    return code or _output_lost(asked, shown)


def _shown(asked: CcArguments) -> Steady:
    """Where people are told what happens. It takes every line, also when nobody is there any more."""
    stream = sys.stderr if asked.json == Path("-") else sys.stdout
    if stream is None:  # it was closed before we were started
        stream = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    encode_anything(stream)
    return Steady(stream)


def _output_lost(asked: CcArguments, shown: Steady) -> int:
    """The exit code of a session whose lines could not all be written. A reader that left needs no telling."""
    if shown.lost is None or asked.json == Path("-"):  # what was asked for then was the document
        return 0
    if not reader_left(shown.lost):
        say(_unwritten("what happened could not all be printed", shown.lost))
    return 1


def _unwritten(what: str, error: Exception) -> AutotuneError:
    why = getattr(error, "strerror", None) or str(error)
    return AutotuneError(f"{what}: {why}", hint="write the report to a file with --json FILE", stage="report")


def _session(
    asked: CcArguments,
    settings: Settings,
    workload: Workload,
    catalog: Catalog,
    candidates: tuple[Candidate, ...],
    human: TextIO,
) -> int:

    from autotune.lease import handover, replacing

    _require(catalog, candidates)
    other = handover.in_the_way(asked, settings, human)

    def tell(text: str) -> None:
        from autotune.report.text import printable

        print(printable(text), file=human, flush=True)

    with replacing.replaced(other, tell):
        session, code = _run(asked, settings, workload, catalog, candidates, human)
        if asked.apply:
            handover.keep_winner(session, catalog, tell)
    return code


def _run(
    asked: CcArguments,
    settings: Settings,
    workload: Workload,
    catalog: Catalog,
    candidates: tuple[Candidate, ...],
    human: TextIO,
) -> tuple[Session, int]:
    """Tune, and write every report, whatever happened. Raises what ended it early. The exit code of a session that went
    to its end is 1 where a report could not be written, or cleanup failed."""
    from autotune import config
    from autotune.events import Warned

    given = config.as_flags(settings)
    view = _view(human, settings, given)
    recorder = _Recorder(view)
    written = True
    try:
        with recorder:
            for remark in _without_effect(catalog, candidates):
                recorder(Warned(remark))
            approve = _approver(human, view, catalog) if asked.interactive else None
            options = _options(asked, settings, candidates, approve)
            _tune(asked, settings, workload, catalog, options, recorder)
    finally:
        if recorder.session is not None:
            written = _keep(asked, recorder.session, given)
    session = _finished(recorder)
    return session, 0 if written and _all_well(recorder) else 1


def _keep(asked: CcArguments, session: Session, given: Sequence[str]) -> bool:
    """Remember what was found, and write every report that was asked for. What cannot be written is said, and keeps
    nothing else from being written; False when there was such a report. Ctrl-C waits for what is short; a pipe that
    nobody reads does not keep it waiting."""
    from autotune.report import documents

    texts = {
        "--json": lambda: documents.json_text(session),
        "--export-markdown": lambda: documents.markdown(session, given),
        "--export-csv": lambda: documents.csv_text(session),
    }
    files = {option: path for option, path in _exports(asked).items() if not _may_wait(path)}
    others = {option: path for option, path in _exports(asked).items() if option not in files}
    written = []
    try:
        with undisturbed():
            _remember(session)
            written += [_written(path, texts[option], option) for option, path in files.items()]
    finally:
        written += [_written(path, texts[option], option) for option, path in others.items()]
        if asked.json == Path("-"):
            written.append(_printed(texts["--json"]))
    return all(written)


def _finished(recorder: _Recorder) -> Session:
    """A session that went to its end. Raises Interrupted or AutotuneError for one that did not."""
    session, error = recorder.session, recorder.error
    known = "the report holds what is known so far"
    if session is None or session.interrupted:
        raise Interrupted("interrupted", hint=known if session else "")
    if session.failure is not None:
        if error is not None and not isinstance(error, AutotuneError):
            raise error  # a bug, or the machine's word: the command line knows what to call it
        stage = error.stage if error is not None else "session"
        raise AutotuneError(session.failure, hint=known, stage=stage) from error
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        raise Interrupted("interrupted during cleanup", hint="the report is complete")
    return session


def _all_well(recorder: _Recorder) -> bool:
    """False, with a line on each, when something failed that is no part of the report."""
    if recorder.error is not None:
        say(_as_ours("cleanup", recorder.error))
    if recorder.view_error is not None:
        say(_as_ours("not all that happened could be shown", recorder.view_error))
    return recorder.error is None and recorder.view_error is None


def _as_ours(what: str, error: BaseException) -> AutotuneError:
    """An error of ours as it is; any other as a bug, which does not end the session."""
    if isinstance(error, AutotuneError):
        return error
    told = f"{what}: {type(error).__name__}: {error}"
    return AutotuneError(told, hint="this is a bug in autotune; the rest is not harmed", stage="internal")


class _Recorder:
    """Passes events to the view, and keeps the finished session and the logs of schedulers, so that they are written
    whatever comes after. A view that fails is switched off, and the session goes on without."""

    def __init__(self, view: LiveView | PlainView | _ProgressOnly) -> None:
        from autotune.views.logs import SchedulerLogs

        self.view = view
        self.session: Session | None = None
        self.error: BaseException | None = None
        """What ended the session, or failed after it."""
        self.view_error: Exception | None = None
        self._logs = SchedulerLogs(self._show)

    def __enter__(self) -> _Recorder:
        self._guarded(self.view.__enter__)
        return self

    def __exit__(self, *ending: Any) -> None:
        self._guarded(lambda: self.view.__exit__(*ending), always=True)

    def __call__(self, event: Any) -> None:
        from autotune.events import Finished

        event = event_without_secrets(event)
        if isinstance(event, Finished):
            self.session, self.error = event.session, event.error
        self._logs(event)
        self._show(event)

    def _show(self, event: Any) -> None:
        self._guarded(lambda: self.view(event))

    def _guarded(self, step: Callable[[], object], *, always: bool = False) -> None:
        if self.view_error is None or always:
            try:
                step()
            except Exception as error:
                self.view_error = self.view_error or error


def _tune(
    asked: CcArguments,
    settings: Settings,
    workload: Workload,
    catalog: Catalog,
    options: SessionOptions,
    recorder: _Recorder,
    show: Show | None = None,
) -> None:
    """Run the session; or, with `show`, only up to the first question to the model, which is
    shown instead of sent."""
    from autotune.events import Warned
    from autotune.knowledge.store import Knowledge
    from autotune.machine import select
    from autotune.machine.base import Place
    from autotune.machine.local import invoking_identity
    from autotune.planner.assembly import Parts, planning, showing
    from autotune.session.tuner import tune

    chosen = select.choose(
        settings.machine,
        place=Place(cwd=workload.cwd, pristine=workload.pristine, identity=invoking_identity()),
        cpus=settings.cpus,
        memory_bytes=settings.memory,
        kernel=settings.kernel,
        keep_writes=asked.keep_writes,
        listener=recorder,
    )
    with chosen as machine, contextlib.closing(Knowledge(warn=lambda text: recorder(Warned(text)))) as memory:
        resolve = _resolver(catalog, machine)
        parts = Parts(
            settings if not options.user_candidates else dataclasses.replace(settings, planner="offline"),
            workload,
            catalog,
            machine,
            resolve,
            recorder,
            memory,
            show_output=not asked.no_output_to_model,
            proposes=not options.user_candidates,
        )
        with planning(parts) if show is None else showing(parts, show) as planner:
            tune(workload, machine, planner, options, recorder, resolve)


def _remember(session: Session) -> None:
    """Keep what was learned; a memory that cannot be written costs no session."""
    if session.baseline is None:
        return
    from autotune.knowledge.store import Knowledge

    try:
        with Knowledge(warn=lambda text: say(AutotuneError(text, stage="history"))) as memory:
            memory.record(session)
    except Exception as error:
        say(_as_ours("history", error))


def _options(
    asked: CcArguments, settings: Settings, candidates: tuple[Candidate, ...], approve: Approver | None
) -> SessionOptions:
    from autotune.session.tuner import SessionOptions

    return SessionOptions(
        warmup=settings.warmup,
        min_rounds=settings.min_runs,
        max_rounds=settings.max_runs,
        budget_s=settings.budget,
        seed=int.from_bytes(os.urandom(4), "big") if settings.seed is None else settings.seed,
        user_candidates=candidates,
        approve=approve,
        show_output=asked.show_output,
    )


def _approver(human: TextIO, view: LiveView | PlainView, catalog: Catalog) -> Approver:
    from autotune.views.prompts import Approver

    def ask(text: str) -> str:
        human.write(text)
        human.flush()
        try:
            line = sys.stdin.readline()
        except OSError as error:  # the terminal is gone
            raise EOFError from error
        if not line:
            raise EOFError
        return line

    return Approver(ask, view.paused, catalog.parse_candidate)


def _view(human: TextIO, settings: Settings, given: Sequence[str]) -> LiveView | PlainView:
    """The live view at a terminal that can move its cursor, plain lines everywhere else."""
    if human.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        from autotune.views.live import LiveView

        return LiveView(human, budget_s=settings.budget, given=given)
    from autotune.views.plain import PlainView

    return PlainView(human, given=given)


def _check(asked: CcArguments, settings: Settings, human: TextIO) -> None:
    """What is wrong although every option is right by itself, and what could not be written in the end."""
    if asked.interactive and not (sys.stdin.isatty() and human.isatty()):
        raise UsageError("--interactive needs a terminal to ask at", hint="leave it out, or run at a terminal")
    if settings.machine == "host" and asked.keep_writes is not None:
        raise UsageError("--keep-writes is for the micro-VM; on the host everything is kept anyway")
    from autotune.views import exports

    for option, path in _exports(asked).items():
        exports.check_writable(path, option)


def _without_effect(catalog: Catalog, candidates: tuple[Candidate, ...]) -> Iterator[str]:
    """Settings that the user named and that change nothing: accepted by the program, and no more."""
    for candidate in candidates:
        for name, _ in candidate.knobs:
            knob = catalog.get(candidate.scheduler).knob(name)
            if knob.status != "active":
                why = f" ({knob.note})" if knob.note else ""
                yield f"{candidate.scheduler}: knob '{name}' is accepted and changes nothing{why}"


def _require(catalog: Catalog, candidates: tuple[Candidate, ...]) -> None:
    """What candidates need, looked for before minutes are spent on the baseline: programs that are there and have the
    options, and clang for all else. Raises AutotuneError, UsageError, BuildError."""
    from autotune.schedext.build import newest_clang
    from autotune.schedext.resolve import CatalogResolver

    resolve = CatalogResolver(None, catalog)
    programs = [one for one in candidates if catalog.get(one.scheduler).kind == "binary"]
    for candidate in programs:
        resolve(candidate)
    if not programs or len(programs) < len(candidates):
        newest_clang()


def _resolver(catalog: Catalog, machine: Machine) -> Resolver:
    from autotune.schedext.resolve import CatalogResolver

    return CatalogResolver(machine.headers, catalog)


# --- autotune cc: what is written ------------------------------------------------------------------------


def _exports(asked: CcArguments) -> dict[str, Path]:
    wanted = {
        "--json": None if asked.json == Path("-") else asked.json,
        "--export-markdown": asked.export_markdown,
        "--export-csv": asked.export_csv,
    }
    return {option: path for option, path in wanted.items() if path is not None}


def _may_wait(path: Path) -> bool:
    """Whether writing may wait for somebody: a pipe or a device."""
    return path.exists() and not path.is_file()


def _written(path: Path, text: Callable[[], str], option: str) -> bool:
    from autotune.views import exports

    try:
        exports.write(path, text(), option)
    except Exception as error:
        say(_as_ours(option, error))
        return False
    return True


def _printed(text: Callable[[], str]) -> bool:
    """The document on standard output."""
    if sys.stdout is None:  # it was closed before we were started
        say(AutotuneError("--json - could not be written: standard output is closed", stage="report"))
        return False
    encode_anything(sys.stdout)
    out = Steady(sys.stdout)
    out.write(text())
    out.flush()
    if out.lost is not None and not reader_left(out.lost):
        say(_unwritten("--json - could not be written", out.lost))
    return out.lost is None


def _dry_run(
    human: TextIO,
    settings: Settings,
    workload: Workload,
    catalog: Catalog,
    candidates: tuple[Candidate, ...],
    *,
    show_output: bool,
) -> None:
    from autotune.machine import select
    from autotune.views import planned

    where = select.describe(settings.machine, cpus=settings.cpus, memory_bytes=settings.memory, kernel=settings.kernel)
    choice = _choice(catalog)
    asks_claude = not candidates and settings.planner != "offline" and _has_key(settings, workload, human)
    for line in planned.lines(where, settings, workload, candidates, choice, asks_claude=asks_claude):
        print(line, file=human)
    if asks_claude:
        print("\nWhat would be sent to the model first:\n", file=human)
        print(planned.request_text(_unsent(settings, workload, catalog, show_output=show_output)), file=human)


def _choice(catalog: Catalog) -> list[str]:
    """What a planner may choose among, as far as it is known before the machine is: programs that are here."""
    from autotune.schedext.programs import binaries

    here = binaries.here()

    def is_here(scheduler: Scheduler) -> bool:
        with contextlib.suppress(AutotuneError):
            return scheduler.kind == "bpf" or binaries.find(scheduler, places=here) is not None
        return False

    return [scheduler.name for scheduler in catalog.schedulers if is_here(scheduler)]


def _has_key(settings: Settings, workload: Workload, human: TextIO) -> bool:
    """Whether Claude would plan; why not is said. Raises PlannerError when a session would."""
    from autotune.planner.claude import credentials
    from autotune.report.text import printable

    try:
        credentials.require(settings.planner, Path(workload.cwd), os.environ)
    except AutotuneError as error:
        if settings.planner == "claude":
            raise
        print(printable(f"Planner: offline ({error.message}; {error.hint})"), file=human)
        return False
    return True


def _unsent(settings: Settings, workload: Workload, catalog: Catalog, *, show_output: bool) -> Any:
    """The first request of a session that does not run."""
    from autotune.knowledge.store import Knowledge
    from autotune.planner.assembly import Parts, unsent_request

    def nobody(_candidate: object) -> Any:
        raise AssertionError("nothing is attached in a dry run")

    with contextlib.closing(Knowledge()) as memory:
        return unsent_request(
            Parts(settings, workload, catalog, None, nobody, lambda _event: None, memory, show_output=show_output)
        )


# --- autotune prompt -----------------------------------------------------------------------------------


def run_prompt(asked: CcArguments) -> int:
    """Measure the baseline, show the first request on standard output, and end."""
    import json

    from autotune import config
    from autotune.schedext.catalogue import custom
    from autotune.views import planned
    from autotune.views.plain import PlainView

    settings = config.load(flags(asked), cwd=current_directory(), environ=os.environ)
    workload = workload_from(asked)
    catalog = custom.catalog()
    recorder = _Recorder(_ProgressOnly(PlainView(sys.stderr)))
    requests: list[dict[str, Any]] = []
    encode_anything(sys.stdout)
    encode_anything(sys.stderr)
    options = _options(asked, settings, (), None)
    _tune(asked, settings, workload, catalog, options, recorder, show=requests.append)
    if not requests:
        _finished(recorder)
        return 1
    as_sent = asked.json == Path("-")
    print(json.dumps(requests[0], indent=2) if as_sent else planned.request_text(requests[0]))
    return 0


class _ProgressOnly:
    """A view without the report, which says nothing when no candidate was tried."""

    def __init__(self, view: PlainView) -> None:
        self._view = view

    def __call__(self, event: Any) -> None:
        from autotune.events import Finished

        if not isinstance(event, Finished):
            self._view(event)

    def __enter__(self) -> _ProgressOnly:
        return self

    def __exit__(self, *_ending: Any) -> None:
        return None
