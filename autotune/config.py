# SPDX-License-Identifier: MIT
"""Settings: flags over environment over .env over autotune.toml over defaults.

What always holds here:
- every setting is described once, in `ALL`; flag, variable (`AUTOTUNE_...`) and file key all read alike;
- an error names where the value came from: `--cpus`, `AUTOTUNE_CPUS in .env`, `cpus in ./autotune.toml`;
- every setting has owners, in the same table: a project (the files of the directory a session runs in) may only bound
  or describe a session, never name what is run, whom it talks to or what it may cost, nor raise a limit of the user's;
- an unknown name is an error wherever it stands: a misspelt limit would limit nothing;
- a command reads only the settings that it needs, so a wrong value of another does not stop it;
- nothing but the standard library is imported before a file that needs it is found.

`.env` is read in the current directory, and only its `AUTOTUNE_` variables. `autotune.toml` is read in the current
directory and in `$XDG_CONFIG_HOME/autotune`; a key in the nearer file wins.
"""

from __future__ import annotations

import errno
import importlib
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from autotune import reading, resources
from autotune.errors import UsageError
from autotune.frozen import dataclass
from autotune.quantities import (
    duration_flag,
    parse_count,
    parse_duration,
    parse_share,
    parse_size,
    share_flag,
    size_flag,
)

MachineKind = Literal["auto", "host", "vm"]
PlannerKind = Literal["auto", "claude", "model", "offline", "search"]
Style = Literal["auto", "basic", "full", "nocolor", "color", "none"]
PREFIX = "AUTOTUNE_"
FILE_NAME = "autotune.toml"
OTHER_VARIABLES = tuple(
    PREFIX + name for name in ("DEBUG", "FENCE", "LIBBPF", "MCP_TOKEN", "MODEL_KEY", "PYTHON", "REQUIRE_VM", "SOCKET")
)
"""Variables that are no settings: `--debug`, the mark of a scheduler's program, the token of `autotune mcp`, the key
for `model_url`, the Python of `scripts/autotune`, where the daemon listens, and two of our tests."""

Owner = Literal["project", "user", "command line"]
"""Who may give a setting: the files of the current directory; the user's own environment and file; flags."""


WITHOUT_MODEL: tuple[PlannerKind, ...] = ("offline", "search")
"""Planners that need no key and spend nothing."""
MODEL_ONLY: tuple[PlannerKind, ...] = ("claude", "model")
"""Planners that no other takes over from when they fail."""


@dataclass(frozen=True)
class Settings:
    """Where and how long a session runs. The command is not a setting: it belongs to one command line."""

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
    min_runs: int = 2
    max_runs: int = 4
    runs: int | None = None
    """Rounds of the race, exactly, and most fresh pairs; None means from `min_runs` to `max_runs` rounds, and as many
    pairs as the budget has room for."""
    min_effect: float = 0.0
    """The least gain that the user would bother to apply (0.03 for 3 %); 0 for any."""
    statistic: str = "typical"
    """What is judged of the runs: the typical run, `mean`, `median`, or `p50` to `p99`."""
    observe: bool = True
    """Watch one run, which is not measured, before candidates are proposed."""
    explain: bool = True
    """Watch one run under the winner, too, to say why it won."""
    early_end: bool = True
    """End a session in which nothing can be won before any candidate is tried."""
    recall: bool = True
    """Begin with what earlier sessions found."""
    seed: int | None = None
    """None means a new one for every session, which its report names."""
    planner: PlannerKind = "auto"
    model: str = "claude-opus-5-5"
    model_url: str | None = None
    """Address of the user's own server with the chat completions API; None means Claude's service."""
    max_cost: float | None = None
    """USD that planning may cost; None means no limit."""
    max_calls: int | None = None
    """Calls of the model that planning may take; None means no limit."""
    prices: Path | None = None
    """File with prices of models, beside those that travel with autotune."""
    model_timeout: float = 120.0
    """Seconds that the model's API may send nothing."""
    scheduler_dirs: tuple[Path, ...] = ()
    """Directories that are searched first for scheduler programs."""
    style: Style = "auto"
    """What people see: `basic` has neither colours nor a moving part, `full` both, even without a terminal; `nocolor`
    has no colours, `color` no moving part; `none` is silent but for errors."""
    lease: float = 30.0
    """Seconds after which a scheduler on the host is detached when autotune is stopped (Ctrl-Z)."""

    @property
    def least_rounds(self) -> int:
        """Rounds before a candidate may be dropped."""
        return self.min_runs if self.runs is None else self.runs

    @property
    def most_rounds(self) -> int:
        """Most rounds of a set of candidates."""
        return self.max_runs if self.runs is None else self.runs


# --- values as people write them -------------------------------------------------------------------------

SHORTEST_LEASE_S = 2.0
"""A busy machine may keep autotune itself from its CPU for a second."""
LONGEST_LEASE_S = 3600.0


def _parse_lease(text: str) -> float:
    seconds = parse_duration(text)
    if not SHORTEST_LEASE_S <= seconds <= LONGEST_LEASE_S:
        raise ValueError(f"{text!r} is not from {SHORTEST_LEASE_S:g}s to {LONGEST_LEASE_S / 3600:g}h")
    return seconds


def _parse_choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
        return text

    return parse


def _parse_statistic(text: str) -> str:
    if not re.fullmatch(r"typical|mean|median|p[5-9]\d", text):
        raise ValueError(f"{text!r} is not one of typical, mean, median, p50 to p99")
    return text


def _parse_money(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text.strip()):
        raise ValueError(f"{text!r} is not an amount of USD such as 0.50")
    return float(text)


def _parse_switch(text: str) -> bool:
    words = {"yes": True, "true": True, "no": False, "false": False}
    if text not in words:
        raise ValueError(f"{text!r} is not one of yes, no")
    return words[text]


def _parse_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,120}", text):
        raise ValueError(f"{text!r} is not a name")
    return text


def _parse_address(text: str) -> str:
    """Parse the address of a service, which is not shown in errors: it may hold a password. Without encryption it is
    one of this machine or of a private network, as far as it tells: a name is not looked up."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        host, usable = parts.hostname or "", (parts.port or 1) > 0
    except ValueError:
        host, usable = "", False
    usable = usable and bool(host) and bool(re.fullmatch(r"[!-~]{1,1000}", text))
    if not usable or parts.scheme not in ("http", "https") or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("it is not an address such as http://localhost:11434/v1, without a password or a query")
    if parts.scheme == "http" and not _is_near(host):
        raise ValueError("http:// is for localhost and addresses of private networks; other servers need https://")
    return text


def _is_near(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _parse_path(text: str) -> Path:
    if not text:
        raise ValueError("it is empty")
    return Path(text)


def _parse_directories(text: str) -> tuple[Path, ...]:
    """Parse absolute directories, separated by colons as in PATH. Programs found there may run as root, so they must
    not depend on the current directory."""
    found = tuple(resources.expanded(Path(part)) for part in text.split(":") if part)
    for path in found:
        if not path.is_absolute():
            raise ValueError(f"{str(path)!r} is not an absolute path")
    return found


# --- the keys --------------------------------------------------------------------------------------------


_ANYBODY: tuple[Owner, ...] = ("project", "user", "command line")
_USER: tuple[Owner, ...] = ("user", "command line")
_MACHINE: tuple[Owner, ...] = ("user",)
"""No flag: it belongs to the machine, not to one session."""

_RUNS_PROGRAMS = "it decides which programs run"
_SPENDS = "it decides what is spent and which service gets the data"


@dataclass(frozen=True)
class Key:
    """One setting: how its text is read, and written back as a flag, and who may give it.

    `project_may` are the values that a project may give of a setting that is not its own: those that only tighten.
    `why_not` says why it may give no others. Of a setting that is a `limit` the user's own file gives the most that a
    project may; a switch that the user has set to no stays off."""

    name: str
    parse: Callable[[str], Any]
    write: Callable[[Any], str] = str
    owners: tuple[Owner, ...] = _ANYBODY
    project_may: tuple[str, ...] = ()
    why_not: str = ""
    limit: bool = False
    switch: bool = False
    """It is on; its flag has no value, and switches it off."""

    @property
    def flag(self) -> str:
        return ("--no-" if self.switch else "--") + self.name.replace("_", "-")

    @property
    def field(self) -> str:
        """Name of its flag in `commands.arguments`."""
        return self.flag[2:].replace("-", "_")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()


_MACHINES = _parse_choice("auto", "host", "vm")
_STYLES = _parse_choice("auto", "basic", "full", "nocolor", "color", "none")
_PLANNERS = _parse_choice("auto", "claude", "model", "offline", "search")
ALL = {
    key.name: key
    for key in (
        Key("machine", _MACHINES, owners=_USER, project_may=("vm",), why_not="it decides what runs on the host"),
        Key("kernel", _parse_path, owners=_USER, why_not=_RUNS_PROGRAMS),
        Key("cpus", parse_count(1), limit=True),
        Key("memory", parse_size, size_flag, limit=True),
        Key("budget", parse_duration, duration_flag, limit=True),
        Key("warmup", parse_count(0)),
        Key("min_runs", parse_count(2)),
        Key("max_runs", parse_count(2)),
        Key("runs", parse_count(2)),
        Key("min_effect", parse_share, share_flag),
        Key("statistic", _parse_statistic),
        Key("observe", _parse_switch, limit=True, switch=True),
        Key("explain", _parse_switch, limit=True, switch=True),
        Key("early_end", _parse_switch, switch=True),
        Key("recall", _parse_switch, switch=True),
        Key("seed", parse_count(0)),
        Key("planner", _PLANNERS, owners=_USER, project_may=WITHOUT_MODEL, why_not=_SPENDS),
        Key("model", _parse_name, owners=_USER, why_not=_SPENDS),
        Key("model_url", _parse_address, owners=_USER, why_not=_SPENDS),
        Key("max_cost", _parse_money, lambda amount: f"{amount:g}", _USER, why_not=_SPENDS),
        Key("max_calls", parse_count(1), owners=_USER, why_not=_SPENDS),
        Key("prices", _parse_path, owners=_USER, why_not=_SPENDS),
        Key("model_timeout", parse_duration, duration_flag, _USER, why_not="it decides how long a service may hang"),
        Key("style", _STYLES, owners=_USER, why_not="it is about your terminal, not about the project"),
        Key("scheduler_dirs", _parse_directories, owners=_MACHINE, why_not="it decides which programs run as root"),
        Key("lease", _parse_lease, duration_flag, _MACHINE, why_not="it decides how long nobody watches a scheduler"),
    )
}
"""Every setting, and who may give it. Settings that a project may not give are refused, with advice where to put
them."""
KEYS = {name: key for name, key in ALL.items() if "command line" in key.owners}
"""Settings that have a flag."""


@dataclass(frozen=True)
class _Given:
    """What is given for a setting, its origin, and the directory that relative paths in it start from."""

    given: object
    origin: str
    base: Path
    of_project: bool = False
    of_client: bool = False
    """Whether a client of `autotune mcp` gives it, on whom the user's limits are binding."""

    @property
    def text(self) -> str:
        """The value as text. Raises UsageError for a value that a file gives in a kind that no setting takes."""
        value = self.given
        if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
            value = ":".join(value)
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise UsageError(f"{self.origin} must be a text or a number")
        try:
            return str(value)
        except ValueError:  # more digits than Python writes
            raise UsageError(f"{self.origin} is too large a number") from None


# --- loading ---------------------------------------------------------------------------------------------


def load(
    flags: Mapping[str, str | None],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    config_dir: Path | None = None,
    only: Collection[str] | None = None,
    of_client: bool = False,
) -> Settings:
    """Load the settings of this session. `flags` are those of the command line, by setting; None: not given. `only`
    names the settings that the caller needs; the others keep their defaults, whatever is given. With `of_client` a
    client of `autotune mcp` gives the flags, which may not raise a limit of the user's. Raises UsageError naming the
    origin of a wrong value."""
    found: dict[str, _Given] = {}
    users: dict[str, _Given] = {}
    for source in _sources(flags, cwd, environ, config_dir or default_config_dir(environ), of_client=of_client):
        given = source()
        _refuse_unknown(given)
        needed = {name: item for name, item in given.items() if only is None or name in only}
        _refuse_what_is_not_the_projects(needed)
        _refuse_more_than_the_users(needed, users)
        users.update({name: item for name, item in needed.items() if not item.of_project})
        found.update({name: item for name, item in needed.items() if not _loosens(ALL[name], item, users.get(name))})
    settings = Settings(**{name: _value(ALL[name], item) for name, item in found.items()})
    return _together(settings, found)


def _loosens(key: Key, item: _Given, users: _Given | None) -> bool:
    """Return whether a project, or a client, would raise a limit of the user's. Raises UsageError for a wrong value."""
    if not (key.limit and (item.of_project or item.of_client)) or users is None:
        return False
    return bool(_value(key, item) > _value(key, users))


def refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    """Raise UsageError for a variable of ours that means nothing, with the nearest one: for commands that read no
    settings, but one of the other variables."""
    _refuse_unknown(_from_environ(environ, Path("/")))


def users_own(name: str, environ: Mapping[str, str], config_dir: Path | None = None) -> Any:
    """Return one setting that only the user's environment and own file may give; what else is in them does not matter.
    Raises UsageError."""
    assert "project" not in ALL[name].owners
    found = _from_environ(environ, Path("/")).get(name)
    if found is None:
        path = (config_dir or default_config_dir(environ)) / FILE_NAME
        found = _from_file(path, str(path)).get(name)
    return getattr(Settings(), name) if found is None else _value(ALL[name], found)


def problems(cwd: Path, environ: Mapping[str, str], config_dir: Path | None = None) -> Iterator[UsageError]:
    """Yield everything that is wrong with the settings of this directory, environment and user, for `doctor`."""
    for source in _sources({}, cwd, environ, config_dir or default_config_dir(environ)):
        try:
            given = source()
        except UsageError as error:
            yield error
            continue
        for name, item in given.items():
            try:
                _refuse_unknown({name: item})
                _refuse_what_is_not_the_projects({name: item})
                _value(ALL[name], item)
            except UsageError as error:
                yield error
    yield from _unusable_dotenv(cwd)


def _sources(
    flags: Mapping[str, str | None],
    cwd: Path,
    environ: Mapping[str, str],
    config_dir: Path,
    *,
    of_client: bool = False,
) -> Iterator[Callable[[], dict[str, _Given]]]:
    """Yield functions that read each source, the last one first to win."""
    far, near = config_dir / FILE_NAME, cwd / FILE_NAME
    yield lambda: _from_file(far, str(far))
    if near != far:
        yield lambda: _from_file(near, f"./{FILE_NAME}", of_project=True)
    yield lambda: _from_dotenv(cwd)
    yield lambda: _from_environ(environ, cwd)
    yield lambda: _from_flags(flags, cwd, of_client=of_client)


def default_config_dir(environ: Mapping[str, str]) -> Path:
    """Return `$XDG_CONFIG_HOME/autotune`, by default `~/.config/autotune`. A relative value counts as unset, as the XDG
    specification demands: it would let a project's file pass for the user's."""
    given, home = Path(environ.get("XDG_CONFIG_HOME") or ""), Path(environ.get("HOME") or "/")
    own = home if home.is_absolute() else Path("/")
    return (given if given.is_absolute() else own / ".config") / "autotune"


_NOT_REPEATED = frozenset(
    {"seed", "planner", "model", "model_url", "max_cost", "max_calls", "prices", "model_timeout", "style", "observe"}
    | {"explain", "early_end", "recall"}
)
"""Settings that a repetition leaves out: each session names its seed itself, a repetition names its schedulers, so that
nobody plans or ends early, and how it looks, and what is watched beside it, changes no result."""


def as_flags(settings: Settings) -> list[str]:
    """Return the settings that differ from the default as flags, so far as they matter to a repetition."""
    default = Settings()
    flags = []
    for field in fields(Settings):
        value = getattr(settings, field.name)
        if field.name in KEYS.keys() - _NOT_REPEATED and value is not None and value != getattr(default, field.name):
            flags += [KEYS[field.name].flag, KEYS[field.name].write(value)]
    return flags


def _value(key: Key, item: _Given) -> Any:
    try:
        is_truth = key.switch and isinstance(item.given, bool)  # as TOML writes it
        value = key.parse(str(item.given).lower() if is_truth else item.text)
    except ValueError as error:
        raise UsageError(f"{item.origin}: {error}") from None
    return (item.base / resources.expanded(value)).resolve() if isinstance(value, Path) else value


def _together(settings: Settings, found: Mapping[str, _Given]) -> Settings:
    """Return settings that fit each other: a bound that was given moves the default of the other one."""
    if settings.runs is not None:
        _refuse_bounds_beside_runs(found)
        return settings
    least, most = settings.min_runs, settings.max_runs
    if least <= most:
        return settings
    if "max_runs" not in found:
        return replace(settings, max_runs=least)
    if "min_runs" not in found:
        return replace(settings, min_runs=most)
    raise UsageError(
        f"{found['min_runs'].origin} is {least}, more than {found['max_runs'].origin}, which is {most}",
        hint="give a --max-runs that is not below --min-runs",
    )


_RUNS = ("min_runs", "max_runs")


def _refuse_bounds_beside_runs(found: Mapping[str, _Given]) -> None:
    """`runs` goes before bounds from a file or the environment; beside it on the command line they are a mistake."""
    flags = [name for name in (*_RUNS, "runs") if name in found and found[name].origin == KEYS[name].flag]
    if "runs" in flags and len(flags) > 1:
        raise UsageError(
            f"--runs is an exact number of rounds, {KEYS[flags[0]].flag} a bound of it", hint="leave out one of the two"
        )


# --- sources ---------------------------------------------------------------------------------------------


def _from_flags(flags: Mapping[str, str | None], cwd: Path, *, of_client: bool) -> dict[str, _Given]:
    return {
        name: _Given(text, KEYS[name].flag, cwd, of_client=of_client)
        for name, text in flags.items()
        if text is not None
    }


def _from_environ(environ: Mapping[str, str], cwd: Path, where: str = "") -> dict[str, _Given]:
    """Read the variables of an environment that begin with our prefix, or read like one of ours; one that is no setting
    keeps its whole name. An empty variable counts as unset, as usual."""
    names = {key.variable: key.name for key in ALL.values()}
    alike = {_letters(variable) for variable in (*names, *OTHER_VARIABLES)}
    ours = {
        name: text
        for name, text in environ.items()
        if text and (name.upper().startswith(PREFIX) or _letters(name) in alike)
    }
    return {
        names.get(name, name): _Given(text, f"{name}{where}", cwd, of_project=bool(where))
        for name, text in ours.items()
        if name not in OTHER_VARIABLES
    }


def _letters(name: str) -> str:
    """Return what a misspelt name has in common with the right one: `autotune_budget`, `AUTOTUNEBUDGET`."""
    return name.upper().replace("_", "").replace("-", "")


def _from_dotenv(cwd: Path) -> dict[str, _Given]:
    """Read the settings in `.env`. A file of another kind is ignored, and so is one that we may not read: it is not
    meant for us. Raises UsageError for one of our lines that means nothing, and for a file that is too large."""
    try:
        values = _dotenv(cwd, PREFIX)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise _unreadable(".env", error) from None
        return {}
    except ValueError as error:
        raise UsageError(f".env: {error}", hint='write AUTOTUNE_NAME="value"') from None
    return _from_environ(values, cwd, " in .env")


def _unusable_dotenv(cwd: Path) -> Iterator[UsageError]:
    try:
        reading.data(cwd / ".env")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if error.errno != errno.EFBIG:  # said already
            yield _unreadable(".env", error)


def read_dotenv(cwd: Path, prefix: str) -> dict[str, str]:
    """Read the variables of `.env` whose names begin with `prefix`. The file usually belongs to the user's own project:
    one that cannot be read is not meant for us, and its other lines are none of our business."""
    try:
        return _dotenv(cwd, prefix)
    except (OSError, ValueError):
        return {}


def _dotenv(cwd: Path, prefix: str) -> dict[str, str]:
    """Raises OSError, and ValueError for a line of ours that cannot be parsed."""
    text = reading.data(cwd / ".env").decode("utf-8-sig", "surrogateescape")
    wanted = re.compile(rf"\s*(export\s+)?{prefix.rstrip('_')}", re.IGNORECASE)
    ours = [line for line in text.splitlines() if wanted.match(line)]
    if not ours:
        return {}
    import io

    from dotenv.parser import parse_stream

    lines = list(parse_stream(io.StringIO("\n".join(ours))))
    broken = next((line for line in lines if line.error), None)
    if broken is not None:
        name = re.split(r"[=\s]", broken.original.string.strip(), maxsplit=1)[0]
        raise ValueError(f"the line of {name[:80]} cannot be parsed")
    return {line.key: line.value for line in lines if line.key and line.value}


def _from_file(path: Path, shown: str, *, of_project: bool = False) -> dict[str, _Given]:
    try:
        text = reading.text(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise _unreadable(shown, error) from None
    except ValueError as error:
        raise UsageError(f"{shown} cannot be read: {error}", hint="save it as UTF-8") from None
    table = _parse_toml(text, shown)
    return {name: _Given(value, f"{name} in {shown}", path.parent, of_project) for name, value in table.items()}


def _unreadable(shown: str, error: OSError) -> UsageError:
    hint = "keep it short" if error.errno == errno.EFBIG else "make it a readable file, or remove it"
    return UsageError(f"{shown} cannot be read: {error.strerror}", hint=hint)


def _parse_toml(text: str, shown: str) -> dict[str, object]:
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        table: dict[str, object] = tomllib.loads(text)
    except RecursionError:
        raise UsageError(f"{shown} is not valid TOML: it is nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"{shown} is not valid TOML: {error}") from None
    return table


# --- refusals --------------------------------------------------------------------------------------------


def _refuse_unknown(found: Mapping[str, _Given]) -> None:
    """Refuse names that are no settings. Raises UsageError with the nearest one."""
    import difflib

    for name, item in found.items():
        if name in ALL:
            continue
        is_variable = item.origin in (name, f"{name} in .env")
        known = (*(key.variable for key in ALL.values()), *OTHER_VARIABLES) if is_variable else ALL
        by_letters = {_letters(one).removeprefix(_letters(PREFIX)): one for one in known}
        near = difflib.get_close_matches(_letters(name).removeprefix(_letters(PREFIX)), by_letters, n=1)
        shown = [by_letters[one] for one in near]
        advice = f"did you mean {shown[0]}?" if shown else "docs/SETTINGS.md lists them all"
        raise UsageError(f"{item.origin} is no setting of autotune", hint=advice)


def _refuse_more_than_the_users(found: Mapping[str, _Given], users: Mapping[str, _Given]) -> None:
    """Refuse what a client would raise above a limit of the user's, who is asked about what will be done. Raises
    UsageError."""
    for name, item in found.items():
        if item.of_client and _loosens(ALL[name], item, users.get(name)):
            raise UsageError(
                f"{item.origin}: the most that this user allows is {users[name].text} ({users[name].origin})"
            )


def _refuse_what_is_not_the_projects(found: Mapping[str, _Given]) -> None:
    """Refuse settings that a project may not give. A project that one only wants to measure must not decide which
    programs run, what is spent or which service gets the data. Raises UsageError."""
    for name, item in found.items():
        key = ALL[name]
        if not item.of_project or "project" in key.owners or item.text in key.project_may:
            continue
        if key.project_may:
            _value(key, item)  # a wrong value is reported first
        but = f" (but for {' and '.join(key.project_may)})" if key.project_may else ""
        flag = f"give {key.flag}, or " if "command line" in key.owners else ""
        raise UsageError(
            f"{item.origin} is not taken from a project{but}: {key.why_not}",
            hint=f"{flag}set {key.variable} in the environment, or {name} in {FILE_NAME} of your own "
            "configuration directory (~/.config/autotune)",
        )
