# SPDX-License-Identifier: MIT
"""Reads the options that a found program really has from its own help, and caches them.

The catalogue explains options; the program lists those it has. Its output is cached by path, size and time of the file;
a cache file that is damaged, of an older form or about another program is made anew.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autotune import durable, reading, resources
from autotune.errors import AutotuneError, UsageError
from autotune.frozen import dataclass
from autotune.records import KnobValue
from autotune.schedext.catalogue.catalog import Scheduler
from autotune.schedext.catalogue.knobs import Knob
from autotune.schedext.programs import help_text, unprivileged
from autotune.schedext.programs.binaries import Binary
from autotune.schedext.programs.help_text import Option

FORM = 1
"""Version of the cache files' form."""
_VERSION = re.compile(r"(?<![\w.])\d+\.\d+(?:\.\d+)?(?:-[0-9A-Za-z][0-9A-Za-z.-]*)?(?![\w.])")
_MOST_LINE = 500


@dataclass(frozen=True)
class ProgramOptions:
    """A program's own options. `version` is None when it prints none; `options` is None when it must not be run for
    them (`Program.help` is `never`): then the catalogue alone counts."""

    version: str | None
    options: tuple[Option, ...] | None

    def find(self, flag: str) -> Option | None:
        """Return the option of this long or short name."""
        return next((one for one in self.options or () if flag in (one.flag, one.short)), None)


def options_of(
    binary: Binary, scheduler: Scheduler, *, cache: Path | None = None, answer_s: float = unprivileged.ANSWER_S
) -> ProgramOptions:
    """Read the options of a program. Raises AutotuneError when it cannot be run for them, or its help cannot be
    read."""
    if scheduler.program is None or scheduler.program.help == "never":
        return ProgramOptions(version(binary, scheduler, cache=cache), None)
    kept = _CachedOutput(binary, scheduler, cache)
    output = kept.get("help")
    if output is None:
        output = _help(binary, scheduler, answer_s)
        found = _parsed(output, binary)
        kept.put("help", output)
    else:
        found = _parsed(output, binary)
    return ProgramOptions(version(binary, scheduler, cache=cache), found)


def version(
    binary: Binary, scheduler: Scheduler, *, cache: Path | None = None, answer_s: float = unprivileged.ANSWER_S
) -> str | None:
    """Return the version that a program prints; for one that must not be run for it, the one it was installed as. None
    when it prints none. Raises AutotuneError when it cannot be started."""
    option = scheduler.program.version_option if scheduler.program else None
    if option is None:
        return binary.path.parent.name if binary.origin == "store" else None
    kept = _CachedOutput(binary, scheduler, cache)
    known = kept.get("version")
    if known is None:
        answer = unprivileged.run(binary, option, answer_s=answer_s)
        known = version_in(answer.stdout) or version_in(answer.stderr) or ""
        if not answer.ended_for:
            kept.put("version", known)
    return known or None


def version_in(output: str) -> str | None:
    """Return the first version in the first line that has any text."""
    line = next((line for line in output.splitlines() if line.strip()), "")[:_MOST_LINE]
    found = _VERSION.search(line)
    return found[0] if found else None


def _help(binary: Binary, scheduler: Scheduler, answer_s: float) -> str:
    """Return what it prints when run for its help, whatever its exit code: three scx schedulers print their help as an
    error."""
    assert scheduler.program is not None
    option = "-h" if scheduler.program.language == "c" else "--help"
    answer = unprivileged.run(binary, option, answer_s=answer_s)
    if answer.ended_for:
        raise _unreadable(binary, f"run with {option}, {answer.ended_for}")
    both = (answer.stdout, answer.stderr)
    for output in both if scheduler.program.help == "stdout" else reversed(both):
        if re.search(r"^\s*usage:", output, re.IGNORECASE | re.MULTILINE):
            return output
    return "\n".join(both)


def _parsed(output: str, binary: Binary) -> tuple[Option, ...]:
    try:
        return tuple(help_text.parse(output))
    except AutotuneError as error:
        raise _unreadable(binary, error.message, output) from error


def _unreadable(binary: Binary, why: str, output: str = "") -> AutotuneError:
    hint = f"see '{binary.path} --help'; if it is no scheduler, remove it or put the right one before it"
    return AutotuneError(f"{binary.path}: {why}", hint=hint, stage="scheduler", detail=output[:4096])


# --- before anything starts ------------------------------------------------------------------------------


def check_settings(
    scheduler: Scheduler, binary: Binary, settings: Mapping[str, KnobValue], *, cache: Path | None = None
) -> ProgramOptions:
    """Return the options of the program. Raises UsageError when it lacks one that these settings need."""
    found = options_of(binary, scheduler, cache=cache)
    if found.options is None or scheduler.program is None:
        return found
    whose = f"{scheduler.name} {found.version or 'of unknown version'} ({binary.path})"
    for argument in scheduler.program.arguments:
        flag = argument.partition("=")[0]
        if flag.startswith("-") and found.find(flag) is None and flag not in scheduler.program.hidden:
            raise UsageError(f"{whose} has no option {flag}, which it is always given", hint=_other_version(scheduler))
    for name, value in settings.items():
        knob = scheduler.knob(name)
        if knob.flag is not None and knob.flag not in scheduler.program.hidden and value is not False:
            _check(knob, value, found, whose, scheduler)
    return found


def _check(knob: Knob, value: KnobValue, found: ProgramOptions, whose: str, scheduler: Scheduler) -> None:
    assert knob.flag is not None
    option = found.find(knob.flag)
    if option is None:
        near = _nearest(knob.flag, found)
        raise UsageError(
            f"{whose} has no option {knob.flag}, which knob '{knob.name}' needs{near}", hint=_other_version(scheduler)
        )
    if option.takes_value != knob.takes_value and not option.value_optional:
        how = "takes a value" if option.takes_value else "takes no value"
        raise UsageError(
            f"in {whose} option {knob.flag} {how}, unlike in the catalogue", hint=_other_version(scheduler)
        )
    for one in knob.values(value) if knob.takes_value and option.options else ():
        text = str(one).lower() if isinstance(one, bool) else str(one)
        if text not in option.options and text not in knob.keywords:
            allowed = ", ".join(option.options)
            raise UsageError(f"in {whose} option {knob.flag} does not take '{text}'", hint=f"it takes {allowed}")


def _nearest(flag: str, found: ProgramOptions) -> str:
    near = difflib.get_close_matches(flag, [one.flag for one in found.options or ()], 3, 0.6)
    return f" (near: {', '.join(near)})" if near else ""


def _other_version(scheduler: Scheduler) -> str:
    if scheduler.version is None:
        return "'autotune schedulers check' shows how it differs from the catalogue"
    return f"the catalogue describes version {scheduler.version}; 'autotune schedulers check {scheduler.name}' compares"


# --- what is kept ----------------------------------------------------------------------------------------


class _CachedOutput:
    """Cached output of one program, in a file of its own. A cache that cannot be read or written costs time, nothing
    else."""

    def __init__(self, binary: Binary, scheduler: Scheduler, cache: Path | None) -> None:
        program = scheduler.program
        self._key = {
            "form": FORM,
            "path": str(binary.path),
            "size_bytes": binary.size_bytes,
            "mtime_ns": binary.mtime_ns,
            "asked": [program.language, program.version_option] if program else [],
        }
        name = hashlib.sha256(os.fsencode(binary.path)).hexdigest()[:24]
        self._path = (cache or resources.cache_dir() / "options") / f"{binary.path.name}-{name}.json"

    def get(self, what: str) -> str | None:
        value = self._read().get(what)
        return value if isinstance(value, str) else None

    def put(self, what: str, value: str) -> None:
        whole = {**self._read(), what: value, "key": self._key}
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            durable.replace(self._path, json.dumps(whole).encode(), mode=durable.SHARED)

    def _read(self) -> dict[str, Any]:
        try:
            whole = reading.json_of(self._path, most_bytes=4 * unprivileged.MOST_BYTES)
        except (OSError, ValueError):
            return {}
        return whole if isinstance(whole, dict) and whole.get("key") == self._key else {}
