# SPDX-License-Identifier: MIT
"""Gate 2: clang compiles the source where it can read nothing but the headers it needs (`sandbox`).

Paths inside are the same for every user and directory, so that the same source gives the same object, byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from autotune import resources
from autotune.frozen import dataclass
from autotune.schedext.build import FLAGS, Clang, newest_clang
from autotune.verify import callbacks, calls, sandbox
from autotune.verify.findings import Finding, GateReport
from autotune.verify.source.words import size_bounded

OURS, KERNEL, SOURCES = "/include/autotune", "/include/kernel", "/source"
LIMITS = sandbox.SandboxLimits(wall_s=20.0, cpu_s=8, memory_bytes=2 << 30, output_bytes=4 << 20, file_bytes=4 << 20)
"""Our own schedulers take 1 s and 300 MB, and give objects of 100 KB. The wall time allows for a busy machine."""
MOST_FINDINGS = 20
_DIAGNOSTIC = re.compile(
    r"^(?P<file>[^\s:][^:\n]*):(?P<line>\d+):(?P<column>\d+): (?P<kind>fatal error|error|warning|note): (?P<text>.*)$"
)
"""A diagnostic of clang as tools read it, without carets and colours."""


@dataclass(frozen=True)
class Compiled:
    """The report, and the object when the source passed."""

    report: GateReport
    content: bytes | None
    clang: Clang


def compile_source(text: str, name: str, headers: Path) -> Compiled:
    """Compile a scheduler's source. `headers` is a directory with `linux/bpf/vmlinux.h`. Raises BuildError when there
    is no compiler or no sandbox."""
    clang = newest_clang()
    too_large = tuple(size_bounded(text))  # a compiler's time may grow with the square of the text's length
    if too_large:
        return Compiled(GateReport("compile", too_large, {"clang": clang.version}), None, clang)
    done = sandbox.run(
        _argv(clang, name),
        shown={resources.bpf_source_dir() / "include": OURS, headers: KERNEL},
        given={f"{SOURCES}/{name}.bpf.c": text.encode()},
        limits=LIMITS,
    )
    content = done.stdout if done.stdout and done.exit_code == 0 and not done.ended_for else None
    output = done.stderr.decode(errors="replace")
    findings = tuple(_findings(done, output, f"{SOURCES}/{name}.bpf.c", content))
    if content is not None:
        findings += (*calls.check(content), *callbacks.check(content))
    numbers = {"clang": clang.version, "object_bytes": len(content or b"")}
    report = GateReport("compile", findings, numbers, done.wall_s, output)
    return Compiled(report, content if report.passed else None, clang)


def _argv(clang: Clang, name: str) -> list[str]:
    plain = ("-fno-color-diagnostics", "-fno-caret-diagnostics", f"-ferror-limit={MOST_FINDINGS}")
    # Of nested macros the outermost and the innermost are named; a crash writes no report.
    short = ("-fmacro-backtrace-limit=2", "-fspell-checking-limit=5", "-fno-crash-diagnostics")
    found = ("-I", OURS, "-I", KERNEL)
    # Depth is bounded more tightly than memory: a compile bomb then fails sooner, with a clearer error.
    bounds = ("-ftemplate-depth=1", "-fbracket-depth=256", "-nostdinc")
    return [clang.path, *FLAGS, *plain, *short, *bounds, *found, "-c", f"{SOURCES}/{name}.bpf.c", "-o", "-"]


def _findings(done: sandbox.Done, output: str, source: str, content: bytes | None) -> Iterator[Finding]:
    found = list(_diagnostics(output, source))
    yield from found
    if done.ended_for:
        yield Finding("compile-bounds", f"the compiler was ended: {done.ended_for}", "make the source simpler")
    elif content is None and not any(finding.severity == "error" for finding in found):
        text = f"the compiler ended with code {done.exit_code} and names no place: it ran out of memory, or crashed"
        yield Finding("compile-failed", text, "make the source simpler")


def _diagnostics(output: str, source: str) -> Iterator[Finding]:
    """Yield errors and warnings, in the source's own lines. One in a header is reported where the source uses it, which
    clang names in the notes that follow."""
    pending: Finding | None = None
    for line in output.splitlines():
        match = _DIAGNOSTIC.match(line)
        if match is None:
            continue
        here = match["file"] == source
        if match["kind"] == "note":
            if pending is not None and pending.line is None and here:
                pending = Finding(
                    pending.rule, pending.message, pending.advice, int(match["line"]), int(match["column"]),
                    pending.severity,
                )  # fmt: skip
            continue
        if pending is not None:
            yield pending
        pending = _finding(match, here)
    if pending is not None:
        yield pending


def _finding(match: re.Match[str], here: bool) -> Finding:
    is_error = "error" in match["kind"]
    where = "" if here else f" (in {match['file'].rpartition('/')[2]}, line {match['line']})"
    return Finding(
        "compile-error" if is_error else "compile-warning",
        f"{match['text']}{where}",
        line=int(match["line"]) if here else None,
        column=int(match["column"]) if here else None,
        severity="error" if is_error else "note",
    )
