# SPDX-License-Identifier: MIT
"""The workload and the settings that the arguments of a command describe."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from autotune.commands.arguments import ALL_FAILURES, CcArguments
from autotune.errors import UsageError

if TYPE_CHECKING:
    from autotune.records import Workload


def flags(arguments: CcArguments) -> dict[str, str | None]:
    from autotune import config

    given = {key: getattr(arguments, key.field) for key in config.KEYS.values()}
    return {
        key.name: None if value is None or value is False else "no" if key.switch else str(value)
        for key, value in given.items()
    }


def workload_from(arguments: CcArguments) -> Workload:
    """Return the workload of the arguments. Raises UsageError for invalid ones."""
    from autotune.commands import metrics, shells, sweeps
    from autotune.machine.local import invoking_environment
    from autotune.records import Workload
    from autotune.verdict import guards

    command, argv = shells.command_of(arguments.command, shells.shell_of(arguments.shell, none=arguments.no_shell))
    judged, others, goal = metrics.metrics_of(arguments.metric or (), arguments.goal)
    return Workload(
        name=_name(arguments.name),
        command=command,
        argv=argv,
        cwd=str(current_directory()),
        env=invoking_environment(os.environ),
        setup=arguments.setup,
        prepare=arguments.prepare,
        conclude=arguments.conclude,
        cleanup=arguments.cleanup,
        input_path=_input_path(arguments.input),
        timeout_s=_timeout_s(arguments.timeout),
        metric_regex=judged.regex if judged is not None else None,
        goal=goal,
        ignore_failure=arguments.ignore_failure is not None,
        ignored_exits=_exit_codes(arguments.ignore_failure),
        pristine=arguments.pristine,
        parameters=sweeps.parameters_of(
            arguments.param or (),
            arguments.parameter_list or (),
            arguments.parameter_scan or (),
            arguments.parameter_step,
        ),
        metrics=others,
        guards=guards.chosen(arguments.guard or (), metrics=others, defaults=not arguments.no_guards),
    )


def _name(text: str | None) -> str:
    if text is not None and not text.strip():
        raise UsageError("--command-name is empty", hint="leave it out, or give a name")
    return text or ""


def _exit_codes(text: str | None) -> tuple[int, ...]:
    """Parse the value of `--ignore-failure`; empty for all failures. Raises UsageError."""
    if text in (None, ALL_FAILURES):
        return ()
    codes = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,3}", code) and int(code) <= 255 for code in codes):
        hint = "such as --ignore-failure=1,137 (128 + N for signal N), or --ignore-failure for all"
        raise UsageError(f"--ignore-failure: {text!r} is no list of exit codes from 0 to 255", hint=hint)
    return tuple(sorted({int(code) for code in codes}))


def current_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(f"the current directory cannot be used: {error.strerror}", hint="go to another") from None


def _input_path(path: Path | None) -> str | None:
    """Return the file's path for other processes, which have other descriptors: /dev/stdin becomes what it leads to
    here."""
    if path is None:
        return None
    is_ours = path.absolute().parts[:2] in (("/", "dev"), ("/", "proc"))
    return os.path.realpath(path) if is_ours and path.is_file() else str(path.absolute())


def _timeout_s(text: str | None) -> float | None:
    from autotune.quantities import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from None
