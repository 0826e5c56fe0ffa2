# SPDX-License-Identifier: MIT
"""Configurations of other tools for a candidate: scx_loader, systemd, TuneD. Pure.

Nothing is installed: each text says at its top where it goes and how to make it active.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Literal

from autotune import __version__
from autotune.errors import UsageError
from autotune.frozen import dataclass

Kind = Literal["scx-loader", "systemd", "tuned"]
KINDS: tuple[Kind, ...] = ("scx-loader", "systemd", "tuned")

UNIT = "autotune-scheduler.service"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"
LOADER_PATH = "/etc/scx_loader/config.toml"
TUNED_PROFILE = "autotune"
LOADER_MODES = {
    "auto": "Auto",
    "gaming": "Gaming",
    "lowlatency": "LowLatency",
    "powersave": "PowerSave",
    "server": "Server",
}
"""Modes of scx_loader, by the name of the profile; settings of the user's own go under Auto."""
LOADER_KNOWS = frozenset(
    f"scx_{name}"
    for name in (
        *("beerland", "bpfland", "cake", "cosmos", "flash", "flow", "forge"),
        *("lavd", "mlfq", "p2dq", "pandemonium", "rustland", "rusty", "tickless"),
    )
)
"""Programs that scx_loader 1.1.3 can start; older versions know fewer (`scxctl list`)."""


@dataclass(frozen=True)
class Winner:
    """The candidate to export. `argv` starts it and keeps it attached: the program with its options, or autotune."""

    key: str
    """The candidate as `--scheduler` takes it."""
    why: str
    """Origin of the choice, in a sentence."""
    argv: tuple[str, ...]
    program: str | None
    """The scx program; None for a BPF object, which autotune attaches."""
    exits_zero_when_ejected: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for autotune under root: the directories of the user who exported it."""
    profile: str = ""
    """Name of the profile that has exactly these settings; empty when none has."""


def text(kind: Kind, winner: Winner) -> str:
    """Write the configuration. Raises UsageError when that tool cannot start the scheduler."""
    return {"scx-loader": scx_loader, "systemd": systemd, "tuned": tuned}[kind](winner)


def _head(winner: Winner, *lines: str) -> list[str]:
    comments = [f"Written by autotune {__version__}: {winner.key}", winner.why, *lines]
    return [f"# {_one_line(line)}" for line in comments]


def _one_line(line: str) -> str:
    """Make the text one line of a comment: without control characters, and without a trailing backslash, which would
    join the next line to it."""
    return "".join(character if character.isprintable() else "?" for character in line).rstrip("\\ ")


# --- scx_loader -----------------------------------------------------------------------------------------


def scx_loader(winner: Winner) -> str:
    """Return a `config.toml` that starts the program at once, with its options under the mode of their profile, or
    under auto. The options are spelled out, since versions of scx_loader differ in what a mode stands for."""
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
    mode = winner.profile if winner.profile in LOADER_MODES else "auto"
    options = ", ".join(toml_text(word) for word in winner.argv[1:])
    lines = [
        *_head(
            winner,
            f"Put it in {LOADER_PATH}; where there is one already, change these lines in it.",
            "Make it active: systemctl restart scx_loader.service",
            f"Your scx_loader must know {winner.program} ('scxctl list'), and find it on its PATH.",
        ),
        f"default_sched = {toml_text(winner.program)}",
        f"default_mode = {toml_text(LOADER_MODES[mode])}",
        "",
        f"[scheds.{winner.program}]",
        f"{mode}_mode = [{options}]",
    ]
    return "\n".join(lines) + "\n"


def toml_text(text: str) -> str:
    """Quote text as a basic string of TOML 1.0."""
    return '"' + "".join(_toml_character(character) for character in text) + '"'


def _toml_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08X}"


# --- systemd --------------------------------------------------------------------------------------------


def systemd(winner: Winner) -> str:
    """Return a unit that starts an ejected scheduler again, up to a limit."""
    lines = [
        *_head(
            winner,
            f"Put it in {UNIT_PATH}",
            f"Make it active: systemctl daemon-reload && systemctl enable --now {UNIT}",
            f"Undo: systemctl disable --now {UNIT}",
            f"It runs {winner.argv[0]} as root: whoever may change that file may do anything on this machine.",
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
    """Return the lines for an scx program, which stops cleanly on SIGINT."""
    if winner.exits_zero_when_ejected:
        return (
            "# It exits with 0 even when the kernel ejects it, and is not started again then.",
            "KillSignal=SIGINT",
        )
    return ("KillSignal=SIGINT",)


def command_line(argv: Sequence[str]) -> str:
    """Quote words for ExecStart (systemd.service(5)). If one contains a dollar sign, the prefix `:` disables variables
    for the whole line, since the program's path cannot escape one."""
    if not argv or not argv[0].startswith("/"):
        raise UsageError(f"systemd needs an absolute path, not '{argv[0] if argv else ''}'")
    plain = any("$" in word for word in argv)
    return (":" if plain else "") + " ".join(unit_word(word) for word in argv)


def unit_word(word: str) -> str:
    """Quote one word for a unit file: percent signs and backslashes are doubled, special characters put in quotes."""
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
    """Return a profile that starts the unit of `systemd` while the profile is active, and stops it afterwards."""
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
