# SPDX-License-Identifier: MIT
"""What is printed starts the server in the client that it is for."""

from __future__ import annotations

import json
import shlex

import pytest

from autotune.errors import UsageError
from autotune.mcp import clients

ARGV = ["/opt/a b/autotune", "mcp"]


def test_a_shell_and_each_client_read_the_very_words() -> None:
    assert shlex.split(clients.configuration("claude", ARGV)[1])[-2:] == ARGV
    for name, key in (("claude-desktop", "mcpServers"), ("cursor", "mcpServers"), ("vscode", "servers")):
        entry = json.loads(clients.configuration(name, ARGV)[1])[key]["autotune"]
        assert [entry["command"], *entry["args"]] == ARGV


def test_another_client_is_refused() -> None:
    with pytest.raises(UsageError, match="claude-desktop"):
        clients.configuration("emacs", ARGV)
