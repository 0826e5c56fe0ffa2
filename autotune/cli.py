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
import inspect
import os
import signal
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer
from typer.core import TyperGroup

from autotune import __version__
from autotune.errors import AutotuneError, Interrupted, UsageError

if TYPE_CHECKING:
    from autotune.config import Settings
    from autotune.machine.base import Machine
    from autotune.records import Candidate, Session, Workload
    from autotune.schedext.catalog import Catalog
    from autotune.tuner import Options, Resolver
    from autotune.views.live import LiveView
    from autotune.views.plain import PlainView
    from autotune.views.prompts import Approver

INTERNAL_HINT = "this is a bug in autotune; --debug shows where"


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
    """Any exception as one of the family: typer's own are about usage, all others are bugs."""
    if isinstance(error, AutotuneError):
        return error
    if isinstance(error, typer.Abort):
        return Interrupted("interrupted")
    if hasattr(error, "format_message"):  # what typer raises for arguments it cannot take
        return UsageError(error.format_message(), hint=_usage_hint(error))
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


def main() -> None:
    """Entry point of the `autotune` command; exits."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"autotune {__version__}")
        raise typer.Exit


def _set_debug(context: typer.Context, wanted: bool) -> None:
    program = context.find_root().command
    assert isinstance(program, _Program)
    program.debug = program.debug or wanted


def _debug_option(panel: str | None = None) -> Any:
    return typer.Option(
        "--debug",
        metavar="",
        help="Show tracebacks and long logs with errors.",
        callback=_set_debug,
        rich_help_panel=panel,
    )


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
    _debug: Annotated[bool, _debug_option()] = False,
) -> None:
    """Find out which CPU scheduler makes a command better on this machine, by how much, and how sure that is."""
    if context.invoked_subcommand is None:
        _show_help(context)
        raise typer.Exit(2)


def _show_help(context: typer.Context) -> None:
    text = context.get_help()
    if text:  # typer prints it by itself when rich is there
        print(text)


# --- autotune cc: the options ----------------------------------------------------------------------------

_RUNS, _MEASURE, _TRY, _WHERE, _OUT = "Runs", "What is measured", "What is tried", "Where", "Output"


def _option(*names: str, panel: str, help: str, metavar: str = "") -> Any:
    """An option of `cc`; one without a metavar is a switch."""
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel)


@dataclass(frozen=True)
class CcArguments:
    """What the user gave to `autotune cc`. Settings are kept as text, since `config` reads them all alike."""

    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND",
            show_default=False,
            help="One argument is a command line for sh; several are executed as they are. "
            "Put -- before a command that has options of its own.",
        ),
    ]
    prepare: Annotated[
        str | None,
        _option("--prepare", "-p", panel=_RUNS, metavar="CMD", help="Shell command before every run, not measured."),
    ] = None
    setup: Annotated[
        str | None,
        _option("--setup", "-s", panel=_RUNS, metavar="CMD", help="Shell command once before everything."),
    ] = None
    cleanup: Annotated[
        str | None,
        _option("--cleanup", "-c", panel=_RUNS, metavar="CMD", help="Shell command once after everything."),
    ] = None
    warmup: Annotated[
        str | None,
        _option("--warmup", "-w", panel=_RUNS, metavar="N", help="Runs before anything is measured. Default: 1."),
    ] = None
    min_runs: Annotated[
        str | None,
        _option(
            "--min-runs",
            "-m",
            panel=_RUNS,
            metavar="N",
            help="Rounds before a candidate may be dropped. Default: 3.",
        ),
    ] = None
    max_runs: Annotated[
        str | None,
        _option("--max-runs", "-M", panel=_RUNS, metavar="N", help="Rounds of a set of candidates. Default: 4."),
    ] = None
    budget: Annotated[
        str | None,
        _option("--budget", panel=_RUNS, metavar="TIME", help="For the whole session: 90s, 10m, 1h30m. Default: 10m."),
    ] = None
    timeout: Annotated[
        str | None,
        _option("--timeout", panel=_RUNS, metavar="TIME", help="For one run. Default: a multiple of the baseline."),
    ] = None
    input: Annotated[
        Path | None,
        _option("--input", panel=_RUNS, metavar="FILE", help="Standard input of the command. Default: /dev/null."),
    ] = None
    ignore_failure: Annotated[
        bool, _option("--ignore-failure", panel=_RUNS, help="Runs count although they exit with an error.")
    ] = False
    pristine: Annotated[
        bool,
        _option(
            "--pristine",
            panel=_RUNS,
            help="Throw away what a run wrote to the directory, so that all start alike.",
        ),
    ] = False
    metric: Annotated[
        str | None,
        _option(
            "--metric", panel=_MEASURE, metavar="REGEX", help="Finds one number in the output. Default: wall time."
        ),
    ] = None
    goal: Annotated[
        str | None, _option("--goal", panel=_MEASURE, metavar="min|max", help="What is better for --metric.")
    ] = None
    scheduler: Annotated[
        list[str] | None,
        _option(
            "--scheduler",
            panel=_TRY,
            metavar="NAME[:knob=value,...]",
            help="Try this one instead of what the planner proposes. May be repeated.",
        ),
    ] = None
    interactive: Annotated[
        bool, _option("--interactive", "-i", panel=_TRY, help="Ask before each switch of the scheduler.")
    ] = False
    seed: Annotated[
        str | None, _option("--seed", panel=_TRY, metavar="N", help="Of the order of runs. Default: a new one.")
    ] = None
    dry_run: Annotated[
        bool, _option("--dry-run", panel=_TRY, help="Say what would be done; start and attach nothing.")
    ] = False
    machine: Annotated[
        str | None,
        _option("--machine", panel=_WHERE, metavar="auto|host|vm", help="Default: the host if it has sched_ext."),
    ] = None
    kernel: Annotated[
        str | None, _option("--kernel", panel=_WHERE, metavar="PATH", help="Kernel image for the micro-VM.")
    ] = None
    cpus: Annotated[
        str | None, _option("--cpus", panel=_WHERE, metavar="N", help="CPUs of the micro-VM. Default: all.")
    ] = None
    memory: Annotated[
        str | None, _option("--memory", panel=_WHERE, metavar="SIZE", help="Memory of the micro-VM, such as 4G.")
    ] = None
    keep_writes: Annotated[
        Path | None,
        _option(
            "--keep-writes",
            panel=_WHERE,
            metavar="DIR",
            help="Copy what the command wrote in the micro-VM here. Default: it is thrown away.",
        ),
    ] = None
    show_output: Annotated[bool, _option("--show-output", panel=_OUT, help="Show what the command prints.")] = False
    json: Annotated[
        Path | None,
        _option("--json", panel=_OUT, metavar="FILE|-", help="Write everything as JSON; - is standard output."),
    ] = None
    export_markdown: Annotated[
        Path | None, _option("--export-markdown", panel=_OUT, metavar="FILE", help="Write the report as Markdown.")
    ] = None
    export_csv: Annotated[
        Path | None, _option("--export-csv", panel=_OUT, metavar="FILE", help="Write the table as CSV.")
    ] = None
    debug: Annotated[bool, _debug_option(_OUT)] = False


def _takes(arguments: type[Any]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Gives a command the fields of a dataclass as its parameters, so that they are written down once."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        hints = typing.get_type_hints(arguments, include_extras=True)
        fields = inspect.signature(arguments).parameters.values()
        parameters = [field.replace(annotation=hints[field.name]) for field in fields]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = hints
        return command

    return decorate


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
@_takes(CcArguments)
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

    settings = config.load(_flags(asked), cwd=_current_directory(), environ=os.environ)
    workload = workload_from(asked)
    human = sys.stderr if asked.json == Path("-") else sys.stdout
    _encode_anything(human)
    _check(asked, settings, human)
    from autotune.schedext.catalog import Catalog

    catalog = Catalog.load()
    candidates = tuple(catalog.parse_candidate(text) for text in asked.scheduler or ())
    if asked.dry_run:
        _dry_run(human, settings, workload, catalog, candidates)
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

    given = config.as_flags(settings)
    recorder = _Recorder(_view(human, settings, given))
    written = True
    try:
        with recorder.view:
            approve = _approver(human, recorder.view) if asked.interactive else None
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

    def __init__(self, view: LiveView | PlainView) -> None:
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
) -> None:
    from autotune.machine import select
    from autotune.machine.base import Place
    from autotune.machine.local import invoking_identity
    from autotune.planner.offline import OfflinePlanner
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
    with chosen as machine:
        tune(workload, machine, OfflinePlanner(catalog), options, recorder, _resolver(catalog, machine))


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


def _approver(human: TextIO, view: LiveView | PlainView) -> Approver:
    from autotune.views.prompts import Approver

    def ask(text: str) -> str:
        human.write(text)
        human.flush()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line

    return Approver(ask, view.paused)


def _view(human: TextIO, settings: Settings, given: Sequence[str]) -> LiveView | PlainView:
    """The live view at a terminal that can move its cursor, plain lines everywhere else."""
    if human.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        from autotune.views.live import LiveView

        return LiveView(human, budget_s=settings.budget, given=given)
    from autotune.views.plain import PlainView

    return PlainView(human, given=given)


# --- autotune cc: from arguments to records --------------------------------------------------------------


def _flags(asked: CcArguments) -> dict[str, str | None]:
    from autotune import config

    return {name: getattr(asked, name) for name in config.KEYS}


def workload_from(asked: CcArguments) -> Workload:
    """The workload the user described. Raises UsageError for what cannot be."""
    from autotune.records import Workload

    command, argv = _command(asked.command)
    return Workload(
        command=command,
        argv=argv,
        cwd=str(_current_directory()),
        env=dict(os.environ),
        setup=asked.setup,
        prepare=asked.prepare,
        cleanup=asked.cleanup,
        input_path=_input_path(asked.input),
        timeout_s=_timeout_s(asked.timeout),
        metric_regex=_metric_regex(asked.metric),
        goal=_goal(asked),
        ignore_failure=asked.ignore_failure,
        pristine=asked.pristine,
    )


def _command(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The command for people to read, and what is executed."""
    if not words or not words[0].strip():
        raise UsageError("the command is empty", hint="name one, such as autotune cc 'make -j8'")
    if len(words) == 1:
        return words[0], ("sh", "-c", words[0])
    import shlex

    return shlex.join(words), tuple(words)


def _current_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(f"the current directory cannot be used: {error.strerror}", hint="go to another") from None


def _input_path(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        with open(path, "rb"):
            return str(path.absolute())
    except OSError as error:
        raise UsageError(f"--input {path}: {error.strerror}", hint="name a file that can be read") from None


def _timeout_s(text: str | None) -> float | None:
    from autotune.config import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from None


def _metric_regex(text: str | None) -> str | None:
    if text is None:
        return None
    import re

    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise UsageError(f"--metric is not a regular expression: {error}", hint="such as 'rps: ([0-9.]+)'") from None
    if groups > 1:
        raise UsageError(f"--metric has {groups} groups", hint="put one around the number; make others (?:...)")
    return text


def _goal(asked: CcArguments) -> Literal["min", "max"]:
    if asked.goal is not None and asked.metric is None:
        raise UsageError("--goal needs --metric", hint="without a metric, less wall time is better")
    if asked.goal not in (None, "min", "max"):
        raise UsageError(f"--goal: {asked.goal!r} is not one of min, max")
    return "max" if asked.goal == "max" else "min"


def _check(asked: CcArguments, settings: Settings, human: TextIO) -> None:
    """What is wrong although every option is right by itself, and what could not be written in the end."""
    if asked.interactive and not (sys.stdin.isatty() and human.isatty()):
        raise UsageError("--interactive needs a terminal to ask at", hint="leave it out, or run at a terminal")
    if settings.machine == "host" and asked.keep_writes is not None:
        raise UsageError("--keep-writes is for the micro-VM; on the host everything is kept anyway")
    from autotune.views import files

    for option, path in _exports(asked).items():
        files.check_writable(path, option)


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
    human: TextIO, settings: Settings, workload: Workload, catalog: Catalog, candidates: tuple[Candidate, ...]
) -> None:
    from autotune.machine import select
    from autotune.views import planned

    where = select.describe(settings.machine, cpus=settings.cpus, memory_bytes=settings.memory, kernel=settings.kernel)
    choice = [scheduler.name for scheduler in catalog.schedulers]
    for line in planned.lines(where, settings, workload, candidates, choice):
        print(line, file=human)


def _encode_anything(stream: TextIO) -> None:
    """Characters that the terminal's encoding lacks appear as escapes instead of ending the session."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


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
        _print_json({"can_run": can_run, "checks": [dataclasses.asdict(check) for check in checks]})
    else:
        _print_lines(listing.doctor(checks, can_run, width=_columns(), coloured=_coloured()))
    return 0 if any(can_run.values()) else 4


@schedulers_app.callback(invoke_without_command=True)
def _schedulers(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", metavar="", help="Print the catalogue as JSON.")] = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    from autotune.schedext.catalog import Catalog
    from autotune.views import listing

    known = Catalog.load().schedulers
    if json:
        _print_json([one.model_dump(mode="json") for one in known])
    else:
        _print_lines(listing.schedulers(known, width=_columns()))


@schedulers_app.command("show")
def _show_scheduler(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As 'autotune schedulers' lists it.")],
    json: Annotated[bool, typer.Option("--json", metavar="", help="Print it as JSON.")] = False,
) -> None:
    """Describe one scheduler and its knobs."""
    from autotune.schedext.catalog import Catalog
    from autotune.views import listing

    one = Catalog.load().get(name)
    if json:
        _print_json(one.model_dump(mode="json"))
    else:
        _print_lines(listing.scheduler(one, width=_columns()))


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
    _print_lines(listing.kernels(kernels.installed(), chosen))
    return 0 if chosen is not None else 4


def _print_lines(lines: Iterable[str]) -> None:
    _encode_anything(sys.stdout)
    for line in lines:
        print(line)


def _print_json(value: Any) -> None:
    import json

    print(json.dumps(value, indent=2))


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def _coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
