# SPDX-License-Identifier: MIT
"""One lease: a client that keeps its connection open may have schedulers of the catalogue attached, one at a time.

What always holds here:
- the end of the connection, a client that is silent for too long, and the end of the service detach;
- a client names a scheduler and settings. What root then loads is found by `lease/resolving.py`, a helper process that
  knows the catalogue of the service's own user: no path and no byte of a client's reaches it.

Runs in a thread of its own, since attaching takes seconds. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from autotune.errors import AttachError, AutotuneError, LeaseLapsed, NotAttached, UsageError, as_ours
from autotune.frozen import dataclass
from autotune.process import Worker
from autotune.records import AttachSpec
from autotune.schedext.holding.client import GENERATED_LEASE_S, LEASE_S, HolderClient
from autotune.service import protocol
from autotune.wire import from_json, to_json

RESOLVE_S = 180.0
"""How long finding a scheduler may take: it may have to be compiled, which emulation makes slow."""
MOST_LEASE_S = 120.0
LEAST_LEASE_S = 1.0
MOST_WAITING = 16
"""Requests of one client that wait for the one that is being answered."""
PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lease", "resolving.py")
Answer = Callable[[int, Any, AutotuneError | None], None]
"""Gets the number of a request, and its result or its error. Called in the lease's thread."""


@dataclass(frozen=True)
class Resolved:
    """What attaching a scheduler of the catalogue takes."""

    spec: AttachSpec
    libbpf: str | None


class Finder(Protocol):
    """Finds schedulers in the catalogue of our user."""

    def __call__(self, scheduler: str, sha256: str | None) -> Resolved: ...

    def close(self) -> None: ...


class Resolver:
    """A helper process that finds them, for as long as a lease lasts: it takes a while to start."""

    def __init__(self) -> None:
        self._worker = Worker([sys.executable, "-I", PROGRAM], self._lost)

    def __call__(self, scheduler: str, sha256: str | None) -> Resolved:
        """Find a scheduler with settings. Raises what the catalogue says, AttachError when the helper fails."""
        answer = self._worker.request("resolve", timeout_s=RESOLVE_S, scheduler=scheduler, sha256=sha256)
        return Resolved(from_json(AttachSpec, answer["spec"]), answer["libbpf"])

    def close(self) -> None:
        self._worker.close()

    @staticmethod
    def _lost(what: str) -> AutotuneError:
        return AttachError(f"the scheduler could not be prepared: {what}", hint="run again", stage=protocol.STAGE)


class Usual:
    """What was attached last in this service: the next lease starts its holder for it before a scheduler is named, and
    beside the helper that finds it, since each takes a while to start."""

    def __init__(self) -> None:
        self.found: Resolved | None = None


class ClientLease:
    """The lease of one connection. `answer` gets what comes of each request, `over` is called when everything is
    detached after `close`. `finder` makes what finds schedulers, `holding` the holder's client."""

    def __init__(
        self,
        answer: Answer,
        over: Callable[[], None],
        *,
        usual: Usual | None = None,
        finder: Callable[[], Finder] = Resolver,
        holding: Callable[..., HolderClient] = HolderClient,
    ) -> None:
        self._answer = answer
        self._over = over
        self._usual = usual or Usual()
        self._finder = finder
        self._find: Finder | None = None
        self._holding = holding
        self._client: HolderClient | None = None
        self._libbpf: str | None = None
        self._lapsed = ""
        self.silence_s: float | None = None
        """How long the client may be silent now; None while nothing is attached."""
        self._waiting: queue.Queue[tuple[int, Mapping[str, Any]] | None] = queue.Queue(MOST_WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="at-daemon-lease", daemon=True)
        self._thread.start()

    # --- called by the server ---

    def ask(self, number: int, request: Mapping[str, Any]) -> None:
        """Begin to answer a request. Raises UsageError when too many wait."""
        try:
            self._waiting.put_nowait((number, request))
        except queue.Full:
            raise protocol.wrong("too many requests wait for the scheduler") from None

    def lapse(self) -> None:
        """The client is silent for too long: detach. It hears of it at its next request."""
        if self.silence_s is not None:
            self.silence_s = None
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait((-1, {"op": "lapse"}))

    def close(self) -> None:
        """Detach for good; what still waits is dropped."""
        self._closing.set()
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    # --- the thread ---

    def _run(self) -> None:
        self._find_anew()
        self._hold_early()
        while (one := self._waiting.get()) is not None and not self._closing.is_set():
            number, request = one
            try:
                self._answer(number, self._answered(request), None)
            except Exception as error:  # a bug must not keep a scheduler attached for ever, nor the client waiting
                self._answer(number, None, as_ours(error))
        self.silence_s = None
        self._drop()
        if self._find is not None:
            self._find.close()
        self._over()

    def _find_anew(self) -> None:
        """Start what finds schedulers, before it is needed; the next request says why that failed."""
        with contextlib.suppress(AutotuneError):
            self._find = self._finder()

    def _hold_early(self) -> None:
        """Start the holder that will probably do; another one takes its place where it does not."""
        if self._usual.found is not None:
            with contextlib.suppress(AutotuneError):
                self._ready(self._usual.found.libbpf)

    def _found(self, request: Mapping[str, Any]) -> Resolved:
        """Find what is asked for. A helper that failed is replaced for the next request."""
        asked = protocol.candidate(request), protocol.content_hash(request)
        if self._find is None:
            self._find = self._finder()
        try:
            return self._find(*asked)
        except AttachError:
            self._find.close()
            self._find = None
            raise

    def _answered(self, request: Mapping[str, Any]) -> Any:
        operation = {
            "attach": self._attach,
            "detach": self._detach,
            "exit": self._exit,
            "lapse": self._lapse,
        }[request["op"]]
        return operation(request)

    def _attach(self, request: Mapping[str, Any]) -> Any:
        self._lapsed = ""
        asked_s = protocol.seconds(request, "lease_s", least_s=LEAST_LEASE_S, most_s=MOST_LEASE_S, default_s=LEASE_S)
        found = self._usual.found = self._found(request)
        attachment = self._ready(found.libbpf).attach(found.spec)
        self.silence_s = min(asked_s, GENERATED_LEASE_S) if found.spec.generated else asked_s
        return to_json(attachment)

    def _ready(self, libbpf: str | None) -> HolderClient:
        """Return the holder's client; a new one when the last one's holder died."""
        if self._client is not None and (self._client.is_dead or self._libbpf != libbpf):
            self._drop()
        if self._client is None:
            self._client, self._libbpf = self._holding(libbpf=libbpf), libbpf
        return self._client

    def _detach(self, _request: Mapping[str, Any]) -> Any:
        self.silence_s = None
        self._raise_lapsed()
        if self._client is None:
            raise NotAttached("no scheduler is attached")
        return to_json(self._client.detach())

    def _exit(self, _request: Mapping[str, Any]) -> Any:
        self._raise_lapsed()
        return to_json(self._client.exit_record()) if self._client is not None else None

    def _lapse(self, _request: Mapping[str, Any]) -> None:
        if self._client is None:
            return
        detached = self._client.detach()
        self._lapsed = f"autotune said nothing for too long, and the daemon detached (state {detached.state.state})"

    def _raise_lapsed(self) -> None:
        lapsed, self._lapsed = self._lapsed, ""
        if lapsed:
            raise LeaseLapsed(lapsed, hint="it is attached again for the next run")

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(AutotuneError):  # nobody is left to hear of it; the state shows it
                client.close()


def refuse_without_root() -> None:
    """Raise UsageError where this service cannot attach anything."""
    if os.geteuid() != 0:
        raise UsageError(
            "this daemon does not run as root, so it grants no leases", hint="use --machine vm", stage=protocol.STAGE
        )
