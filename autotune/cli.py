# SPDX-License-Identifier: MIT
"""The command line: parse, call, render, exit code. Nothing else prints or exits.

What always holds here:
- the end of every command is an exit code: 0 finished, 1 error, 2 usage, 3 the workload fails under the baseline,
  4 no machine can run sched_ext, 130 interrupted;
- an error is one line on standard error; a traceback only with `--debug` or AUTOTUNE_DEBUG;
- nothing but typer is imported before a command needs it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from autotune import __version__, scheduler_commands
from autotune.arguments import CcArguments, current_directory, debug_option, flags, takes, workload_from
from autotune.errors import AutotuneError, Interrupted, UsageError
from autotune.printing import columns, encode_anything, print_json, print_lines

if TYPE_CHECKING:
    from autotune.config import Settings
    from autotune.history import History
    from autotune.machine.base import Machine
    from autotune.planner.make import Show
    from autotune.records import Candidate, Session, Workload
    from autotune.schedext.catalog import Catalog
    from autotune.tuner import Options, Resolver
    from autotune.views.live import LiveView
    from autotune.views.plain import PlainView
    from autotune.views.prompts import Approver

INTERNAL_HINT = "this is a bug in autotune; --debug shows where"

_FULL = ("the disk is full", "make room where temporary files go (TMPDIR, else /tmp) and in your home directory")
_CLOSED = ("a file cannot be used", "change its permissions or those of its directory, or name another")
_NO_BUGS = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EACCES: _CLOSED, errno.EROFS: _CLOSED}
"""What the machine may refuse at any moment, wherever it happens: what it is called, and what to do."""


# --- the edge: errors become a line and an exit code -----------------------------------------------------


class _Program(TyperGroup):
    """The whole program. It turns whatever a command raises into one line and the exit code."""

    debug = False

    def main(self, *args: Any, **extra: Any) -> Any:
        exits = extra.pop("standalone_mode", True)
        self.debug = bool(os.environ.get("AUTOTUNE_DEBUG"))
        code = self._run(*args, **extra, standalone_mode=False)
        if exits:
            sys.exit(code)
        return code

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted") from None

    def _run(self, *args: Any, **extra: Any) -> int:
        try:
            code = super().main(*args, **extra)
        except Exception as error:
            return self._report(error)
        return code if isinstance(code, int) else 0

    def _report(self, error: Exception) -> int:
        if self.debug:
            import traceback

            traceback.print_exception(error, file=sys.stderr)
        known = _as_ours(error)
        if known.detail and self.debug:
            print(known.detail, file=sys.stderr)
        print(error_line(known), file=sys.stderr)
        return known.exit_code


def _as_ours(error: Exception) -> AutotuneError:
    """Any exception as one of the family: typer's own are about usage, some are the machine's, all others bugs."""
    if isinstance(error, AutotuneError):
        return error
    if isinstance(error, typer.Abort):
        return Interrupted("interrupted")
    if hasattr(error, "format_message"):  # what typer raises for arguments it cannot take
        return UsageError(error.format_message(), hint=_usage_hint(error))
    if isinstance(error, OSError) and error.errno in _NO_BUGS:
        what, hint = _NO_BUGS[error.errno]
        where = f"{error.filename}: " if error.filename else ""
        return AutotuneError(f"{what}: {where}{error.strerror}", hint=hint)
    return AutotuneError(f"{type(error).__name__}: {error}", hint=INTERNAL_HINT, stage="internal")


def _usage_hint(error: Any) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "autotune"
    if hasattr(error, "option_name") and path.endswith(" cc"):
        return f"quote a command that has options, or put -- before it; '{path} --help' lists the options of cc"
    return f"see '{path} --help'"


def error_line(error: AutotuneError) -> str:
    """The error as one printable line: `autotune: STAGE: what happened. What to do.`"""
    from autotune.report import printable

    stage = "" if error.stage == AutotuneError.default_stage else f"{error.stage}: "
    message, hint = (printable(" ".join(part.split())).rstrip(".") for part in (error.message, error.hint))
    advice = f" {hint[:1].upper()}{hint[1:]}." if hint else ""
    return f"autotune: {stage}{message}.{advice}"


@contextlib.contextmanager
def _ended_gently() -> Iterator[None]:
    """SIGTERM and SIGHUP end a session as Ctrl-C does: the machine is given back and the terminal restored."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- the program -----------------------------------------------------------------------------------------

HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    cls=_Program,
    context_settings=HELP,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="Start with: autotune doctor",
)
schedulers_app = typer.Typer(context_settings=HELP, help="The schedulers that can be tried.")
vm_app = typer.Typer(context_settings=HELP, help="The micro-VM with a sched_ext kernel.")
app.add_typer(schedulers_app, name="schedulers")
app.add_typer(vm_app, name="vm")
app.add_typer(scheduler_commands.app, name="scheduler")


def main() -> None:
    """Entry point of the `autotune` command; exits."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"autotune {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
    _debug: Annotated[bool, debug_option()] = False,
) -> None:
    """Find out which CPU scheduler makes a command better on this machine, by how much, and how sure that is."""
    if context.invoked_subcommand is None:
        _show_help(context)
        raise typer.Exit(2)


def _show_help(context: typer.Context) -> None:
    text = context.get_help()
    if text:  # typer prints it by itself when rich is there
        print(text)


# --- autotune cc: the command ----------------------------------------------------------------------------


EXAMPLES = """Examples:

  autotune cc 'make -j8' --prepare 'make clean'

  autotune cc --metric 'rps: ([0-9.]+)' --goal max -- ./load --seconds 5

  autotune cc --scheduler at_fifo:slice_us=5000 --scheduler at_batch 'make -j8'
"""


@app.command(
    "cc",
    epilog=EXAMPLES,
)
@takes(CcArguments)
def _cc(**given: Any) -> int:
    """Run COMMAND under EEVDF and under sched_ext schedulers, and rank them.

    Exit codes: 0 finished, 1 error, 2 usage, 3 COMMAND fails under EEVDF, 4 no machine, 130 interrupted.

    Settings may also stand in AUTOTUNE_... variables, .env or autotune.toml.
    """
    with _ended_gently():
        return run_cc(CcArguments(**given))


def run_cc(asked: CcArguments) -> int:
    """One session from arguments to exit code. Everything the user could have got wrong is found before anything
    is started."""
    from autotune import config

    settings = config.load(flags(asked), cwd=current_directory(), environ=os.environ)
    workload = workload_from(asked)
    human = sys.stderr if asked.json == Path("-") else sys.stdout
    encode_anything(human)
    _check(asked, settings, human)
    from autotune.schedext import custom

    catalog = custom.catalog()
    candidates = tuple(catalog.parse_candidate(text) for text in asked.scheduler or ())
    if asked.dry_run:
        _dry_run(human, settings, workload, catalog, candidates, show_output=not asked.no_output_to_model)
        return 0
    return _session(asked, settings, workload, catalog, candidates, human)


def _session(
    asked: CcArguments,
    settings: Settings,
    workload: Workload,
    catalog: Catalog,
    candidates: tuple[Candidate, ...],
    human: TextIO,
) -> int:
    from autotune import config

    _require_compiler()
    given = config.as_flags(settings)
    view = _view(human, settings, given)
    recorder = _Recorder(view)
    written = True
    try:
        with view:
            approve = _approver(human, view, catalog) if asked.interactive else None
            options = _options(asked, settings, candidates, approve)
            _tune(asked, settings, workload, catalog, options, recorder)
    finally:
        if recorder.session is not None:
            written = _export(asked, recorder.session, given)
    return _exit_code(recorder.session, written)


def _exit_code(session: Session | None, written: bool) -> int:
    if session is None or session.interrupted:
        raise Interrupted("interrupted", hint="the report holds what is known so far" if session else "")
    if session.failure is not None:
        raise AutotuneError(session.failure, hint="the report holds what is known so far", stage="session")
    return 0 if written else 1


class _Recorder:
    """Passes events to the view and keeps the finished session, so that it is written whatever comes after."""

    def __init__(self, view: LiveView | PlainView | _ProgressOnly) -> None:
        self.view = view
        self.session: Session | None = None

    def __call__(self, event: Any) -> None:
        from autotune.events import Finished

        if isinstance(event, Finished):
            self.session = event.session
        self.view(event)


def _tune(
    asked: CcArguments,
    settings: Settings,
    workload: Workload,
    catalog: Catalog,
    options: Options,
    recorder: _Recorder,
    show: Show | None = None,
) -> None:
    """Run the session and remember what it found; or, with `show`, only up to the first question to the model, which is
    shown instead of sent."""
    from autotune.events import Warned
    from autotune.history import History
    from autotune.machine import select
    from autotune.machine.base import Place
    from autotune.machine.local import invoking_identity
    from autotune.planner.make import Parts, planning, showing
    from autotune.tuner import tune

    chosen = select.choose(
        settings.machine,
        place=Place(cwd=workload.cwd, pristine=workload.pristine, identity=invoking_identity()),
        cpus=settings.cpus,
        memory_bytes=settings.memory,
        kernel=settings.kernel,
        keep_writes=asked.keep_writes,
        listener=recorder,
    )
    with chosen as machine, contextlib.closing(History(warn=lambda text: recorder(Warned(text)))) as memory:
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
        )
        with planning(parts) if show is None else showing(parts, show) as planner:
            session = tune(workload, machine, planner, options, recorder, resolve)
        if show is None:
            _remember(memory, session)


def _remember(memory: History, session: Session) -> None:
    """Keep what was learned; a memory that cannot be written costs no session."""
    if session.baseline is None:
        return
    try:
        memory.record(session)
    except AutotuneError as error:
        print(error_line(error), file=sys.stderr)


def _options(
    asked: CcArguments, settings: Settings, candidates: tuple[Candidate, ...], approve: Approver | None
) -> Options:
    from autotune.tuner import Options

    return Options(
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
        line = sys.stdin.readline()
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
    from autotune.views import files

    for option, path in _exports(asked).items():
        files.check_writable(path, option)


def _require_compiler() -> None:
    """Without clang no scheduler can be tried: said before minutes are spent on the baseline. Raises BuildError."""
    from autotune.schedext.build import newest_clang

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


def _export(asked: CcArguments, session: Session, given: Sequence[str]) -> bool:
    """Write every report that was asked for. One that cannot be written is said, and does not keep the others from
    being written; False when there was one."""
    from autotune import report
    from autotune.views import files

    texts = {
        "--json": lambda: report.json_text(session),
        "--export-markdown": lambda: report.markdown(session, given),
        "--export-csv": lambda: report.csv_text(session),
    }
    written = True
    for option, path in _exports(asked).items():
        try:
            files.write(path, texts[option](), option)
        except AutotuneError as error:
            print(error_line(error), file=sys.stderr)
            written = False
    if asked.json == Path("-"):
        sys.stdout.write(report.json_text(session))
        sys.stdout.flush()
    return written


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
    choice = [scheduler.name for scheduler in catalog.schedulers]
    asks_claude = not candidates and settings.planner != "offline" and _has_key(workload)
    for line in planned.lines(where, settings, workload, candidates, choice, asks_claude=asks_claude):
        print(line, file=human)
    if asks_claude:
        print("\nWhat would be sent to the model first:\n", file=human)
        print(planned.request_text(_unsent(settings, workload, catalog, show_output=show_output)), file=human)


def _has_key(workload: Workload) -> bool:
    from autotune.planner.claude import find_credentials

    return find_credentials(Path(workload.cwd), os.environ) is not None


def _unsent(settings: Settings, workload: Workload, catalog: Catalog, *, show_output: bool) -> Any:
    """The first request of a session that does not run."""
    from autotune.history import History
    from autotune.planner.make import Parts, unsent_request

    def nobody(_candidate: object) -> Any:
        raise AssertionError("nothing is attached in a dry run")

    with contextlib.closing(History()) as memory:
        return unsent_request(
            Parts(settings, workload, catalog, None, nobody, lambda _event: None, memory, show_output=show_output)
        )


# --- autotune prompt, autotune replay ---


@app.command("prompt")
@takes(CcArguments)
def _prompt(**given: Any) -> int:
    """Run COMMAND under EEVDF only, and print exactly what would be sent to the model then. Nothing is sent.

    Takes the options of 'autotune cc'. With --json - the request is printed as it goes over the wire.
    """
    with _ended_gently():
        return run_prompt(CcArguments(**given))


def run_prompt(asked: CcArguments) -> int:
    """Measure the baseline, show the first request on standard output, and end."""
    import json

    from autotune import config
    from autotune.schedext import custom
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
        return _exit_code(recorder.session, written=False)
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


@app.command("replay")
def _replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A transcript, as a session names it at its end.")],
) -> int:
    """Play a conversation with the model back through the real loop, without the network. Exit 0 when all came out as
    it was recorded."""
    from autotune.planner.replay import replay
    from autotune.schedext import custom

    encode_anything(sys.stdout)
    return 0 if replay(file, custom.catalog(), print) else 1


# --- the other commands ----------------------------------------------------------------------------------


@app.command("doctor")
def _doctor(
    json: Annotated[bool, typer.Option("--json", metavar="", help="Print the checks as JSON.")] = False,
) -> int:
    """Say what this machine has of all that is needed, and how to get the rest. Exit 0 when schedulers can run."""
    from autotune import doctor
    from autotune.views import listing

    checks = doctor.collect()
    can_run = doctor.can_run(checks)
    if json:
        print_json({"can_run": can_run, "checks": [dataclasses.asdict(check) for check in checks]})
    else:
        print_lines(listing.doctor(checks, can_run, width=columns(), coloured=_coloured()))
    return 0 if any(can_run.values()) else 4


@schedulers_app.callback(invoke_without_command=True)
def _schedulers(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", metavar="", help="Print the catalogue as JSON.")] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    from autotune.schedext import custom
    from autotune.views import listing

    known = custom.catalog().schedulers
    if json:
        print_json([one.model_dump(mode="json") for one in known])
    else:
        print_lines(listing.schedulers(known, width=columns()))


@schedulers_app.command("show")
def _show_scheduler(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As 'autotune schedulers' lists it.")],
    json: Annotated[bool, typer.Option("--json", metavar="", help="Print it as JSON.")] = False,
) -> None:
    """Describe one scheduler and its knobs."""
    from autotune.schedext import custom
    from autotune.views import listing

    one = custom.catalog().get(name)
    if json:
        print_json(one.model_dump(mode="json"))
    else:
        print_lines(listing.scheduler(one, width=columns()))


@vm_app.callback(invoke_without_command=True)
def _vm(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        _show_help(context)
        raise typer.Exit(2)


@vm_app.command("setup")
def _vm_setup(
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Kernel to fetch. Default: the newest.")
    ] = None,
) -> None:
    """Fetch a kernel with sched_ext, and what schedulers are built and loaded with; the system stays as it is."""
    from autotune.machine import kernels

    kernel = kernels.fetch(lambda text: print(text, flush=True), version)
    print(f"Ready: Linux {kernel.version}")


@vm_app.command("status")
def _vm_status() -> int:
    """List the kernels a micro-VM can boot."""
    from autotune.machine import kernels
    from autotune.views import listing

    try:
        chosen = kernels.find(None)
    except AutotuneError:
        chosen = None
    print_lines(listing.kernels(kernels.installed(), chosen))
    return 0 if chosen is not None else 4


def _coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
