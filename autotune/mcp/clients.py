# SPDX-License-Identifier: MIT
"""What to paste into which client, so that it starts this server."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence

from autotune.errors import UsageError


def _claude(argv: Sequence[str]) -> str:
    return f"claude mcp add autotune -- {shlex.join(argv)}"


def _entry(argv: Sequence[str]) -> dict[str, object]:
    return {"command": argv[0], "args": list(argv[1:])}


def _desktop(argv: Sequence[str]) -> str:
    return json.dumps({"mcpServers": {"autotune": _entry(argv)}}, indent=2)


def _vscode(argv: Sequence[str]) -> str:
    return json.dumps({"servers": {"autotune": {"type": "stdio", **_entry(argv)}}}, indent=2)


CLIENTS: Mapping[str, Callable[[Sequence[str]], str]] = {
    "claude": _claude,
    "claude-desktop": _desktop,
    "cursor": _desktop,
    "vscode": _vscode,
}
PLACES: Mapping[str, str] = {
    "claude": "Type this in a shell, in the directory of your project:",
    "claude-desktop": "Put this into claude_desktop_config.json (Settings, Developer, Edit Config):",
    "cursor": "Put this into .cursor/mcp.json of your project, or ~/.cursor/mcp.json:",
    "vscode": "Put this into .vscode/mcp.json of your project:",
}


def configuration(client: str, argv: Sequence[str]) -> tuple[str, str]:
    """Return where it goes, and what to paste. Raises UsageError for a client that is not known."""
    if client not in CLIENTS:
        raise UsageError(f"--print-config: {client!r} is not one of {', '.join(CLIENTS)}")
    return PLACES[client], CLIENTS[client](argv)
