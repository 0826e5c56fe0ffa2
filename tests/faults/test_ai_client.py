# SPDX-License-Identifier: MIT
"""`autotune mcp` whose client is none: standard streams that nobody could speak by, a token that is misspelt, signals
at any moment. One line, or silence, and an end.

What a client may say, and what is left of its work when it vanishes: tests/unit/mcp/test_serving. Every surrounding of
test_strange_surroundings is met by the server too.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.every_command import Ended, Surroundings, run

HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
GREETING = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}) + "\n"


def served(tmp_path: Path, *arguments: str, stdin: str = "/dev/null", stdout: str = "", **env: str) -> Ended:
    own: dict[str, str | None] = {"XDG_STATE_HOME": str(tmp_path / "state"), **env}
    return run(("mcp", *arguments), Surroundings(str(tmp_path), own, stdin=stdin, stdout=stdout))


def test_what_a_file_says_is_answered_and_its_end_is_the_end(tmp_path: Path) -> None:
    (tmp_path / "greeting").write_text(GREETING)
    done = served(tmp_path, stdin=str(tmp_path / "greeting"))
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["result"]["serverInfo"]["name"] == "autotune"


def test_an_input_without_a_client_ends_it_without_a_word(tmp_path: Path) -> None:
    assert served(tmp_path) == Ended(0, "", "")


@pytest.mark.parametrize("stdin", ["/dev/zero", "/dev/full"])
def test_an_input_that_has_no_end_and_no_lines_is_one_line(tmp_path: Path, stdin: str) -> None:
    done = served(tmp_path, stdin=stdin)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "standard input is no client" in done.err


def test_an_output_on_a_full_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "greeting").write_text(GREETING)
    for arguments in ((), ("--http", "127.0.0.1:0")):
        done = served(tmp_path, *arguments, stdin=str(tmp_path / "greeting"), stdout="/dev/full")
        assert (done.code, done.err) == (1, "autotune: standard output cannot be written: No space left on device.\n")


@pytest.mark.parametrize("name", ["AUTOTUNE_MCP_TOKN", "AUTOTUNE_MCPTOKEN", "autotune_mcp_token", "AUTOTUNEMCPTOKEN"])
def test_a_misspelt_token_does_not_leave_the_server_open(tmp_path: Path, name: str) -> None:
    done = served(tmp_path, "--http", "127.0.0.1:0", **{name: "0123456789abcdef"})
    assert (done.code, done.out) == (2, "")
    assert f"{name} is no setting of autotune. Did you mean AUTOTUNE_MCP_TOKEN?" in done.err


def test_a_token_for_nobody_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef")
    done = served(tmp_path, "--token-file", str(tmp_path / "token"))
    assert (done.code, done.out) == (2, "")
    assert "--token-file is for --http" in done.err
