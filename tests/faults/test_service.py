# SPDX-License-Identifier: MIT
"""A service that refuses, cannot be reached or does not answer, met by the real program: what is known before a machine
is started, who plans then, and which line says why.

Shown elsewhere: answers that are none, in every shape, floods, drips, waits of an hour, and counts of tokens that
cannot be (tests/unit/planner/claude/test_service.py); the same through a whole session, with 15 kinds of surroundings
(tests/integration/test_failing_service.py); keys that are damaged, and services that repeat them
(tests/cli/test_secrets_and_failures.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.errors import PlannerError
from autotune.planner.claude.credentials import Credentials
from autotune.planner.claude.service import ClaudeService
from tests.support.chat_server import serving_chat
from tests.support.messages_server import Close, Drip, Hang, Raw, Script, Status, Step, serving
from tests.support.planned_program import Ended, Program
from tests.support.planning_room import GOOD

pytestmark = pytest.mark.slow

VERY_LATE_S = 60.0
PAGE = Raw(b"<!DOCTYPE html><html><body>Please log in</body></html>", kind="text/html")
ONLY_CLAUDE = ("--planner", "claude")
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def script() -> Iterator[Script]:
    with serving() as script:
        yield script


@pytest.fixture
def program(script: Script, tmp_path: Path) -> Program:
    return Program(script, tmp_path)


def error_of(ended: Ended) -> str:
    """The one line of a session that only Claude may plan."""
    assert ended.code == 1
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("autotune: planner: ")
    assert "a bug in autotune" not in ended.err
    return ended.err


def planners(ended: Ended) -> list[str]:
    """The lines that say who plans, of a session that was planned to its end."""
    assert (ended.code, ended.err) == (0, ""), ended.err
    return [line for line in ended.out.splitlines() if line.startswith("Planner: ")]


# --- a key that is refused --------------------------------------------------------------------------------


def test_under_claude_a_bad_key_is_one_line_before_anything_is_started(program: Program) -> None:
    program.script.key = "another"
    line = error_of(program.run(arguments=ONLY_CLAUDE))
    assert "the key is not accepted" in line
    assert "ANTHROPIC_API_KEY" in line
    assert not program.booted
    assert program.script.requests == []
    assert len(program.script.checks) == 1


def test_under_auto_a_bad_key_leaves_the_session_to_the_offline_planner_from_the_start(program: Program) -> None:
    program.script.key = "another"
    ended = program.run()
    (line,) = planners(ended)
    assert line.startswith("Planner: offline (the key is not accepted")
    assert "ANTHROPIC_API_KEY" in line
    assert program.script.requests == []
    assert "Planned by" not in ended.out
    assert "0 calls" not in ended.all


def test_without_a_key_claude_is_one_line_before_anything_is_started(program: Program) -> None:
    line = error_of(program.run(arguments=ONLY_CLAUDE, ANTHROPIC_API_KEY=""))
    assert "ANTHROPIC_API_KEY" in line
    assert not program.booted


def test_a_key_that_is_refused_only_later_is_no_claim_that_claude_planned(program: Program) -> None:
    """The question before the session was answered, the first request is not."""
    ended = program.run(Status(401, "authentication_error", "expired"))
    assert [line.split()[1] for line in planners(ended)] == ["claude", "offline"]
    assert "Planned by" not in ended.out
    assert json.loads((program.place / "report.json").read_text())["planner"] == "offline"


# --- a service that cannot be reached -----------------------------------------------------------------------

UNREACHABLE = {
    "an address where nobody is": ({"ANTHROPIC_BASE_URL": NOBODY}, "ANTHROPIC_BASE_URL"),
    "a proxy where nobody is": ({"HTTP_PROXY": NOBODY}, "HTTP_PROXY"),
    "a proxy in lower case": ({"http_proxy": NOBODY}, "http_proxy"),
    "a proxy of another kind": ({"ALL_PROXY": "socks5://127.0.0.1:9"}, "ALL_PROXY"),
    "certificates that are gone": ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, "SSL_CERT_FILE"),
    "exceptions from the proxy that are none": ({"NO_PROXY": "[::no"}, "NO_PROXY"),
    "a log of keys that cannot be written": (
        {"SSLKEYLOGFILE": "/nowhere/keys", "ANTHROPIC_BASE_URL": "https://127.0.0.1:9"},
        "SSLKEYLOGFILE",
    ),
    "half an address": ({"ANTHROPIC_BASE_URL": "http://["}, "ANTHROPIC_BASE_URL"),
}


@pytest.mark.parametrize(("around", "variable"), UNREACHABLE.values(), ids=UNREACHABLE.keys())
def test_under_claude_a_service_that_cannot_be_reached_is_one_line_that_names_the_variable_before_a_boot(
    program: Program, around: dict[str, str], variable: str
) -> None:
    program.environ |= around
    line = error_of(program.run(arguments=ONLY_CLAUDE))
    assert variable in line
    assert not program.booted


@pytest.mark.parametrize("name", ["an address where nobody is", "certificates that are gone"])
def test_under_auto_the_offline_planner_goes_on_and_says_which_variable_to_check(program: Program, name: str) -> None:
    around, variable = UNREACHABLE[name]
    program.environ |= around
    last = planners(program.run())[-1]
    assert last.startswith("Planner: offline (")
    assert variable in last


# --- the question before a session ---------------------------------------------------------------------------

PASSES = {
    "a page": PAGE,
    "it has no such question": Status(404, "not_found_error", "no such path"),
    "it may not be asked that": Status(403, "permission_error", "not this"),
    "busy": Status(429, "rate_limit_error", "slow down", {"retry-after": "100000"}),
    "in trouble": Status(529, "overloaded_error", "later"),
    "JSON of another kind": Raw(b'["x"]', kind="application/json"),
    "broken JSON": Raw(b'{"id": ', kind="application/json"),
    "silence": Hang(30.0),
    "a drip": Drip(b"{", b" ", 0.05),
    "a flood": Drip(b"", b" " * 65536),
}


def asked(
    script: Script,
    step: Step | None,
    *,
    must_answer: bool,
    model: str = "m",
    is_vendor: bool = False,
    within_s: float = VERY_LATE_S,
) -> None:
    """Ask as a session does."""
    script.check = step
    credentials = Credentials("test-key", None, script.url, "a test")
    service = ClaudeService(credentials, retries=1, pause=lambda _s: None)
    service._is_vendor = is_vendor
    began = time.monotonic()
    try:
        service.check(model, within_s, must_answer=must_answer)
    finally:
        service.close()
        assert time.monotonic() - began < 2 * VERY_LATE_S


@pytest.mark.parametrize("must_answer", [False, True], ids=["auto", "claude"])
@pytest.mark.parametrize("step", PASSES.values(), ids=PASSES.keys())
def test_what_may_pass_or_concerns_that_question_alone_is_left_to_the_first_request(
    script: Script, step: Step, must_answer: bool
) -> None:
    asked(script, step, must_answer=must_answer, within_s=1.0 if isinstance(step, (Hang, Drip)) else VERY_LATE_S)
    assert len(script.checks) == 1


@pytest.mark.parametrize("must_answer", [False, True], ids=["auto", "claude"])
def test_a_refused_key_is_an_error_for_both_planners(script: Script, must_answer: bool) -> None:
    script.key = "another"
    with pytest.raises(PlannerError, match="the key is not accepted"):
        asked(script, None, must_answer=must_answer)


def test_a_connection_that_breaks_is_tried_again_and_is_an_error_only_where_claude_must_plan(script: Script) -> None:
    asked(script, Close(), must_answer=False)
    assert len(script.checks) == 1
    with pytest.raises(PlannerError, match="cannot be reached"):
        asked(script, Close(), must_answer=True)
    assert len(script.checks) == 3


def test_a_model_that_the_vendor_does_not_know_is_an_error_and_another_server_may_lack_the_question(
    script: Script,
) -> None:
    unknown = Status(404, "not_found_error", "model: claude-opsu")
    with pytest.raises(PlannerError, match="claude-opsu") as caught:
        asked(script, unknown, must_answer=False, model="claude-opsu", is_vendor=True)
    assert "--model" in caught.value.hint
    asked(script, unknown, must_answer=True, model="claude-opsu")
    asked(script, Raw(b"nothing here", 404, "text/plain"), must_answer=True, is_vendor=True)


def test_a_service_that_does_not_answer_the_question_still_plans(program: Program) -> None:
    program.script.check = Hang(30.0)
    ended = program.run(*GOOD, arguments=("--model-timeout", "3s"))
    assert planners(ended) == ["Planner: claude (claude-opus-5-5, with ANTHROPIC_API_KEY in the environment)"]
    assert "Planned by claude-opus-5-5: 3 calls" in ended.out


# --- a service that is silent --------------------------------------------------------------------------------


def test_the_model_s_timeout_is_waited_for_once_and_the_offline_planner_goes_on(program: Program) -> None:
    """It was waited for four times."""
    ended = program.run(*[Hang(30.0)] * 4, arguments=("--model-timeout", "2s"))
    assert len(program.script.requests) == 1
    last = planners(ended)[-1]
    assert last.startswith("Planner: offline (Claude did not answer in time")
    assert "--model-timeout" in last


def test_silences_of_all_tries_together_are_bounded_also_when_each_is_short(script: Script) -> None:
    """Connections that break late are tried again; the time in silence is one."""
    script.steps[:] = [Hang(0.1), Hang(30.0), Hang(30.0), Hang(30.0)]
    service = ClaudeService(
        Credentials("test-key", None, script.url, "a test"), silence_s=1.0, retries=9, pause=lambda _s: None
    )
    request = {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
    }
    with pytest.raises(PlannerError, match="did not answer in time"):
        service.send(request, VERY_LATE_S)
    service.close()
    assert len(script.requests) == 2


# --- a server of the user's own ------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Program]:
    """The program with no key, and a server of the chat completions API."""
    with serving_chat() as script:
        yield Program(script, tmp_path)


def by_own_server(program: Program, *steps: Step, planner: str, around: dict[str, str] | None = None) -> Ended:
    program.script.key = ""
    url = (around or {}).get("--model-url", program.script.url)
    arguments = ("--planner", planner, "--model-url", url, "--model", "m", "--model-timeout", "2s")
    environ = {name: value for name, value in (around or {}).items() if not name.startswith("--")}
    return program.run(*steps, arguments=arguments, **environ)


ENCRYPTED = "https://127.0.0.1:9/v1"
"""Proxies and certificates are for such an address alone: what is not encrypted goes straight to its server."""
OWN_UNREACHABLE = {
    "an address where nobody is": ({"--model-url": f"{NOBODY}/v1"}, "--model-url"),
    "a proxy of another kind": ({"--model-url": ENCRYPTED, "ALL_PROXY": "socks5://127.0.0.1:9"}, "ALL_PROXY"),
    "certificates that are gone": ({"--model-url": ENCRYPTED, "SSL_CERT_FILE": "/nowhere/ca.pem"}, "SSL_CERT_FILE"),
}


@pytest.mark.parametrize(("around", "named"), OWN_UNREACHABLE.values(), ids=OWN_UNREACHABLE.keys())
def test_an_own_server_that_cannot_be_reached_is_one_line_that_names_the_option_before_a_boot(
    own: Program, around: dict[str, str], named: str
) -> None:
    line = error_of(by_own_server(own, planner="model", around=around))
    assert "the model's server" in line
    assert f"heck {named}" in line or f"--model-url, {named}" in line
    assert not own.booted


OWN_FAULTS: dict[str, tuple[Step, str]] = {
    "a page": (PAGE, "it is text/html; check --model-url"),
    "silence": (Hang(30.0), "did not answer in time; try again, with a larger --model-timeout"),
    "a wait of a day": (Status(429, "x", "later", {"retry-after": "100000"}), "wait 100000 s as it requests"),
    "an unknown model": (Status(404, "x", "model not found"), "check --model and --model-url"),
    "a key that is missed": (Status(401, "x", "who are you"), "check AUTOTUNE_MODEL_KEY"),
}


@pytest.mark.parametrize(("step", "says"), OWN_FAULTS.values(), ids=OWN_FAULTS.keys())
def test_under_auto_an_own_server_that_gives_no_answer_costs_a_line(own: Program, step: Step, says: str) -> None:
    began, last = time.monotonic(), planners(by_own_server(own, step, planner="auto"))[-1]
    assert last.startswith("Planner: offline (")
    assert says in last
    assert time.monotonic() - began < VERY_LATE_S


def test_an_own_server_that_must_plan_and_cannot_ends_the_session_with_a_report(own: Program) -> None:
    line = error_of(by_own_server(own, PAGE, planner="model"))
    assert "check --model-url" in line
    assert "The report holds what is known" in line
    assert json.loads((own.place / "report.json").read_text())["failure"]
