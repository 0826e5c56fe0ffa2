# SPDX-License-Identifier: MIT
"""Checks all that can be known before a session starts: one list of checks, for `cc`, `--dry-run` and `prompt`.

What always holds here:
- nothing is started, attached or written, and nothing is waited for;
- a check refuses only what cannot work. What `--setup` or `--prepare` may still make is given the benefit of the doubt.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
import shlex
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from autotune import parameters
from autotune.config import WITHOUT_MODEL
from autotune.errors import AutotuneError, UsageError, WorkloadError
from autotune.expressions import compiled
from autotune.knowledge.store import Knowledge
from autotune.lease import handover
from autotune.machine import select
from autotune.machine.vm import kernels, microvm
from autotune.planner import knob_model, services
from autotune.planner.claude import cost
from autotune.quantities import size_flag
from autotune.records import Candidate, Workload
from autotune.schedext.catalogue.catalog import Catalog
from autotune.session import keeping
from autotune.session.request import SessionRequest
from autotune.session.state import BASELINE_RUNS
from autotune.verdict.budget import LEAST_RACE_RUNS
from autotune.verdict.statistic import Statistic

LEAST_VM_BYTES = 128 << 20
"""Less memory does not hold the kernel and what starts the session in the micro-VM."""
RESERVED_PARAMETER = "scheduler"
"""hyperfine's JSON names the scheduler of a result by this parameter."""
LEAST_RUN_S = 0.1
"""Shortest time that one run takes, with all that is around it."""
LEAST_BOOT_S = 1.0
"""No micro-VM boots in less, even with KVM."""


class Needs(Protocol):
    """Checks what the candidates need; an Engine does."""

    def require(self, catalog: Catalog, candidates: tuple[Candidate, ...]) -> None: ...


class Start:
    """A request, with what several checks want to know about it."""

    def __init__(self, request: SessionRequest, catalog: Catalog, needs: Needs, warn: Callable[[str], None]) -> None:
        self.request = request
        self.catalog = catalog
        self.needs = needs
        self.warn = warn

    @functools.cached_property
    def place(self) -> Literal["host", "vm"]:
        """Where the session would run. Raises NoMachineError."""
        return select.decide(self.request.settings.machine).kind


def check(
    request: SessionRequest,
    catalog: Catalog,
    needs: Needs,
    *,
    warn: Callable[[str], None] = lambda _text: None,
    baseline_only: bool = False,
) -> None:
    """Check the request before anything starts; with `baseline_only`, without what candidates need. `warn` gets a
    sentence about a damaged knowledge store. Raises AutotuneError, mostly UsageError, for what cannot work."""
    start = Start(request, catalog, needs, warn)
    for one in CHECKS:
        if not (baseline_only and one in OF_CANDIDATES):
            one(start)


def problems(request: SessionRequest, catalog: Catalog, needs: Needs) -> list[AutotuneError]:
    """Return what `check` would raise, and what it would raise once that is mended, each once."""
    start = Start(request, catalog, needs, lambda _text: None)
    found: dict[str, AutotuneError] = {}
    for one in CHECKS:
        try:
            one(start)
        except AutotuneError as error:
            found.setdefault(str(error), error)
    return list(found.values())


def check_for_later(request: SessionRequest, catalog: Catalog, needs: Needs) -> list[AutotuneError]:
    """Check a request that runs later, perhaps with other rights: what no wait can mend. Returns what keeps it from
    starting as things are now, and may be made until then: files and programs. Raises AutotuneError."""
    start = Start(request, catalog, needs, lambda _text: None)
    for one in OF_WORDS:
        one(start)
    found = []
    for one in OF_FILES:
        try:
            one(start)
        except AutotuneError as error:
            found.append(error)
    return found


# --- what the session reads and writes -------------------------------------------------------------------


def _reports(start: Start) -> None:
    keeping.check(start.request.reports)


def _keep_writes(start: Start) -> None:
    path = start.request.keep_writes
    if path is None:
        return
    if start.request.settings.machine == "host":
        raise UsageError("--keep-writes is for the micro-VM; on the host everything is kept anyway")
    there = next(place for place in (path.absolute(), *path.absolute().parents) if os.path.lexists(place))
    problem = "Permission denied" if there.is_dir() else "Not a directory"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"--keep-writes {path}: {problem}", hint="name a directory you may write")


def _input(start: Start) -> None:
    """Every run must read the same: a pipe or a terminal is empty after the first, and would be waited for."""
    path, cwd = start.request.workload.input_path, start.request.workload.cwd
    if path is None or path == os.devnull:
        return
    shown = os.path.relpath(path, cwd) if Path(path).is_relative_to(cwd) else path
    try:
        found = os.stat(path)
        readable = os.access(path, os.R_OK)
    except OSError as error:
        raise UsageError(f"--input {shown}: {error.strerror}", hint="give a file that can be read") from None
    if not stat.S_ISREG(found.st_mode):
        what = "Is a directory" if stat.S_ISDIR(found.st_mode) else "it is not a regular file, and every run reads it"
        raise UsageError(f"--input {shown}: {what}", hint="write what it gives to a file, and give that")
    if not readable:
        raise UsageError(f"--input {shown}: Permission denied", hint="give a file that can be read")


# --- the commands ----------------------------------------------------------------------------------------


def _parameters(start: Start) -> None:
    """Refuse parameters that nobody meant: one that changes no run, or more sets of values than can be measured."""
    workload = start.request.workload
    several = math.prod(len(one.values) for one in workload.parameters)
    if several > parameters.MOST_POINTS:
        raise UsageError(
            f"the parameters have {several} sets of values; at most {parameters.MOST_POINTS} can be compared",
            hint="give fewer values: EEVDF runs with each set",
        )
    unused = parameters.unused(workload)
    if unused is not None:
        raise UsageError(
            f"the parameter {unused} changes no run: {{{unused}}} is not in the command",
            hint=f"write {{{unused}}} where its values belong, in the command, --prepare or --conclude",
        )
    if any(one.name == RESERVED_PARAMETER for one in workload.parameters):
        hint = "choose another name; --scheduler names the schedulers to try"
        raise UsageError(f"no parameter can be named {RESERVED_PARAMETER}", hint=hint)


def program(start: Start) -> None:
    _shell(start.request.workload)
    for workload in parameters.everywhere(start.request.workload):
        _program(workload)


def _program(workload: Workload) -> None:
    may_make: MayMake = "programs" if workload.setup is not None else "files" if workload.prepare is not None else ""
    word = _first_word(workload.command, workload.shell) if workload.shell else workload.argv[0]
    problem = _missing(word, workload.cwd, workload.env, may_make, shell=bool(workload.shell)) if word else ""
    if problem:
        hint = "check the command, its directory and PATH"
        raise WorkloadError(f"the workload cannot be measured: {word}: {problem}", hint=hint)


def _shell(workload: Workload) -> None:
    if workload.shell in ((), ("sh",)):
        return
    problem = _missing(workload.shell[0], workload.cwd, workload.env, "", shell=False)
    if problem:
        raise UsageError(f"--shell: {workload.shell[0]}: {problem}", hint="name an installed shell, or none")


def programs_around(start: Start) -> None:
    for workload in parameters.everywhere(start.request.workload):
        _programs_around(workload)


def _programs_around(workload: Workload) -> None:
    may_make: MayMake = ""
    around = {
        "setup": workload.setup,
        "prepare": workload.prepare,
        "conclude": workload.conclude,
        "cleanup": workload.cleanup,
    }
    for option, text in around.items():
        may_make = may_make or ("files" if option in ("conclude", "cleanup") else "")
        if text is None:
            continue
        word = _first_word(text, workload.shell)
        problem = _missing(word, workload.cwd, workload.env, may_make, shell=True) if word else ""
        if problem:
            raise UsageError(f"--{option}: {word}: {problem}", hint="check the command, its directory and PATH")
        may_make = "programs" if workload.setup is not None else "files"


MayMake: TypeAlias = Literal["", "files", "programs"]
"""What may be made before a program is run: nothing; files, by `--prepare` and the command; all, by `--setup`."""
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./+-][A-Za-z0-9_./+@:-]*")
_OF_THE_SHELL = re.compile(
    r"[.:\[{}!]|\[\[|alias|bg|break|builtin|caller|case|cd|command|compgen|complete|continue|coproc|declare|dirs|disown|do"
    r"|done|echo|elif|else|enable|esac|eval|exec|exit|export|false|fc|fg|fi|for|function|getopts|hash|help|history|if|in"
    r"|jobs|kill|let|local|mapfile|popd|printf|pushd|pwd|read|readarray|readonly|return|select|set|shift|shopt|source"
    r"|suspend|test|then|time|times|trap|true|type|typeset|ulimit|umask|unalias|unset|until|wait|while"
)
"""Builtins and reserved words of common shells."""


_SHELLS = frozenset({"ash", "bash", "dash", "ksh", "mksh", "sh", "zsh"})
"""Shells whose lines are read here; others (fish, python) have words of their own."""


def _first_word(text: str, shell: tuple[str, ...]) -> str:
    """Return the program that a line of shell runs first; empty when only the shell could say. Assignments, quotes,
    substitutions, functions and aliases are left to the shell."""
    if shell and os.path.basename(shell[0]) not in _SHELLS:
        return ""
    if re.search(r"\(\s*\)|\balias\b", text):
        return ""
    try:
        first = next(iter(shlex.split(text, comments=True)), "")
    except ValueError:
        return ""
    begins = text.lstrip().startswith(first)
    rest = text.lstrip()[len(first) : len(first) + 1]
    return first if begins and rest in ("", " ", "\t", "\n", ";", "&", "|") and _PLAIN_WORD.fullmatch(first) else ""


def _missing(word: str, cwd: str, env: Mapping[str, str], may_make: MayMake, *, shell: bool) -> str:
    """Return why a program cannot be run; empty when it can, or may be made before it is."""
    if shell and _OF_THE_SHELL.fullmatch(word):
        return ""
    if "/" in word:
        path = Path(cwd, word)
        if path.is_file():
            return "" if os.access(path, os.X_OK) else "Permission denied"
        return "" if may_make else "Is a directory" if path.is_dir() else "No such file or directory"
    if may_make == "programs" or shutil.which(word, path=_absolute(env.get("PATH", os.defpath), cwd)) is not None:
        return ""
    return "command not found"


def _absolute(path: str, cwd: str) -> str:
    """Return PATH with the entries that start from the directory of the workload spelled out."""
    return os.pathsep.join(os.path.join(cwd, place) for place in path.split(os.pathsep))


def _metric(start: Start) -> None:
    workload = start.request.workload
    judged = () if workload.metric_regex is None else (workload.metric_regex,)
    for expression in (*judged, *(metric.regex for metric in workload.metrics)):
        groups = compiled(expression).groups
        if groups == 0:
            raise UsageError("--metric has no group", hint="put parentheses around the number: 'rps: ([0-9.]+)'")
        if groups > 1:
            raise UsageError(f"--metric has {groups} groups", hint="put one around the number; make others (?:...)")


def _statistic(start: Start) -> None:
    judged, runs = Statistic.named(start.request.settings.statistic), start.request.settings.runs
    if judged is not None and runs is not None and runs < judged.least_pairs:
        raise UsageError(
            f"--statistic {judged.name} needs {judged.least_pairs} pairs of runs, and --runs {runs} allows {runs}",
            hint="leave out --runs, or judge the typical run",
        )


# --- the machine -----------------------------------------------------------------------------------------


def machine(start: Start) -> None:
    settings = start.request.settings
    if start.place == "host":
        select.refuse_vm_options(
            cpus=settings.cpus,
            memory_bytes=settings.memory,
            kernel=settings.kernel,
            keep_writes=start.request.keep_writes,
        )
        return
    select.refuse_hidden(start.request.workload.cwd)
    microvm.require_programs(kernels.find(settings.kernel))


def cpus(start: Start) -> None:
    settings, has_cpus = start.request.settings, os.cpu_count() or 1
    if settings.cpus is not None and settings.cpus > has_cpus:
        raise UsageError(
            f"{settings.cpus} CPUs are too many for the micro-VM: this machine has {has_cpus}",
            hint=f"give --cpus {has_cpus} or less",
        )


def memory(start: Start) -> None:
    settings, has_bytes = start.request.settings, select.host_memory_bytes()
    if settings.memory is not None and not LEAST_VM_BYTES <= settings.memory <= has_bytes:
        bounds = f"{size_flag(LEAST_VM_BYTES)} and this machine's {has_bytes >> 20}M"
        raise UsageError(
            f"{size_flag(settings.memory)} of memory for the micro-VM is not between {bounds}",
            hint=f"give a --memory such as {size_flag(max(LEAST_VM_BYTES, min(4 << 30, has_bytes // 2) >> 20 << 20))}",
        )


def _apply(start: Start) -> None:
    if start.request.apply:
        handover.refuse_apply(on_host=start.place == "host")


# --- who proposes, and for how long ----------------------------------------------------------------------


def _candidates(start: Start) -> None:
    for candidate in start.request.candidates:
        start.catalog.validate(candidate)
    start.needs.require(start.catalog, start.request.candidates)


def _planner(start: Start) -> None:
    settings = start.request.settings
    if start.request.candidates:
        return
    if settings.planner == "search":
        knob_model.require()
    if settings.planner in WITHOUT_MODEL:
        return
    prices = services.prices(settings)
    services.refuse_halves(settings)
    if not services.must_plan(settings):
        with contextlib.suppress(AutotuneError):  # then the offline planner plans
            services.require(settings, Path(start.request.workload.cwd), os.environ)
            cost.refuse_unkept_limit(settings.model, prices, settings.max_cost)
        return
    services.require(settings, Path(start.request.workload.cwd), os.environ)
    cost.refuse_unkept_limit(settings.model, prices, settings.max_cost)


def _budget(start: Start) -> None:
    """Refuse a budget that ends before one candidate has run, as far as past sessions here, or common sense, tell."""
    settings = start.request.settings
    points = len(parameters.points(start.request.workload.parameters))
    of_baseline = settings.warmup + max(BASELINE_RUNS, settings.least_rounds)
    runs = points * of_baseline + LEAST_RACE_RUNS
    run_s, why = _known_run_s(start)
    boot_s = LEAST_BOOT_S if start.place == "vm" else 0.0
    if settings.budget < boot_s + runs * run_s:
        before = "a boot and " if boot_s else ""
        raise UsageError(
            f"a budget of {settings.budget:g} s is too small for one candidate: that takes {before}{runs} runs{why}",
            hint=f"give --budget {max(1, round(2 * (boot_s + runs * run_s) + 0.5))}s or more",
        )


def _known_run_s(start: Start) -> tuple[float, str]:
    workload = start.request.workload
    if workload.metric_regex is not None:  # the store has the metric instead of the time
        return LEAST_RUN_S, ""
    with contextlib.suppress(AutotuneError), contextlib.closing(Knowledge(warn=start.warn)) as knowledge:
        past = knowledge.sessions_of(workload, 1)
        if past and past[0].machine == start.place and past[0].baseline_median is not None:
            return max(
                LEAST_RUN_S, past[0].baseline_median
            ), f" of {past[0].baseline_median:.3g} s, as in the last session"
    return LEAST_RUN_S, ""


CHECKS: tuple[Callable[[Start], None], ...] = (
    _parameters,
    _metric,
    _statistic,
    _input,
    _reports,
    _keep_writes,
    program,
    programs_around,
    _planner,
    _apply,
    _budget,
    cpus,
    memory,
    machine,
    _candidates,
)
"""All checks, the cheapest first."""
OF_CANDIDATES = (_planner, _apply, _candidates)
OF_WORDS = (_parameters, _metric, _statistic)
OF_FILES = (_input, program, programs_around)
