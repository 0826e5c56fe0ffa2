# SPDX-License-Identifier: MIT
"""Replaces an attached scheduler for a session on the host and restores it afterwards; may keep the winner attached.

In a micro-VM there is nothing to replace, and nothing stays.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from autotune.errors import UsageError
from autotune.events import Step, Warned
from autotune.lease import applied, others, replacing
from autotune.lease.other import Other
from autotune.machine import select
from autotune.machine.base import Machine, Place
from autotune.machine.local import invoking_identity
from autotune.records import Session
from autotune.report import sweep
from autotune.schedext.resolve import CatalogResolver
from autotune.verdict.stats import percent_text

if TYPE_CHECKING:
    from autotune.schedext.catalogue.catalog import Catalog

Notify = Callable[[str], None]


def make_way(kind: select.MachineKind, consent: Callable[[Other], bool], *, apply: bool) -> Other | None:
    """Return the scheduler to replace for the session, with consent; None when there is none, or when the session runs
    in a micro-VM. Raises BusyError without consent, UsageError for `apply` where no winner can stay."""
    on_host = select.decide(kind).kind == "host"
    if apply:
        refuse_apply(on_host=on_host)
    other = others.look() if on_host else None
    if other is not None:
        replacing.refuse_unless_replaceable(other)
        replacing.consent(other, replace_current=consent(other), ask=None)
    return other


def refuse_apply(*, on_host: bool) -> None:
    """Raise UsageError for `apply` where no winner can stay."""
    if not on_host:
        problem = select.host_problem() or "--machine vm was given"
        raise UsageError(
            f"--apply keeps the winner on the host, which is not possible: {problem}",
            hint="leave it out, or see 'autotune doctor'",
        )


def keep_winner(session: Session, catalog: Catalog, lease_s: float, notify: Notify) -> None:
    """Attach the winner again and keep it attached until it is stopped. Raises what attaching and keeping raise."""
    if session.winner is None or not session.is_worth_it:
        notify(f"Nothing is applied: {_why_nothing(session)}")
        return
    won = next((one.candidate.alone for one in session.results if one.candidate.key == session.winner), None)
    candidate = won or catalog.parse_candidate(session.winner)
    for line in sweep.winner_lines(session):
        notify(line)
    with host(lease_s, notify) as machine:
        applied.keep(machine, CatalogResolver(machine.headers, catalog)(candidate), candidate, notify)


def _why_nothing(session: Session) -> str:
    if session.winner is not None:
        return f"{session.winner} gains less than the {percent_text(session.min_effect)} of --min-effect."
    faster = (one for one in session.results if one.verdict == "faster" and one.fresh_pairs and one.but)
    first = next(faster, None)
    if first is not None:
        return f"{first.candidate.short} is faster, but {first.but}."
    return "no scheduler was confirmed to beat EEVDF here."


@contextlib.contextmanager
def host(lease_s: float, notify: Notify) -> Iterator[Machine]:
    """Yield the host as a machine, and restore it at the end; `notify` gets what takes time."""

    def listen(event: Any) -> None:
        if isinstance(event, Warned):
            notify(event.text)
        elif isinstance(event, Step):
            notify(event.detail or event.name)

    place = Place(os.getcwd(), pristine=False, identity=invoking_identity())
    options: dict[str, Any] = {
        "cpus": None,
        "memory_bytes": None,
        "kernel": None,
        "keep_writes": None,
        "lease_s": lease_s,
    }
    with select.choose("host", place=place, listener=listen, **options) as machine:
        yield machine
