# SPDX-License-Identifier: MIT
"""The real program with a key of all shapes and a service that fails in all ways: what people see, what is kept, how
it ends. The planner, the client, its socket and the session are real; only the machine's times are given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.messages_server import PING, Answer, Drip, Raw, Status, Step, beginning, serving, text
from tests.support.planned_program import KEY, Ended, Program
from tests.support.planning_room import GOOD

pytestmark = pytest.mark.slow  # each is a session with the real client, whose import alone costs seconds of CPU

PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with serving() as script:
        yield Program(script, tmp_path)


def error_of(ended: Ended) -> str:
    assert ended.err.count("\n") == 1, ended.err
    assert "Traceback" not in ended.all
    assert "a bug in autotune" not in ended.err
    return ended.err


# --- keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("around", "debug"),
    [("{}\n", ()), ("{}\r\n", ("--debug",)), ("\t{}\t \r", ()), ("\ufeff'{}\u00a0'", ("--debug",))],
)
def test_a_key_with_white_space_or_quotes_around_it_works_and_is_shown_nowhere(
    program: Program, around: str, debug: tuple[str, ...]
) -> None:
    ended = program.run(
        *GOOD,
        arguments=debug,
        ANTHROPIC_API_KEY=around.format(KEY),
        ANTHROPIC_BASE_URL=around.format(program.script.url),
    )
    assert ended.code == 0, ended.err
    assert "with ANTHROPIC_API_KEY in the environment" in ended.out
    assert len(program.script.requests) == 3
    assert KEY not in ended.all
    assert "transcripts" in str(list(program.place.rglob("*.jsonl")))


@pytest.mark.parametrize(
    ("inside", "planner", "debug"),
    [("\n", "claude", ("--debug",)), ("\x1b", "claude", ()), ("\u00e9", "auto", ("--debug",)), ("\r", "auto", ())],
)
def test_a_damaged_key_is_shown_nowhere(program: Program, inside: str, planner: str, debug: tuple[str, ...]) -> None:
    halves = KEY[:30], KEY[30:]
    ended = program.run(arguments=("--planner", planner, *debug), ANTHROPIC_API_KEY=inside.join(halves))
    assert ended.code == (1 if planner == "claude" else 0)
    assert "cannot be a key" in ended.out + ended.err
    assert not any(half in ended.all for half in halves)
    assert program.script.requests == []


@pytest.mark.parametrize(("planner", "debug"), [("auto", ()), ("claude", ("--debug",))])
def test_a_service_that_says_the_key_again_is_not_quoted(
    program: Program, planner: str, debug: tuple[str, ...]
) -> None:
    answer = Status(400, "invalid_request_error", f"the key {KEY} and {KEY[:20]}\n is not one; x-api-key: {KEY}")
    ended = program.run(answer, arguments=("--planner", planner, *debug))
    assert ended.code == (1 if planner == "claude" else 0)
    assert "the service refused the request" in ended.out + ended.err
    assert KEY not in ended.all


def test_a_password_in_an_address_is_shown_nowhere(program: Program) -> None:
    for address in ("http://me:pass1word2@[", "http://me:pass1word2@127.0.0.1:9"):
        ended = program.run(arguments=("--planner", "claude", "--debug"), ANTHROPIC_BASE_URL=address)
        assert ended.code == 1
        assert "pass1word2" not in ended.all


def test_an_error_of_our_own_is_shown_without_secrets(program: Program) -> None:
    done = program.run(arguments=("--scheduler", f"at_fifo:slice_us={KEY}", "--debug"))
    assert done.code == 2
    assert KEY not in done.all


def test_a_key_of_the_directory_alone_is_not_used(program: Program) -> None:
    (program.cwd / ".env").write_text(f"ANTHROPIC_API_KEY={KEY}\nANTHROPIC_BASE_URL={program.script.url}\n")
    ended = program.run(*GOOD, ANTHROPIC_API_KEY="", ANTHROPIC_BASE_URL="")
    assert ended.code == 0
    assert "Planner: offline (ANTHROPIC_API_KEY in .env" in ended.out
    assert "--planner claude" in ended.out
    assert program.script.requests == []
    planned = program.run(arguments=("--dry-run",), ANTHROPIC_API_KEY="", ANTHROPIC_BASE_URL="")
    assert "Planner: offline (ANTHROPIC_API_KEY in .env" in planned.out
    assert "would be sent" not in planned.out
    asked = program.run(arguments=("--dry-run", "--planner", "claude"), ANTHROPIC_API_KEY="", ANTHROPIC_BASE_URL="")
    assert "would be sent" in asked.out
    assert KEY not in ended.all + planned.all + asked.all


# --- services --------------------------------------------------------------------------------------------

FAILURES: dict[str, tuple[Step, ...]] = {
    "a page": (Raw(PAGE, kind="text/html"),),
    "a page with 500": (Raw(PAGE, 500, "text/html"),) * 9,
    "an hour": (Status(429, "rate_limit_error", "slow down", {"retry-after": "3600"}),),
    "pings for ever": (Drip(beginning(text("")), PING, 0.2),),
    "counts that are none": (Answer([text("x")], counted={"input_tokens": 1.5}),),
}


@pytest.mark.parametrize("steps", FAILURES.values(), ids=FAILURES.keys())
def test_a_service_that_fails_costs_auto_a_line_and_claude_an_error(program: Program, steps: tuple[Step, ...]) -> None:
    ended = program.run(*steps, budget="8s")
    assert (ended.code, ended.err) == (0, ""), ended.err
    lines = [line for line in ended.out.splitlines() if line.startswith("Planner: ")]
    assert [line.split()[1] for line in lines] == ["claude", "offline"]
    assert json.loads((program.place / "report.json").read_text())["planner"] == "offline"
    ended = program.run(*steps, arguments=("--planner", "claude"), budget="8s")
    assert ended.code == 1
    assert error_of(ended).startswith("autotune: planner: ")


@pytest.mark.parametrize(
    "around",
    [{"ALL_PROXY": "socks5://127.0.0.1:9"}, {"SSL_CERT_FILE": "/nowhere/ca.pem"}, {"ANTHROPIC_BASE_URL": "http://["}],
    ids=["proxy", "certificates", "address"],
)
def test_surroundings_in_which_no_client_works_cost_auto_a_line_and_claude_an_error(
    program: Program, around: dict[str, Any]
) -> None:
    ended = program.run(**around)
    assert (ended.code, ended.err) == (0, ""), ended.err
    assert "Planner: offline (" in ended.out
    ended = program.run(arguments=("--planner", "claude"), **around)
    assert ended.code == 1
    assert error_of(ended).startswith("autotune: planner: ")
