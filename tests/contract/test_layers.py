# SPDX-License-Identifier: MIT
"""Imports point down only, without circles, and what runs as root or inside the VM imports the standard library only.

A room is a package or a top module; inside a room its files and sub-rooms are ordered again. A rank may import itself
and what is below it, but never in a circle: not between files, and not between the parts of a room.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "autotune"

Ranks = Sequence[Sequence[str]]
Graph = Mapping[str, set[str]]

RANKS: Mapping[str, Ranks] = {
    "": (
        ("frozen", "opening"),
        ("deadline", "errors", "expressions", "homes", "reading", "quantities", "resources"),
        ("records",),
        ("parameters",),
        ("wire", "events", "process", "durable", "privilege", "trust", "config", "redact", "digests"),
        ("secrecy", "signals"),
        ("verdict",),
        ("report", "prompt", "search"),
        ("knowledge",),
        ("measure", "runner"),
        ("schedext",),
        ("observe",),
        ("canary",),
        ("service",),
        ("machine",),
        ("verify",),
        ("lease",),
        ("wrapper",),
        ("views",),
        ("tools",),
        ("planner",),
        ("session",),
        ("mcp",),
        ("commands",),
        ("fleet", "daemon"),
        ("cli", "__main__"),
    ),
    "schedext": (
        ("btf", "build", "kernel", "libbpf", "seal"),
        ("catalogue", "holding"),
        ("evidence", "programs"),
        ("resolve",),
    ),
    "verify": (
        ("comments", "findings", "inside", "summary", "syscalls"),
        ("calls", "maps", "sandbox"),
        ("callbacks",),
        ("source", "load", "behaviour", "submission"),
        ("compile", "judge_inside", "bundle"),
        ("gates",),
    ),
    "observe": (
        ("keys", "layout", "perf"),
        ("decode", "probe", "client"),
        ("bound",),
        ("expectations", "profile"),
        ("chrome_trace",),
    ),
    "service": (
        ("protocol", "peers", "places", "jobs", "session"),
        ("running", "leases", "listing", "client"),
        ("connection", "submitting", "leased"),
        ("server",),
    ),
    "mcp": (
        ("answers", "clients", "peers", "questions", "results", "streams"),
        ("requests",),
        ("offers", "bench", "worker"),
        ("jobs", "shelf"),
        ("desk",),
        ("server", "web"),
        ("serving",),
    ),
    "planner": (
        ("base", "knob_space", "within"),
        ("knob_model", "offline", "remote"),
        ("knob_search", "fallback", "informed", "claude"),
        ("chat",),
        ("services",),
        ("assembly",),
    ),
}
"""By room, lowest first. To add a module or a room, add its name where it belongs. Rooms that are not listed are small:
their parts may import each other in any order, but for circles."""

LEAN = (
    "canary.bounds", "canary.senses", "canary.stages", "canary.watch", "daemon", "deadline", "durable", "errors",
    "events", "expressions", "frozen", "homes", "knowledge.best", "knowledge.claims", "knowledge.commands",
    "knowledge.matching", "knowledge.projects", "knowledge.uses", "knowledge.versions",
    "lease.keeper", "lease.loaders", "lease.other", "lease.others", "lease.owners", "lease.replacing", "lease.sharing",
    "machine.base",
    "machine.executor", "machine.here", "machine.pauses", "machine.traits", "machine.ways", "machine.vm.guest",
    "machine.vm.inherited",
    "machine.vm.writes", "measure.bystander", "measure.capture", "measure.client", "measure.counters",
    "measure.descendants", "measure.energy",
    "measure.pristine", "measure.shown", "measure.spawning", "measure.surroundings", "measure.wakeups",
    "observe.client", "observe.layout", "observe.probe", "opening", "parameters", "privilege", "process", "quantities",
    "reading", "records", "resources", "runner",
    "schedext.evidence", "schedext.holding.client", "schedext.holding.fence", "schedext.holding.attached",
    "schedext.holding.guard", "schedext.holding.guide", "schedext.holding.holder",
    "schedext.holding.last_words", "schedext.holding.program",
    "schedext.holding.progress", "schedext.kernel", "schedext.libbpf", "schedext.seal",
    "service.client", "service.connection", "service.jobs", "service.leased", "service.leases", "service.listing",
    "service.peers", "service.places", "service.protocol", "service.running", "service.server", "service.submitting",
    "signals", "trust",
    "verdict.budget", "verdict.confirm", "verdict.levels", "verdict.stats", "verdict.sweep",
    "verify.behaviour.crew", "verify.behaviour.loads", "verify.findings", "verify.inside", "verify.load.gate",
    "verify.load.verifier_log", "wire", "wrapper.asked", "wrapper.attendant", "wrapper.ending", "wrapper.execute",
    "wrapper.front", "wrapper.given", "wrapper.known", "wrapper.policy", "wrapper.telling",
)  # fmt: skip
"""Standard library only."""


# --- what imports what -----------------------------------------------------------------------------------


def files() -> dict[str, Path]:
    """Files of the package by dotted name; a room's own `__init__` has the room's name."""
    found = {}
    for path in PACKAGE.glob("**/*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if "data" not in parts:
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


FILES = files()


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    """Dotted names that a file imports; those under TYPE_CHECKING are not real imports."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    text = path.read_text()
    nodes = list(ast.walk(ast.parse(text)))
    unreal: set[int] = set()
    if "TYPE_CHECKING" in text:
        conditions = (node for node in nodes if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        unreal = {id(inner) for node in conditions for inner in ast.walk(node)}
    for node in nodes:
        if id(node) in unreal:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole.removeprefix("autotune.") in FILES else node.module


def ours(path: Path) -> set[str]:
    names = {name.removeprefix("autotune.") for name in imports(path) if name.startswith("autotune.")}
    return names & FILES.keys()


@functools.cache
def whole() -> Graph:
    """What each file imports of ours. Parsed when a test asks: each process that collects the tests imports this
    file."""
    return {name: ours(path) - {name} for name, path in FILES.items()}


def rooms() -> list[str]:
    """Every package, the whole one first, which is ''."""
    return sorted(name for name, path in FILES.items() if path.name == "__init__.py")


def parts(graph: Graph, room: str) -> dict[str, set[str]]:
    """The files and sub-rooms of a room, with what they import of each other."""
    start = f"{room}." if room else ""

    def part(name: str) -> str | None:
        inside = name.startswith(start) and name != room
        return name.removeprefix(start).split(".")[0] if inside else None

    found: dict[str, set[str]] = {}
    for name, below in graph.items():
        own = part(name)
        if own is not None:
            others = {part(other) for other in below} - {own, None}
            found.setdefault(own, set()).update(other for other in others if other is not None)
    return found


def circle(graph: Graph) -> list[str]:
    """A way from a node back to itself; empty when there is none."""
    done: set[str] = set()

    def follow(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return []
        for below in sorted(graph.get(node, ())):
            found = follow(below, [*way, node])
            if found:
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := follow(node, []))), [])


def upward(inside: Graph, ranks: Ranks) -> list[str]:
    """What is imported from above, as `low -> high`. Raises AssertionError for a part that has no rank."""
    rank = {name: number for number, names in enumerate(ranks) for name in names}
    homeless = inside.keys() - rank.keys()
    assert not homeless, f"no rank yet: {sorted(homeless)}; add them to RANKS, where they belong"
    return [
        f"{name} -> {below}" for name in sorted(inside) for below in sorted(inside[name]) if rank[below] > rank[name]
    ]


# --- the rules -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", RANKS, ids=lambda room: room or "autotune")
def test_imports_point_down_only(room: str) -> None:
    assert upward(parts(whole(), room), RANKS[room]) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle(whole()) == []


@pytest.mark.parametrize("room", rooms(), ids=lambda room: room or "autotune")
def test_no_parts_of_a_room_import_each_other_in_a_circle(room: str) -> None:
    assert circle(parts(whole(), room)) == []


@pytest.mark.parametrize("module", LEAN)
def test_what_runs_in_the_guest_or_as_root_imports_the_standard_library_only(module: str) -> None:
    foreign = {name.split(".")[0] for name in imports(FILES[module])} - set(sys.stdlib_module_names) - {"autotune"}
    assert foreign == set()
    assert whole()[module] - set(rooms()) - set(LEAN) == set()


@pytest.mark.parametrize(
    ("library", "user"), [("anthropic", "planner.claude.service"), ("openai", "planner.chat.service")]
)
def test_only_its_service_imports_the_library_of_a_model(library: str, user: str) -> None:
    users = {name for name, path in FILES.items() if any(one.split(".")[0] == library for one in imports(path))}
    assert users <= {user}


# --- the rules can fail ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("graph", "found"),
    [
        ({"a": {"b"}, "b": {"a"}}, ["a", "b", "a"]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}}, ["a", "b", "c", "a"]),
        ({"a": {"b", "c"}, "b": {"c"}, "c": set()}, []),
        ({"x": {"a"}, "a": {"b"}, "b": {"b"}}, ["b", "b"]),
    ],
)
def test_a_circle_is_found(graph: Graph, found: list[str]) -> None:
    assert circle(graph) == found


def test_an_injected_import_is_found_between_files_between_rooms_and_against_the_ranks() -> None:
    files_in_a_circle = {**whole(), "verdict.stats": whole()["verdict.stats"] | {"verdict.race"}}
    assert circle(files_in_a_circle)
    rooms_in_a_circle = {
        **whole(),
        "schedext.catalogue.knobs": whole()["schedext.catalogue.knobs"] | {"schedext.resolve"},
    }
    assert circle(parts(rooms_in_a_circle, "schedext"))
    upwards = {**whole(), "planner.base": whole()["planner.base"] | {"planner.assembly"}}
    assert upward(parts(upwards, "planner"), RANKS["planner"]) == ["base -> assembly"]


def test_a_module_without_a_rank_is_named() -> None:
    with pytest.raises(AssertionError, match="no rank yet: \\['newcomer'\\]"):
        upward({"newcomer": set()}, RANKS[""])


# --- the architecture on one page ------------------------------------------------------------------------

ARCHITECTURE = PACKAGE.parent / "docs" / "ARCHITECTURE.md"


def test_the_architecture_is_one_page_and_names_every_room() -> None:
    text = ARCHITECTURE.read_text()
    assert len(text.splitlines()) <= 100
    missing = [part for part in parts(whole(), "") if part not in text and part != "__main__"]
    for room in ("schedext", "machine", "verify", "planner"):
        inner = [part for part in parts(whole(), room) if f"{room}.{part}" in rooms()]
        missing += [f"{room}/{part}" for part in inner if f"`{part}/`" not in text]
    assert missing == []


def absent(text: str) -> list[str]:
    """What a text names in backticks and is not there: paths, from the top, from the package or (`x.py`) in any room;
    and in a row of a table that begins with a room, all names, as parts of that room."""
    return [word for line in text.splitlines() for word in _absent_in(line)]


def _absent_in(line: str) -> Iterator[str]:
    cells = [re.findall(r"`([^`]+)`", cell) for cell in line.split("|")]
    rooms_of_row = [word for word in cells[1] if word.endswith("/")] if len(cells) > 1 else []
    for word in (word for cell in cells for quoted in cell for word in quoted.split()):
        is_path = "/" in word or word.endswith((".py", ".json"))
        if (is_path or rooms_of_row) and "NAME" not in word and not _is_there(word, rooms_of_row):
            yield word


def _is_there(word: str, rooms_of_row: Sequence[str]) -> bool:
    if word.endswith(".py") and "/" not in word:
        return any(PACKAGE.rglob(word))
    places = [PACKAGE.parent, PACKAGE, *(PACKAGE / room for room in rooms_of_row)]
    return any((place / name).exists() for place in places for name in (word, f"{word}.py"))


def test_every_place_that_the_architecture_names_is_there() -> None:
    assert absent(ARCHITECTURE.read_text()) == []


def test_a_place_that_is_not_there_is_found() -> None:
    text = "`verdict/gone.py`, `planner/base`, `gone.py`, `Planner`\n| `verdict/` | `race`, `gone` | `race.py` |"
    assert absent(text) == ["verdict/gone.py", "gone.py", "gone"]
