# SPDX-License-Identifier: MIT
"""Explains a log of the kernel's verifier to a writer of schedulers: the complaint, the line, the advice.

A log is a trace: instructions, register states, annotations with the source line (`; text @ file:line`), and near its
end the complaint. Pure; standard library only.
"""

from __future__ import annotations

import re

from autotune.frozen import dataclass
from autotune.verify.findings import Finding

LIMIT_INSTRUCTIONS = 1_000_000
"""The kernel's BPF_COMPLEXITY_LIMIT_INSNS: the most that the verifier walks through before it refuses."""


@dataclass(frozen=True)
class Complaint:
    """A kind of complaint: its pattern, its meaning, what to do."""

    pattern: str
    meaning: str
    advice: str


WRITABLE = "write only p->scx.slice and p->scx.dsq_vtime (or through their kfuncs); all else may only be read"

COMPLAINTS = (
    Complaint(
        r"infinite loop detected|back-edge from insn|the loop is not bounded",
        "a loop whose end the verifier cannot see",
        "count with bpf_iter_num_new/next/destroy, or give the loop a constant upper bound that is compared every time",
    ),
    Complaint(
        r"program is too large|too complex|Processed \d{7,} insn",
        f"the verifier gave up after {LIMIT_INSTRUCTIONS} instructions: loops are walked through turn by turn",
        "use bpf_iter_num for loops, fewer branches inside them, and fewer nested ones",
    ),
    Complaint(
        r"invalid mem access '\w+_or_null_?'|[Pp]ossibly NULL pointer",
        "a pointer that may be NULL is used",
        "compare it with NULL first: lookups and kfuncs that return pointers may find nothing",
    ),
    Complaint(
        r"invalid mem access '(scalar|inv)'",
        "a number is used as a pointer",
        "read only through pointers that the kernel gave with their type; a pointer that was computed has lost it",
    ),
    Complaint(
        r"R0 !read_ok|At program exit the register R0",
        "a path ends without a valid return value",
        "return a value on every path, within what this callback may return",
    ),
    Complaint(
        r"R\d !read_ok",
        "a variable is read that some path never sets",
        "give it a value where it is declared",
    ),
    Complaint(
        r"invalid access to map value|outside of the allowed memory range|unbounded memory access"
        r"|min value is negative|math between .* unbounded|unbounded variable-offset",
        "an index may be outside of its array",
        "compare an unsigned index with the array's length just before it is used",
    ),
    Complaint(
        r"invalid (read from|write to|indirect \w+ (from|to)) stack|stack (depth|size).*(exceeds|too large)"
        r"|combined stack size|invalid variable-offset .* stack",
        "local variables take more than the 512 bytes of stack, or are used beyond their end",
        "keep large variables in a map or in global data",
    ),
    Complaint(
        r"(calling kernel function|program of this type cannot use helper|unknown func|helper call is not allowed)"
        r".*|cannot call .* from|kernel function .* not allowed",
        "this function may not be called from this callback",
        "use the functions that our own schedulers use in the same callback",
    ),
    Complaint(
        r"sleepable|may sleep|might sleep|in (atomic|non-preemptible|non-sleepable|IRQ)",
        "a function that may sleep is called where nothing may sleep",
        "only init and exit callbacks may sleep (SEC struct_ops.s), and never while holding a lock",
    ),
    Complaint(
        r"[Uu]nreleased reference|reference .*(leak|not released)|BPF_EXIT instruction .* would lead to reference leak",
        "something that was acquired is not released on every path",
        "release it (bpf_task_release, scx_bpf_put_cpumask, bpf_iter_num_destroy) before each return",
    ),
    Complaint(
        r"spin_lock|holding a lock",
        "a lock is taken where that is not allowed",
        "call nothing between taking and releasing a lock, and release it on every path",
    ),
    Complaint(
        r"type=\w* ?expected=|arg#?\d+.*(expected|must be|pointer type)|R\d must (be|point)|Unsupported arg",
        "an argument has another type than the function takes",
        "pass the pointer exactly as the callback received it",
    ),
    Complaint(
        r"invalid access to|cannot access|write into|only read is supported|access beyond",
        "kernel memory that may not be read, or not be written, is accessed",
        WRITABLE,
    ),
)
"""The most frequent complaints; the first whose pattern is found explains a line."""

_ANNOTATION = re.compile(r"^\s*; (?P<text>.*?)(?: @ (?P<file>[^@:]+):(?P<line>\d+))\s*$")
_TRACE = re.compile(
    r"^\s*(\d+: |; |R\d+(_\w+)?=|from \d+ to \d+|\(?[0-9a-f]{2}\)|func#\d|Func#|fp-\d|arg#\d+ reference type|"
    r"(cur|old) state:|frame\d+:|mark_precise|regs=|last_idx|parent |caller:|callee:|returning from|propagating|"
    r"func '\w+' arg\d+ has|Global function|Validating|=+$|-- |libbpf: |\[\.\.\.|reg type unsupported)"
)
_INSTRUCTION = re.compile(r"^\s*\d+: \([0-9a-f]{2}\)")
_STORE = re.compile(r"\*\(u\d+ \*\)\(r\d+ [+-]\d+\) = ")
_TAKEN = re.compile(r"^Unreleased reference id=\d+ alloc_insn=(\d+)")
_STATISTICS = re.compile(
    r"^(processed \d+ insns|verification time|stack depth|max_states|peak_states|mark_read|total_states|insns_)"
)
_PROCESSED = re.compile(r"^processed (\d+) insns", re.MULTILINE)
_TIME = re.compile(r"^verification time (\d+) usec", re.MULTILINE)


def verified_instructions(log: str) -> int | None:
    """Return how many instructions the verifier walked through; None when the log does not show it."""
    found = _PROCESSED.search(log)
    return int(found[1]) if found else None


def verification_ms(log: str) -> float | None:
    """Return how long the verifier took; None when the log does not show it."""
    found = _TIME.search(log)
    return int(found[1]) / 1000 if found else None


def is_verifier_log(log: str) -> bool:
    """Return whether the log is from the verifier, rather than from libbpf before it."""
    return _PROCESSED.search(log) is not None or "BEGIN PROG LOAD LOG" in log


def explain(log: str, source_text: str, program: str = "") -> Finding:
    """Turn the log of a refusal into a finding. `program` is the callback's name, where it is known."""
    lines = log.splitlines()
    at = _decisive(lines)
    where = f" in {program}" if program else ""
    line = _line(_until_taken(lines) or (lines if at is None else lines[: at + 1]))
    line = line or _defined(source_text, program)
    complaint, advice = _in_words(lines, at)
    return Finding("verifier", f"the verifier refuses it{where}: {complaint}", advice, line, _column(source_text, line))


def _in_words(lines: list[str], at: int | None) -> tuple[str, str]:
    """Return what is wrong, and what to do about it."""
    if at is None:
        # The one complaint without any text: a store to a member that schedulers may not write.
        last = next((line for line in reversed(lines) if _INSTRUCTION.match(line)), "")
        if _STORE.search(last):
            return "it writes a member of a kernel structure that may not be written", WRITABLE
        return "it gave no reason", ""
    complaint = lines[at].strip()
    kind = next((kind for kind in COMPLAINTS if re.search(kind.pattern, complaint)), None)
    return (f"{kind.meaning} ({complaint})", kind.advice) if kind else (complaint, "")


def _until_taken(lines: list[str]) -> list[str] | None:
    """Return the trace up to where a reference that is not released was acquired: the place to look at."""
    taken = next((found[1] for found in map(_TAKEN.match, reversed(lines)) if found), None)
    if taken is None:
        return None
    at = next((index for index, line in enumerate(lines) if line.startswith(f"{taken}: (")), None)
    return None if at is None else lines[: at + 1]


def _decisive(lines: list[str]) -> int | None:
    """Return the index of the line with the complaint: the last known complaint, else the last line that is no
    trace."""
    candidates = [
        index
        for index, line in enumerate(lines)
        if line.strip() and not _TRACE.match(line) and not _STATISTICS.match(line.strip())
    ]
    known = [index for index in candidates if any(re.search(kind.pattern, lines[index]) for kind in COMPLAINTS)]
    found = known or candidates
    return found[-1] if found else None


def _line(lines: list[str]) -> int | None:
    """Return the last line of the user's own file in the trace. Inside a header (a macro, an inlined helper) that is
    the nearest line before, the one that uses it."""
    for line in reversed(lines):
        found = _ANNOTATION.match(line)
        if found and not found["file"].endswith(".h"):
            return int(found["line"])
    return None


def _defined(source_text: str, program: str) -> int | None:
    """Return the first line that names a callback: its definition. For complaints that come before any trace."""
    lines = enumerate(source_text.splitlines(), 1)
    return next((number for number, line in lines if program and re.search(rf"\b{re.escape(program)}\b", line)), None)


def _column(source_text: str, line: int | None) -> int | None:
    """Return where the text of a line begins: annotations name no column."""
    lines = source_text.splitlines()
    if line is None or not 1 <= line <= len(lines):
        return None
    text = lines[line - 1]
    return len(text) - len(text.lstrip()) + 1
