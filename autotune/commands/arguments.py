# SPDX-License-Identifier: MIT
"""Arguments of `autotune cc`, which other commands take too."""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from autotune.commands import completion
from autotune.errors import UsageError
from autotune.frozen import dataclass

if TYPE_CHECKING:
    pass


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

_COMMAND, _RUNS, _MEASURE, _TRY = "Command", "Runs", "Metric", "Candidates"
_PLAN, _WHERE, _OUT, _REPORT = "Planner", "Machine", "Output", "Reports"

WORDS = {"parameter_list": 2, "parameter_scan": 3}
"""Words that an option takes each time it is given, by the name of its field; one where it is not named."""

ALL_FAILURES = "all-non-zero"
"""Value of `--ignore-failure` that stands for all failures, as in hyperfine."""


class CcCommand(TyperCommand):
    """A command with the options of `cc`. `--ignore-failure` takes a value only after `=`: the next word is most often
    COMMAND, which may be left out with `--continue`. Options in `WORDS` take several words each time, which typer has
    no type for."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        for option in self.params:
            option.nargs = WORDS.get(str(option.name), option.nargs)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        for word in args[:end]:
            if re.fullmatch(r"-i=?[\d,]+", word):
                hint = "--ignore-failure=CODES counts runs with these exit codes"
                raise UsageError("-i takes no value: it asks before each scheduler is attached", hint=hint)
        next(one for one in self.params if one.name == "command").required = "--continue" not in args[:end]
        bare = "--ignore-failure"
        return super().parse_args(ctx, [f"{bare}={ALL_FAILURES}" if w == bare else w for w in args[:end]] + args[end:])


def _option(
    *names: str, panel: str, help: str, metavar: str = "", complete: Callable[[str], list[str]] | None = None
) -> Any:
    """Return an option of `cc`; one without a metavar is a switch. `complete` completes its value in shells; without
    it, a metavar such as `a|b` lists the words to complete."""
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
            help="One argument is run by sh (see --shell); several are executed as they are. "
            "Put -- before a command that has options of its own.",
        ),
    ]
    continue_: Annotated[
        bool,
        _option(
            "--continue",
            panel=_RUNS,
            help="Continue an undecided session with fresh pairs of its leaders. COMMAND is then its ID, a report of "
            "--json, its command, or nothing: the latest one of this directory.",
        ),
    ] = False
    prepare: Annotated[
        str | None,
        _option(
            "--prepare",
            "-p",
            panel=_COMMAND,
            metavar="CMD",
            help="Shell command to run before every run; not measured. What it starts runs until after the run.",
        ),
    ] = None
    conclude: Annotated[
        str | None,
        _option(
            "--conclude",
            "-C",
            panel=_COMMAND,
            metavar="CMD",
            help="Shell command to run after every run; not measured. What --prepare starts runs until after it.",
        ),
    ] = None
    setup: Annotated[
        str | None,
        _option(
            "--setup",
            "-s",
            panel=_COMMAND,
            metavar="CMD",
            help="Shell command to run once at the start. What it starts runs until after --cleanup.",
        ),
    ] = None
    cleanup: Annotated[
        str | None,
        _option("--cleanup", "-c", panel=_COMMAND, metavar="CMD", help="Shell command to run once at the end."),
    ] = None
    shell: Annotated[
        str | None,
        _option(
            "--shell",
            "-S",
            panel=_COMMAND,
            metavar="SHELL",
            complete=completion.values("default", "none", "sh", "bash", "zsh"),
            help="Shell for a COMMAND of one argument, and for the commands above: a name or path, with options, or "
            "'none': COMMAND is split into words and executed. Default: sh.",
        ),
    ] = None
    no_shell: Annotated[bool, _option("-N", panel=_COMMAND, help="The same as --shell=none.")] = False
    name: Annotated[
        str | None,
        _option(
            "--command-name",
            "-n",
            panel=_COMMAND,
            metavar="NAME",
            help="Name to show in the report instead of COMMAND.",
        ),
    ] = None
    param: Annotated[
        list[str] | None,
        _option(
            "--param",
            panel=_COMMAND,
            metavar="NAME=V1,V2,...",
            help="Run with each of these values in place of {NAME} in the commands, such as jobs=2,4,8. A winner must "
            "beat EEVDF at its best value. May be repeated: all combinations run.",
        ),
    ] = None
    parameter_list: Annotated[
        list[Any] | None,
        _option(
            "--parameter-list",
            "-L",
            panel=_COMMAND,
            metavar="NAME V1,V2,...",
            help="The same as --param NAME=V1,V2,...",
        ),
    ] = None
    parameter_scan: Annotated[
        list[Any] | None,
        _option(
            "--parameter-scan",
            "-P",
            panel=_COMMAND,
            metavar="NAME MIN MAX",
            help="The same with the numbers from MIN to MAX.",
        ),
    ] = None
    parameter_step: Annotated[
        str | None,
        _option(
            "--parameter-step-size", "-D", panel=_COMMAND, metavar="STEP", help="Step of --parameter-scan. Default: 1."
        ),
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
            "--timeout", panel=_COMMAND, metavar="TIME", help="Kill a run after TIME. Default: five times the baseline."
        ),
    ] = None
    input: Annotated[
        Path | None,
        _option("--input", panel=_COMMAND, metavar="FILE", help="Standard input of the command. Default: /dev/null."),
    ] = None
    ignore_failure: Annotated[
        str | None,
        _option(
            "--ignore-failure",
            panel=_COMMAND,
            metavar="[=CODES]",
            help="Count runs that fail, under EEVDF and under others: all, or those with these exit codes (1,137).",
        ),
    ] = None
    pristine: Annotated[
        bool,
        _option(
            "--pristine",
            panel=_COMMAND,
            help="Discard what a run wrote to the directory, so that every run starts with the same files.",
        ),
    ] = False
    metric: Annotated[
        list[str] | None,
        _option(
            "--metric",
            panel=_MEASURE,
            metavar="REGEX",
            help="Regex whose group 1 is the number to compare, e.g. 'rps: ([0-9.]+)'. Default: wall time. "
            "May be repeated: the others are reported.",
        ),
    ] = None
    goal: Annotated[
        str | None,
        _option(
            "--goal",
            panel=_MEASURE,
            metavar="[NAME:]min|max",
            complete=completion.goals,
            help="Which value is better: a smaller (min) or a larger one (max). Default: min. NAME is the --metric to "
            "compare, by the word before its number. Default: the first.",
        ),
    ] = None
    guard: Annotated[
        list[str] | None,
        _option(
            "--guard",
            panel=_MEASURE,
            metavar="NAME[=REGEX]:BOUND",
            help="What a winner must not cost: memory, cpu, energy, latency, or a number in the output. Bounds: "
            "max+5%, min-5% of EEVDF's, max=120, off. May be repeated.",
        ),
    ] = None
    no_guards: Annotated[bool, _option("--no-guards", panel=_MEASURE, help="Switch off the built-in guards.")] = False
    min_effect: Annotated[
        str | None,
        _option(
            "--min-effect",
            panel=_MEASURE,
            metavar="PERCENT",
            help="The least gain that you would bother to apply, such as 3%. Default: any.",
        ),
    ] = None
    statistic: Annotated[
        str | None,
        _option(
            "--statistic",
            panel=_MEASURE,
            metavar="NAME",
            complete=completion.values("typical", "mean", "median", "p75", "p90", "p95", "p99"),
            help="What to judge of the runs: typical, mean, median, or p50 to p99. Default: typical.",
        ),
    ] = None
    scheduler: Annotated[
        list[str] | None,
        _option(
            "--scheduler",
            panel=_TRY,
            metavar="NAME[:KNOB=...]",
            complete=completion.candidates,
            help="Try this scheduler, such as lavd or lavd:mode=gaming or at_fifo:slice_us=5000,...; no planner is "
            "used. May be repeated.",
        ),
    ] = None
    interactive: Annotated[
        bool,
        _option(
            "--interactive",
            "-i",
            panel=_TRY,
            help="Ask before each scheduler is attached. (hyperfine's -i is --ignore-failure.)",
        ),
    ] = False
    planner: Annotated[
        str | None,
        _option(
            "--planner",
            panel=_PLAN,
            metavar="WHO",
            complete=completion.values("auto", "claude", "model", "offline", "search"),
            help="Who proposes candidates: claude, model (see --model-url), offline, search, or auto: a model if the "
            "environment has a key or --model-url is given.",
        ),
    ] = None
    model: Annotated[
        str | None,
        _option("--model", panel=_PLAN, metavar="NAME", help="Model to use. Default: claude-opus-5-5."),
    ] = None
    model_url: Annotated[
        str | None,
        _option(
            "--model-url",
            panel=_PLAN,
            metavar="URL",
            help="Use a model of this server, such as a local one at http://localhost:11434/v1. Needs --model.",
        ),
    ] = None
    max_cost: Annotated[
        str | None, _option("--max-cost", panel=_PLAN, metavar="USD", help="Stop planning once it has cost this much.")
    ] = None
    max_calls: Annotated[
        str | None, _option("--max-calls", panel=_PLAN, metavar="N", help="Stop planning after N calls of the model.")
    ] = None
    prices: Annotated[
        Path | None,
        _option("--prices", panel=_PLAN, metavar="FILE", help="Prices of models, instead of the built-in list."),
    ] = None
    model_timeout: Annotated[
        str | None,
        _option(
            "--model-timeout",
            panel=_PLAN,
            metavar="TIME",
            help="Give up when the API sends nothing for TIME, in all tries together. Default: 2m.",
        ),
    ] = None
    no_output_to_model: Annotated[
        bool, _option("--no-output-to-model", panel=_PLAN, help="Do not send the command's output to the model.")
    ] = False
    no_observe: Annotated[
        bool,
        _option("--no-observe", panel=_RUNS, help="Do not watch a run to see what COMMAND does and what could be won."),
    ] = False
    no_explain: Annotated[
        bool, _option("--no-explain", panel=_RUNS, help="Do not watch a run under the winner to see why it won.")
    ] = False
    no_early_end: Annotated[
        bool,
        _option("--no-early-end", panel=_RUNS, help="Try candidates even where no scheduler can win anything."),
    ] = False
    no_recall: Annotated[
        bool, _option("--no-recall", panel=_PLAN, help="Do not begin with what earlier sessions found: try everything.")
    ] = False
    seed: Annotated[
        str | None, _option("--seed", panel=_RUNS, metavar="N", help="Seed for the run order. Default: a new one.")
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
    style: Annotated[
        str | None,
        _option(
            "--style",
            panel=_OUT,
            metavar="TYPE",
            complete=completion.values("auto", "basic", "full", "nocolor", "color", "none"),
            help="auto; basic: no colour, nothing that moves; full: both, even without a terminal; nocolor; color: "
            "nothing that moves; none: errors only. Default: auto.",
        ),
    ] = None
    show_output: Annotated[bool, _option("--show-output", panel=_OUT, help="Show what the command prints.")] = False
    plot: Annotated[bool, _option("--plot", panel=_OUT, help="Plot every run, by scheduler and in order of time.")] = (
        False
    )
    json: Annotated[
        Path | None,
        _option("--json", panel=_REPORT, metavar="FILE|-", help="Write the session as JSON; - is standard output."),
    ] = None
    export_html: Annotated[
        Path | None,
        _option("--export-html", panel=_REPORT, metavar="FILE|-", help="Write the report as an HTML page with charts."),
    ] = None
    export_markdown: Annotated[
        Path | None, _option("--export-markdown", panel=_REPORT, metavar="FILE|-", help="Write the report as Markdown.")
    ] = None
    export_asciidoc: Annotated[
        Path | None, _option("--export-asciidoc", panel=_REPORT, metavar="FILE|-", help="Write the report as AsciiDoc.")
    ] = None
    export_orgmode: Annotated[
        Path | None, _option("--export-orgmode", panel=_REPORT, metavar="FILE|-", help="Write the report as Emacs Org.")
    ] = None
    export_csv: Annotated[
        Path | None, _option("--export-csv", panel=_REPORT, metavar="FILE|-", help="Write the table as CSV.")
    ] = None
    export_json: Annotated[
        Path | None,
        _option("--export-json", panel=_REPORT, metavar="FILE|-", help="Write the runs as hyperfine 2 does."),
    ] = None
    ci: Annotated[
        bool,
        _option(
            "--ci",
            panel=_OUT,
            help="For CI jobs: plain lines, no questions; annotations, and a summary of the job, where the service "
            "has them (GitHub, GitLab).",
        ),
    ] = False
    fail_if_slower: Annotated[
        str | None,
        _option(
            "--fail-if-slower",
            panel=_MEASURE,
            metavar="PERCENT",
            help="Exit with code 5 when COMMAND is shown to be slower, by more than PERCENT, than in the newest "
            "earlier session on such a machine.",
        ),
    ] = None
    verbose: Annotated[
        bool, _option("--verbose", "-v", panel=_OUT, help="Show also which schedulers are not proposed, and why.")
    ] = False
    debug: Annotated[bool, debug_option(_OUT)] = False


def takes(
    arguments: type[object], *, only: Sequence[str] | None = None, more: type[object] | None = None
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Return a decorator that gives a command the fields of a dataclass as parameters, or `only` those of these names;
    and those of `more`, which all have defaults."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        parameters = [one for one in _parameters(arguments) if only is None or one.name in only]  # type: ignore[arg-type]
        parameters += _parameters(more) if more is not None else ()  # type: ignore[arg-type]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return decorate


@functools.cache
def _parameters(arguments: type[object]) -> tuple[inspect.Parameter, ...]:
    """Return the fields of a dataclass as parameters; several commands take those of one."""
    hints = typing.get_type_hints(arguments, include_extras=True)
    fields = inspect.signature(arguments).parameters.values()
    return tuple(field.replace(annotation=hints[field.name]) for field in fields)
