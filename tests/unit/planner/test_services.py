# SPDX-License-Identifier: MIT
"""Which service a model answers from, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune.config import Settings
from autotune.errors import PlannerError, UsageError
from autotune.planner import services
from autotune.planner.chat.endpoint import KEY, Endpoint
from autotune.planner.claude import cost
from autotune.planner.claude.credentials import Credentials

URL = "http://localhost:11434/v1"
CLAUDES = {"ANTHROPIC_API_KEY": "sk-ant-1234"}
NEWER = Settings(model_url=URL, model="m")


def test_an_address_goes_before_a_key_for_claude(tmp_path: Path) -> None:
    assert services.require(NEWER, tmp_path, {**CLAUDES, KEY: "k-1234"}) == Endpoint(URL, "k-1234")
    assert isinstance(services.require(Settings(), tmp_path, CLAUDES), Credentials)


def test_planner_claude_is_claude_though_there_is_an_address(tmp_path: Path) -> None:
    asked = Settings(model_url=URL, planner="claude")
    assert isinstance(services.require(asked, tmp_path, CLAUDES), Credentials)
    with pytest.raises(PlannerError, match="needs a key"):
        services.require(asked, tmp_path, {KEY: "k-1234"})


@pytest.mark.parametrize(
    ("half", "advice"),
    [
        (Settings(planner="model", model="m"), "--model-url"),
        (Settings(planner="model", model_url=URL), "--model,"),
        (Settings(model_url=URL), "--model,"),
    ],
)
def test_an_address_and_a_model_belong_together(half: Settings, advice: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        services.require(half, tmp_path, {})
    assert advice in caught.value.hint


def test_prices_of_claude_do_not_count_for_another_server() -> None:
    name = next(iter(cost.load(None).models))
    asked = Settings(model_url=URL, model=name, max_cost=1.0)
    assert services.prices(Settings(model=name)).of(name) is not None
    assert services.prices(asked).of(name) is None
    with pytest.raises(PlannerError, match="--max-cost cannot be kept"):
        cost.refuse_unkept_limit(name, services.prices(asked), asked.max_cost)


def test_prices_of_the_user_count(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    one = '{"input": 1, "output": 2, "cache_read": 0, "cache_write_5m": 0}'
    path.write_text('{"as_of": "2026-11", "models": {"m": ' + one + "}}")
    found = services.prices(Settings(model_url=URL, model="m", prices=path))
    assert list(found.models) == ["m"]


def test_the_client_is_that_of_the_service(tmp_path: Path) -> None:
    for settings, name in ((NEWER, "ChatService"), (Settings(), "ClaudeService")):
        made = services.client(services.require(settings, tmp_path, CLAUDES), settings)
        assert type(made).__name__ == name
        made.close()
