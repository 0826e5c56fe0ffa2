# SPDX-License-Identifier: MIT
"""Completion in shells: the scripts, and the values of options: schedulers, their knobs and profiles, planners."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotune.errors import UsageError

if TYPE_CHECKING:
    from autotune.schedext.catalogue.catalog import Scheduler
    from autotune.schedext.catalogue.knobs import Knob

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_AUTOTUNE_COMPLETE"

# bash takes `at_fifo:slice_us=1` for five words (COMP_WORDBREAKS), and replaces the last of them only.
BASH = """\
_autotune_completion() {
    local line=${COMP_LINE:0:COMP_POINT} word whole head found
    whole=${line##*[[:space:]]}
    head=
    case $COMP_WORDBREAKS in *:*) case $whole in *:*) head=${whole%"${whole##*:}"} ;; esac ;; esac
    case $COMP_WORDBREAKS in *=*) case $whole in *=*) head=${whole%"${whole##*=}"} ;; esac ;; esac
    found=$(env _AUTOTUNE_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args \\
        _TYPER_COMPLETE_ARGS="$line" "$1" 2> /dev/null)
    COMPREPLY=()
    while IFS= read -r word; do
        word=${word%%$'\\t'*}
        case $word in "$whole"*) COMPREPLY+=("${word#"$head"}") ;; esac
    done <<< "$found"
    case ${COMPREPLY[*]} in *=) compopt -o nospace ;; esac
}
complete -o bashdefault -o default -F _autotune_completion autotune
"""

# typer's own adds a space after `slice_us=`, and needs compinit, without which zsh knows no `compdef`.
ZSH = """\
#compdef autotune
_autotune() {
    local line entry word
    local -a open whole
    line=${(j: :)words[1,CURRENT]}
    for entry in ${(f)"$(env _AUTOTUNE_COMPLETE=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args \\
            _TYPER_COMPLETE_ARGS="$line" "$words[1]" 2> /dev/null)"}; do
        word=${entry%%$'\\t'*}
        [[ $entry == *$'\\t'* ]] && entry=${word//:/\\\\:}:${entry#*$'\\t'} || entry=${word//:/\\\\:}
        [[ $word == *= ]] && open+=($entry) || whole+=($entry)
    done
    (( $#open )) && _describe autotune open -S ''
    (( $#whole )) && _describe autotune whole
    (( $#open + $#whole )) || _files
}
if [[ $funcstack[1] == _autotune ]]; then
    _autotune "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i; }
    compdef _autotune autotune
fi
"""

OWN_SCRIPTS = {"bash": BASH, "zsh": ZSH}


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("completion")(_completion)


def values(*choices: str) -> Callable[[str], list[str]]:
    """Return a function that completes one of these words."""

    def complete(incomplete: str) -> list[str]:
        return [choice for choice in choices if choice.startswith(incomplete)]

    return complete


def goals(incomplete: str) -> list[str]:
    """Complete `min` or `max`, also after the name of a metric."""
    name, colon, _ = incomplete.rpartition(":")
    return values(f"{name}{colon}min", f"{name}{colon}max")(incomplete)


# --- schedulers and their settings -------------------------------------------------------------------------


def schedulers(incomplete: str) -> list[str]:
    """Complete the name of a scheduler; without `scx_` where only that fits."""
    names = [one.name for one in _known()]
    whole = [name for name in names if name.startswith(incomplete)]
    return whole or [name for name in map(_short, names) if name.startswith(incomplete)]


def own_schedulers(incomplete: str) -> list[str]:
    """Complete the name of a scheduler of the user's own, with or without `custom:`."""
    from autotune.errors import AutotuneError
    from autotune.schedext.catalogue import custom
    from autotune.schedext.catalogue.catalog import CUSTOM

    head = CUSTOM if incomplete.startswith(CUSTOM) else ""
    try:
        return [f"{head}{name}" for name in custom.names() if f"{head}{name}".startswith(incomplete)]
    except AutotuneError:
        return []


def _short(name: str) -> str:
    from autotune.schedext.catalogue.catalog import PREFIX

    return name.removeprefix(PREFIX)


def candidates(incomplete: str) -> list[str]:
    """Complete `NAME[:knob=value,...]`: the name, then each knob, then its values."""
    known = {name: one for one in _known() for name in (_short(one.name), one.name)}
    typed = max((name for name in known if incomplete.startswith(f"{name}:")), key=len, default=None)
    if typed is None:
        return schedulers(incomplete)
    scheduler = known[typed]
    settings = incomplete[len(typed) + 1 :]
    done, comma, last = settings.rpartition(",")
    head = f"{typed}:{done}{comma}"
    name, equals, value = last.partition("=")
    if equals:
        return [f"{head}{name}={one}" for one in _values_of(scheduler, name) if one.startswith(value)]
    given = {setting.partition("=")[0] for setting in done.split(",")}
    return [f"{head}{one}=" for one in _names(scheduler) if one.startswith(name) and one not in given]


def _known() -> tuple[Scheduler, ...]:
    """Return the schedulers; none when the catalogue cannot be read: a shell has no place for an error."""
    from autotune.errors import AutotuneError
    from autotune.schedext.catalogue import custom

    try:
        return custom.catalog().schedulers
    except AutotuneError:
        return ()


def _names(scheduler: Scheduler) -> Iterator[str]:
    from autotune.schedext.catalogue.catalog import MODE

    if scheduler.modes and not scheduler.has(MODE):
        yield MODE
    yield from (knob.name for knob in scheduler.active_knobs)


def _values_of(scheduler: Scheduler, name: str) -> list[str]:
    from autotune.schedext.catalogue.catalog import MODE

    if name == MODE and not scheduler.has(MODE):
        return list(scheduler.modes)
    return next((_values(knob) for knob in scheduler.active_knobs if knob.name == name), [])


def _values(knob: Knob) -> list[str]:
    from autotune.records import knob_text

    if knob.type == "boolean":
        return ["true", "false"]
    default = [] if knob.default is None else [knob_text(knob.default)]
    return list(dict.fromkeys([*knob.options, *knob.keywords, *default]))


# --- the scripts -------------------------------------------------------------------------------------------


def _completion(
    shell: Annotated[
        str | None,
        typer.Argument(
            metavar="bash|zsh|fish",
            help="Default: the shell you are in.",
            autocompletion=values(*SHELLS),
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print the completion script of a shell.

    bash: add eval "$(autotune completion bash)" to ~/.bashrc. zsh: the same with zsh in ~/.zshrc.
    fish: autotune completion fish > ~/.config/fish/completions/autotune.fish
    """
    print(script(shell or own_shell()), end="")


def script(shell: str) -> str:
    """Return the completion script of a shell. Raises UsageError for one that has none."""
    if shell not in SHELLS:
        raise UsageError(f"there is no completion for {shell!r}", hint=f"there is one for {', '.join(SHELLS)}")
    if shell in OWN_SCRIPTS:
        return OWN_SCRIPTS[shell]
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    return get_completion_script(prog_name="autotune", complete_var=VARIABLE, shell=shell) + "\n"


def own_shell(proc: Path = Path("/proc"), pid: int | None = None) -> str:
    """Return the shell that the user types into: the nearest one above us that runs no script, else $SHELL, else
    bash."""
    pid = os.getppid() if pid is None else pid
    while pid > 1:
        try:
            words = (proc / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            pid = int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
        name = os.path.basename(words[0]).removeprefix("-") if words else ""
        if name in SHELLS and all(word.startswith("-") and word != "-c" for word in words[1:]):
            return name
    own = os.path.basename(os.environ.get("SHELL", ""))
    return own if own in SHELLS else "bash"


def begin() -> None:
    """Let typer answer a shell that asks."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    completion_init()


def show(wanted: bool) -> None:
    """Print the script for `--show-completion`."""
    if wanted:
        print(script(own_shell()), end="")
        raise typer.Exit
