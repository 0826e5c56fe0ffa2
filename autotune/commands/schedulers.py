# SPDX-License-Identifier: MIT
"""`autotune schedulers ...`: the schedulers to try, which of them are installed, and how to get the others."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autotune import signals
from autotune.commands import completion, repository
from autotune.commands.printing import columns, error_line, print_json, print_lines
from autotune.errors import AutotuneError, UsageError

if TYPE_CHECKING:
    from autotune.schedext.catalogue.catalog import Catalog, Scheduler
    from autotune.schedext.programs.cargo import BuildProgress
    from autotune.schedext.programs.inventory import Compared, InventoryEntry

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    help="List, describe, install and check schedulers.",
)
PLAIN_S = 5.0
"""Seconds between two lines of progress without a terminal."""

_Json = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def _schedulers(context: typer.Context, as_json: _Json = False) -> None:
    if context.invoked_subcommand is None:
        _show_all(as_json)


@app.command("list")
def _list(
    own: Annotated[
        bool,
        typer.Option("--custom", metavar="", help="Only your own: standing, maker, and what came of each."),
    ] = False,
    as_json: _Json = False,
) -> None:
    """List all schedulers: what each is for, which version is installed, and how to get it."""
    if own:
        repository.show_custom(as_json)
    else:
        _show_all(as_json)


@app.command("show")
def _show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A name that 'autotune schedulers' lists.", autocompletion=completion.schedulers
        ),
    ],
    source: Annotated[
        bool, typer.Option("--source", metavar="", help="Print its source too, of one of ours or of your own.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Describe a scheduler, its knobs, and where it was found.

    For one of your own also its standing, who made it from what, what the gates proved, and what came of it in every
    session.
    """
    from autotune.schedext.catalogue import ancestry
    from autotune.schedext.programs import inventory
    from autotune.views import listing
    from autotune.views import repository as views

    entry = next(iter(inventory.entries([_named(name)])))
    text = ancestry.source_of(entry.scheduler) if source else None
    _warn([entry])
    if as_json:
        more = {} if text is None else {"source_text": text}
        print_json(entry.as_json() | _proof_json(entry.scheduler) | more)
        return
    print_lines(listing.scheduler(entry.scheduler, width=columns(), row=_row(entry)))
    print_lines(_proof(entry.scheduler))
    if text is not None:
        print_lines(["", *views.source_lines(text)])


_Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME",
        help="Schedulers to check. Default: all that are installed.",
        autocompletion=completion.schedulers,
    ),
]


@app.command("check")
def _check(names: _Names = None, as_json: _Json = False) -> int:
    """Compare the catalogue with the --help of installed programs. Exit 1 when they differ.

    A program that is not installed is not an error.
    """
    from autotune.schedext.programs import inventory

    catalog = _catalog()
    chosen = [catalog.named(name) for name in names] if names else list(catalog.schedulers)
    compared = [inventory.compare(one) for one in chosen if one.kind == "binary"]
    if as_json:
        print_json([one.as_json() for one in compared])
    else:
        print_lines(_compared(compared, named=bool(names)))
    return 1 if any(one.differences or one.problem for one in compared) else 0


INSTALL_HELP = """Build schedulers from crates.io with cargo, into a store of autotune's own; nothing else is changed.

The first takes a few minutes, each further one up to two minutes. Build files are kept in ~/.cache/autotune/cargo (or
CARGO_TARGET_DIR), a few GB; deleting them only makes the next install slower. The schedulers are installed in
~/.local/share/autotune/schedulers.
"""


@app.command("install", help=INSTALL_HELP)
def _install(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Schedulers to build.", autocompletion=completion.schedulers),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="VERSION", help="Version to build instead of the catalogue's; for one NAME."),
    ] = None,
    show_list: Annotated[
        bool,
        typer.Option("--list", metavar="", help="List what is installed, in which version and where; build nothing."),
    ] = False,
) -> int:
    if show_list:
        _show_all(False)
        return 0
    if not names:
        raise UsageError("no scheduler is named", hint="'autotune schedulers' lists them")
    with signals.as_interrupts():
        return _install_all(names, version)


# --- listing ---------------------------------------------------------------------------------------------


def _catalog() -> Catalog:
    from autotune.schedext.catalogue import custom

    return custom.catalog()


def _named(name: str) -> Scheduler:
    """Return a scheduler of the catalogue; `custom:` may be left out. Raises UsageError for an unknown name,
    AutotuneError for a damaged scheduler."""
    from autotune.schedext.catalogue import custom
    from autotune.schedext.catalogue.catalog import CUSTOM

    catalog = _catalog()
    is_damaged = name in custom.names() and CUSTOM + name not in {one.name for one in catalog.schedulers}
    if name.startswith(CUSTOM) or is_damaged:
        return custom.load(name).entry
    return catalog.named(name)


def _proof(scheduler: Scheduler) -> Iterator[str]:
    """Show what the gates proved of a generated scheduler, its strikes on this host, where it comes from, and what came
    of it; nothing for other schedulers."""
    from autotune.schedext.catalogue import custom
    from autotune.views import listing
    from autotune.views import repository as views

    if not scheduler.is_generated:
        return
    known = repository.known(scheduler.name)
    one = known.custom
    yield from listing.proof(one.seal, custom.read_reports(one), width=columns())
    yield from views.details(known, custom.read_claims(one), width=columns(), now=time.time())
    yield f"Source: {one.source}"


def _proof_json(scheduler: Scheduler) -> dict[str, Any]:
    from autotune.schedext.catalogue import custom
    from autotune.wire import to_json

    if not scheduler.is_generated:
        return {}
    known = repository.known(scheduler.name)
    one = known.custom
    proof = {"seal": {**to_json(one.seal), "token": "kept"}, "reports": custom.read_reports(one)}
    return {**proof, **repository.as_json_of(known), "claims": custom.read_claims(one)}


def _show_all(as_json: bool) -> None:
    from autotune.schedext.programs import inventory
    from autotune.views import listing

    entries = inventory.entries(_catalog().schedulers)
    _warn(entries)
    if as_json:
        print_json([entry.as_json() for entry in entries])
    else:
        print_lines(listing.schedulers([_row(entry) for entry in entries], width=columns()))


def _row(entry: InventoryEntry) -> Any:
    from autotune.views.listing import ListingRow

    return ListingRow(entry.scheduler, entry.found, entry.version, entry.get)


def _warn(entries: Sequence[InventoryEntry]) -> None:
    """Warn about programs that were found but cannot be used; the table still lists the rest."""
    for entry in entries:
        if entry.problem is not None:
            print(error_line(entry.problem), file=sys.stderr)


def _compared(compared: Sequence[Compared], *, named: bool) -> Iterator[str]:
    from autotune.report.text import printable

    here = [one for one in compared if one.binary is not None or one.problem is not None]
    for one in compared if named else here:
        yield printable(one.headline())
        yield from (f"  {printable(difference.sentence)}" for difference in one.differences)
    if not here and not named:
        yield "No program of the catalogue is installed; 'autotune schedulers install NAME' builds one."


# --- installing ------------------------------------------------------------------------------------------


def _install_all(names: Sequence[str], version: str | None) -> int:
    """Check everything before the first build, then build all; one that fails does not stop the others."""
    from autotune.schedext.programs import crates, needs

    catalog = _catalog()
    named = {scheduler.name: scheduler for scheduler in map(catalog.named, names)}  # lavd and scx_lavd are one
    if version is not None and len(named) > 1:
        raise UsageError("--version is for one scheduler", hint="install them one by one")
    wanted = [(scheduler, crates.version_of(scheduler, version)) for scheduler in named.values()]
    crates.refuse_sudo()
    needs.require([scheduler for scheduler, _ in wanted])
    failed: list[AutotuneError] = []
    with crates.opened_store() as store:
        for scheduler, number in wanted:
            try:
                _install_one(scheduler, number, store)
            except AutotuneError as error:
                if len(wanted) == 1:
                    raise
                failed.append(error)
                print(error_line(error), file=sys.stderr)
    return failed[0].exit_code if failed else 0


def _install_one(scheduler: Scheduler, version: str, store: Any) -> None:
    from autotune.schedext.programs import crates

    with _progress_shown(f"{scheduler.name} {version}") as listener:
        done = crates.install(scheduler, version, store, listener)
    if done.build_s is None:
        print(f"{scheduler.name} {version} is installed already: {done.binary.path}")
    else:
        print(f"{scheduler.name} {version} was built in {done.build_s:.0f} s: {done.binary.path}", flush=True)


@contextlib.contextmanager
def _progress_shown(what: str) -> Iterator[Any]:
    """Yield a listener that shows progress: on one changing line at a terminal, else on a new line every few
    seconds."""
    terminal = sys.stdout.isatty()
    last = -PLAIN_S

    def show(progress: BuildProgress) -> None:
        nonlocal last
        text = f"{what}: {_progress(progress)}"
        if terminal:
            print(f"\r\x1b[2K{text[: columns() - 1]}", end="", flush=True)
        elif progress.elapsed_s - last >= PLAIN_S:
            last = progress.elapsed_s
            print(text, flush=True)

    try:
        yield show
    finally:
        if terminal:
            print("\r\x1b[2K", end="", flush=True)


def _progress(progress: BuildProgress) -> str:
    from autotune.report.text import printable

    counter = f"{progress.done} of {progress.total} crates, " if progress.total else ""
    elapsed = time.strftime("%M:%S", time.gmtime(progress.elapsed_s))
    return f"{counter}{elapsed} ({printable(progress.doing)})"
