# SPDX-License-Identifier: MIT
"""What the service's helper finds: schedulers of its own user's catalogue, and generated ones that were proven here."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune.canary.strikes import Strikes
from autotune.errors import AttachError, UsageError
from autotune.lease import resolving
from autotune.machine.vm import healing
from autotune.records import AttachSpec

DIGEST = "a" * 64
SPEC = AttachSpec("at_fifo", "/objects/at_fifo.o", object_sha256=DIGEST)


@pytest.fixture
def strikes(tmp_path: Path) -> Strikes:
    return Strikes(tmp_path / "canary.json")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nothing is compiled: the candidate is checked by the real catalogue, and this spec is what comes of it."""

    def set_up(spec: AttachSpec) -> None:
        monkeypatch.setattr(resolving, "CatalogResolver", lambda _headers, _catalog: lambda _candidate: spec)
        monkeypatch.setattr(healing, "sound_parts", lambda _notify: None)

    set_up(SPEC)
    return set_up


def asked(scheduler: str, sha256: str | None = None) -> dict[str, Any]:
    return {"scheduler": scheduler, "sha256": sha256}


@pytest.mark.usefixtures("built")
def test_a_scheduler_of_the_catalogue_is_found() -> None:
    found = resolving.CatalogFinder().answer(asked("at_fifo:slice_us=5000"))
    assert found["spec"]["ops"] == "at_fifo"
    assert found["libbpf"] is None


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("name", ["no_such", "at_fifo:slice_us=1", "at_fifo:no_such=1", "at_fifo:slice_us=x", "eevdf"])
def test_what_the_catalogue_does_not_allow_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        resolving.CatalogFinder().answer(asked(name))


@pytest.mark.usefixtures("built")
def test_another_object_than_the_clients_is_refused() -> None:
    assert resolving.CatalogFinder().answer(asked("at_fifo", DIGEST))
    with pytest.raises(UsageError, match="not the one that you have"):
        resolving.CatalogFinder().answer(asked("at_fifo", "b" * 64))


def test_a_generated_one_must_have_passed_its_canary_here(built: Any, strikes: Strikes) -> None:
    built(replace(SPEC, generated=True))
    with pytest.raises(AttachError, match="has not passed its canary"):
        resolving.CatalogFinder(strikes).answer(asked("at_fifo"))
    strikes.remember_passed(DIGEST, "another kernel")
    with pytest.raises(AttachError, match="has not passed its canary"):
        resolving.CatalogFinder(strikes).answer(asked("at_fifo"))
    strikes.remember_passed(DIGEST, os.uname().release)
    assert resolving.CatalogFinder(strikes).answer(asked("at_fifo"))["spec"]["generated"]


def test_one_that_had_its_strikes_is_refused(built: Any, strikes: Strikes) -> None:
    built(replace(SPEC, generated=True))
    for _ in range(3):
        strikes.strike(DIGEST, "late", "6.18")
    with pytest.raises(AttachError, match="detached three times"):
        resolving.CatalogFinder(strikes).answer(asked("at_fifo"))
