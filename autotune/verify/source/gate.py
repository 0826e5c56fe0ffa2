# SPDX-License-Identifier: MIT
"""Gate 1: reads a scheduler's source as the compiler does and applies rules that know scheduling.

The text is not trusted, so clang's parser reads it inside the sandbox (`parser`), where it sees no file but the headers
that it may include, and within bounds of time, memory and output. The rules on its output run there too
(`judge_inside`), since the text decides how far they walk; only those on words, which look at each once, run here.
docs/verification-source.md explains what each rule proves, and what it does not.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from autotune import resources
from autotune.errors import BuildError
from autotune.frozen import dataclass
from autotune.schedext.build import FLAGS, VMLINUX
from autotune.verify import sandbox
from autotune.verify.findings import Finding, GateReport
from autotune.verify.source import facts, words

LIMITS = sandbox.SandboxLimits(wall_s=15.0, cpu_s=8, memory_bytes=1 << 30, output_bytes=16 << 20, file_bytes=1 << 20)
"""Limits for each of words, tree and rules. Our own schedulers take 0.5 s, 110 MB and print 30 KB for all of them."""
GATE_WALL_S = 25.0
"""Limit of the whole gate, on any machine and for any text."""
MOST_FINDINGS = 500
SITE, OURS, KERNEL, SHOWN = "/shown/site", "/shown/include", "/shown/kernel", "/shown"
PARSER, RULES = "parser.py", "judge_inside.py"
HINT = "make the source simpler: fewer macros, smaller expressions, fewer variables"


class _Stopped(Exception):
    """The parser or the rules did not finish; the message is for the model."""


def check(text: str, name: str, *, headers: Path) -> GateReport:
    """Apply gate 1 to a source. `name` is what the scheduler must be called; `headers` is a directory with
    `linux/bpf/vmlinux.h`. For any text the report has its faults, within GATE_WALL_S. Raises BuildError when there is
    no sandbox, or libclang is not installed."""
    started = time.monotonic()
    found: list[Finding] = list(words.size_bounded(text))
    numbers: dict[str, Any] = {"source_bytes": len(text.encode(errors="replace")), "source_lines": text.count("\n") + 1}
    if not found:
        found += words.plain_text(text)
    if not found:
        inside = _Inside(text, name, headers, started + GATE_WALL_S)
        try:
            for finding in islice(_parsed(inside, numbers), MOST_FINDINGS):
                found.append(finding)
        except _Stopped as error:
            found.append(Finding("parse-bounded", str(error), HINT))
    ordered = sorted(_once(found), key=lambda finding: (finding.line or 0, finding.column or 0, finding.rule))
    return GateReport("source", tuple(ordered), numbers, time.monotonic() - started)


def _parsed(inside: _Inside, numbers: dict[str, Any]) -> Iterator[Finding]:
    """Yield findings on words first, and on the meaning where the text is safe to follow."""
    spelled = [facts.Word(*item) for item in inside.words()["words"]]
    early = [finding for rule in words.WORD_RULES for finding in rule(spelled)]
    yield from early
    if any(finding.rule == "include-allowed" for finding in early):
        return
    document = inside.tree()
    broken = list(_parse_errors(document))
    yield from broken
    if broken:
        return
    judged = inside.judged(document)
    numbers.update(judged["numbers"])
    yield from (Finding(**item) for item in judged["findings"])


def _parse_errors(document: dict[str, Any]) -> Iterator[Finding]:
    for item in document["diagnostics"]:
        where = "" if item["file"] == facts.MAIN else f" (in {item['file'].rpartition('/')[2]})"
        # paths inside the sandbox mean nothing to a reader
        message = re.sub(r"/(?:shown|scratch)/(?:[\w.+-]+/)*", "", item["message"]) + where
        yield Finding("parse-error", message, "correct the C code", item["line"], item["column"])
    allowed = {f"{KERNEL}/{VMLINUX}", *(f"{OURS}/{name}" for name in words.HEADERS)}
    for path in document["includes"]:
        if os.path.normpath(path) not in allowed:
            yield Finding("include-allowed", f"'{path[:80]}' was included", f"only {', '.join(words.INCLUDES)} may be")


def _once(found: Iterable[Finding]) -> list[Finding]:
    """Keep one finding of a rule for a place, since words and tree may both report it."""
    kept: dict[tuple[object, ...], Finding] = {}
    for finding in found:
        place = finding.column if finding.line is None or finding.rule != "no-inline-asm" else None
        text = finding.message if finding.rule != "no-inline-asm" else ""
        kept.setdefault((finding.rule, finding.line, place, text), finding)
    return list(kept.values())


# --- the parser and the rules, inside the sandbox -------------------------------------------------------------------


@dataclass(frozen=True)
class _Inside:
    """Runs the parser and the rules in the sandbox. Each method raises _Stopped when they do not finish."""

    text: str
    name: str
    headers: Path
    until_s: float

    def words(self) -> dict[str, Any]:
        return self._parse("words")

    def tree(self) -> dict[str, Any]:
        return self._parse("tree", *FLAGS, "-nostdinc", "-ferror-limit=30", "-I", OURS, "-I", KERNEL)

    def judged(self, document: dict[str, Any]) -> dict[str, Any]:
        given = json.dumps(document, separators=(",", ":")).encode()
        return self._run("the rules", [RULES, SHOWN, self.name], _rules(), given)

    def _parse(self, what: str, *flags: str) -> dict[str, Any]:
        return self._run("the parser", [PARSER, what, SITE, *flags], _parser(self.headers), self.text.encode())

    def _run(self, who: str, argv: list[str], shown: dict[Path, str], given: bytes) -> dict[str, Any]:
        python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
        done = sandbox.run(
            [str(python), "-I", "-S", "-B", f"{SHOWN}/{argv[0]}", *argv[1:]],
            shown={**shown, **_python(python)},
            limits=replace(LIMITS, wall_s=max(0.0, min(LIMITS.wall_s, self.until_s - time.monotonic()))),
            stdin=given,
        )
        return _answer(done, who)


def _answer(done: sandbox.Done, who: str) -> dict[str, Any]:
    if done.ended_for:
        raise _Stopped(f"{who} had to be ended: {done.ended_for}")
    if done.exit_code != 0:
        complaint = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        if "ModuleNotFoundError" in complaint or "LibclangError" in complaint or "can't open file" in complaint:
            raise BuildError(
                f"libclang cannot be used: {complaint[:200]}", hint="install autotune again", detail=complaint
            )
        raise _Stopped(f"{who} ran out of memory, or crashed")
    document = json.loads(done.stdout)
    if "too_much" in document:
        raise _Stopped("the source expands into more than can be followed, or is nested too deeply")
    if "not_parsed" in document:
        raise _Stopped("the parser refused the source")
    return dict(document)


def _parser(headers: Path) -> dict[Path, str]:
    """Return the files that the parser needs."""
    ours = resources.bpf_source_dir() / "include"
    return {
        _clang_package(): f"{SITE}/clang",
        Path(__file__).with_name(PARSER): f"{SHOWN}/{PARSER}",
        headers / VMLINUX: f"{KERNEL}/{VMLINUX}",
        **{ours / name: f"{OURS}/{name}" for name in words.HEADERS},
    }


def _rules() -> dict[Path, str]:
    """Return the files that the rules need."""
    here = Path(__file__).parents[1]
    package = f"{SHOWN}/autotune"
    return {
        here / RULES: f"{SHOWN}/{RULES}",
        **{here.parent / name: f"{package}/{name}" for name in ("__init__.py", "frozen.py")},
        here: f"{package}/verify",
    }


def _python(python: Path) -> dict[Path, str]:
    """Show Python where it is installed, because it finds its library from there; all below /usr is visible."""
    shown = {}
    base = Path(sys.base_prefix)
    for place in {base, base.resolve(), python.parent.parent}:
        if not str(place).startswith(tuple(f"{system}/" for system in sandbox.SYSTEM)) and str(place) != "/usr":
            shown[place] = str(place)
    return shown


def _clang_package() -> Path:
    """Return where libclang's Python package is installed. It is not imported here."""
    found = importlib.util.find_spec("clang")
    places = list(found.submodule_search_locations or ()) if found is not None else []
    if not places:
        raise BuildError("libclang is not installed", hint="install it: pip install libclang")
    return Path(places[0]).resolve()
