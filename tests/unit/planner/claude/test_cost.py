# SPDX-License-Identifier: MIT
"""Prices and what they make of tokens."""

from __future__ import annotations

import json
from pathlib import Path

from autotune.planner.claude import cost
from tests.support.claude_conversation import MODEL


def test_an_unknown_model_costs_tokens_only() -> None:
    account = cost.Account("my-own-model", cost.load(None))
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
