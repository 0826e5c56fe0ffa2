# SPDX-License-Identifier: MIT
"""`autotune submit`, `cancel`, `watch`: sessions in the queue of a daemon, and what `autotune status` shows of it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from autotune.commands.arguments import CcArguments, CcCommand, takes
from autotune.commands.printing import error_line, print_json, print_lines
from autotune.commands.workloads import current_directory, flags, workload_from
from autotune.errors import UsageError
from autotune.secrecy import redacted

if TYPE_CHECKING:
    from autotune.config import Settings
    from autotune.records import Workload

SOCKET = typer.Option("--socket", metavar="PATH", help="Where the daemon listens. Default: where one is found.")
_NOT_QUEUED = {
    "apply": "nobody could end what it keeps attached; 'autotune apply' the winner afterwards",
    "interactive": "nobody is there to be asked",
    "dry_run": "it starts nothing; use 'autotune cc --dry-run'",
    "continue_": "name the command",
}


class SubmitCommand(CcCommand):
    """A command with the options of `cc` that remembers its words as they were given."""

    words: ClassVar[list[str]] = []

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        type(self).words = list(args)
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("submit", cls=SubmitCommand)(_submit)
    app.command("cancel")(_cancel)
    app.command("watch")(_watch)


@takes(CcArguments)
def _submit(**given: Any) -> int:
    """Queue a session at the daemon: COMMAND and options as for 'autotune cc'.

    It runs as you, in this directory, with this environment, when its turn comes, also after you logged out.
    """
    return _queued(CcArguments(**given), SubmitCommand.words)


def _queued(arguments: CcArguments, words: list[str]) -> int:
    from autotune import config
    from autotune.machine.local import invoking_identity
    from autotune.service import client

    _refuse_what_needs_a_person(arguments)
    settings = config.load(flags(arguments), cwd=current_directory(), environ=os.environ)
    workload = workload_from(arguments)
    _warn_of_problems(arguments, workload, settings)
    report, more = _report(arguments)
    who = invoking_identity()
    as_user: dict[str, Any] = {"uid": who.uid, "gid": who.gid} if os.geteuid() == 0 else {}
    with client.connected() as daemon:
        job = daemon.request(
            "submit",
            command=redacted(workload.title),
            words=[*more, *words],
            cwd=workload.cwd,
            env=workload.env,
            report=report,
            **as_user,
        )
    print_lines(_said(job))
    return 0


def _warn_of_problems(arguments: CcArguments, workload: Workload, settings: Settings) -> None:
    """Print what would keep the session from starting now: a job before it may still make that. Raises UsageError for
    what none can."""
    from autotune.schedext.catalogue import custom
    from autotune.session import start
    from autotune.session.request import SessionRequest

    catalog = custom.catalog()
    candidates = tuple(catalog.parse_candidate(text) for text in arguments.scheduler or ())
    for problem in start.problems_later(SessionRequest(workload, settings, candidates)):
        print(f"{error_line(problem)} The job is queued all the same.", file=sys.stderr)


def _refuse_what_needs_a_person(arguments: CcArguments) -> None:
    for name, why in _NOT_QUEUED.items():
        if getattr(arguments, name):
            option = "--" + name.rstrip("_").replace("_", "-")
            raise UsageError(f"{option} is not for the queue: {why}")
    if arguments.json is not None and str(arguments.json) == "-":
        raise UsageError("--json - is not for the queue", hint="name a file, or leave it out")


def _report(arguments: CcArguments) -> tuple[str, list[str]]:
    """Return where the report will be, and the words that say so. Raises AutotuneError when it cannot be there."""
    from autotune import durable, resources

    if arguments.json is not None:
        return str(arguments.json.absolute()), []
    directory = resources.state_dir() / "reports"
    with durable.explained(f"no report can be written to {directory}", directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f"{time.strftime('%Y%m%dT%H%M%S')}-{os.urandom(3).hex()}.json"
    return str(path), ["--json", str(path)]


def _said(job: dict[str, Any]) -> list[str]:
    ahead = job["ahead"]
    when = "it begins now" if not ahead else f"{ahead} before it"
    return _for_people(
        [
            f"job {job['id']} is queued ({when}): {job['command']}",
            f"'autotune watch {job['id']}' shows it, 'autotune cancel {job['id']}' ends it",
            f"report: {job['report']}",
        ]
    )


def _cancel(
    job: Annotated[int, typer.Argument(metavar="ID", min=1, help="Job, as 'autotune status' shows it.")],
    socket: Annotated[Path | None, SOCKET] = None,
) -> None:
    """Remove a job of yours from the queue, or end it in order if it runs."""
    from autotune.service import client

    with client.connected(socket) as daemon:
        found = daemon.request("cancel", job=job)
    ending = "is being ended" if found["state"] == "running" else f"is {found['state']}"
    print_lines([f"job {job} {ending}"])


def _watch(
    job: Annotated[int, typer.Argument(metavar="ID", min=1, help="Job, as 'autotune status' shows it.")],
    socket: Annotated[Path | None, SOCKET] = None,
) -> int:
    """Show what a job of yours prints, from its beginning and as it happens, until it ends.

    Exit code: that of the session; 1 when it was cancelled or interrupted.
    """
    from autotune.service import client

    with client.connected(socket) as daemon:
        found = daemon.request("watch", timeout_s=None, on_event=_show, job=job)
    print_lines(details_lines(found)[1:])
    return int(found["exit_code"] or 0) if found["state"] in ("finished", "failed") else 1


def _show(event: dict[str, Any]) -> None:
    from autotune.report.text import printable

    state = event.get("state")
    if isinstance(state, dict) and state["state"] == "queued":
        print_lines([f"job {state['id']} waits: {state['ahead']} before it"])
    first, *following = str(event.get("output", "")).split("\n")
    print(printable(redacted(first)), end="")
    for line in following:
        print("\n" + printable(redacted(line)), end="")
    sys.stdout.flush()


# --- what `autotune status` shows -------------------------------------------------------------------------


def show_job(number: int, *, json: bool, socket: Path | None = None) -> None:
    """Print what there is to know of one job of the user's (`autotune status ID`)."""
    from autotune.service import client

    with client.connected(socket) as daemon:
        job = daemon.request("status", job=number)
    if json:
        print_json(job)
    else:
        print_lines(details_lines(job))


def queue_seen(socket: Path | None = None) -> dict[str, Any] | None:
    """Return what a daemon does: `jobs`, `lease`, `waits_for`; None when none answers. Raises AutotuneError where one
    does, and refuses us."""
    from autotune.service import client

    try:
        with client.connected(socket) as daemon:
            return dict(daemon.request("status"))
    except client.NoDaemon:
        if socket is not None:
            raise
        return None


def queue_lines(seen: dict[str, Any] | None) -> list[str]:
    """Return what a daemon does as lines for people."""
    if seen is None:
        return ["No daemon is running."]
    lease = seen["lease"]
    lines = [f"lease: {lease['user']}, since {_when(lease['since'])}" if lease else "lease: nobody has it"]
    active = [job for job in seen["jobs"] if job["state"] in ("running", "queued")]
    over = [job for job in seen["jobs"] if job not in active][-5:]
    lines += [_line(job) for job in [*over, *active]] or ["queue: empty"]
    if seen["waits_for"]:
        lines.append(f"the queue waits: {seen['waits_for']}")
    return _for_people(lines)


def _line(job: dict[str, Any]) -> str:
    at = job["ended_at"] or job["started_at"] or job["submitted_at"]
    return f"job {job['id']}: {job['state']} since {_when(at)}, {job['user']}: {job.get('command', '(not yours)')}"


def details_lines(job: dict[str, Any]) -> list[str]:
    """Return one job as lines for people."""
    state = job["state"] + (f", {job['ahead']} before it" if job["state"] == "queued" else "")
    exit_code = f" (exit code {job['exit_code']})" if job["exit_code"] is not None else ""
    lines = [
        f"job {job['id']} of {job['user']}: {job['command']}",
        f"state: {state}{exit_code}",
        *([f"why: {job['why']}"] if job["why"] else []),
        f"submitted: {_when(job['submitted_at'])}",
        *([f"began: {_when(job['started_at'])}"] if job["started_at"] else []),
        *([f"ended: {_when(job['ended_at'])}"] if job["ended_at"] else []),
        f"directory: {job['cwd']}",
        *([f"report: {job['report']}"] if job["report"] else []),
    ]
    return _for_people(lines)


def _for_people(lines: list[str]) -> list[str]:
    from autotune.report.text import printable

    return [printable(redacted(line)) for line in lines]


def _when(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))
