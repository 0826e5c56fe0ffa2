# SPDX-License-Identifier: MIT
"""Rules about what the object will contain: sections, the licence, the table of callbacks, calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from autotune.verify.findings import Finding
from autotune.verify.source.facts import MAIN, OPS_TYPE, Facts, Section, string_of

MOST_TIMEOUT_MS = 30_000
"""SCX_WATCHDOG_MAX_TIMEOUT of the kernel's kernel/sched/ext.c: 30 s."""
LICENCES = ("GPL", "GPL v2", "Dual BSD/GPL", "Dual MIT/GPL")
"""Licences of the kernel's include/linux/license.h that libbpf and the kernel accept as GPL."""
SECTIONS = (".struct_ops.link", ".maps", ".rodata", ".bss", ".data.at_exit", "license")
SECTION_PREFIXES = ("struct_ops/", "struct_ops.s/")
"""Tracing programs are none of a scheduler's: the loader attaches its table of callbacks alone, so they would never
run."""
SLEEPABLE = ("init", "exit", "init_task", "cgroup_init")
FORBIDDEN = {
    "bpf_probe_write_user": "it writes into the memory of programs",
    "bpf_override_return": "it changes what functions of the kernel return",
    "bpf_throw": "it leaves a callback half way",
}
READS, RECORDS = "at_probe_read_kernel_str", "at_record_exit"
"""The helper that reads kernel memory, and the function of at.h that may call it."""
FORBIDDEN_NUMBERS = {36: "bpf_probe_write_user", 58: "bpf_override_return"}
"""include/uapi/linux/bpf.h"""


def licence_gpl(facts: Facts) -> Iterator[Finding]:
    advice = 'include "at.h", which sets it to "GPL", and set no other'
    found = [each for each in facts.sections if each.section == "license"]
    if not found:
        yield Finding("licence-gpl", "the object has no licence", advice)
    for number, section in enumerate(sorted(found, key=lambda each: each.file == MAIN)):
        variable = next((each for each in facts.variables if each.name == section.name and each.initial), None)
        licence = string_of(variable.initial) if variable else None
        if licence not in LICENCES:
            what = f"the licence {licence!r} is not GPL: the kernel does not load the scheduler"
            yield Finding("licence-gpl", what, advice, *_place(section))
        elif number:
            yield Finding("licence-gpl", "there is more than one licence", advice, *_place(section))


def section_allowed(facts: Facts) -> Iterator[Finding]:
    for section in facts.sections:
        name = section.section
        allowed = name in SECTIONS or name.startswith(SECTION_PREFIXES)
        if section.file == MAIN and not allowed:
            advice = 'use the AT_OP macros for callbacks and SEC(".maps") for maps'
            if name == ".ksyms":
                advice = "take the declaration out: vmlinux.h declares the functions of the kernel"
            yield Finding("section-allowed", f"the section '{name[:60]}' is not allowed", advice, *_place(section))


def no_inline_asm(facts: Facts) -> Iterator[Finding]:
    for line, column in facts.asm:
        yield Finding("no-inline-asm", "assembly is not allowed", "write it in C", line, column)


def forbidden_helper(facts: Facts) -> Iterator[Finding]:
    """Demand that every call is to a function of the source or our headers, of the kernel by its name, or to a helper
    of at.h."""
    for call in sorted(facts.calls, key=lambda call: (call.line, call.column)):
        place = (call.line, call.column)
        if call.name in FORBIDDEN:
            what = f"{call.name} is not allowed: {FORBIDDEN[call.name]}"
            yield Finding("forbidden-helper", what, "do without it: a scheduler does not need it", *place)
        elif call.name == READS and call.function != RECORDS:
            what = f"{READS} is for AT_EXIT only: it reads kernel memory wherever it is pointed"
            yield Finding("forbidden-helper", what, "read fields of the structures that callbacks are given", *place)
        elif call.how == "pointer":
            what = f"a call through a pointer is not allowed{_number(facts, call.name)}"
            advice = "call functions of vmlinux.h by their names; helpers are those of at.h only"
            yield Finding("forbidden-helper", what, advice, *place)
        elif call.how == "unknown":
            what = f"{call.name} is declared but nowhere defined"
            advice = "call functions that vmlinux.h declares, and define all others"
            yield Finding("forbidden-helper", what, advice, *place)


def _number(facts: Facts, name: str) -> str:
    """Return the helper that a variable stands for, if it is a constant."""
    variable = next((each for each in facts.variables if each.name == name), None)
    for node in variable.initial.walk() if variable and variable.initial else ():
        if node.kind == "constant":
            known = FORBIDDEN_NUMBERS.get(node.extra)
            return f": {name} is helper {node.extra}" + (f", {known}" if known else "")
    return ""


def ops_present(facts: Facts) -> Iterator[Finding]:
    advice = f'end the source with SEC(".struct_ops.link") {OPS_TYPE} NAME_ops = {{ .enqueue = (void *)..., ... }};'
    if not facts.ops:
        yield Finding("ops-present", f"there is no {OPS_TYPE}", advice)
    for extra in facts.ops[1:]:
        what = f"there is more than one {OPS_TYPE}"
        yield Finding("ops-present", what, "keep one", extra.line, extra.column)
    linked = {(each.name, each.line): each for each in facts.sections if each.section == ".struct_ops.link"}
    for ops in facts.ops:
        if (ops.name, ops.line) not in linked:
            yield Finding("ops-present", f"{ops.name} is not in '.struct_ops.link'", advice, ops.line, ops.column)
    for (name, line), section in linked.items():
        if (name, line) not in {(ops.name, ops.line) for ops in facts.ops}:
            what = f"{name} is in '.struct_ops.link' and is no {OPS_TYPE}"
            yield Finding("ops-present", what, "take it out", *_place(section))


def ops_readable(facts: Facts) -> Iterator[Finding]:
    """Demand that the table names, in plain words, the function behind each of its fields."""
    if len(facts.ops) != 1:
        return
    initial = facts.ops[0].initial
    for item in initial.children if initial is not None and initial.kind == "fields" else ():
        value = item.children[0] if item.children else None
        if item.extra is None:
            what, advice = "a field of the ops has no name", "write every field as .name = value"
            yield Finding("ops-readable", what, advice, item.line, item.column)
        elif not _is_plain(facts, item.extra) or value is None:
            what = f"the value of .{item.extra} is no function of the source, number or string"
            advice = "name a function, with (void *) before it, or write the number or string"
            yield Finding("ops-readable", what, advice, item.line, item.column)


def _is_plain(facts: Facts, field: str) -> bool:
    value, converted = facts.ops_field(field), False
    while value is not None and value.kind in ("cast", "other") and len(value.children) == 1:
        converted = converted or value.kind == "cast"
        value = value.children[0]
    if value is not None and value.kind == "constant":
        return value.extra == 0 or not converted  # a number is no function
    return facts.callback(field) is not None or string_of(value) is not None


def ops_name(facts: Facts) -> Iterator[Finding]:
    if not facts.ops:
        return
    value = facts.ops_field("name")
    name = string_of(value)
    if name != facts.name:
        what = f"the ops are named {name!r}" if value else "the ops have no name"
        place = value or facts.ops[0]
        yield Finding("ops-name", f"{what}", f'write .name = "{facts.name}"', place.line, place.column)


def ops_timeout(facts: Facts) -> Iterator[Finding]:
    """Demand a bounded timeout: the kernel's watchdog ejects a scheduler that forgets a task for this long."""
    if not facts.ops:
        return
    value = facts.ops_field("timeout_ms")
    place = value or facts.ops[0]
    advice = f".timeout_ms is how long a task may wait before the kernel steps in: set it, 1 to {MOST_TIMEOUT_MS}"
    given = value
    while given is not None and given.kind in ("cast", "other") and len(given.children) == 1:
        given = given.children[0]
    if given is None:
        yield Finding("ops-timeout", "the ops set no timeout_ms", advice, place.line, place.column)
    elif given.kind != "constant" or not 1 <= given.extra <= MOST_TIMEOUT_MS:
        shown = given.extra if given.kind == "constant" else "no constant"
        yield Finding("ops-timeout", f"timeout_ms is {shown}", advice, place.line, place.column)


def has_exit(facts: Facts) -> Iterator[Finding]:
    """Note a missing exit record: without it nobody learns why the scheduler was ejected."""
    if not facts.ops:
        return
    function = facts.callback("exit")
    seen, left = set(), [function.name] if function else []
    while left:
        name = left.pop()
        seen.add(name)
        own = facts.functions[name].body.walk() if name in facts.functions else iter(())
        left += [node.extra for node in own if node.kind == "call" and node.extra and node.extra not in seen]
    if "at_record_exit" not in seen:
        what = "no .exit records why the scheduler went"
        advice = "write AT_EXIT(NAME_exit) and .exit = (void *)NAME_exit"
        yield Finding("has-exit", what, advice, facts.ops[0].line, facts.ops[0].column, severity="note")


def sleepable_ops(facts: Facts) -> Iterator[Finding]:
    sleepable = {each.name: each for each in facts.sections if each.section.startswith("struct_ops.s/")}
    for field, function in facts.callbacks().items():
        if function.name in sleepable and field not in SLEEPABLE:
            what = f"{function.name} may sleep (struct_ops.s), but .{field} runs with the run queue locked"
            advice = "put it into struct_ops/ with AT_OP1 to AT_OP3; only " + ", ".join(SLEEPABLE) + " may sleep"
            yield Finding("sleepable-ops", what, advice, function.line, function.column)


def plain_control_flow(facts: Facts) -> Iterator[Finding]:
    """Refuse jumps to targets that only the running program knows."""
    for function in facts.functions.values():
        for node in function.body.walk():
            if node.kind == "jump" or (node.kind == "other" and node.extra == "ADDR_LABEL_EXPR"):
                what = "a jump to a computed place is not allowed"
                yield Finding("plain-control-flow", what, "use if and switch", node.line, node.column)


FACT_RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    licence_gpl,
    section_allowed,
    no_inline_asm,
    forbidden_helper,
    ops_present,
    ops_readable,
    ops_name,
    ops_timeout,
    has_exit,
    sleepable_ops,
    plain_control_flow,
)


def _place(section: Section) -> tuple[int | None, int | None]:
    return (section.line, section.column) if section.file == MAIN else (None, None)
