# SPDX-License-Identifier: MIT
"""Writes autotune/planner/model_prices.json from the package genai-prices; with --check only checks that it agrees.

The package is needed here alone: what is installed with autotune is the file. It says which version it was made from
and on which day, since prices change at given days.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from typing import Any

from autotune import resources

PACKAGE = "genai-prices"
VENDOR = "anthropic"
FIELDS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write_5m": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
}
"""Our names of the prices, and the package's."""


def document(as_of: str) -> dict[str, Any]:
    """Return the whole document, with the prices that hold on that day."""
    from genai_prices.data import providers

    moment = datetime.datetime.fromisoformat(as_of).replace(tzinfo=datetime.timezone.utc)
    (vendor,) = (one for one in providers if one.id == VENDOR)
    models: dict[str, Any] = {}
    for model in vendor.models:
        found = prices(model.get_prices(moment))
        if found is not None:
            models |= dict.fromkeys(names(model), found)
    return {
        "unit": "USD per million tokens",
        "as_of": as_of,
        "source": f"{PACKAGE} {importlib.metadata.version(PACKAGE)}, made by scripts/model-prices; do not edit",
        "models": dict(sorted(models.items())),
    }


def names(model: Any) -> Iterator[str]:
    """Yield the names under which the vendor's API takes a model. Dated releases are known by the name before the
    date."""
    yield str(model.id).removesuffix("-latest")
    for clause in getattr(model.match, "or_", ()):
        if getattr(clause, "equals", ""):
            yield str(clause.equals)


def prices(model: Any) -> dict[str, Any] | None:
    """Return the prices of a model; None when it has no cache, which every conversation of ours uses. `long` are those
    of requests with more tokens than `over_tokens`."""
    given: dict[str, Any] = {name: getattr(model, theirs, None) for name, theirs in FIELDS.items()}
    if None in given.values():
        return None
    found: dict[str, Any] = {name: float(getattr(value, "base", value)) for name, value in given.items()}
    starts = {tier.start for value in given.values() for tier in getattr(value, "tiers", ())}
    if len(starts) > 1:
        raise ValueError(f"prices with more than two levels: {sorted(starts)}; cost.Price has two")
    for start in starts:
        found["long"] = {"over_tokens": start, **{name: float(top(value)) for name, value in given.items()}}
    return found


def top(value: Any) -> Any:
    """Return the price of long requests."""
    tiers = getattr(value, "tiers", ())
    return tiers[-1].price if tiers else value


def main(given: list[str]) -> int:
    if given not in ([], ["--check"]):
        print("usage: scripts/model-prices [--check]", file=sys.stderr)
        return 2
    path = resources.model_prices_json()
    if not given:
        path.write_text(json.dumps(document(datetime.date.today().isoformat()), indent=2) + "\n", encoding="utf-8")
        return 0
    known = json.loads(path.read_text(encoding="utf-8"))
    if known == document(known["as_of"]):
        return 0
    print(f"{path.name} does not agree with {PACKAGE}: run scripts/model-prices", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
