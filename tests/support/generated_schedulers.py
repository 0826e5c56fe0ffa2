# SPDX-License-Identifier: MIT
"""Generated schedulers that are in the store, as if they had passed the gates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autotune.records import Seal
from autotune.schedext import seal
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.catalog import Scheduler
from autotune.schedext.catalogue.knobs import Knob, Range

SOURCE, OBJECT = "/* a scheduler */\n", b"\x7fELF an object"


def an_entry(name: str) -> Scheduler:
    return Scheduler(
        name=f"custom:{name}",
        kind="bpf",
        ops_name=name,
        source=f"{name}.bpf.c",
        production_ready=False,
        description="Keeps builders happy.",
        algorithm="",
        use_cases=(),
        characteristics="",
        limitations=(),
        performance_profile="",
        tags=("generated",),
        knobs=(
            Knob(
                name="slice_us",
                type="integer",
                default=5000,
                range=Range(min=1, max=9000, how="proven"),
                description="x",
            ),
        ),
    )


def kept(
    name: str = "mine", content: bytes = OBJECT, reports: Sequence[Any] = (), made_in: Path | None = None
) -> custom.Custom:
    digests = seal.sha256(SOURCE.encode()), seal.sha256(content)
    settings = {"slice_us": (1, 9000)}
    token = seal.sign(Seal(name, *digests, "19", seal.GATES_VERSION, "6.18.15", settings=settings))
    with custom.reserved(name):
        return custom.keep(name, SOURCE, content, an_entry(name), token, reports, made_in=made_in)
