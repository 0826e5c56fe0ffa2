# SPDX-License-Identifier: MIT
"""One lease, with a holder's process that answers as it is told and a resolver that finds what it is told."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from autotune.errors import AutotuneError, UsageError
from autotune.records import AttachSpec
from autotune.schedext.holding.client import HolderClient
from autotune.service import leases
from autotune.service.leases import ClientLease, Resolved, Usual
from tests.support import scripted_holder
from tests.support.waiting import wait_until

SPEC = AttachSpec("at_test")
Heard = queue.Queue[tuple[int, Any, AutotuneError | None]]


class Tried:
    """A lease, what it answered, and the schedulers that were asked for."""

    def __init__(self, spec: AttachSpec = SPEC, attach: str = "", usual: Usual | None = None) -> None:
        self.heard: Heard = queue.Queue()
        self.over = threading.Event()
        self.asked: list[tuple[str, str | None]] = []
        self.specs: list[AttachSpec] = []
        self.holders: list[HolderClient] = []
        self.resolver_ended = False
        self._spec, self._attach = spec, attach
        self.lease = ClientLease(
            lambda *said: self.heard.put(said),
            self.over.set,
            usual=usual,
            finder=lambda: self,
            holding=self._holding,
        )

    def __call__(self, scheduler: str, sha256: str | None) -> Resolved:
        self.asked.append((scheduler, sha256))
        if scheduler == "at_unknown":
            raise UsageError("no scheduler is called 'at_unknown'")
        return Resolved(self._spec, None)

    def close(self) -> None:
        """The resolver ends with the lease."""
        self.resolver_ended = True

    def _holding(self, libbpf: str | None) -> HolderClient:
        assert libbpf is None
        made = scripted_holder.scripted(attach=self._attach)
        made._guarded = False  # there is no object whose owner could be looked at
        self.holders.append(made)
        return made

    def ask(self, op: str, **fields: Any) -> Any:
        self.lease.ask(1, {"op": op, **fields})
        number, result, error = self.heard.get(timeout=30)
        assert number == 1
        if error is not None:
            raise error
        return result

    def attach(self, **fields: Any) -> Any:
        return self.ask("attach", scheduler="at_test:x=1", **fields)


@pytest.fixture
def made() -> Iterator[list[Tried]]:
    found: list[Tried] = []
    yield found
    for one in found:
        one.lease.close()
        one.lease.join(30)


@pytest.fixture
def tried(made: list[Tried]) -> Tried:
    made.append(Tried())
    return made[0]


def test_what_is_named_is_attached_and_detached(tried: Tried) -> None:
    assert tried.attach(sha256="a" * 64)["ops"] == "at_test"
    assert tried.asked == [("at_test:x=1", "a" * 64)]
    assert tried.ask("exit") is None
    assert tried.ask("detach")["state"]["state"] == "disabled"
    assert len(tried.holders) == 1


def test_the_holder_of_the_next_lease_starts_before_a_scheduler_is_named(made: list[Tried]) -> None:
    usual = Usual()
    made.append(Tried(usual=usual))
    made[0].attach()
    made[0].lease.close()
    assert made[0].over.wait(30)
    made.append(Tried(usual=usual))
    wait_until(lambda: len(made[1].holders) == 1)
    assert made[1].asked == []
    assert made[1].lease.silence_s is None, "nothing is attached"
    assert made[1].attach()["ops"] == "at_test"
    assert len(made[1].holders) == 1
    unused = Tried(usual=usual)
    made.append(unused)
    wait_until(lambda: len(unused.holders) == 1)
    unused.lease.close()
    assert unused.over.wait(30)
    assert unused.holders[0]._worker.process.poll() is not None


@pytest.mark.parametrize("wrong", ["/tmp/x.o", "at_test;x", "", None])
def test_nothing_that_is_no_name_reaches_the_resolver(tried: Tried, wrong: Any) -> None:
    with pytest.raises(UsageError):
        tried.ask("attach", scheduler=wrong)
    assert (tried.asked, tried.holders) == ([], [])


def test_what_the_catalogue_refuses_is_refused_and_the_lease_goes_on(tried: Tried) -> None:
    with pytest.raises(UsageError, match="no scheduler is called"):
        tried.ask("attach", scheduler="at_unknown")
    assert tried.holders == []
    assert tried.attach()["ops"] == "at_test"


def test_the_end_of_the_lease_ends_its_holder(tried: Tried) -> None:
    tried.attach()
    process = tried.holders[0]._worker.process
    tried.lease.close()
    assert tried.over.wait(30)
    assert process.poll() is not None
    assert tried.resolver_ended


def test_the_end_comes_also_while_requests_wait(tried: Tried) -> None:
    for _ in range(leases.MOST_WAITING):
        tried.lease.ask(1, {"op": "attach", "scheduler": "at_test"})
    tried.lease.close()
    assert tried.over.wait(30)


def test_a_client_cannot_make_us_remember_more_and_more(made: list[Tried]) -> None:
    made.append(Tried(attach=scripted_holder.HANG.replace("60", "1")))
    ask = partial(made[0].lease.ask, 1, {"op": "attach", "scheduler": "at_test"})
    with pytest.raises(UsageError, match="too many requests"):
        [ask() for _ in range(leases.MOST_WAITING + 2)]


@pytest.mark.parametrize(("asked_s", "given_s"), [(0.001, 1.0), (7, 7.0), (1e9, 120.0)])
def test_how_long_a_client_may_be_silent_is_bounded(tried: Tried, asked_s: float, given_s: float) -> None:
    assert tried.lease.silence_s is None
    tried.attach(lease_s=asked_s)
    assert tried.lease.silence_s == given_s
    tried.ask("detach")
    assert tried.lease.silence_s is None


def test_a_generated_scheduler_has_less_time(made: list[Tried]) -> None:
    made.append(Tried(replace(SPEC, generated=True)))
    made[0].attach(lease_s=60)
    assert made[0].lease.silence_s == 5.0


def test_a_silent_client_loses_the_scheduler_and_hears_of_it(tried: Tried) -> None:
    tried.attach()
    tried.lease.lapse()
    tried.lease.lapse()
    assert tried.heard.get(timeout=30) == (-1, None, None)
    with pytest.raises(AutotuneError, match="said nothing for too long") as caught:
        tried.ask("detach")
    assert type(caught.value).__name__ == "LeaseLapsed"
    assert tried.attach()["ops"] == "at_test"


def test_a_holder_that_died_is_replaced(made: list[Tried], tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from autotune.schedext import kernel

    scripted_holder.show(tmp_path, scripted_holder.EEVDF)
    monkeypatch.setattr(kernel, "SCHED_EXT", tmp_path, raising=False)
    made.append(Tried())
    made[0].attach()
    made[0].holders[0]._worker.process.kill()
    made[0].holders[0]._worker.process.wait()
    assert made[0].attach()["ops"] == "at_test"
    assert len(made[0].holders) == 2


def test_detaching_nothing_is_an_error(tried: Tried) -> None:
    with pytest.raises(AutotuneError) as caught:
        tried.ask("detach")
    assert type(caught.value).__name__ == "NotAttached"


def test_a_resolver_that_fails_is_an_error_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "PROGRAM", "/no/such/program.py")
    resolver = leases.Resolver()
    with pytest.raises(AutotuneError, match="could not be prepared"):
        resolver("at_fifo", None)
    resolver.close()


@pytest.mark.slow
def test_the_resolver_knows_the_catalogue_and_nothing_else() -> None:
    resolver = leases.Resolver()
    try:
        for wrong in ("no_such", "at_fifo:no_such=1", "at_fifo:slice_us=999999999999", "custom:no_such", "eevdf"):
            with pytest.raises(UsageError):
                resolver(wrong, None)
    finally:
        resolver.close()
