# SPDX-License-Identifier: MIT
"""`autotune mcp`: the server for AI clients."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autotune.commands import completion
from autotune.commands.printing import print_lines
from autotune.commands.workloads import current_directory
from autotune.errors import UsageError

if TYPE_CHECKING:
    from autotune.mcp.web import Address

EXAMPLES = """Examples:

  autotune mcp --print-config claude

  autotune mcp --http 127.0.0.1:8765
"""
AT_TERMINAL = (
    "autotune: waiting for an AI client on standard input, where you are. Ctrl-D ends; "
    "'autotune mcp --print-config claude' shows how a client starts it."
)


def _clients(incomplete: str) -> list[str]:
    """Complete the name of a client."""
    from autotune.mcp import clients

    return completion.values(*clients.CLIENTS)(incomplete)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("mcp", epilog=EXAMPLES)(_mcp)


def _mcp(
    http: Annotated[
        str | None,
        typer.Option(
            "--http", metavar="ADDRESS:PORT", help="Serve streamable HTTP there. Default: standard input and output."
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file", metavar="FILE", help="Answer only clients with this bearer token (or AUTOTUNE_MCP_TOKEN)."
        ),
    ] = None,
    allow_run: Annotated[
        bool, typer.Option("--allow-run", metavar="", help="Run commands that clients name without asking anybody.")
    ] = False,
    allow_switch: Annotated[
        bool, typer.Option("--allow-switch", metavar="", help="Switch this machine's scheduler without asking anybody.")
    ] = False,
    max_sessions: Annotated[
        int, typer.Option("--max-sessions", metavar="N", min=1, help="Most tunings and verifications.")
    ] = 20,
    max_time: Annotated[
        str, typer.Option("--max-time", metavar="TIME", help="Most time that they may take together.")
    ] = "4h",
    print_config: Annotated[
        str | None,
        typer.Option(
            "--print-config",
            metavar="CLIENT",
            autocompletion=_clients,
            help="Print what to paste into claude, claude-desktop, cursor or vscode, and exit.",
        ),
    ] = None,
) -> None:
    """Serve AI clients by the Model Context Protocol: they tune commands here, and ask you before they run one.

    It serves the current directory until its client is gone; see docs/MCP.md.
    """
    if print_config is not None:
        _print_config(print_config)
        return
    _require_package()
    from autotune.mcp import serving
    from autotune.mcp.jobs import Allowance
    from autotune.mcp.questions import Effect

    allowed: set[Effect] = set()
    allowed |= {"run"} if allow_run else set()
    allowed |= {"switch"} if allow_switch else set()
    address = _address(http, token_file)
    allowance = Allowance(max_sessions, _seconds(max_time))
    if http is None and sys.stdin.isatty():
        print(AT_TERMINAL, file=sys.stderr, flush=True)
    serving.run(serving.ServerOptions(current_directory(), allowance, frozenset(allowed), address))
    serving.leave()


def _address(http: str | None, token_file: Path | None) -> Address | None:
    """Return where to listen for HTTP, with the token, which is taken out of the environment. Raises UsageError."""
    from autotune import config
    from autotune.mcp import web

    if token_file is not None and http is None:
        raise UsageError("--token-file is for --http", hint="leave it out, or give --http 127.0.0.1:8765")
    config.refuse_unknown_variables(os.environ)  # a misspelt token would leave the server open
    address = None if http is None else web.address_of(http, web.token_of(token_file, os.environ))
    os.environ.pop(web.TOKEN, None)  # no command that runs here may read it
    return address


def _print_config(client: str) -> None:
    from autotune import trust
    from autotune.mcp import clients

    found = trust.find_program("autotune")
    where, text = clients.configuration(client, [*([found] if found else _own_words()), "mcp"])
    print_lines([where, "", *text.split("\n")])


def _own_words() -> list[str]:
    """Return the words that start this program, from any directory."""
    if os.path.basename(sys.argv[0]) == "__main__.py":
        return [sys.executable, "-m", "autotune"]
    try:
        return [str(Path(sys.argv[0]).resolve())]
    except OSError:  # the current directory is gone
        return [sys.argv[0]]


def _require_package() -> None:
    import importlib.util

    if importlib.util.find_spec("mcp") is None:
        raise UsageError("'autotune mcp' needs the package 'mcp'", hint=f"{sys.executable} -m pip install 'mcp>=2.3'")


def _seconds(text: str) -> float:
    from autotune.quantities import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--max-time: {error}") from None
