# SPDX-License-Identifier: MIT
"""A model that does whatever a model may do: good submissions, bad ones, useless calls, and a service that fails."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Sequence
from typing import Any

from autotune.records import knob_text
from autotune.schedext.catalogue.catalog import Catalog
from autotune.schedext.catalogue.knobs import Knob
from tests.support.messages_server import Answer, Raw, Reset, Status, Step, submit, text, tool

ODD = ("nan", "inf", "-inf", "1e999", "-1", "0", "1", "9" * 30, "9" * 400, "lots", "", "true", "0.5", "+", "1+2")
"""Values that a knob may be given besides sensible ones."""
REASONS = ("it may help", "two\nlines", "a line\u2028separator", "tab\tand \x1b[31mred", "x" * 1000, " ")
HALF = "half of a pair: \ud800"


def steps(seed: int, catalog: Catalog, unusable: Container[str], count: int = 40) -> list[Step]:
    """What the service answers, request after request; every third seed ends in a failure of it."""
    rng = random.Random(seed)
    answers = [_step(rng, catalog, unusable) for _ in range(count)]
    if seed % 3 == 0:
        answers.insert(rng.randrange(4), _failure(rng))
    return answers


def _step(rng: random.Random, catalog: Catalog, unusable: Container[str]) -> Step:
    kinds: Sequence[Callable[[], Step]] = (
        lambda: Answer([_submission(rng, catalog, unusable, odd=False)]),
        lambda: Answer([_submission(rng, catalog, unusable, odd=True)]),
        lambda: Answer([_submission(rng, catalog, unusable, odd=True), tool("run_scheduler", name="at_fifo", args=[])]),
        lambda: Answer([tool("run_scheduler", name=rng.choice(("at_batch", "at_fifo", "nothing")), args=[])]),
        lambda: Answer([tool("system_monitor", command="start"), tool("nonsense", deep=[[[{}]]])]),
        lambda: Answer([text("I wonder."), tool("list_schedulers", tag="latency")]),
        lambda: Answer([text("I wonder.")]),
        lambda: Answer([text("So"), tool("run_scheduler", name="at_fifo")], stop_reason="max_tokens"),
        lambda: Answer([text("No.")], stop_reason="refusal"),
        lambda: Answer([submit()]),
    )
    weights = (40, 20, 4, 4, 2, 2, 1, 1, 1, 2)
    return rng.choices(kinds, weights)[0]()


def _failure(rng: random.Random) -> Step:
    return rng.choice(
        (
            Status(401, "authentication_error", "no"),
            Status(529, "overloaded_error", "busy"),
            Reset(),
            Raw(b"{}"),
            Answer([submit("at_fifo", reason=HALF)]),
        )
    )


def _submission(rng: random.Random, catalog: Catalog, unusable: Container[str], *, odd: bool) -> dict[str, Any]:
    """One to four candidates; some twice, some unknown, when odd."""
    listed = [_candidate(rng, catalog, unusable, odd=odd) for _ in range(rng.randint(1, 4))]
    if odd and rng.random() < 0.2:
        listed.append(rng.choice((listed[0], "at_nothing", "scx_lavd:nothing=1")))
    return submit(*listed, reason=rng.choice(REASONS) if odd else "it may help")


def _candidate(rng: random.Random, catalog: Catalog, unusable: Container[str], *, odd: bool) -> str:
    likely = [one for one in catalog.schedulers if one.name not in unusable] or catalog.schedulers
    one = rng.choice(catalog.schedulers if odd and rng.random() < 0.1 else likely)
    if not one.knobs or rng.random() < 0.3:
        return one.name
    knobs = rng.sample(one.knobs, 1 if rng.random() < 0.9 else min(2, len(one.knobs)))
    return f"{one.name}:{','.join(f'{knob.name}={_value(rng, knob, odd=odd)}' for knob in knobs)}"


def _value(rng: random.Random, knob: Knob, *, odd: bool) -> str:
    if odd and rng.random() < 0.5:
        return rng.choice(ODD)
    if knob.options:
        return rng.choice(knob.options)
    if knob.type == "boolean":
        return rng.choice(("true", "false"))
    ends = [end for end in (knob.range.min, knob.range.max) if end is not None] if knob.range else []
    usual = [knob.default] if knob.default is not None else [1]
    return knob_text(rng.choice([*ends, *usual, *(2 * one for one in usual if isinstance(one, (int, float)))]))
