# SPDX-License-Identifier: MIT
"""Schedulers attached by the service instead of by a holder of our own: the same calls, and no root.

Standard library only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from autotune.deadline import Deadline, unlimited
from autotune.errors import AttachError, AutotuneError, DetachError, HolderLost
from autotune.records import Attachment, AttachSpec, Detachment, SchedulerExit
from autotune.schedext.holding.client import BEATS, BY_HAND, DETACH_S, GENERATED_LEASE_S, LEASE_S
from autotune.schedext.kernel import ops_matches, wait_for
from autotune.service.client import NoDaemon, ServiceClient, leasing
from autotune.service.leases import RESOLVE_S
from autotune.wire import from_json

ANSWER_S = 75.0
"""Deadline of an answer: a little longer than the service's own for its holder."""


class LeasedHolder:
    """The lease of a service, used as a HolderClient is. It is taken at once and kept until `close`: another session
    cannot come between two runs. Raises BusyError when somebody else has it."""

    def __init__(
        self,
        *,
        lease_s: float = LEASE_S,
        deadline: Deadline | None = None,
        connect: Callable[[], ServiceClient] = leasing,
    ) -> None:
        self._lease_s = lease_s
        self._deadline = deadline or unlimited()
        self._requests = threading.Lock()
        self._stopping = threading.Event()
        self.attachment: Attachment | None = None
        self._owed: Attachment | None = None
        self._client = connect()
        try:
            self._ask("lease")
        except BaseException:
            self._client.close()
            raise
        threading.Thread(target=self._beat, name="at-daemon-beat", daemon=True).start()

    def _beat(self) -> None:
        while not self._stopping.wait(min(self._lease_s, GENERATED_LEASE_S) / BEATS):
            self._client.beat()

    def _ask(self, op: str, more_s: float = 0.0, **fields: Any) -> Any:
        timeout_s = self._deadline.bound(ANSWER_S, least_s=ANSWER_S) + more_s
        try:
            with self._requests:
                return self._client.request(op, timeout_s=timeout_s, **fields)
        except NoDaemon as error:
            raise self._lost(error) from error

    def attach(self, spec: AttachSpec) -> Attachment:
        """Attach and confirm. Raises AttachError, BusyError, UsageError, HolderLost."""
        if not spec.candidate or spec.guide is not None:
            raise AttachError(
                f"the daemon attaches schedulers of its catalogue only, and {spec.ops} needs more",
                hint="use root or sudo for it",
            )
        start_s = spec.program.start_s if spec.program is not None else 0.0
        sha256 = spec.object_sha256 if spec.generated else None
        answer = self._ask(
            "attach", RESOLVE_S + start_s, scheduler=asked_for(spec), sha256=sha256, lease_s=self._lease_s
        )
        attachment = from_json(Attachment, answer)
        self.attachment = self._owed = attachment
        if not ops_matches(spec.ops, attachment.ops):
            self.detach()
            raise AttachError(f"the daemon attached {attachment.ops}, not {spec.ops}", hint="restart the daemon")
        return attachment

    def detach(self) -> Detachment:
        """Detach and confirm. Raises NotAttached, DetachError, HolderLost."""
        self.attachment = None
        answer = self._ask("detach")
        self._owed = None
        return from_json(Detachment, answer)

    def exit_record(self) -> SchedulerExit | None:
        answer = self._ask("exit")
        return None if answer is None else from_json(SchedulerExit, answer)

    @property
    def is_dead(self) -> bool:
        return self._client.is_closed

    def check(self) -> None:
        """Raise HolderLost, or DetachError, if the service is gone."""
        if self._client.is_closed:
            raise self._lost(None)

    def close(self) -> None:
        """End the lease: the service detaches. Raises DetachError when the kernel is not back on its own scheduler. May
        be called again."""
        self.attachment = None
        self._stopping.set()
        with self._requests:
            self._client.close()
        owed, self._owed = self._owed, None
        if owed is not None:
            self._require_gone(owed, "the daemon did not detach")

    def _lost(self, error: NoDaemon | None) -> AutotuneError:
        owed, self._owed, self.attachment = self._owed, None, None
        self._stopping.set()
        self._client.close()
        if owed is not None:
            self._require_gone(owed, "the daemon is gone")
        why = error.message if error is not None else "it is gone"
        return HolderLost(f"the lease of the daemon ended: {why}", hint="run again")

    def _require_gone(self, owed: Attachment, why: str) -> None:
        gone, state = wait_for(
            lambda seen: seen.state in ("disabled", "unsupported") or not ops_matches(owed.ops, seen.ops), DETACH_S
        )
        if not gone:
            raise DetachError(f"{why}, and {owed.ops} is still attached (state {state.state})", hint=BY_HAND)


def asked_for(spec: AttachSpec) -> str:
    """Return the scheduler as the service takes it, in partial mode where a canary asks for that."""
    if not spec.partial or "partial=true" in spec.candidate:
        return spec.candidate
    has_settings = ":" in spec.candidate.removeprefix("custom:")
    return f"{spec.candidate}{',' if has_settings else ':'}partial=true"
