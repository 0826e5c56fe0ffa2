# SPDX-License-Identifier: MIT
"""`autotune schedulers list --custom`, `search`, `diff`, `export` and `import`: schedulers as a library."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autotune.commands import completion
from autotune.commands.custom import KernelOption, verified
from autotune.commands.output import write_new
from autotune.commands.printing import columns, print_json, print_lines
from autotune.errors import UsageError

if TYPE_CHECKING:
    from autotune.canary.standing import Known

_Json = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `autotune schedulers`."""
    app.command("search")(_search)
    app.command("diff")(_diff)
    app.command("export")(_export)
    app.command("import")(_import)


def _search(
    words: Annotated[list[str], typer.Argument(metavar="WORDS", help="What you want to do, in your own words.")],
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=100, help="Most schedulers.")] = 5,
    as_json: _Json = False,
) -> int:
    """Find schedulers for what you want to do, best first: by words, and by meaning with the extra 'search'.

    Nothing is asked of the network. Exit 1 when none fits.
    """
    from autotune.canary import standing
    from autotune.knowledge.store import Knowledge
    from autotune.schedext.catalogue import custom, finding
    from autotune.search import vectors
    from autotune.views import repository as views

    found = finding.found(custom.catalog().schedulers, " ".join(words), limit)
    with Knowledge() as knowledge:
        ranks = standing.standings(found, knowledge)
    told = {name: one.standing for name, one in ranks.items()}
    if as_json:
        print_json([views.found_as_json(one, told) for one in found])
    else:
        print_lines(views.found(found, told, width=columns(), install="" if vectors.available() else vectors.INSTALL))
    return 0 if found else 1


def _diff(
    first: Annotated[
        str, typer.Argument(metavar="A", help="One of your own, or of ours.", autocompletion=completion.schedulers)
    ],
    second: Annotated[
        str, typer.Argument(metavar="B", help="Another one, of either kind.", autocompletion=completion.schedulers)
    ],
) -> int:
    """Show how the source, the texts and the knobs of two schedulers differ. Exit 1 when they do."""
    from autotune.schedext.catalogue import ancestry, custom
    from autotune.views import repository as views

    catalog = custom.catalog()
    one, other = catalog.named(first), catalog.named(second)
    lines = list(views.differences(one, other, ancestry.source_of(one), ancestry.source_of(other)))
    print_lines(lines or [f"{one.name} and {other.name} do not differ."])
    return 1 if lines else 0


def _export(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Name, with or without 'custom:'.", autocompletion=completion.own_schedulers
        ),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="FILE", help="File to write; - for standard output.", show_default=False)
    ] = Path("-"),
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite FILE if it exists.")] = False,
) -> None:
    """Write a scheduler of your own as one JSON document, with its source and what came of it, to give to others.

    Commands and directories of your sessions are not in it, nor is the compiled object.
    """
    from autotune.verify import bundle

    found = known(name)
    text = bundle.exported(found.custom, found.of_this_build, found.promotion)
    write_new(text, None if output == Path("-") else output, "FILE", force=force)


def _import(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What 'autotune schedulers export' wrote.")],
    look: Annotated[
        bool, typer.Option("--look", metavar="", help="Only show what is in it and what it claims; keep nothing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Replace one of this name.")] = False,
    kernel: KernelOption = None,
    as_json: _Json = False,
) -> int:
    """Take in a scheduler that somebody exported: it passes the same gates as any other before it can be used.

    What it claims is shown as such, and counts for nothing here. Exit 0 when it passes.
    """
    from autotune.schedext.catalogue import custom
    from autotune.schedext.catalogue.origin import Maker
    from autotune.verify import bundle
    from autotune.views import repository as views

    submitted, claims = bundle.read(file)
    if look:
        shown = {**submitted.model_dump(mode="json"), "claims": claims.model_dump()}
        print_json(shown) if as_json else print_lines(views.bundle(submitted, claims, width=columns()))
        return 0
    if submitted.name in custom.names() and not force:
        raise UsageError(f"there is a custom:{submitted.name} already", hint="--force replaces it; --look shows this")
    if any(one.name == submitted.name for one in custom.catalog().schedulers):
        raise UsageError(f"{submitted.name} is one of ours", hint="whoever exported it must give it another name")
    if not as_json:
        print_lines(views.bundle(submitted, claims, width=columns()))
    return verified(submitted, kernel, as_json=as_json, maker=Maker("import"), claims=claims.model_dump())


# --- what is known of them -----------------------------------------------------------------------------------


def known(name: str) -> Known:
    """Return what is known of one of the user's own. Raises UsageError when there is none of this name, AutotuneError
    when something of it cannot be read."""
    from autotune.canary import standing
    from autotune.knowledge.store import Knowledge
    from autotune.schedext.catalogue import custom

    with Knowledge() as knowledge:
        return standing.known(custom.load(name), knowledge)


def show_custom(as_json: bool) -> None:
    """List the user's own schedulers, the best standing first."""
    import time

    from autotune.canary import standing
    from autotune.knowledge.store import Knowledge
    from autotune.schedext.catalogue import custom
    from autotune.views import repository as views

    with Knowledge() as knowledge:
        found = standing.all_known(custom.names(), knowledge)
    if as_json:
        print_json([{"name": one.custom.entry.name, **as_json_of_entry(one), **as_json_of(one)} for one in found])
    else:
        print_lines(views.listing(found, width=columns(), now=time.time()))


def as_json_of_entry(one: Known) -> dict[str, Any]:
    entry = one.custom.entry
    return {"description": entry.description, "use_cases": list(entry.use_cases), "algorithm": entry.algorithm}


def as_json_of(one: Known) -> dict[str, Any]:
    """Return standing, origin, strikes and outcomes, as JSON has them."""
    from autotune.wire import to_json

    outcomes = [
        {**to_json(dataclasses.replace(outcome, workload="")), "this_build": outcome.build == one.build}
        for outcome in one.outcomes
    ]
    for outcome in outcomes:
        del outcome["workload"]
    return {
        "standing": one.promotion.standing,
        "why": list(one.promotion.why),
        "origin": to_json(one.custom.origin),
        "strikes": to_json(list(one.strikes)),
        "canary_passed": list(one.canary_passed),
        "outcomes": outcomes,
    }
