# SPDX-License-Identifier: MIT
"""Before and after a session on the host: an attached scheduler makes way and is restored, and the winner may stay.

A micro-VM has nothing in the way, and nothing of it stays.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from autotune.errors import UsageError

if TYPE_CHECKING:
    from autotune.commands.arguments import CcArguments
    from autotune.config import Settings
    from autotune.lease.other import Other
    from autotune.machine.base import Machine
    from autotune.records import Session
    from autotune.schedext.catalogue.catalog import Catalog

Ask = Callable[[str], str]


def in_the_way(arguments: CcArguments, settings: Settings, human: TextIO) -> Other | None:
    """The scheduler to replace for the session, with the user's consent; None when there is none, or when the session
    runs in a micro-VM. Raises BusyError without consent, UsageError when --apply is given where nothing can stay."""
    from autotune.lease import others, replacing
    from autotune.machine import select

    on_host = select.decide(settings.machine).kind == "host"
    if arguments.apply and not on_host:
        problem = select.host_problem() or "--machine vm was given"
        raise UsageError(
            f"--apply keeps the winner on the host, which is not possible: {problem}",
            hint="leave it out, or see 'autotune doctor'",
        )
    other = others.look() if on_host else None
    if other is not None:
        replacing.consent(other, replace_current=arguments.replace_current, ask=asker(human))
    return other


def asker(human: TextIO) -> Ask | None:
    """A question at the terminal; None when there is no terminal."""
    if not (sys.stdin.isatty() and human.isatty()):
        return None

    def ask(text: str) -> str:
        from autotune.report.text import printable

        human.write(printable(text))
        human.flush()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line

    return ask


def keep_winner(session: Session, catalog: Catalog, notify: Callable[[str], None]) -> None:
    """Attach the winner again and keep it until it is stopped. Raises what attaching and keeping raise."""
    from autotune.lease import applied
    from autotune.schedext.resolve import CatalogResolver

    if session.winner is None:
        notify("Nothing is applied: no scheduler was confirmed to beat EEVDF here.")
        return
    candidate = catalog.parse_candidate(session.winner)
    with host(notify) as machine:
        applied.keep(machine, CatalogResolver(machine.headers, catalog)(candidate), candidate, notify)


@contextlib.contextmanager
def host(notify: Callable[[str], None]) -> Iterator[Machine]:
    """The host, given back at the end; `notify` gets what takes time."""
    from autotune.events import Step, Warned
    from autotune.machine import select
    from autotune.machine.base import Place
    from autotune.machine.local import invoking_identity

    def listen(event: Any) -> None:
        if isinstance(event, Warned):
            notify(event.text)
        elif isinstance(event, Step):
            notify(event.detail or event.name)

    place = Place(os.getcwd(), pristine=False, identity=invoking_identity())
    options: dict[str, Any] = {"cpus": None, "memory_bytes": None, "kernel": None, "keep_writes": None}
    with select.choose("host", place=place, listener=listen, **options) as machine:
        yield machine
