# SPDX-License-Identifier: MIT
"""Whatever a server or the client's surroundings do, a request ends, in time, as a PlannerError."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate
from typing import Any

import psutil
import pytest

from autotune.errors import PlannerError
from autotune.planner import remote
from autotune.planner.claude.credentials import Credentials
from autotune.planner.claude.service import ClaudeService
from tests.support.broken_answers import NO_ANSWERS, TALK
from tests.support.failing_service import REQUEST, VERY_LATE_S, failure_of
from tests.support.messages_server import PING, Answer, Drip, Script, Status, Step, beginning, submit, text

pytestmark = pytest.mark.slow


def service_of(script: Script, **options: Any) -> ClaudeService:
    options = {"pause": lambda _s: None, "retries": 1, **options}
    return ClaudeService(Credentials("test-key", None, script.url, "a test"), **options)


def fails(script: Script, *steps: Step, within_s: float = 30.0, **options: Any) -> PlannerError:
    return failure_of(service_of(script, **options), script, steps, within_s)


# --- answers that are none -------------------------------------------------------------------------------


@pytest.mark.parametrize("step", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_what_is_no_answer_is_an_error_of_the_planner(script: Script, step: Step) -> None:
    error = fails(script, step)
    assert "<html" not in error.message.lower()
    assert len(error.message) < 500


@pytest.mark.parametrize("count", [-1, -(10**9), 10**18, 1.5, "many", None, float("nan")])
@pytest.mark.parametrize("field", ["input_tokens", "output_tokens"])
def test_counts_of_tokens_that_cannot_be_are_not_taken(script: Script, field: str, count: object) -> None:
    error = fails(script, Answer([submit()], counted={field: count}))
    assert "tokens" in error.message


@pytest.mark.parametrize("field", ["cache_read_input_tokens", "cache_creation_input_tokens"])
def test_counts_of_the_cache_may_be_missing_but_not_negative(script: Script, field: str) -> None:
    fails(script, Answer([submit()], counted={field: -5}))
    script.steps[:] = [Answer([submit()], counted={field: None})]
    assert service_of(script).send(REQUEST, 30.0).stop_reason == "tool_use"


# --- answers that do not end -----------------------------------------------------------------------------


ENDLESS = {
    "pings": Drip(beginning(text("")), PING, 0.02),
    "pings before anything": Drip(b"", PING, 0.02),
    "words": Drip(beginning(text("")), TALK, 0.02),
    "single bytes of the headers": Drip(b"x: ", b"y", 0.02, code=None),
    "a refusal": Drip(b'{"error": "', b"x", 0.02, code=400),
    "a refusal to be tried again": Drip(b"", b"x", 0.02, code=529),
    "a line": Drip(b"data: ", b"x", 0.02),
}


@pytest.mark.parametrize("step", ENDLESS.values(), ids=ENDLESS.keys())
@pytest.mark.slow
def test_a_dripping_answer_ends_with_the_time_there_is(script: Script, step: Step) -> None:
    error = fails(script, step, within_s=0.5, silence_s=20.0)
    assert "in time" in error.message


@pytest.mark.parametrize("code", [200, 400, 500])
@pytest.mark.parametrize("piece", [TALK * 100, b"x" * 65536, PING * 500], ids=["words", "one line", "pings"])
def test_a_flood_is_cut_off(script: Script, piece: bytes, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MOST_BYTES", 1 << 20)
    before = psutil.Process().memory_info().rss
    error = fails(script, Drip(beginning(text("")), piece, code=code), within_s=VERY_LATE_S)
    assert "has no end" in error.message
    assert psutil.Process().memory_info().rss - before < 100 << 20


def test_nothing_is_read_any_more_once_it_is_given_up(script: Script) -> None:
    fails(script, ENDLESS["words"], within_s=0.3)
    end = time.monotonic() + VERY_LATE_S
    while any(thread.name == "autotune-service" for thread in threading.enumerate()):
        assert time.monotonic() < end, "the thread still reads"
        time.sleep(0.05)


# --- waits that a server asks for ------------------------------------------------------------------------


@pytest.mark.parametrize("code", [429, 503, 529])
@pytest.mark.parametrize(
    "wait", ["3600", "3600.5", "1e300", pytest.param(formatdate(time.time() + 3600, usegmt=True), id="a date")]
)
def test_a_wait_longer_than_the_time_there_is_is_not_begun(script: Script, wait: str, code: int) -> None:
    waits: list[float] = []
    fails(script, Status(code, "x", "later", {"retry-after": wait}), pause=waits.append)
    assert waits == []
    assert len(script.requests) == 1


@pytest.mark.parametrize("wait", ["-5", "nan", "inf", "soon", "", "Thu, 01 Jan 1970 00:00:00 GMT", "9" * 400])
def test_a_wait_that_is_none_is_no_wait(script: Script, wait: str) -> None:
    waits: list[float] = []
    script.steps[:] = [Status(429, "x", "later", {"retry-after": wait}), Answer([submit()])]
    assert service_of(script, pause=waits.append).send(REQUEST, 30.0).stop_reason == "tool_use"
    assert all(0 <= wait_s <= 1 for wait_s in waits)


def test_the_waits_between_tries_count_against_the_time_there_is(script: Script) -> None:
    fails(script, Status(529), within_s=1.0, retries=1000, pause=time.sleep)
    assert len(script.requests) <= 3
