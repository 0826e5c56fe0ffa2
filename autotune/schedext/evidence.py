# SPDX-License-Identifier: MIT
"""The evidence that a run was scheduled by its candidate.

Standard library only, since the guest agent uses it.
"""

from __future__ import annotations

from autotune.errors import AutotuneError, HolderLost
from autotune.records import (
    Evidence,
    KernelState,
    SchedulerExit,
)
from autotune.schedext.holding.client import DIED, SchedulerHolder
from autotune.schedext.kernel import ops_matches, read_state

ANEW = "it attached itself again during the run"


class EvidenceTaker:
    """Reads the kernel's state before and after a run. `holder` has the reason why a scheduler went; None for the
    baseline."""

    def __init__(self, holder: SchedulerHolder | None) -> None:
        self._holder = holder
        self._expected: str | None = None
        self._before: KernelState | None = None
        self._attached_seq: int | None = None

    def begin(self, expected_ops: str | None) -> None:
        """Look before the run. `expected_ops` is None for the kernel's own scheduler."""
        self._expected = expected_ops
        attachment = self._holder.attachment if self._holder is not None else None
        self._attached_seq = attachment.after.enable_seq if attachment is not None else None
        self._before = read_state()

    def finish(self) -> Evidence:
        """Look after the run and compare."""
        assert self._before is not None
        after = read_state()
        problem = compare(self._expected, self._before, after, self._attached_seq)
        if self._expected is not None and self._holder is not None and self._holder.is_dead:
            problem = DIED  # whatever the kernel shows: nobody guarantees it any more
        elif problem is not None and self._expected is not None:
            reason = self._reason()
            problem = f"{problem} ({reason})" if problem == ANEW and reason else reason or problem
        return Evidence(self._expected, self._before, after, problem)

    def _reason(self) -> str | None:
        """Return the kernel's own reason why the scheduler went."""
        try:
            gone = self._holder.exit_record() if self._holder is not None else None
        except HolderLost:
            return DIED
        except AutotuneError:
            return None
        return None if gone is None else exit_text(gone)


def exit_text(gone: SchedulerExit) -> str:
    """Describe why a scheduler went, as in the table."""
    reason = gone.reason or f"exit kind {gone.kind}"
    more = f" ({gone.message.splitlines()[0]})" if gone.message else ""
    return f"{'ejected' if gone.is_error else 'left'}: {reason}{more}"


def compare(
    expected: str | None, before: KernelState, after: KernelState, attached_seq: int | None = None
) -> str | None:
    """Check a run's scheduler. Returns what is wrong; None when the expected one was in charge all the time.
    `attached_seq` is the enable sequence seen when it was attached; None when unknown."""
    if before.enable_seq != after.enable_seq:
        itself = expected is not None and ops_matches(expected, before.ops) and ops_matches(expected, after.ops)
        return ANEW if itself else "another scheduler was attached during the run"
    if expected is not None and attached_seq is not None and before.enable_seq != attached_seq:
        return "another scheduler was attached before the run"
    for when, state in (("before", before), ("after", after)):
        if expected is None:
            if state.state not in ("disabled", "unsupported"):
                return f"the sched_ext scheduler '{state.ops}' was attached {when} the run"
        elif state.state != "enabled":
            return f"{expected} was not attached {when} the run (state {state.state})"
        elif not ops_matches(expected, state.ops):
            return f"'{state.ops}' was attached {when} the run instead of {expected}"
    return None
