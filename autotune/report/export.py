# SPDX-License-Identifier: MIT
"""A candidate as a configuration of other tools: scx_loader, systemd, TuneD. Pure: text in, text out.

Nothing here goes into the system by itself: each text says at its top where it goes and what makes it active.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from autotune import __version__
from autotune.errors import UsageError

Kind = Literal["scx-loader", "systemd", "tuned"]
KINDS: tuple[Kind, ...] = ("scx-loader", "systemd", "tuned")

UNIT = "autotune-scheduler.service"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"
LOADER_PATH = "/etc/scx_loader/config.toml"
TUNED_PROFILE = "autotune"
LOADER_KNOWS = frozenset(
    f"scx_{name}"
    for name in (
        *("beerland", "bpfland", "cake", "cosmos", "flash", "flow", "forge"),
        *("lavd", "mlfq", "p2dq", "pandemonium", "rustland", "rusty", "tickless"),
    )
)
"""The programs that scx_loader 1.1.3 starts; older ones know fewer (`scxctl list`)."""


@dataclass(frozen=True)
class Winner:
    """The candidate to export. `argv` starts it and keeps it attached: the program with its options, or autotune."""

    key: str
    """As `--scheduler` takes it."""
    why: str
    """Where it comes from, in a clause."""
    argv: tuple[str, ...]
    program: str | None
    """The scx program; None for an object of ours."""
    exits_zero_when_ejected: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    """Where autotune finds what it needs, for root."""


def text(kind: Kind, winner: Winner) -> str:
    """Write the configuration. Raises UsageError when that tool cannot start the scheduler."""
    return {"scx-loader": scx_loader, "systemd": systemd, "tuned": tuned}[kind](winner)


def _head(winner: Winner, *lines: str) -> list[str]:
    told = [f"Written by autotune {__version__}: {winner.key}", winner.why, *lines]
    return [f"# {_one_line(line)}" for line in told]


def _one_line(line: str) -> str:
    """A comment ends with its line, and a trailing backslash would join the next one to it."""
    return "".join(character if character.isprintable() else "?" for character in line).rstrip("\\ ")


# --- scx_loader -----------------------------------------------------------------------------------------


def scx_loader(winner: Winner) -> str:
    """`config.toml`: the program is started at once, with these options in mode auto."""
    if winner.program is None:
        raise UsageError(
            f"scx_loader starts programs, and {winner.key} is a BPF object that autotune itself attaches",
            hint="use: autotune export systemd",
        )
    if winner.program not in LOADER_KNOWS:
        raise UsageError(
            f"scx_loader does not know {winner.program}",
            hint=f"it knows {', '.join(sorted(LOADER_KNOWS))}; for others use: autotune export systemd",
        )
    options = ", ".join(toml_text(word) for word in winner.argv[1:])
    lines = [
        *_head(
            winner,
            f"Put it in {LOADER_PATH}; where there is one already, change these lines in it.",
            "Make it active: systemctl restart scx_loader.service",
            f"Your scx_loader must know {winner.program} ('scxctl list'), and find it on its PATH.",
        ),
        f"default_sched = {toml_text(winner.program)}",
        'default_mode = "Auto"',
        "",
        f"[scheds.{winner.program}]",
        f"auto_mode = [{options}]",
    ]
    return "\n".join(lines) + "\n"


def toml_text(text: str) -> str:
    """A basic string of TOML 1.0."""
    return '"' + "".join(_toml_character(character) for character in text) + '"'


def _toml_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08X}"


# --- systemd --------------------------------------------------------------------------------------------


def systemd(winner: Winner) -> str:
    """A unit that restarts a scheduler that the kernel ejected, up to a limit."""
    lines = [
        *_head(
            winner,
            f"Put it in {UNIT_PATH}",
            f"Make it active: systemctl daemon-reload && systemctl enable --now {UNIT}",
            f"Undo: systemctl disable --now {UNIT}",
        ),
        "[Unit]",
        f"Description=CPU scheduler {_specifiers(_one_line(winner.key))}",
        "ConditionPathIsDirectory=/sys/kernel/sched_ext",
        "Conflicts=scx.service scx_loader.service",
        "After=scx.service scx_loader.service",
        "StartLimitIntervalSec=600",
        "StartLimitBurst=3",
        "",
        "[Service]",
        "Type=exec",
        *(f"Environment={unit_word(f'{name}={value}')}" for name, value in sorted(winner.environment.items())),
        f"ExecStart={command_line(winner.argv)}",
        *(_program_lines(winner) if winner.program is not None else ("KillMode=mixed",)),
        "TimeoutStopSec=30",
        "Restart=on-failure",
        "RestartSec=5",
        "LimitMEMLOCK=infinity",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def _program_lines(winner: Winner) -> Sequence[str]:
    """Programs of the scx family end in order on SIGINT."""
    if winner.exits_zero_when_ejected:
        return (
            "# It exits with 0 also when the kernel ejects it: then it is not started again.",
            "KillSignal=SIGINT",
        )
    return ("KillSignal=SIGINT",)


def command_line(argv: Sequence[str]) -> str:
    """Words as ExecStart takes them (systemd.service(5)). With a dollar sign among them, variables are switched off
    for the whole line by its `:`, since the program's path cannot escape one."""
    if not argv or not argv[0].startswith("/"):
        raise UsageError(f"systemd needs an absolute path, not '{argv[0] if argv else ''}'")
    plain = any("$" in word for word in argv)
    return (":" if plain else "") + " ".join(unit_word(word) for word in argv)


def unit_word(word: str) -> str:
    """One word of a unit file: specifiers and backslashes are doubled, and whatever is not plain stands in quotes."""
    escaped = _specifiers(word).replace("\\", "\\\\").replace('"', '\\"')
    escaped = "".join(_unit_character(character) for character in escaped)
    plain = word and all(character.isalnum() or character in "/_-.,:=+@%$" for character in word)
    return escaped if plain and word.isascii() else f'"{escaped}"'


def _unit_character(character: str) -> str:
    if ord(character) < 0x20 or character == "\x7f":
        return f"\\x{ord(character):02x}"
    return character


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


# --- TuneD ----------------------------------------------------------------------------------------------


def tuned(winner: Winner) -> str:
    """A profile that starts the unit of `systemd` while it is active, and stops it when another one is chosen."""
    lines = [
        *_head(
            winner,
            f"It starts the unit that this writes: autotune export systemd --scheduler '{winner.key}' "
            f"--output {UNIT_PATH}",
            f"Put it in /etc/tuned/profiles/{TUNED_PROFILE}/tuned.conf (older TuneD: /etc/tuned/{TUNED_PROFILE}/)",
            f"Make it active: systemctl daemon-reload && tuned-adm profile {TUNED_PROFILE}",
            "To keep what your profile does now, add to [main]: include=NAME ('tuned-adm active' says which).",
        ),
        "[main]",
        f"summary=CPU scheduler {winner.key.removeprefix('custom:').partition(':')[0]}",
        "",
        "[autotune_scheduler]",
        "type=service",
        f"service.{UNIT.removesuffix('.service')}=start",
    ]
    return "\n".join(lines) + "\n"
