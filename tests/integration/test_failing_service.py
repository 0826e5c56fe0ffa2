# SPDX-License-Identifier: MIT
"""Whatever a server or the client's surroundings do, a session is planned and ends, by the
offline planner if need be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from autotune.config import Settings
from autotune.errors import PlannerError
from autotune.knowledge.store import Knowledge
from autotune.planner.assembly import Parts, planning
from autotune.planner.claude import conversation
from autotune.planner.claude.cost import Usage
from autotune.planner.claude.service import ClaudeService
from tests.support.broken_answers import NO_ANSWERS
from tests.support.messages_server import Script, Step, serving
from tests.support.planning_room import CATALOG, GOOD, Room, attach_spec
from tests.support.sessions import a_situation, workload

pytestmark = pytest.mark.slow


@pytest.fixture
def script() -> Iterator[Script]:
    with serving() as script:
        yield script


# --- answers that are none -------------------------------------------------------------------------------


@pytest.mark.parametrize("step", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
@pytest.mark.slow
def test_what_is_no_answer_leaves_the_session_to_the_offline_planner(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: Step
) -> None:
    room = Room(script, monkeypatch, tmp_path)
    session = room.run(*[step] * 9)
    assert (session.planner, session.failure) == ("offline", None)
    assert session.winner is not None
    assert [name for name, _ in room.chosen] == ["claude", "offline"]
    assert "offline" in room.chosen[1][1] or "check" in room.chosen[1][1]


# --- surroundings ----------------------------------------------------------------------------------------


SURROUNDINGS = {
    "a SOCKS proxy": {"ALL_PROXY": "socks5://127.0.0.1:9"},
    "a proxy that is not there": {"HTTP_PROXY": "http://127.0.0.1:9"},
    "a proxy that is none": {"HTTP_PROXY": "gopher://x"},
    "a proxy that is half an address": {"HTTP_PROXY": "http://["},
    "certificates that are not there": {
        "SSL_CERT_FILE": "/nowhere/ca.pem",
        "ANTHROPIC_BASE_URL": "https://127.0.0.1:9",
    },
    "certificates that are none": {"SSL_CERT_FILE": "/dev/null", "ANTHROPIC_BASE_URL": "https://127.0.0.1:9"},
    "certificates in a directory": {"SSL_CERT_FILE": "/", "ANTHROPIC_BASE_URL": "https://127.0.0.1:9"},
    "no certificates": {"SSL_CERT_FILE": "", "ANTHROPIC_BASE_URL": "https://127.0.0.1:9"},
    "no directory of certificates": {"SSL_CERT_DIR": "/nowhere", "ANTHROPIC_BASE_URL": "https://127.0.0.1:9"},
    "no address": {"ANTHROPIC_BASE_URL": "not a url"},
    "half an address": {"ANTHROPIC_BASE_URL": "http://["},
    "another protocol": {"ANTHROPIC_BASE_URL": "ftp://x"},
    "a name that is not there": {"ANTHROPIC_BASE_URL": "http://nowhere.invalid"},
    "a key that is none": {"ANTHROPIC_API_KEY": "a\nb"},
    "headers that are none": {"ANTHROPIC_CUSTOM_HEADERS": "x: \u20ac"},
}


@pytest.fixture
def room(script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Room:
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return Room(script, monkeypatch, tmp_path)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("around", SURROUNDINGS.values(), ids=SURROUNDINGS.keys())
def test_surroundings_in_which_no_client_works(
    room: Room, monkeypatch: pytest.MonkeyPatch, around: dict[str, str]
) -> None:
    for name, value in around.items():
        monkeypatch.setenv(name, value)
    session = room.run()
    assert (session.planner, session.failure) == ("offline", None)
    assert session.winner is not None
    assert "planner offline" in room.chosen[-1][1] or "set it" in room.chosen[-1][1]
    assert _failure(room)


def _failure(room: Room) -> str | None:
    """Of a session that only Claude may plan: reported before the baseline if there is no client, else beside it."""
    try:
        return room.run(planner="claude").failure
    except PlannerError as error:
        return str(error)


def test_a_key_of_the_directory_alone_leaves_the_offline_planner_and_says_how_to_use_it(room: Room) -> None:
    room.use_key(None)
    (room.directory / ".env").write_text(f"ANTHROPIC_API_KEY=test-key\nANTHROPIC_BASE_URL={room.script.url}\n")
    assert room.run(*GOOD).planner == "offline"
    ((name, why),) = room.chosen
    assert name == "offline"
    assert "ANTHROPIC_API_KEY in .env" in why
    assert "--planner claude" in why
    assert room.script.requests == []


# --- the time of one turn --------------------------------------------------------------------------------


class Slow:
    """A service that answers every call, each a little late, and never hands anything in."""

    def __init__(self) -> None:
        self.given_s: list[float] = []

    def send(self, request: dict[str, Any], within_s: float) -> conversation.Reply:
        del request
        self.given_s.append(within_s)
        time.sleep(0.2)
        call = {"type": "tool_use", "id": f"t{len(self.given_s)}", "name": "list_schedulers", "input": {}}
        return conversation.Reply([call], "tool_use", Usage())


@pytest.mark.slow
def test_one_turn_has_one_deadline_which_leaves_time_for_measuring(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    monkeypatch.setattr(ClaudeService, "send", lambda _self, request, within_s: slow.send(request, within_s))
    work = workload(cwd=str(room.directory))
    with closing(Knowledge()) as memory, ExitStack() as stack:
        parts = Parts(Settings(planner="claude"), work, CATALOG, room.machine, attach_spec, room.heard.append, memory)
        planner = stack.enter_context(planning(parts))
        with pytest.raises(PlannerError, match="did not finish planning in time"):
            planner.propose(a_situation(budget_left_s=3.0))
    assert 1.0 < slow.given_s[0] <= 3.0 * conversation.SHARE_A_TURN
    assert slow.given_s == sorted(slow.given_s, reverse=True)
    assert len(slow.given_s) > 1
