# SPDX-License-Identifier: MIT
"""Cost of planning with a model: tokens by kind, calls, seconds, and money by a dated list of prices, which
scripts/model-prices makes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autotune import reading, resources
from autotune.errors import PlannerError, UsageError
from autotune.frozen import dataclass
from autotune.records import Spending

MOST_SHOWN = 80
"""Characters of a name in a file that an error shows."""
CACHE_WRITE_1H = 2.0
"""Price of caching for an hour, relative to an input token, where a list does not name it."""
Usd = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
"""Less than nothing, or no number, would let a limit on the cost never be reached."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one call, as counted by the service."""

    input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    """The part of `cache_write_tokens` that is cached for an hour."""
    cache_read_tokens: int = 0
    output_tokens: int = 0


class Prices(BaseModel):
    """Prices in USD per million tokens. A name that is none of these may be a misspelt price."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Usd
    output: Usd
    cache_read: Usd
    cache_write_5m: Usd
    cache_write_1h: Usd | None = None

    def cost_usd(self, usage: Usage) -> float:
        """Return the cost of one call."""
        for_5m = usage.cache_write_tokens - usage.cache_write_1h_tokens
        for_1h_usd = self.input * CACHE_WRITE_1H if self.cache_write_1h is None else self.cache_write_1h
        return (
            usage.input_tokens * self.input
            + for_5m * self.cache_write_5m
            + usage.cache_write_1h_tokens * for_1h_usd
            + usage.cache_read_tokens * self.cache_read
            + usage.output_tokens * self.output
        ) / 1e6


class LongPrices(Prices):
    """Prices of all tokens of a call whose input has more tokens than this."""

    over_tokens: Annotated[int, Field(ge=0)]


class Price(Prices):
    """Prices of a model; `long` are those of long calls, where they differ."""

    long: LongPrices | None = None

    def of(self, usage: Usage) -> Prices:
        """Return the prices that hold for a call."""
        prompt = usage.input_tokens + usage.cache_write_tokens + usage.cache_read_tokens
        return self.long if self.long is not None and prompt > self.long.over_tokens else self


class PriceList(BaseModel):
    """Prices by model, as of a date."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    as_of: str
    models: dict[str, Price]

    def of(self, model: str) -> Price | None:
        """Price of a model or of a dated release of it (`claude-haiku-4-5-20251001`); None when unknown."""
        known = [name for name in self.models if model == name or _is_release(model, name)]
        return self.models[max(known, key=len)] if known else None


def _is_release(model: str, name: str) -> bool:
    rest = model.removeprefix(name + "-")
    return rest != model and len(rest) == 8 and rest.isdigit()


def load(override: Path | None, *, builtin: bool = True) -> PriceList:
    """Load the built-in list, with the models of `override` in place of its own, or (not `builtin`) those alone. Raises
    UsageError for a file that is not such a list."""
    prices = PriceList(as_of="", models={})
    if builtin:
        prices = reading.record(PriceList.model_validate, resources.model_prices_json())
    if override is None:
        return prices
    try:
        given = reading.record(PriceList.model_validate, override)
    except OSError as error:
        raise UsageError(
            f"prices in {override}: {error.strerror}", hint="give a file in the format of model_prices.json"
        ) from error
    except ValueError as error:
        raise UsageError(f"prices in {override} cannot be read: {_detail(error)}", hint="see docs/CLAUDE.md") from error
    return PriceList(as_of=given.as_of, models={**prices.models, **given.models})


def _detail(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error).splitlines()[0]
    first = error.errors()[0]
    where = ".".join(str(part)[:MOST_SHOWN] for part in first["loc"]) or "the whole"
    return f"{where}: {first['msg']}"


def refuse_unkept_limit(model: str, prices: PriceList, max_cost: float | None) -> None:
    """Raise PlannerError for a limit on the cost of a model without a price."""
    if max_cost is not None and prices.of(model) is None:
        raise PlannerError(
            f"--max-cost cannot be kept: there is no price for {model}",
            hint="give one with --prices, or limit the calls with --max-calls",
        )


class Bill:
    """Sums up the cost of calls."""

    def __init__(self, model: str, prices: PriceList) -> None:
        self._price = prices.of(model)
        self._as_of = prices.as_of if self._price else None
        self.spent = Spending(model, cost_usd=0.0 if self._price else None, prices_as_of=self._as_of)

    def add(self, usage: Usage, service_s: float) -> None:
        spent = self.spent
        self.spent = dataclasses.replace(
            spent,
            calls=spent.calls + 1,
            input_tokens=spent.input_tokens + usage.input_tokens,
            cache_write_tokens=spent.cache_write_tokens + usage.cache_write_tokens,
            cache_read_tokens=spent.cache_read_tokens + usage.cache_read_tokens,
            output_tokens=spent.output_tokens + usage.output_tokens,
            service_s=spent.service_s + service_s,
            cost_usd=None if spent.cost_usd is None else spent.cost_usd + self._cost_usd(usage),
        )

    def waited(self, service_s: float) -> None:
        """Add the time of a failed call; its tokens, if any, are not known."""
        self.spent = dataclasses.replace(self.spent, service_s=self.spent.service_s + service_s)

    def add_own(self, own_s: float) -> None:
        self.spent = dataclasses.replace(self.spent, own_s=self.spent.own_s + own_s)

    def _cost_usd(self, usage: Usage) -> float:
        return 0.0 if self._price is None else self._price.of(usage).cost_usd(usage)
