# SPDX-License-Identifier: MIT
"""Gate 1: reads a scheduler's source as the compiler does and applies rules that know scheduling.

The text is not trusted, so clang's parser reads it inside the sandbox (`parse_inside`), where no file is but the
headers that it may include, and within bounds of time, memory and output. The rules run here, on what came out.
docs/verification-source.md says of each rule what it proves and what it does not.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from autotune import resources
from autotune.errors import BuildError
from autotune.schedext.build import FLAGS, VMLINUX
from autotune.verify import sandbox
from autotune.verify.findings import Finding, GateReport
from autotune.verify.rules import facts, objects, queues, words

LIMITS = sandbox.Limits(wall_s=12.0, memory_bytes=1 << 30, output_bytes=16 << 20, file_bytes=1 << 20)
"""Our own schedulers take 0.5 s, 110 MB and print 30 KB."""
SITE, OURS, KERNEL, SCRIPT = "/shown/site", "/shown/include", "/shown/kernel", "/shown/parse_inside.py"
HINT = "make the source simpler: fewer macros, smaller expressions"


class _Stopped(Exception):
    """The parser did not come to an end; the message is for the model."""


def check(text: str, name: str, *, headers: Path) -> GateReport:
    """Gate 1 for a source. `name` is what the scheduler shall be called; `headers` is a directory that holds
    `linux/bpf/vmlinux.h`. What is wrong with the source is in the report, whatever the text is. Raises BuildError when
    there is no sandbox, or libclang is not installed."""
    started = time.monotonic()
    found: list[Finding] = [finding for rule in words.TEXT_RULES for finding in rule(text)]
    numbers: dict[str, Any] = {"source_bytes": len(text.encode(errors="replace")), "source_lines": text.count("\n") + 1}
    if not found:
        try:
            found += _parsed(text, name, headers, numbers)
        except _Stopped as error:
            found.append(Finding("parse-bounded", str(error), HINT))
        except RecursionError:
            found.append(Finding("parse-bounded", "the source is nested too deeply", HINT))
    ordered = sorted(_once(found), key=lambda finding: (finding.line or 0, finding.column or 0, finding.rule))
    return GateReport("source", tuple(ordered), numbers, time.monotonic() - started)


def _parsed(text: str, name: str, headers: Path, numbers: dict[str, Any]) -> Iterator[Finding]:
    """Findings on words first, and on the meaning where the text is safe to follow."""
    seen = _run("words", text, headers)
    spelled = [facts.Word(*item) for item in seen["words"]]
    early = [finding for rule in words.WORD_RULES for finding in rule(spelled)]
    yield from early
    if any(finding.rule == "include-allowed" for finding in early):
        return
    document = _run("tree", text, headers)
    broken = list(_parse_errors(document))
    yield from broken
    if broken:
        return
    known = facts.read(document, name)
    numbers.update(_numbers(known, document))
    for rule in objects.FACT_RULES:
        yield from rule(known)
    yield from _on_paths(known)


def _on_paths(known: facts.Facts) -> Iterator[Finding]:
    walks = queues.walk_all(known)
    if isinstance(walks, Finding):
        yield walks
        return
    for rule in queues.PATH_RULES:
        yield from rule(walks)


def _parse_errors(document: dict[str, Any]) -> Iterator[Finding]:
    for item in document["diagnostics"]:
        where = "" if item["file"] == facts.MAIN else f" (in {item['file'].rpartition('/')[2]})"
        # paths inside the sandbox mean nothing to whoever reads this
        message = re.sub(r"/(?:shown|work)/[\w./+-]*/", "", item["message"]) + where
        yield Finding("parse-error", message, "correct the C code", item["line"], item["column"])
    allowed = {f"{OURS}/at.h", f"{OURS}/at_clock.h", f"{KERNEL}/{VMLINUX}"}
    for path in document["includes"]:
        if os.path.normpath(path) not in allowed:
            yield Finding("include-allowed", f"'{path[:80]}' was included", f"only {', '.join(words.INCLUDES)} may be")


def _numbers(known: facts.Facts, document: dict[str, Any]) -> dict[str, Any]:
    """What a report tells of a source that could be read."""
    knobs = [
        {"name": each.name, "type": each.type.replace("const volatile ", ""), "default": _default(each)}
        for each in known.variables
        if each.file == facts.MAIN and each.const and each.volatile
    ]
    own = sum(function.file == facts.MAIN for function in known.functions.values())
    return {"functions": own, "nodes": document["nodes"], "callbacks": sorted(known.callbacks()), "knobs": knobs}


def _default(variable: facts.Variable) -> int | None:
    """Of a whole number or a boolean."""
    initial = variable.initial
    return initial.extra if initial is not None and initial.kind == "constant" else None


def _once(found: Iterable[Finding]) -> list[Finding]:
    """One finding of a rule for a place, since words and tree may both tell of it."""
    kept: dict[tuple[object, ...], Finding] = {}
    for finding in found:
        place = finding.column if finding.line is None or finding.rule != "no-inline-asm" else None
        text = finding.message if finding.rule != "no-inline-asm" else ""
        kept.setdefault((finding.rule, finding.line, place, text), finding)
    return list(kept.values())


# --- the parser, inside the sandbox ---------------------------------------------------------------------------------


def _run(what: str, text: str, headers: Path) -> dict[str, Any]:
    """One document of `parse_inside`. Raises _Stopped when the text does not let it end well."""
    python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    flags = [*FLAGS, "-nostdinc", "-ferror-limit=30", "-I", OURS, "-I", KERNEL]
    done = sandbox.run(
        [str(python), "-I", "-S", "-B", SCRIPT, what, SITE, *flags],
        shown=_shown(python, headers),
        limits=LIMITS,
        stdin=text.encode(),
    )
    if done.ended_for:
        raise _Stopped(f"the parser was ended: {done.ended_for}")
    if done.exit_code != 0:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        if "ModuleNotFoundError" in said or "LibclangError" in said or "can't open file" in said:
            raise BuildError(f"libclang cannot be used: {said[:200]}", hint="install autotune again", detail=said)
        raise _Stopped("the parser ran out of memory, or crashed")
    document = json.loads(done.stdout)
    if "too_much" in document:
        raise _Stopped("the source expands into more than can be followed, or is nested too deeply")
    if "not_parsed" in document:
        raise _Stopped("the parser gave the source up")
    return dict(document)


def _shown(python: Path, headers: Path) -> dict[Path, str]:
    """What the parser needs to see. Python is shown where it is, because it finds its library from there; below /usr
    the sandbox shows it anyway."""
    ours = resources.bpf_source_dir() / "include"
    shown = {
        _clang_package(): f"{SITE}/clang",
        Path(__file__).with_name("parse_inside.py"): SCRIPT,
        headers / VMLINUX: f"{KERNEL}/{VMLINUX}",
        ours / "at.h": f"{OURS}/at.h",
        ours / "at_clock.h": f"{OURS}/at_clock.h",
    }
    base = Path(sys.base_prefix)
    for place in {base, base.resolve(), python.parent.parent}:
        if not str(place).startswith(tuple(f"{system}/" for system in sandbox.SYSTEM)) and str(place) != "/usr":
            shown[place] = str(place)
    return shown


def _clang_package() -> Path:
    """Where libclang's Python package is installed. It is not imported here."""
    found = importlib.util.find_spec("clang")
    places = list(found.submodule_search_locations or ()) if found is not None else []
    if not places:
        raise BuildError("libclang is not installed", hint="install it: pip install libclang")
    return Path(places[0]).resolve()
