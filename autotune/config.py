# SPDX-License-Identifier: MIT
"""Settings: flags over environment over .env over autotune.toml over defaults.

What always holds here:
- every setting is described once, in `KEYS`; flag, variable (`AUTOTUNE_...`) and file key all read alike;
- an error names where the value came from: `--cpus`, `AUTOTUNE_CPUS in .env`, `cpus in ./autotune.toml`;
- what decides which programs run as root (`OWN`) comes from the user alone, never from the directory a session runs in;
- nothing but the standard library is imported before a file that needs it is found.

`.env` is read in the current directory, and only its `AUTOTUNE_` variables. `autotune.toml` is read in the current
directory and in `$XDG_CONFIG_HOME/autotune`; a key in the nearer file wins.
"""

from __future__ import annotations

import importlib
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from autotune.errors import UsageError

MachineKind = Literal["auto", "host", "vm"]
PlannerKind = Literal["auto", "claude", "offline"]
PREFIX = "AUTOTUNE_"
FILE_NAME = "autotune.toml"


@dataclass(frozen=True)
class Settings:
    """Where and how long a session runs. What to run is not a setting: it belongs to one command line."""

    machine: MachineKind = "auto"
    kernel: Path | None = None
    """Kernel image of the micro-VM; None means that one is looked for."""
    cpus: int | None = None
    """CPUs of the micro-VM; None means as many as the host has."""
    memory: int | None = None
    """Bytes of memory of the micro-VM; None means a share of the host's."""
    budget: float = 600.0
    """Seconds for the whole session."""
    warmup: int = 1
    min_runs: int = 3
    max_runs: int = 4
    seed: int | None = None
    """None means a new one for every session, which its report names."""
    planner: PlannerKind = "auto"
    model: str = "claude-opus-5-5"
    max_cost: float | None = None
    """USD that planning may cost; None means no limit."""
    max_calls: int | None = None
    """Calls of the model that planning may take; None means no limit."""
    prices: Path | None = None
    """File with prices of models, beside those that travel with autotune."""
    model_timeout: float = 120.0
    """Seconds that the model's service may be silent."""
    scheduler_dirs: tuple[Path, ...] = ()
    """Where programs of schedulers are looked for first."""


# --- values as people write them -------------------------------------------------------------------------

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_UNITS_BYTES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?", re.IGNORECASE)


def parse_duration(text: str) -> float:
    """Seconds in `90s`, `10m`, `1h30m`, `1500ms`; a plain number is seconds. Raises ValueError with what is wrong
    for anything else, for zero and for what is longer than a year."""
    seconds = _seconds(text.strip())
    if seconds is None:
        raise ValueError(f"{text!r} is not a time such as 90s, 10m or 1h30m")
    if not 0 < seconds <= 366 * 86400:
        raise ValueError(f"{text!r} must be more than nothing and less than a year")
    return seconds


def _seconds(text: str) -> float | None:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _DURATION_PART.findall(text)
    if not parts or _DURATION_PART.sub("", text).strip():
        return None
    return math.fsum(float(number) * _UNITS_S[unit] for number, unit in parts)


def duration_flag(seconds: float) -> str:
    """A time as a flag takes it, exact to the millisecond: `10m`, `1h30m`, `1500ms`."""
    left_ms = round(seconds * 1000)
    parts = []
    for unit, size_ms in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left_ms = divmod(left_ms, size_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Bytes in `4G`, `512M`, `1.5GiB` (powers of 1024). Raises ValueError with what is wrong; a plain number is
    refused because programs disagree on whether it would be bytes or megabytes."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 4G or 512M")
    size_bytes = int(float(match[1]) * _UNITS_BYTES[match[2].lower()])
    if size_bytes < 1:
        raise ValueError(f"{text!r} must be more than nothing")
    return size_bytes


def size_flag(size_bytes: int) -> str:
    """A size as a flag takes it: `4G`, `512M`; in whole kilobytes, rounded up, when nothing larger fits."""
    for unit in "tgm":
        count, rest = divmod(size_bytes, _UNITS_BYTES[unit])
        if not rest:
            return f"{count}{unit.upper()}"
    return f"{-(-size_bytes // 1024)}K"


def _parse_count(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,18}", text.strip()):
            raise ValueError(f"{text!r} is not a whole number")
        if int(text) < least:
            raise ValueError(f"{text} is less than {least}")
        return int(text)

    return parse


def _parse_choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
        return text

    return parse


def _parse_money(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text.strip()):
        raise ValueError(f"{text!r} is not an amount of USD such as 0.50")
    return float(text)


def _parse_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,120}", text):
        raise ValueError(f"{text!r} is not a name")
    return text


def _parse_path(text: str) -> Path:
    if not text:
        raise ValueError("it is empty")
    return Path(text)


def _parse_directories(text: str) -> tuple[Path, ...]:
    """Absolute directories, separated by colons as in PATH: what is found there may run as root, which must not depend
    on where one stands."""
    found = tuple(Path(part).expanduser() for part in text.split(":") if part)
    for path in found:
        if not path.is_absolute():
            raise ValueError(f"{str(path)!r} is not an absolute path")
    return found


# --- the keys --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """One setting: how its text is read, and written back as a flag."""

    name: str
    parse: Callable[[str], Any]
    write: Callable[[Any], str] = str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()


KEYS = {
    key.name: key
    for key in (
        Key("machine", _parse_choice("auto", "host", "vm")),
        Key("kernel", _parse_path),
        Key("cpus", _parse_count(1)),
        Key("memory", parse_size, size_flag),
        Key("budget", parse_duration, duration_flag),
        Key("warmup", _parse_count(0)),
        Key("min_runs", _parse_count(2)),
        Key("max_runs", _parse_count(2)),
        Key("seed", _parse_count(0)),
        Key("planner", _parse_choice("auto", "claude", "offline")),
        Key("model", _parse_name),
        Key("max_cost", _parse_money, lambda amount: f"{amount:g}"),
        Key("max_calls", _parse_count(1)),
        Key("prices", _parse_path),
        Key("model_timeout", parse_duration, duration_flag),
    )
}
OWN = {"scheduler_dirs": Key("scheduler_dirs", _parse_directories)}
"""Set by the user alone: the environment and the user's own file. No flag: they belong to the machine."""
_ALL = {**KEYS, **OWN}


@dataclass(frozen=True)
class _Found:
    """A text with its origin, and the directory that a relative path in it starts from."""

    text: str
    origin: str
    base: Path


# --- loading ---------------------------------------------------------------------------------------------


def load(
    flags: Mapping[str, str | None], *, cwd: Path, environ: Mapping[str, str], config_dir: Path | None = None
) -> Settings:
    """The settings of this session. `flags` are those given on the command line, by name of the setting, None for
    those that were not. Raises UsageError, which names the origin of the value that cannot be."""
    found: dict[str, _Found] = {}
    for source in (
        _from_files(cwd, config_dir or default_config_dir(environ)),
        _from_dotenv(cwd),
        _from_environ(environ, cwd),
        _from_flags(flags, cwd),
    ):
        found.update(source)
    values = {name: _value(_ALL[name], item) for name, item in found.items()}
    settings = Settings(**values)
    _check_together(settings, found)
    return settings


def default_config_dir(environ: Mapping[str, str]) -> Path:
    """`$XDG_CONFIG_HOME/autotune`, by default `~/.config/autotune`."""
    home = environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path(environ.get("HOME") or "/") / ".config") / "autotune"


_NOT_REPEATED = frozenset({"seed", "planner", "model", "max_cost", "max_calls", "prices", "model_timeout"})
"""The seed is named by each session itself; a repeated one names its schedulers, so that nobody plans."""


def as_flags(settings: Settings) -> list[str]:
    """The settings that are not the default, as flags that give them again, as far as they matter to a repetition."""
    default = Settings()
    flags = []
    for field in fields(Settings):
        value = getattr(settings, field.name)
        if field.name in KEYS.keys() - _NOT_REPEATED and value is not None and value != getattr(default, field.name):
            flags += [KEYS[field.name].flag, KEYS[field.name].write(value)]
    return flags


def _value(key: Key, item: _Found) -> Any:
    try:
        value = key.parse(item.text)
    except ValueError as error:
        raise UsageError(f"{item.origin}: {error}") from None
    return (item.base / value.expanduser()).resolve() if isinstance(value, Path) else value


def _check_together(settings: Settings, found: Mapping[str, _Found]) -> None:
    if settings.min_runs > settings.max_runs:
        names = [found[name].origin if name in found else f"the default of {KEYS[name].flag}" for name in _RUNS]
        raise UsageError(
            f"{names[0]} is {settings.min_runs}, more than {names[1]}, which is {settings.max_runs}",
            hint="give a --max-runs that is not below --min-runs",
        )


_RUNS = ("min_runs", "max_runs")


def _from_flags(flags: Mapping[str, str | None], cwd: Path) -> dict[str, _Found]:
    return {name: _Found(text, KEYS[name].flag, cwd) for name, text in flags.items() if text is not None}


def _from_environ(environ: Mapping[str, str], cwd: Path, where: str = "") -> dict[str, _Found]:
    """An empty variable counts as one that is not set, as is usual for environments."""
    given = ((key, environ.get(key.variable)) for key in _ALL.values())
    return {key.name: _Found(text, f"{key.variable}{where}", cwd) for key, text in given if text}


_OUR_LINE = re.compile(rf"\s*(export\s+)?{PREFIX}")


def _from_dotenv(cwd: Path) -> dict[str, _Found]:
    """From `.env`, which mostly belongs to the user's own project: one that we may not read is not meant for us,
    and bytes that are not UTF-8 are no matter of ours."""
    try:
        text = (cwd / ".env").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    ours = [line for line in text.splitlines() if _OUR_LINE.match(line)]
    if not ours:
        return {}
    import io

    from dotenv import dotenv_values

    values = dotenv_values(stream=io.StringIO("\n".join(ours)), interpolate=False)
    found = _from_environ({name: value or "" for name, value in values.items()}, cwd, " in .env")
    _refuse_own(found)
    return found


def _from_files(cwd: Path, config_dir: Path) -> dict[str, _Found]:
    far, near = config_dir / FILE_NAME, cwd / FILE_NAME
    nearer = _from_file(near, f"./{FILE_NAME}")
    if near != far:
        _refuse_own(nearer)
    return {**_from_file(far, str(far)), **nearer}


def _refuse_own(found: Mapping[str, _Found]) -> None:
    """A project that one only wanted to measure must not say which programs run as root."""
    for name in OWN.keys() & found.keys():
        raise UsageError(
            f"{found[name].origin} is not taken from a project: it decides which programs run as root",
            hint=f"set {OWN[name].variable}, or {name} in autotune.toml of your own configuration directory",
        )


def _from_file(path: Path, shown: str) -> dict[str, _Found]:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{shown} is not UTF-8 text", hint="save it as UTF-8") from None
    table = _parse_toml(text, shown)
    _refuse_unknown(table, shown)
    return {name: _found_in_file(name, value, path, shown) for name, value in table.items()}


def _found_in_file(name: str, value: object, path: Path, shown: str) -> _Found:
    origin = f"{name} in {shown}"
    if name in OWN and isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = ":".join(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise UsageError(f"{origin} must be a text or a number")
    return _Found(str(value), origin, path.parent)


def _parse_toml(text: str, shown: str) -> dict[str, object]:
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        table: dict[str, object] = tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"{shown} is not valid TOML: {error}") from None
    return table


def _refuse_unknown(names: Iterable[str], shown: str) -> None:
    import difflib

    for name in names:
        if name not in _ALL:
            close = difflib.get_close_matches(name, _ALL, n=1)
            advice = f"did you mean {close[0]}?" if close else f"known keys are {', '.join(_ALL)}"
            raise UsageError(f"{shown} has an unknown key {name!r}", hint=advice)
