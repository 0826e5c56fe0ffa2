# SPDX-License-Identifier: MIT
"""`autotune history ...`: what past sessions found, and how to get it out and in."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autotune.commands.output import write_new
from autotune.commands.printing import columns, print_json, print_lines
from autotune.errors import UsageError

if TYPE_CHECKING:
    from autotune.knowledge.archive import History
    from autotune.knowledge.past import PastSession

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    help="List, show, compare, search, forget, export and import past sessions.",
)
MOST_IMPORTED_BYTES = 256 << 20
_KIND = "autotune-history"

_Json = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON.")]
_Here = Annotated[bool, typer.Option("--here", metavar="", help="Only sessions of this directory.")]
_Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Most sessions, the newest first.")]
_Name = Annotated[str, typer.Argument(metavar="SESSION", help="Its name, or the beginning of it.", show_default=False)]


@app.callback(invoke_without_command=True)
def _history(context: typer.Context, as_json: _Json = False) -> None:
    if context.invoked_subcommand is None:
        _show_list(None, 20, as_json=as_json)


@app.command("list")
def _list(here: _Here = False, limit: _Limit = 20, as_json: _Json = False) -> None:
    """List past sessions: when and where each ran, and what it found."""
    from autotune.commands.workloads import current_directory

    _show_list(str(current_directory()) if here else None, limit, as_json=as_json)


@app.command("show")
def _show(
    name: Annotated[str | None, typer.Argument(metavar="SESSION", help="Its name, or the beginning of it.")] = None,
    last: Annotated[bool, typer.Option("--last", metavar="", help="The last session of this directory.")] = False,
    as_json: _Json = False,
) -> None:
    """Print the report of a session again, as 'autotune cc' did.

    What the command printed is not kept.
    """
    from autotune.report import json_document
    from autotune.report.plain_text import plain_text
    from autotune.report.sentences import kind_sentence

    if (name is None) == (not last):
        raise UsageError("one session is wanted", hint="name it, or give --last")
    with _archive() as archive:
        session = archive.whole(archive.named(name) if name is not None else _last(archive))
    if as_json:
        print_lines([json_document.json_text(session).rstrip("\n")])
        return
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(session.started_at))
    options = session.chain.options if session.chain is not None else ()
    kind = kind_sentence(session.observation, session.watched)
    head = [f"Session {session.id or name} of {when}", *([kind] if kind else [])]
    print_lines([*head, "", plain_text(session, options)])


@app.command("compare")
def _compare(first: _Name, second: _Name, as_json: _Json = False) -> None:
    """Show two sessions beside each other: what differs around them, and what each found."""
    from autotune.views import past

    with _archive() as archive:
        one, other = archive.named(first), archive.named(second)
    if as_json:
        print_json({"sessions": [_json(one), _json(other)], "agreement": past.agreement(one, other)})
        return
    print_lines(past.compared(one, other, width=columns()))


@app.command("search")
def _search(
    words: Annotated[list[str], typer.Argument(metavar="WORDS", help="Words, how they begin, or what is meant.")],
    notes: Annotated[
        bool, typer.Option("--notes", metavar="", help="Search the notes that models keep instead.")
    ] = False,
    limit: _Limit = 20,
    as_json: _Json = False,
) -> int:
    """Search commands, directories, schedulers, verdicts and notes. Exit 1 when nothing is found.

    Sessions that have all of the words; where none has, those that have some, or are about what is meant.
    """
    if notes:
        return _search_notes(" ".join(words), limit, as_json=as_json)
    with _archive() as archive:
        found = archive.search(words, limit)
        nearest = [] if found else archive.nearest(" ".join(words), limit)
    if as_json:
        print_json([{**_json(one), "has_all_words": bool(found)} for one in (found or nearest)])
    elif found or nearest:
        print_lines([] if found else ["No session has all of these words; the nearest:"])
        _print_sessions(found or nearest, as_json=False)
    else:
        print_lines([f"Nothing is known of {' '.join(words)!r}."])
    return 0 if found or nearest else 1


def _search_notes(query: str, limit: int, *, as_json: bool) -> int:
    from autotune.views import past

    with _archive() as archive:
        found = archive.notes(query, limit)
    if as_json:
        print_json(found)
    else:
        print_lines(past.notes(found, width=columns(), now=time.time()) if found else ["No note is about that."])
    return 0 if found else 1


@app.command("forget")
def _forget(
    names: Annotated[list[str] | None, typer.Argument(metavar="SESSION", help="Sessions to forget.")] = None,
    here: Annotated[bool, typer.Option("--here", metavar="", help="Forget all sessions of this directory.")] = False,
    everything: Annotated[bool, typer.Option("--all", metavar="", help="Forget all sessions and notes.")] = False,
) -> None:
    """Forget sessions for good: nothing of them is left in the file."""
    from autotune.commands.workloads import current_directory
    from autotune.report.text import counted

    if sum((bool(names), here, everything)) != 1:
        raise UsageError("name the sessions, or give one of --here and --all", hint="'autotune history' lists them")
    with _archive() as archive:
        if names:
            chosen = [archive.named(name) for name in names]
        else:
            chosen = archive.newest(None if everything else str(current_directory()), 1_000_000)
        gone = archive.forget(chosen, profiles=everything)
    print_lines([f"{counted(gone, 'session')} forgotten"])


@app.command("export")
def _export(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="File to write; - for standard output.")],
    here: _Here = False,
    schedcp: Annotated[
        bool, typer.Option("--schedcp", metavar="", help="Write SchedCP's schedcp_workloads.json instead.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite FILE if it exists.")] = False,
) -> None:
    """Write all sessions with their runs, and the notes that models keep, as JSON."""
    import json

    from autotune import __version__
    from autotune.commands.workloads import current_directory
    from autotune.knowledge import archive as kept
    from autotune.knowledge import schedcp as other
    from autotune.wire import to_json

    with _archive() as archive:
        sessions = list(kept.iterated(archive, str(current_directory()) if here else None))
        profiles = archive.profiles()
    if schedcp:
        document = other.document_of(sessions, profiles)
    else:
        document = {"kind": _KIND, "autotune": __version__, "sessions": [to_json(one) for one in sessions]}
        document["profiles"] = profiles
    write_new(json.dumps(document, indent=1) + "\n", None if output == Path("-") else output, "FILE", force=force)


@app.command("import")
def _import(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What 'history export' or 'cc --json' wrote, or SchedCP.")
    ],
) -> None:
    """Add the sessions of another store, of a report, or SchedCP's workloads. Known ones are left as they are.

    What is imported is never applied by itself: which build was measured is known only where that was done.
    """
    from autotune import reading
    from autotune.commands.workloads import current_directory
    from autotune.knowledge import schedcp
    from autotune.report.text import counted

    try:
        document = reading.json_of(file, most_bytes=MOST_IMPORTED_BYTES)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", hint="name a file that 'autotune history export' wrote") from None
    except ValueError as error:
        raise UsageError(f"{file}: {error}", hint="name a file that 'autotune history export' wrote") from None
    sessions, profiles = _parts(document, file)
    with _archive() as archive:
        if schedcp.is_one(document):
            profiles = schedcp.profiles_of(document, str(current_directory()))
        added = archive.take_in(sessions)
        noted = archive.take_in_profiles(profiles)
    said = [counted(added.sessions, "session"), counted(noted.profiles, "workload")]
    known = added.known + noted.known
    print_lines([f"{' and '.join(said)} added" + (f", {known} known already" if known else "")])


def _parts(document: Any, file: Path) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return the sessions and the profiles of a document of ours; nothing of SchedCP's. Raises UsageError."""
    from autotune.knowledge import schedcp

    if schedcp.is_one(document):
        return (), ()
    if isinstance(document, dict) and document.get("kind") == _KIND:
        sessions, profiles = document.get("sessions"), document.get("profiles")
        if isinstance(sessions, list) and isinstance(profiles, list):
            return sessions, profiles
    elif isinstance(document, dict) and "workload" in document and "results" in document:
        return (document,), ()
    raise UsageError(f"{file} holds no sessions", hint="name a file that 'autotune history export' wrote")


# --- parts -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _archive() -> Iterator[History]:
    from autotune.commands.printing import say
    from autotune.errors import AutotuneError
    from autotune.knowledge.archive import History
    from autotune.knowledge.store import Knowledge

    with Knowledge(warn=lambda text: say(AutotuneError(text, stage="history"))) as knowledge:
        yield History(knowledge)


def _show_list(cwd: str | None, limit: int, *, as_json: bool) -> None:
    with _archive() as archive:
        found = archive.newest(cwd, limit)
    if not found and not as_json:
        print_lines([_NONE_HERE if cwd is not None else _NONE])
        return
    _print_sessions(found, as_json=as_json)
    if not as_json:
        print_lines(drift_lines(cwd))


def drift_lines(cwd: str | None) -> list[str]:
    """Return the known bests (of a directory, or all) that everyday runs show to be none any more, a line each; empty
    where the store cannot say."""
    import sqlite3

    from autotune.knowledge import uses
    from autotune.knowledge.best import StoreProblem
    from autotune.report.text import printable

    try:
        db = uses.opened()
        if db is None:
            return []
        with contextlib.closing(db):
            return [f"{printable(command)}: {printable(said)}." for command, said in uses.drifts(db, cwd)]
    except (sqlite3.Error, StoreProblem):
        return []


_NONE_HERE = "There was no session in this directory yet."
_NONE = "There was no session yet."


def _print_sessions(found: Sequence[PastSession], *, as_json: bool) -> None:
    from autotune.views import past

    if as_json:
        print_json([_json(one) for one in found])
    else:
        print_lines(past.listing(found, width=columns(), now=time.time()))


def _json(session: PastSession) -> dict[str, Any]:
    from autotune.knowledge.past import finding
    from autotune.wire import to_json

    return {**to_json(session), "finding": finding(session)}


def _last(archive: History) -> PastSession:
    from autotune.commands.workloads import current_directory
    from autotune.knowledge import archive as kept

    return kept.require(archive.newest(str(current_directory()), 1), "in this directory")[0]
