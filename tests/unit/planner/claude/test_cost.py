# SPDX-License-Identifier: MIT
"""Prices and what they make of tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autotune.errors import UsageError
from autotune.planner.claude import cost
from tests.support.claude_conversation import MODEL


def test_an_unknown_model_costs_tokens_only() -> None:
    account = cost.Bill("my-own-model", cost.load(None))
    account.add(cost.Usage(1000, output_tokens=5), 1.0)
    assert account.spent.cost_usd is None
    assert account.spent.tokens == 1005


def test_prices_can_be_overridden(tmp_path: Path) -> None:
    own = tmp_path / "prices.json"
    price = {"input": 1, "output": 2, "cache_read": 0.1, "cache_write_5m": 1.25}
    own.write_text(json.dumps({"as_of": "2026-11", "models": {"mine": price}}))
    prices = cost.load(own)
    assert prices.of("mine") is not None
    assert prices.of(MODEL) is not None
    assert prices.of("claude-haiku-4-5-20251001") == prices.of("claude-haiku-4-5")
    assert prices.as_of == "2026-11"


WHOLE = {"input": 1, "output": 2, "cache_read": 0.1, "cache_write_5m": 1.25}
LONG = {**WHOLE, "over_tokens": 1000}


@pytest.mark.parametrize(
    ("price", "where"),
    [
        ({**WHOLE, "input": -1}, "models.m.input"),
        ({**WHOLE, "output": float("nan")}, "models.m.output"),
        ({**WHOLE, "cache_read": float("inf")}, "models.m.cache_read"),
        ({**WHOLE, "cache_write_1h": -0.1}, "models.m.cache_write_1h"),
        ({**WHOLE, "long": {**LONG, "output": -1}}, "models.m.long.output"),
        ({**WHOLE, "long": {**LONG, "over_tokens": -1}}, "models.m.long.over_tokens"),
        ({**WHOLE, "lonng": LONG}, "models.m.lonng"),
        ({"input": 1}, "models.m.output"),
        ([], "models.m"),
        ({**WHOLE, "input": "cheap"}, "models.m.input"),
    ],
)
def test_a_price_that_would_keep_no_limit_is_refused_by_its_name(tmp_path: Path, price: object, where: str) -> None:
    own = tmp_path / "prices.json"
    own.write_text(json.dumps({"as_of": "2026-11", "models": {"m": price}}))
    with pytest.raises(UsageError, match=f"prices.json cannot be read: {where}: "):
        cost.load(own)


def test_a_long_call_costs_the_price_of_long_calls_for_all_its_tokens() -> None:
    """Claude Haiku 5.5: five times as much once the input, cached or not, has more than 100,000 tokens."""
    for read, price_usd in ((99_000, 0.1), (99_001, 0.5)):
        account = cost.Bill("claude-haiku-5-5", cost.load(None))
        account.add(cost.Usage(1000, cache_read_tokens=read), 1.0)
        assert account.spent.cost_usd == pytest.approx((1000 * price_usd + read * price_usd / 10) / 1e6)


def test_an_hour_of_cache_costs_its_own_price_or_twice_the_input(tmp_path: Path) -> None:
    for price, usd in (({}, 2.0), ({"cache_write_1h": 3.5}, 3.5)):
        own = tmp_path / "prices.json"
        plain = {"input": 1, "output": 2, "cache_read": 0.1, "cache_write_5m": 1.25}
        own.write_text(json.dumps({"as_of": "2026-11", "models": {"mine": {**plain, **price}}}))
        account = cost.Bill("mine", cost.load(own))
        account.add(cost.Usage(cache_write_tokens=1_000_000, cache_write_1h_tokens=1_000_000), 1.0)
        assert account.spent.cost_usd == pytest.approx(usd)
