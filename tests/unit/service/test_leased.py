# SPDX-License-Identifier: MIT
"""Schedulers attached by a service: the calls of a HolderClient, and what becomes of them when the service goes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import AttachError, AutotuneError, BusyError, DetachError, HolderLost
from autotune.records import Attachment, AttachSpec, Detachment, Expectations, GuideSpec
from autotune.schedext import kernel
from autotune.service import leased
from autotune.service.client import NoDaemon
from autotune.service.leased import LeasedHolder, asked_for
from autotune.wire import to_json
from tests.support import scripted_holder
from tests.support.scripted_holder import EEVDF, OURS

SPEC = AttachSpec("at_test", "/objects/at_test.o", candidate="at_test:slice_us=5000")


class ScriptedService:
    """A service that answers or fails as it is told; the kernel's tree says what it did."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.is_closed = False
        self.fails: dict[str, AutotuneError] = {}
        self.attaches = OURS
        self.detaches_at_end = True

    def request(self, op: str, *, timeout_s: float, **fields: Any) -> Any:
        assert timeout_s > 0
        self.asked.append((op, fields))
        if op in self.fails:
            raise self.fails[op]
        if op == "attach":
            scripted_holder.show(self.tree, self.attaches)
            return to_json(Attachment(self.attaches.ops or "", EEVDF, self.attaches, 0.1))
        if op == "detach":
            scripted_holder.show(self.tree, EEVDF)
            return to_json(Detachment(EEVDF, 0.1, None))
        return None

    def beat(self) -> None:
        self.asked.append(("beat", {}))

    def close(self) -> None:
        self.is_closed = True
        if self.detaches_at_end:
            scripted_holder.show(self.tree, EEVDF)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedService:
    scripted_holder.show(tmp_path, EEVDF)
    monkeypatch.setattr(leased, "wait_for", partial(kernel.wait_for, sysfs=tmp_path))
    return ScriptedService(tmp_path)


def held(service: ScriptedService) -> LeasedHolder:
    return LeasedHolder(connect=lambda: service)  # type: ignore[arg-type, return-value]


def test_the_lease_is_taken_at_once_and_kept(service: ScriptedService) -> None:
    holder = held(service)
    assert [op for op, _ in service.asked] == ["lease"]
    holder.attach(SPEC)
    holder.detach()
    assert not service.is_closed
    holder.close()
    assert service.is_closed


def test_a_lease_that_somebody_else_has_leaves_no_connection(service: ScriptedService) -> None:
    service.fails["lease"] = BusyError("somebody has it")
    with pytest.raises(BusyError):
        held(service)
    assert service.is_closed


def test_what_is_asked_for_is_a_name_with_settings_and_no_path(service: ScriptedService) -> None:
    holder = held(service)
    assert holder.attach(SPEC).ops == "at_test"
    assert holder.attachment is not None
    (_, asked) = next(one for one in service.asked if one[0] == "attach")
    assert asked == {"scheduler": "at_test:slice_us=5000", "sha256": None, "lease_s": 30.0}
    holder.close()


@pytest.mark.parametrize(
    "spec",
    [
        AttachSpec("at_test", "/tmp/mine.o"),
        AttachSpec("at_guided", candidate="at_guided", guide=GuideSpec("/g.o", "a" * 64, Expectations({}, 0))),
    ],
    ids=["in no catalogue", "with a guide"],
)
def test_what_the_service_cannot_have_is_refused_here(service: ScriptedService, spec: AttachSpec) -> None:
    holder = held(service)
    with pytest.raises(AttachError, match="of its catalogue only"):
        holder.attach(spec)
    holder.close()


def test_another_scheduler_than_was_asked_for_is_detached(service: ScriptedService) -> None:
    holder = held(service)
    service.attaches = type(OURS)("enabled", "at_other", 5, 0, True)
    with pytest.raises(AttachError, match="attached at_other, not at_test"):
        holder.attach(SPEC)
    assert service.asked[-1][0] == "detach"
    holder.close()


def test_a_service_that_goes_is_a_holder_that_is_lost(service: ScriptedService) -> None:
    holder = held(service)
    holder.attach(SPEC)
    scripted_holder.show(service.tree, EEVDF)
    service.fails["exit"] = NoDaemon("it is gone")
    with pytest.raises(HolderLost, match="lease of the daemon ended"):
        holder.exit_record()
    assert holder.attachment is None
    assert holder.is_dead
    with pytest.raises(HolderLost):
        holder.check()
    holder.close()


def test_what_stays_attached_after_the_end_is_said(service: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leased, "DETACH_S", 0.2)
    service.detaches_at_end = False
    holder = held(service)
    holder.attach(SPEC)
    with pytest.raises(DetachError, match="at_test is still attached"):
        holder.close()


@pytest.mark.parametrize(
    ("candidate", "only_some", "asked"),
    [
        ("at_fifo", False, "at_fifo"),
        ("at_fifo", True, "at_fifo:partial=true"),
        ("at_fifo:partial=true", True, "at_fifo:partial=true"),
        ("at_fifo:slice_us=5", True, "at_fifo:slice_us=5,partial=true"),
        ("custom:mine", True, "custom:mine:partial=true"),
        ("custom:mine:x=1", True, "custom:mine:x=1,partial=true"),
    ],
)
def test_partial_mode_is_asked_for_where_a_canary_wants_it(candidate: str, only_some: bool, asked: str) -> None:
    assert asked_for(AttachSpec("x", candidate=candidate, partial=only_some)) == asked
