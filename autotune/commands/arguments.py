# SPDX-License-Identifier: MIT
"""Arguments of `autotune cc`, and the workload that they describe."""

from __future__ import annotations

import inspect
import os
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from autotune.commands import completion
from autotune.errors import UsageError

if TYPE_CHECKING:
    from autotune.records import Workload


def _set_debug(context: typer.Context, wanted: bool) -> None:
    program: Any = context.find_root().command
    program.debug = program.debug or wanted


def debug_option(panel: str | None = None) -> Any:
    return typer.Option(
        "--debug",
        metavar="",
        help="Show tracebacks and long logs with errors.",
        callback=_set_debug,
        rich_help_panel=panel,
    )


# --- the options ----------------------------------------------------------------------------

_RUNS, _MEASURE, _TRY, _WHERE, _OUT = "Runs", "Metric", "Candidates", "Machine", "Output"


def _option(
    *names: str, panel: str, help: str, metavar: str = "", complete: Callable[[str], list[str]] | None = None
) -> Any:
    """Return an option of `cc`; one without a metavar is a switch. `complete` completes its value in shells; without
    it, that of `a|b` is one of these words."""
    if complete is None and "|" in metavar and metavar.replace("|", "").islower():
        complete = completion.values(*metavar.split("|"))
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel, autocompletion=complete)


@dataclass(frozen=True)
class CcArguments:
    """The arguments of `autotune cc`. Settings stay text here; `config` parses them, whatever their source."""

    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND",
            show_default=False,
            help="One argument is run by sh; several are executed as they are. "
            "Put -- before a command that has options of its own.",
        ),
    ]
    prepare: Annotated[
        str | None,
        _option(
            "--prepare", "-p", panel=_RUNS, metavar="CMD", help="Shell command to run before every run; not measured."
        ),
    ] = None
    setup: Annotated[
        str | None,
        _option(
            "--setup",
            "-s",
            panel=_RUNS,
            metavar="CMD",
            help="Shell command to run once at the start. What it starts runs until after --cleanup.",
        ),
    ] = None
    cleanup: Annotated[
        str | None,
        _option("--cleanup", "-c", panel=_RUNS, metavar="CMD", help="Shell command to run once at the end."),
    ] = None
    warmup: Annotated[
        str | None,
        _option("--warmup", "-w", panel=_RUNS, metavar="N", help="Warm-up runs before the measured ones. Default: 1."),
    ] = None
    min_runs: Annotated[
        str | None,
        _option(
            "--min-runs",
            "-m",
            panel=_RUNS,
            metavar="N",
            help="Rounds before a candidate may be dropped. Default: 2.",
        ),
    ] = None
    max_runs: Annotated[
        str | None,
        _option(
            "--max-runs",
            "-M",
            panel=_RUNS,
            metavar="N",
            help="Most rounds per set of candidates before the planner proposes again. Default: 4.",
        ),
    ] = None
    runs: Annotated[
        str | None,
        _option(
            "--runs",
            "-r",
            panel=_RUNS,
            metavar="N",
            help="Exactly N rounds of EEVDF and each candidate, and at most N fresh pairs to confirm the best.",
        ),
    ] = None
    budget: Annotated[
        str | None,
        _option(
            "--budget", panel=_RUNS, metavar="TIME", help="Stop the session after TIME: 90s, 10m, 1h30m. Default: 10m."
        ),
    ] = None
    timeout: Annotated[
        str | None,
        _option(
            "--timeout", panel=_RUNS, metavar="TIME", help="Kill a run after TIME. Default: five times the baseline."
        ),
    ] = None
    input: Annotated[
        Path | None,
        _option("--input", panel=_RUNS, metavar="FILE", help="Standard input of the command. Default: /dev/null."),
    ] = None
    ignore_failure: Annotated[
        bool, _option("--ignore-failure", panel=_RUNS, help="Count runs that fail, under EEVDF and under others.")
    ] = False
    pristine: Annotated[
        bool,
        _option(
            "--pristine",
            panel=_RUNS,
            help="Discard what a run wrote to the directory, so that every run starts with the same files.",
        ),
    ] = False
    metric: Annotated[
        str | None,
        _option(
            "--metric",
            panel=_MEASURE,
            metavar="REGEX",
            help="Regex whose group 1 is the number to compare, e.g. 'rps: ([0-9.]+)'. Default: wall time.",
        ),
    ] = None
    goal: Annotated[
        str | None,
        _option(
            "--goal",
            panel=_MEASURE,
            metavar="min|max",
            help="Which --metric is better: a smaller (min) or a larger one (max). Default: min.",
        ),
    ] = None
    scheduler: Annotated[
        list[str] | None,
        _option(
            "--scheduler",
            panel=_TRY,
            metavar="NAME[:knob=value,...]",
            complete=completion.candidates,
            help="Try this scheduler; no planner is used. May be repeated.",
        ),
    ] = None
    interactive: Annotated[
        bool, _option("--interactive", "-i", panel=_TRY, help="Ask before each scheduler is attached.")
    ] = False
    planner: Annotated[
        str | None,
        _option(
            "--planner",
            panel=_TRY,
            metavar="WHO",
            complete=completion.values("auto", "claude", "offline", "search"),
            help="Who proposes candidates: claude, offline, search, or auto: Claude if the environment has a key.",
        ),
    ] = None
    model: Annotated[
        str | None,
        _option("--model", panel=_TRY, metavar="NAME", help="Claude model to use. Default: claude-opus-5-5."),
    ] = None
    max_cost: Annotated[
        str | None, _option("--max-cost", panel=_TRY, metavar="USD", help="Stop planning once it has cost this much.")
    ] = None
    max_calls: Annotated[
        str | None, _option("--max-calls", panel=_TRY, metavar="N", help="Stop planning after N calls of the model.")
    ] = None
    prices: Annotated[
        Path | None,
        _option("--prices", panel=_TRY, metavar="FILE", help="Prices of models, instead of the built-in list."),
    ] = None
    model_timeout: Annotated[
        str | None,
        _option(
            "--model-timeout",
            panel=_TRY,
            metavar="TIME",
            help="Give up when the API sends nothing for TIME, in all tries together. Default: 2m.",
        ),
    ] = None
    no_output_to_model: Annotated[
        bool, _option("--no-output-to-model", panel=_TRY, help="Do not send the command's output to the model.")
    ] = False
    seed: Annotated[
        str | None, _option("--seed", panel=_TRY, metavar="N", help="Seed for the run order. Default: a new one.")
    ] = None
    dry_run: Annotated[
        bool, _option("--dry-run", panel=_TRY, help="Show what would be done, without starting or attaching anything.")
    ] = False
    apply: Annotated[
        bool,
        _option(
            "--apply",
            panel=_TRY,
            help="Keep the winner attached on the host afterwards, until Ctrl-C or 'autotune stop'.",
        ),
    ] = False
    replace_current: Annotated[
        bool,
        _option(
            "--replace-current",
            panel=_WHERE,
            help="Stop the scheduler that is attached on the host, and restore it afterwards.",
        ),
    ] = False
    machine: Annotated[
        str | None,
        _option(
            "--machine",
            panel=_WHERE,
            metavar="auto|host|vm",
            help="Where to run. Default: the host if it has sched_ext.",
        ),
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
            help="Copy what the command wrote in the micro-VM to DIR. Default: discard it.",
        ),
    ] = None
    show_output: Annotated[bool, _option("--show-output", panel=_OUT, help="Show what the command prints.")] = False
    plot: Annotated[bool, _option("--plot", panel=_OUT, help="Plot every run, by scheduler and in order of time.")] = (
        False
    )
    json: Annotated[
        Path | None,
        _option("--json", panel=_OUT, metavar="FILE|-", help="Write the session as JSON; - is standard output."),
    ] = None
    export_html: Annotated[
        Path | None,
        _option("--export-html", panel=_OUT, metavar="FILE|-", help="Write the report as one HTML page with charts."),
    ] = None
    export_markdown: Annotated[
        Path | None, _option("--export-markdown", panel=_OUT, metavar="FILE|-", help="Write the report as Markdown.")
    ] = None
    export_asciidoc: Annotated[
        Path | None, _option("--export-asciidoc", panel=_OUT, metavar="FILE|-", help="Write the report as AsciiDoc.")
    ] = None
    export_orgmode: Annotated[
        Path | None, _option("--export-orgmode", panel=_OUT, metavar="FILE|-", help="Write the report as Emacs Org.")
    ] = None
    export_csv: Annotated[
        Path | None, _option("--export-csv", panel=_OUT, metavar="FILE|-", help="Write the table as CSV.")
    ] = None
    export_json: Annotated[
        Path | None,
        _option("--export-json", panel=_OUT, metavar="FILE|-", help="Write the runs as hyperfine 2 does."),
    ] = None
    verbose: Annotated[
        bool, _option("--verbose", "-v", panel=_OUT, help="Show also which schedulers are not proposed, and why.")
    ] = False
    debug: Annotated[bool, debug_option(_OUT)] = False


def takes(arguments: type[Any]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Return a decorator that gives a command the fields of a dataclass as parameters."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        hints = typing.get_type_hints(arguments, include_extras=True)
        fields = inspect.signature(arguments).parameters.values()
        parameters = [field.replace(annotation=hints[field.name]) for field in fields]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = hints
        return command

    return decorate


# --- from arguments to records --------------------------------------------------------------


def flags(arguments: CcArguments) -> dict[str, str | None]:
    from autotune import config

    given = {name: getattr(arguments, name) for name in config.KEYS}
    return {name: None if value is None else str(value) for name, value in given.items()}


def workload_from(arguments: CcArguments) -> Workload:
    """Return the workload of the arguments. Raises UsageError for invalid ones."""
    from autotune.machine.local import invoking_environment
    from autotune.records import Workload

    command, argv = _command(arguments.command)
    return Workload(
        command=command,
        argv=argv,
        cwd=str(current_directory()),
        env=invoking_environment(os.environ),
        setup=arguments.setup,
        prepare=arguments.prepare,
        cleanup=arguments.cleanup,
        input_path=_input_path(arguments.input),
        timeout_s=_timeout_s(arguments.timeout),
        metric_regex=_metric_regex(arguments.metric),
        goal=_goal(arguments),
        ignore_failure=arguments.ignore_failure,
        pristine=arguments.pristine,
    )


def _command(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the command for people, and the arguments to execute."""
    if not words or not words[0].strip():
        raise UsageError("the command is empty", hint="name one, such as autotune cc 'make -j8'")
    if len(words) == 1:
        return words[0], ("sh", "-c", words[0])
    import shlex

    return shlex.join(words), tuple(words)


def current_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(f"the current directory cannot be used: {error.strerror}", hint="go to another") from None


def _input_path(path: Path | None) -> str | None:
    """Return the file, for processes that have other descriptors than this one: /dev/stdin is what it stands for."""
    if path is None:
        return None
    is_ours = path.absolute().parts[:2] in (("/", "dev"), ("/", "proc"))
    return os.path.realpath(path) if is_ours and path.is_file() else str(path.absolute())


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
        re.compile(text)
    except re.error as error:
        raise UsageError(f"--metric is not a regular expression: {error}", hint="such as 'rps: ([0-9.]+)'") from None
    return text


def _goal(arguments: CcArguments) -> Literal["min", "max"]:
    if arguments.goal is not None and arguments.metric is None:
        raise UsageError("--goal needs --metric", hint="without a metric, less wall time is better")
    if arguments.goal not in (None, "min", "max"):
        raise UsageError(f"--goal: {arguments.goal!r} is not one of min, max")
    return "max" if arguments.goal == "max" else "min"
