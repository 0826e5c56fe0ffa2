# SPDX-License-Identifier: MIT
"""`autotune status`: what is attached now, by whom, since when, which sessions are running, and what a daemon does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autotune.commands import submit
from autotune.commands.printing import columns, print_json, print_lines, say
from autotune.errors import AutotuneError

if TYPE_CHECKING:
    from autotune.knowledge.past import RunningSession
    from autotune.lease.standing import HostScheduler


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("status")(_status)


def _status(
    job: Annotated[int | None, typer.Argument(metavar="[ID]", min=1, help="A job in the queue of the daemon.")] = None,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print JSON.")] = False,
    socket: Annotated[Path | None, submit.SOCKET] = None,
) -> None:
    """Show what is attached on this host now, by whom and since when, which of your sessions are running, and what the
    daemon does; or all of one job of yours."""
    if job is not None:
        submit.show_job(job, json=as_json, socket=socket)
        return
    from autotune.lease import standing
    from autotune.wire import to_json

    now, running, queue = standing.standing(), _running(), _queue(socket)
    if as_json:
        print_json({"attached": to_json(now), "sessions": to_json(running), "daemon": queue})
        return
    print_lines([*_lines(now, running, columns()), *submit.queue_lines(queue)])


def _queue(socket: Path | None) -> dict[str, Any] | None:
    """Return what the daemon does; None, after an error line where one answers and refuses us, and where none does."""
    try:
        return submit.queue_seen(socket)
    except AutotuneError as error:
        if socket is not None:
            raise
        say(error)
        return None


def _running() -> Sequence[RunningSession]:
    """Return the sessions that are running; none, after an error line, where the store cannot be read."""
    from autotune.knowledge.archive import History
    from autotune.knowledge.store import Knowledge

    try:
        with Knowledge() as knowledge:
            return History(knowledge).running()
    except AutotuneError as error:
        say(error)
        return ()


def _lines(now: HostScheduler, running: Sequence[RunningSession], width: int) -> Iterator[str]:
    from autotune.views.paragraphs import paragraph
    from autotune.views.past import age_text

    yield from paragraph(_attached(now), width, 0, 2)
    if not running:
        yield "No session of yours is running."
    for one in running:
        began = age_text(time.time() - one.started_at)
        where = "on this host" if one.machine == "host" else "in a micro-VM"
        said = f"Session {one.name or one.id} runs {where}: {one.command} in {one.cwd}, begun {began}, {one.runs} runs"
        yield from paragraph(said, width, 0, 2)


def _attached(now: HostScheduler) -> str:
    from autotune.views.past import age_text

    if now.state == "unsupported":
        return "EEVDF: this kernel has no sched_ext, so nothing can be attached."
    if now.ops is None:
        return "EEVDF: nothing is attached."
    what = f"{now.candidate} is attached: {now.by}" if now.candidate is not None else f"Attached: {now.by}"
    since = "" if now.since is None else f", since {time.strftime('%Y-%m-%d %H:%M', time.localtime(now.since))}"
    age = "" if now.since is None else f" ({age_text(time.time() - now.since)})"
    partial = "; only tasks that ask for it are scheduled by it" if now.partial else ""
    return f"{what}{since}{age}{partial}."
