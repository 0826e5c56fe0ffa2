# SPDX-License-Identifier: MIT
"""Gate 1: each rule fires on its fault and spares what is close to it; whatever the text is, the answer comes soon."""

from __future__ import annotations

import random
import re
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from autotune import resources
from autotune.machine.vm import kernels
from autotune.schedext.build import find_headers
from autotune.verify.findings import ANSWER_BYTES, Finding, GateReport, answer
from autotune.verify.source import gate as source_gate

pytestmark = pytest.mark.bpf

FAULTY = Path(__file__).parent / "faulty"
OURS = sorted(resources.bpf_source_dir().glob("*.bpf.c"))
HOSTILE_S = 3 * source_gate.GATE_WALL_S
"""A bound that holds by construction; the rest is for the machine to start and end processes in."""
"""Twice the bound of one run of the parser."""

PARTS = {
    "top": '#include "at.h"\nAT_KNOB(u64, slice_us, 5000);\n',
    "helpers": "",
    "select_cpu": "return at_select_cpu(p, prev_cpu, wake_flags, slice_us * AT_US);",
    "enqueue": "scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);\n\tat_kick(p);",
    "dispatch": "scx_bpf_dsq_move_to_local(AT_SHARED);",
    "init": "return scx_bpf_create_dsq(AT_SHARED, -1);",
    "running": "AT_OP1(void, it_running, struct task_struct *, p) { }",
    "exit": "AT_EXIT(it_exit)",
    "fields": '.running = (void *)it_running,\n\t.exit = (void *)it_exit,\n\t.timeout_ms = 10000,\n\t.name = "it",',
    "ops": 'SEC(".struct_ops.link")\nstruct sched_ext_ops it_ops',
    "end": "",
}
"""A scheduler in pieces; a test replaces some."""


def scheduler(**parts: str) -> str:
    assert set(parts) <= set(PARTS)
    it = {**PARTS, **parts}
    return f"""{it["top"]}
{it["helpers"]}
AT_OP3(s32, it_select_cpu, struct task_struct *, p, s32, prev_cpu, u64, wake_flags)
{{
	{it["select_cpu"]}
}}

AT_OP2(void, it_enqueue, struct task_struct *, p, u64, enq_flags)
{{
	{it["enqueue"]}
}}

AT_OP2(void, it_dispatch, s32, cpu, struct task_struct *, prev)
{{
	{it["dispatch"]}
}}

AT_OP0(s32, "struct_ops.s", it_init)
{{
	{it["init"]}
}}
{it["running"]}
{it["exit"]}
{it["ops"]} = {{
	.select_cpu = (void *)it_select_cpu,
	.enqueue = (void *)it_enqueue,
	.dispatch = (void *)it_dispatch,
	.init = (void *)it_init,
	{it["fields"]}
}};
{it["end"]}
"""


@pytest.fixture(scope="session")
def headers() -> Path:
    return find_headers(kernels.find(None).headers)


@cache
def checked(text: str, headers: Path, name: str = "it") -> GateReport:
    return source_gate.check(text, name, headers=headers)


def errors(report: GateReport) -> set[str]:
    return {finding.rule for finding in report.findings if finding.severity == "error"}


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_our_own_schedulers_pass(path: Path, headers: Path) -> None:
    report = source_gate.check(path.read_text(), path.name.removesuffix(".bpf.c"), headers=headers)
    assert report.findings == ()
    assert report.passed
    assert "enqueue" in report.numbers["callbacks"]


def test_numbers_tell_the_knobs_with_their_defaults(headers: Path) -> None:
    text = (resources.bpf_source_dir() / "at_batch.bpf.c").read_text()
    report = source_gate.check(text, "at_batch", headers=headers)
    assert report.numbers["knobs"] == [
        {"name": "slice_us", "type": "u64", "default": 20000},
        {"name": "long_first", "type": "bool", "default": 0},
        {"name": "age_limit_ms", "type": "u64", "default": 2000},
    ]


@pytest.mark.parametrize("path", sorted(FAULTY.with_name("good").glob("*.bpf.c")), ids=lambda path: path.stem)
def test_good_schedulers_of_others_pass(path: Path, headers: Path) -> None:
    report = checked(path.read_text(), headers, path.name.removesuffix(".bpf.c"))
    assert errors(report) == set(), [finding.text() for finding in report.findings]


# --- the corpus of faults -------------------------------------------------------------------------------------------


def fault_of(path: Path) -> tuple[str, str]:
    found = re.search(r"/\* fault: [^;]+; gate: (\w+); rule: ([\w-]+)", path.read_text())
    assert found is not None, path.name
    return found[1], found[2]


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(FAULTY.glob("*.bpf.c")) if fault_of(path)[0] == "source"],
    ids=lambda path: path.stem,
)
def test_a_scheduler_with_one_fault_is_stopped_for_that_fault_alone(path: Path, headers: Path) -> None:
    report = checked(path.read_text(), headers, path.name.removesuffix(".bpf.c"))
    assert errors(report) == {fault_of(path)[1]}
    assert all(finding.advice for finding in report.findings)


# --- rules: what each stops, and what is close to it and spared -----------------------------------------------------

LOOKUP = "static void *(*const lookup)(void *map, const void *key) = (void *)1;\n"
TWO_QUEUES = "return scx_bpf_create_dsq(AT_SHARED, -1) ?: scx_bpf_create_dsq(2, -1);"
EACH_CPU = """struct bpf_iter_num each;
	int *cpu;
	s32 error = scx_bpf_create_dsq(AT_SHARED, -1);

	bpf_iter_num_new(&each, 0, 8);
	while (!error && (cpu = bpf_iter_num_next(&each)))
		error = scx_bpf_create_dsq(0x100 + *cpu, -1);
	bpf_iter_num_destroy(&each);
	return error;"""
PUT = "AT_INLINE void put(struct task_struct *p, u64 queue) { scx_bpf_dsq_insert(p, queue, AT_MS, 0); }"
INSERT = "scx_bpf_dsq_insert(p, AT_SHARED, slice_us * AT_US, enq_flags);"

RULES: list[tuple[str, str, dict[str, str], dict[str, str]]] = [
    ("parse-error", "an unknown name", {"enqueue": "nothing(p);"}, {}),
    ("size-bounded", "lines", {"end": "\n" * 2000}, {"end": "\n" * 1900}),
    ("size-bounded", "bytes", {"end": f"/* {'x' * 65000} */"}, {"end": f"/* {'x' * 60000} */"}),
    ("plain-text", "a hidden direction", {"end": "/* \u202e */"}, {"end": "/* Größe, 大小 */"}),
    (
        "include-allowed",
        "a system header",
        {"end": "#include <linux/types.h>"},
        {"end": '#include <linux/bpf/vmlinux.h>\n#include "at_clock.h"'},
    ),
    ("include-allowed", "another way", {"end": '#import "at.h"'}, {"end": "/* #import */"}),
    ("directive-allowed", "a condition", {"end": "#if 0\nnothing\n#endif"}, {"end": "#define FLAG 1"}),
    ("directive-allowed", "a digraph", {"end": "%:ifdef X\n%:endif"}, {"end": "int number = 7 % 3;"}),
    ("directive-allowed", "a line of its own", {"end": '#line 3 "other.c"'}, {"end": "static const int line = 3;"}),
    (
        "directive-allowed",
        "a pragma",
        {"end": '#pragma clang section bss=".ksyms"'},
        {"dispatch": "#pragma unroll\n\tfor (int i = 0; i < 4; i++)\n\t\tscx_bpf_dsq_move_to_local(AT_SHARED);"},
    ),
    (
        "no-compiler-tests",
        "a version",
        {"enqueue": f"if (__clang_major__ != 18) {INSERT}"},
        {"enqueue": f"if (__builtin_expect(enq_flags, 0)) {INSERT} else {INSERT}"},
    ),
    ("no-compiler-tests", "a pragma operator", {"end": '_Pragma("weak x")'}, {"end": "/* _Pragma */"}),
    ("macro-allowed", "a keyword", {"end": "#define if(x) while (x)"}, {"end": "#define WHEN(x) if (x)"}),
    ("macro-allowed", "a qualifier", {"end": "#define const"}, {"end": "#define CONSTANT const"}),
    ("macro-allowed", "a word of at.h", {"end": "#define at_before(a, b) 1"}, {"end": "#define at_my_own 1"}),
    ("macro-allowed", "the type of a word", {"end": "#define u64_ 1\n#define s64 u32"}, {"end": "#define s65 u32"}),
    ("macro-allowed", "taking one away", {"end": "#undef AT_US"}, {"end": "#define OWN 1\n#undef OWN"}),
    ("macro-allowed", "a digraph", {"end": "%:define static"}, {"end": "#define STATIC static"}),
    (
        "macro-allowed",
        "before an include",
        {"end": '#define volatile_ 1\n#include "at_clock.h"'},
        {"end": '#include "at_clock.h"\n#define volatile_ 1'},
    ),
    (
        "forbidden-helper",
        "reading kernel memory",
        {"dispatch": "char to[8]; at_probe_read_kernel_str(to, 8, prev ? prev->mm : NULL);"},
        {"dispatch": "if (!prev || prev->mm) scx_bpf_dsq_move_to_local(AT_SHARED);"},
    ),
    ("no-token-pasting", "a name in parts", {"end": "#define NAME(a, b) a##b"}, {"end": "#define TEXT(a) #a"}),
    (
        "attribute-allowed",
        "cleanup",
        {"helpers": "AT_INLINE void undo(int *x) { }", "dispatch": "int __attribute__((cleanup(undo))) x = 0;"},
        {"helpers": "__attribute__((noinline, unused)) static int one(void) { return 1; }"},
    ),
    (
        "attribute-allowed",
        "what lets a compiler leave calls out",
        {"helpers": "__attribute__((__pure__)) static int one(void) { return 1; }"},
        {"helpers": "struct __attribute__((packed, aligned(8))) pair { u32 one; };"},
    ),
    ("plain-text", "a line's end that is none", {"end": "int x;\r#if 0\r#endif"}, {"end": "int x;\r\n"}),
    (
        "no-token-pasting",
        "over a line's end",
        {"end": "#define NAME(a, b) a#\\\n#b"},
        {"end": "#define TEXT(a) \\\n\tSEC(#a)"},
    ),
    ("attribute-allowed", "the other notation", {"helpers": "[[gnu::weak]] int x;"}, {"helpers": "static int x[2];"}),
    (
        "no-inline-asm",
        "a barrier",
        {"dispatch": 'asm volatile("" ::: "memory");'},
        {"dispatch": "__sync_synchronize(); scx_bpf_dsq_move_to_local(AT_SHARED);"},
    ),
    (
        "no-inline-asm",
        "a symbol's name",
        {"helpers": 'static int x __asm__("y");'},
        {"helpers": "static int assembly;"},
    ),
    (
        "licence-gpl",
        "a second",
        {"helpers": 'char mine[] SEC("license") = "MIT";'},
        {"helpers": 'static char mine[] = "MIT";'},
    ),
    ("section-allowed", "another program", {"helpers": 'SEC("kprobe/x") int f(void *c) { return 0; }'}, {}),
    (
        "section-allowed",
        "a tracepoint",
        {"helpers": 'SEC("tp_btf/sched_process_exec") int f(u64 *c) { return 0; }'},
        {"helpers": "static int f(u64 *c) { return 0; }"},
    ),
    (
        "section-allowed",
        "of a static variable",
        {"dispatch": 'static int x SEC(".kconfig"); x = 1; scx_bpf_dsq_move_to_local(AT_SHARED);'},
        {"dispatch": "static int x; x = 1; scx_bpf_dsq_move_to_local(AT_SHARED);"},
    ),
    (
        "section-allowed",
        "a name with a quote in it",
        {"helpers": r'static int x SEC(".maps\")) \"");'},
        {"helpers": 'static int x SEC(".bss");'},
    ),
    (
        "forbidden-helper",
        "by number",
        {"helpers": LOOKUP, "dispatch": "int k = 0; lookup(NULL, &k); scx_bpf_dsq_move_to_local(AT_SHARED);"},
        {"helpers": LOOKUP},
    ),
    (
        "forbidden-helper",
        "by a number worked out",
        {"dispatch": "long n = cpu + 36; ((long (*)(void))n)();"},
        {"dispatch": "long n = cpu + 36; scx_bpf_dsq_move_to_local(AT_SHARED); (void)n;"},
    ),
    (
        "forbidden-helper",
        "by name",
        {
            "helpers": "long bpf_probe_write_user(void *, const void *, u32);",
            "dispatch": "bpf_probe_write_user(0, 0, 0);",
        },
        {},
    ),
    ("forbidden-helper", "an exception", {"running": "AT_OP1(void, it_running, void *, p) { bpf_throw(1); }"}, {}),
    (
        "ops-present",
        "none",
        {
            "ops": "struct unused_ops { void *select_cpu, *enqueue, *dispatch, *init, *running, *exit; "
            "int timeout_ms; char name[8]; };\nstruct unused_ops it_ops"
        },
        {},
    ),
    ("ops-present", "two", {"end": 'SEC(".struct_ops.link") struct sched_ext_ops more = { .name = "more" };'}, {}),
    ("ops-present", "elsewhere", {"ops": "struct sched_ext_ops it_ops"}, {}),
    ("ops-readable", "a number for a function", {"fields": PARTS["fields"] + "\n.yield = (void *)17,"}, {}),
    ("ops-name", "another", {"fields": PARTS["fields"].replace('"it"', '"that"')}, {"fields": PARTS["fields"]}),
    (
        "ops-timeout",
        "too long",
        {"fields": PARTS["fields"].replace("10000", "30001")},
        {"fields": PARTS["fields"].replace("10000", "30 * 1000")},
    ),
    ("ops-timeout", "zero", {"fields": PARTS["fields"].replace("10000", "0")}, {}),
    (
        "sleepable-ops",
        "enqueue",
        {
            "running": 'AT_OP0(void, "struct_ops.s", it_running) { }',
        },
        {"running": 'AT_OP0(void, "struct_ops", it_running) { }'},
    ),
    (
        "plain-control-flow",
        "a computed jump",
        {"dispatch": "void *there = &&out;\n\tgoto *there;\nout:\n\tscx_bpf_dsq_move_to_local(AT_SHARED);"},
        {"dispatch": "goto out;\nout:\n\tscx_bpf_dsq_move_to_local(AT_SHARED);"},
    ),
    (
        "path-complexity",
        "recursion",
        {"helpers": "static int f(int n) { return n ? f(n - 1) : 0; }", "dispatch": "f(3);"},
        {"helpers": "static int f(int n) { return n; }"},
    ),
    ("queue-created", "missing", {"init": "return 0;"}, {}),
    (
        "queue-created",
        "one of two",
        {
            "enqueue": INSERT.replace("AT_SHARED", "p->mm ? 1 : 2"),
            "dispatch": PARTS["dispatch"] + PARTS["dispatch"].replace("AT_SHARED", "2"),
        },
        {
            "enqueue": INSERT.replace("AT_SHARED", "p->mm ? 1 : 2"),
            "dispatch": PARTS["dispatch"] + PARTS["dispatch"].replace("AT_SHARED", "2"),
            "init": TWO_QUEUES,
        },
    ),
    ("queue-consumed", "created only", {"init": TWO_QUEUES}, {}),
    (
        "queue-consumed",
        "of each CPU",
        {"init": EACH_CPU},
        {
            "init": EACH_CPU,
            "dispatch": "if (!scx_bpf_dsq_move_to_local(AT_SHARED)) scx_bpf_dsq_move_to_local(0x100 + cpu);",
        },
    ),
    (
        "queue-consumed",
        "only looked at",
        {
            "dispatch": "struct bpf_iter_scx_dsq it;\n\tbpf_iter_scx_dsq_new(&it, AT_SHARED, 0);"
            "\n\tbpf_iter_scx_dsq_destroy(&it);"
        },
        {
            "dispatch": """struct bpf_iter_scx_dsq it;
	struct task_struct *p;

	bpf_iter_scx_dsq_new(&it, AT_SHARED, 0);
	while ((p = bpf_iter_scx_dsq_next(&it)))
		scx_bpf_dsq_move(&it, p, SCX_DSQ_LOCAL_ON | cpu, 0);
	bpf_iter_scx_dsq_destroy(&it);"""
        },
    ),
    (
        "queue-consumed",
        "of another family",
        {
            "init": EACH_CPU,
            "enqueue": "scx_bpf_dsq_insert(p, 0x100 + scx_bpf_task_cpu(p), AT_MS, 0);",
            "dispatch": "if (!scx_bpf_dsq_move_to_local(AT_SHARED)) scx_bpf_dsq_move_to_local(0x10000 + cpu);",
        },
        {
            "init": EACH_CPU,
            "enqueue": "u64 queue = AT_SHARED; if (p->mm) queue = 0x100 + scx_bpf_task_cpu(p);"
            " scx_bpf_dsq_insert(p, queue, AT_MS, 0);",
            "dispatch": "if (!scx_bpf_dsq_move_to_local(AT_SHARED)) scx_bpf_dsq_move_to_local((cpu + 1) + 0x100);",
        },
    ),
    (
        "select-cpu-local",
        "a queue kept elsewhere",
        {"helpers": "static u64 kept;", "select_cpu": "scx_bpf_dsq_insert(p, kept, AT_MS, 0); return prev_cpu;"},
        {"helpers": "static u64 kept;"},
    ),
    (
        "select-cpu-local",
        "the global queue",
        {"select_cpu": "scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, AT_MS, 0); return prev_cpu;"},
        {"select_cpu": "scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | prev_cpu, AT_MS, 0); return prev_cpu;"},
    ),
    (
        "select-cpu-local",
        "through a function",
        {
            "helpers": PUT,
            "select_cpu": "put(p, AT_SHARED); return prev_cpu;",
        },
        {
            "helpers": PUT,
            "select_cpu": "put(p, SCX_DSQ_LOCAL); return prev_cpu;",
        },
    ),
]


@pytest.mark.parametrize(("rule", "what", "fires", "spares"), RULES, ids=[f"{rule}-{what}" for rule, what, *_ in RULES])
def test_a_rule_stops_its_fault_and_spares_what_is_close(
    rule: str, what: str, fires: dict[str, str], spares: dict[str, str], headers: Path
) -> None:
    stopped = checked(scheduler(**fires), headers)
    found = [finding for finding in stopped.findings if finding.rule == rule and finding.severity == "error"]
    assert found, [finding.text() for finding in stopped.findings]
    assert all(finding.advice for finding in found)
    spared = checked(scheduler(**spares), headers)
    assert spared.findings == (), what


# --- bounded-work ---

COUNT = """
AT_INLINE void count(u32 end)
{
	struct bpf_iter_num one;

	bpf_iter_num_new(&one, 0, end);
	while (bpf_iter_num_next(&one))
		at_kick_any();
	bpf_iter_num_destroy(&one);
}
""".replace("at_kick_any()", "scx_bpf_kick_cpu(0, 0)")


def counting(end: str, inner: str = "scx_bpf_kick_cpu(0, 0);", name: str = "it1") -> str:
    """An iterator from 0 to `end`, with something inside."""
    return f"""{{
		struct bpf_iter_num {name};

		bpf_iter_num_new(&{name}, 0, {end});
		while (bpf_iter_num_next(&{name})) {{
			{inner}
		}}
		bpf_iter_num_destroy(&{name});
	}}"""


TAKE = PARTS["dispatch"] + "\n\t"
TOO_LONG = {
    "two constants": {"dispatch": TAKE + counting("8000000", counting("8000000", name="it2"))},
    "three small ones": {"dispatch": TAKE + counting("200", counting("200", counting("200", name="it3"), "it2"))},
    "one after another": {"dispatch": TAKE + counting("700000") + counting("700000", name="it2")},
    "through a function": {"helpers": COUNT, "dispatch": TAKE + counting("8000000", "count(1000);")},
    "a parameter": {"helpers": COUNT, "dispatch": TAKE + "count(5);"},
    "a knob": {"top": PARTS["top"] + "AT_KNOB(u32, turns, 3);\n", "dispatch": TAKE + counting("turns")},
    "computed from a knob": {
        "top": PARTS["top"] + "AT_KNOB(u32, turns, 3);\n",
        "dispatch": TAKE + "u32 end = turns + 1; " + counting("end"),
    },
    "the higher of both": {"dispatch": TAKE + "u32 n = prev ? prev->pid : 1; " + counting("n > 64 ? n : 64")},
    "a variable that grows": {
        "helpers": "static u32 seen;",
        "dispatch": TAKE + "seen++; " + counting("seen"),
    },
    "a variable somebody else may write": {
        "helpers": "static u32 seen;\nAT_INLINE void write(u32 *to) { *to = 8000000; }",
        "dispatch": TAKE + "write(&seen); " + counting("seen"),
    },
    "a range from below nothing": {"dispatch": TAKE + counting("8").replace(", 0, 8", ", cpu - 8000000, 8")},
    "CPUs of CPUs of CPUs": {
        "dispatch": TAKE
        + counting(
            "scx_bpf_nr_cpu_ids()", counting("scx_bpf_nr_cpu_ids()", counting("scx_bpf_nr_cpu_ids()", name="c"), "b")
        )
    },
    "an ordinary loop around an iterator": {
        "dispatch": TAKE + "u32 n = 0; while (n++ < 1000) " + counting("100000"),
    },
    "an ordinary loop in an iterator": {
        "dispatch": TAKE + "u32 n = 0; " + counting("1000", "while (n++ < cpu) scx_bpf_kick_cpu(0, 0);"),
    },
    "ordinary loops behind calls": {
        "helpers": "__attribute__((noinline)) int spin(u32 end) { u32 n = 0; while (n < end) n++; return n; }",
        "dispatch": TAKE + "spin(cpu); " * 20,
    },
    "a goto around an iterator": {
        "dispatch": TAKE + "u32 n = 0;\nagain:\n" + counting("100000") + " if (n++ < 1000) goto again;",
    },
    "an iterator handed on": {
        "helpers": "AT_INLINE int *more(struct bpf_iter_num *it) { return bpf_iter_num_next(it); }",
        "dispatch": TAKE
        + "struct bpf_iter_num it1; bpf_iter_num_new(&it1, 0, 8000000);"
        + f" while (more(&it1)) {counting('100', name='it2')} bpf_iter_num_destroy(&it1);",
    },
    "iterators handed on, nested": {
        "helpers": "AT_INLINE int *more(struct bpf_iter_num *it) { return bpf_iter_num_next(it); }",
        "dispatch": TAKE
        + "struct bpf_iter_num a, b; bpf_iter_num_new(&a, 0, 8000000); while (more(&a)) {"
        + " bpf_iter_num_new(&b, 0, 8000000); while (more(&b)) at_kick(prev); bpf_iter_num_destroy(&b); }"
        + " bpf_iter_num_destroy(&a);",
    },
    "an iterator by a pointer": {
        "dispatch": TAKE
        + "struct bpf_iter_num it1, *at = &it1; bpf_iter_num_new(&it1, 0, 8000000);"
        + " while (bpf_iter_num_next(at)) at_kick(prev); bpf_iter_num_destroy(&it1);",
    },
    "a condition that says nothing of the rounds": {
        "dispatch": TAKE + "u32 n = 0; while (cpu < 4) { if (n++ > 100000) break; " + counting("1000") + "}",
    },
    "a counter that is set back": {
        "dispatch": TAKE + "u32 n, m = 0; for (n = 0; n < 4; n++) { if (m++ < 9999) n = 0; " + counting("1000") + "}",
    },
    "a limit that is one of two": {
        "dispatch": TAKE + "u32 n; for (n = 0; n < 4 || prev; n++) " + counting("1000"),
    },
    "a start far below": {"dispatch": TAKE + "s32 n; for (n = -90000; n < 4; n++) " + counting("1000")},
    "what has wrapped around": {
        "dispatch": TAKE + "u32 n = scx_bpf_nr_cpu_ids(), m = n - 600; " + counting("m >> 9"),
    },
    "a negative number": {"dispatch": TAKE + "u32 n = 5; if (prev) n = -1; " + counting("n >> 9")},
    "a static variable with another's name": {
        "helpers": "static u32 turns = 1;",
        "dispatch": TAKE + "static u32 turns = 8000000; " + counting("turns"),
    },
    "in another callback": {
        "running": "AT_OP1(void, it_running, struct task_struct *, p)\n{\n"
        + counting("1000000", counting("1000000", name="it2"))
        + "\n}"
    },
}
SHORT = {
    "a constant": counting("1000"),
    "a million": counting("1000000"),
    "two nested": counting("1000", counting("1000", name="it2")),
    "CPUs": counting("scx_bpf_nr_cpu_ids()"),
    "CPUs of each CPU": counting("scx_bpf_nr_cpu_ids()", counting("scx_bpf_nr_cpu_ids()", name="it2")),
    "queued tasks": counting("scx_bpf_dsq_nr_queued(AT_SHARED)"),
    "a variable of CPUs": "u32 n = scx_bpf_nr_cpu_ids(); " + counting("n"),
    "a variable that is limited": "u32 n = scx_bpf_nr_cpu_ids(); if (n > 8) n = 8; "
    + counting("n", counting("n", name="b")),
    "a limit": "u32 n = prev ? prev->pid : 1; " + counting("n < 64 ? n : 64"),
    "a limit, the other way": "u32 n = prev ? prev->pid : 1; " + counting("n > 64 ? 64 : n"),
    "a remainder": "u32 n = prev ? prev->pid : 1; " + counting("n % 100"),
    "bits": "u32 n = prev ? prev->pid : 1; " + counting("n & 0xff"),
    "half of the CPUs": counting("scx_bpf_nr_cpu_ids() / 2 + 1"),
    "many ordinary loops": "u32 n = 0; " + "while (n++ < cpu) scx_bpf_kick_cpu(0, 0); " * 20,
    "a loop that counts around an iterator": "u32 n; for (n = 0; n < 4; n++) " + counting("1000"),
    "counting, and more": "u32 n; for (n = 0; prev && n <= 4; n++) " + counting("1000"),
    "an ordinary loop": "u32 n; for (n = 0; n < 100; n++) scx_bpf_kick_cpu(n, 0);",
}


@pytest.mark.parametrize("what", TOO_LONG)
def test_a_callback_that_may_run_for_long_is_refused_at_its_loop(what: str, headers: Path) -> None:
    report = checked(scheduler(**TOO_LONG[what]), headers)
    assert "bounded-work" in errors(report), [finding.text() for finding in report.findings]
    assert all(finding.line for finding in report.findings if finding.rule == "bounded-work")


@pytest.mark.parametrize("what", SHORT)
def test_a_callback_whose_loops_are_short_passes(what: str, headers: Path) -> None:
    report = checked(scheduler(dispatch=TAKE + SHORT[what]), headers)
    assert errors(report) == set(), [finding.text() for finding in report.findings]
    assert 1 < report.numbers["most_rounds"] <= 1 << 20


# --- branch-on-identity ---

EXPECTING = PARTS["top"].replace("at.h", "at_expected.h")
IDENTITIES = {
    "the name of a task": "if (prev && prev->comm[0] == 's') return;",
    "the number of a task": "u32 n = prev && prev->pid == 1 ? 1 : 0; if (n) return;",
    "the number of a process": "while (prev && prev->tgid > 100) break;",
    "the number of CPUs": "if (scx_bpf_nr_cpu_ids() > 2) return;",
    "what is expected of a task": "struct at_expected e = {}; if (e.chain_ns == 77777 * AT_MS) return;",
    "the time since boot": "if (scx_bpf_now() > 150000000000ULL) return;",
}


@pytest.mark.parametrize("what", IDENTITIES)
def test_what_depends_on_who_or_where_it_is_is_noted_for_people(what: str, headers: Path) -> None:
    report = checked(scheduler(top=EXPECTING, dispatch=TAKE + IDENTITIES[what]), headers)
    notes = [finding for finding in report.findings if finding.rule == "branch-on-identity"]
    assert [note.message for note in notes] == [f"it_dispatch decides by {what}"]
    assert report.passed


@pytest.mark.parametrize(
    "code",
    [
        "static u64 last; if (scx_bpf_now() > last) last = scx_bpf_now();",
        "u32 n = scx_bpf_nr_cpu_ids(); scx_bpf_kick_cpu(n - 1, 0);",
        "struct at_expected e = {}; if (e.chain_ns && e.longest_ns > 0) return;",
        "struct at_expected e = {}; if (e.chain_ns > e.longest_ns / 2) return;",
        "if (prev && prev->nr_cpus_allowed == 1) scx_bpf_kick_cpu(cpu, 0);",
    ],
)
def test_what_only_measures_or_counts_is_not_noted(code: str, headers: Path) -> None:
    assert checked(scheduler(top=EXPECTING, dispatch=TAKE + code), headers).findings == ()


# --- enqueue-inserts: what is understood of paths -------------------------------------------------------------------

TRY = """
AT_INLINE bool try_idle(struct task_struct *p)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, AT_MS, 0);
		return true;
	}
	return false;
}
"""
INSERTING = {
    "in both branches": f"if (p->mm) {INSERT} else {INSERT}",
    "after an early insertion and return": f"if (p->mm) {{ {INSERT} return; }} {INSERT}",
    "when a helper did not": f"if (!try_idle(p)) {INSERT}",
    "when a helper did not, kept in a variable": f"bool done = try_idle(p); if (done) return; {INSERT}",
    "by a flag": f"bool done = false; if (p->mm) {{ {INSERT} done = true; }} if (!done) {INSERT}",
    "in every case": f"switch (p->policy) {{ case 1: {INSERT} break; case 2: default: {INSERT} }}",
    "in a case that falls through": f"switch (p->policy) {{ case 1: at_kick(p); default: {INSERT} }}",
    "before a loop": f"{INSERT} for (int i = 0; i < 4; i++) {{ if (i == enq_flags) return; }}",
    "in a loop, else after it": f"bool done = false; for (int i = 0; i < 4; i++) {{ if (i == enq_flags) {{ {INSERT} "
    f"done = true; break; }} }} if (!done) {INSERT}",
    "in an endless loop": f"for (;;) {{ if (enq_flags) {{ {INSERT} break; }} enq_flags++; }}",
    "in a loop that runs once at least": f"do {{ {INSERT} }} while (0);",
    "behind a label": f"if (p->mm) goto put; at_kick(p);\nput:\n\t{INSERT}",
    "behind a jump back": f"int n = 0;\nagain:\n\tif (n++ < 3) goto again;\n\t{INSERT}",
    "as a condition": f"if (p->mm && enq_flags > 3) {INSERT} else if (p->mm) {INSERT} else {INSERT}",
    "by the same condition twice": f"struct mm_struct *mm = p->mm; if (mm) {INSERT} at_kick(p); if (!mm) {INSERT}",
    "by a choice": "p->mm ? scx_bpf_dsq_insert(p, AT_SHARED, AT_MS, 0) : scx_bpf_dsq_insert(p, AT_SHARED, AT_US, 0);",
    "through another name": f"struct task_struct *task = p; {INSERT.replace('(p', '(task')}",
    "when it exists": f"if (!p) return; {INSERT}",
    "with a likely condition": f"if (__builtin_expect(!!(enq_flags), 1)) {{ {INSERT} return; }} {INSERT}",
    "in an expression of statements": f"({{ {INSERT} 0; }});",
    "whatever a constant says": f"if (1) {INSERT}",
    "by numbers that a helper returns": f"if (numbered(p) < 0) {INSERT}",
    "into the task's own CPU": "scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | scx_bpf_task_cpu(p), AT_MS, enq_flags);",
    "by virtual time": "scx_bpf_dsq_insert_vtime(p, AT_SHARED, AT_MS, p->scx.dsq_vtime, enq_flags);",
}
LOSING = {
    "in one branch": f"if (p->mm) {INSERT}",
    "not after an early return": f"if (!p->mm) return; {INSERT}",
    "only when a helper could": "try_idle(p);",
    "not when a flag says so": f"bool done = p->mm; if (!done) {INSERT}",
    "not in every case": f"switch (p->policy) {{ case 1: {INSERT} break; case 2: {INSERT} }}",
    "not in a case that leaves": f"switch (p->policy) {{ case 1: break; default: {INSERT} }}",
    "in a loop that may not run": f"for (int i = 0; i < enq_flags; i++) {INSERT}",
    "in a loop that may be left": f"while (true) {{ if (p->mm) break; {INSERT} break; }}",
    "not past a jump": f"if (p->mm) goto out;\n\t{INSERT}\nout:\n\treturn;",
    "in the second half of a condition": "if (p->mm && try_idle(p)) return;",
    "of another task": f"struct task_struct *other = p->real_parent; {INSERT.replace('(p', '(other')}",
    "only looked at": "int size = sizeof(scx_bpf_dsq_insert(p, AT_SHARED, AT_MS, 0), 1); (void)size;",
    "behind a variable that is changed through its address": f"int x = 1; touch(&x); if (x) {INSERT}",
    "behind a number that does not fit": f"u8 x = 256; if (x) {INSERT}",
    "behind a knob": f"if (slice_us) {INSERT}",
    "after an error": f'if (!p->mm) {{ scx_bpf_error_bstr("no mm", NULL, 0); return; }} {INSERT}',
    "by a part that is not taken": "__builtin_choose_expr(0, scx_bpf_dsq_insert(p, AT_SHARED, AT_MS, 0), 0);",
    "behind what cannot be reached": f"if (p->mm) __builtin_unreachable(); else {INSERT}",
    "when another task took its name": f"p = p->real_parent; {INSERT}",
    "when another took its name through its address": f"struct task_struct **q = &p; *q = p->real_parent; {INSERT}",
    "only for its type": "typeof(scx_bpf_dsq_insert(p, AT_SHARED, AT_MS, 0)) *x = 0; (void)x;",
    "for another type": "_Generic(1, int: at_kick(p), default: scx_bpf_dsq_insert(p, AT_SHARED, AT_MS, 0));",
    "in a loop that is entered in the middle": "switch (enq_flags & 1) { do { case 0: "
    + INSERT
    + " case 1: at_kick(p); } while (0); }",
    "behind what the compiler happens to know": f"if (__builtin_constant_p(enq_flags)) {INSERT}",
    "not at all": "at_kick(p);",
}
NUMBERED = """
AT_INLINE int numbered(struct task_struct *p)
{
	if (!p->mm)
		return -22;
	scx_bpf_dsq_insert(p, AT_SHARED, AT_MS, 0);
	return 0;
}
AT_INLINE void touch(int *x) { *x = 0; }
"""


@pytest.mark.parametrize("how", INSERTING)
def test_a_task_that_is_inserted_on_every_path_is_seen(how: str, headers: Path) -> None:
    report = source_gate.check(scheduler(helpers=TRY + NUMBERED, enqueue=INSERTING[how]), "it", headers=headers)
    assert errors(report) == set(), [finding.text() for finding in report.findings]


@pytest.mark.parametrize("how", LOSING)
def test_a_task_that_is_lost_on_a_path_is_found(how: str, headers: Path) -> None:
    report = source_gate.check(scheduler(helpers=TRY + NUMBERED, enqueue=LOSING[how]), "it", headers=headers)
    assert errors(report) == {"enqueue-inserts"}, [finding.text() for finding in report.findings]


def test_the_finding_stands_where_the_path_ends(headers: Path) -> None:
    text = scheduler(enqueue=f"if (p->mm)\n\t\treturn; /* here */\n\t{INSERT}")
    (finding,) = source_gate.check(text, "it", headers=headers).findings
    assert "/* here */" in text.splitlines()[(finding.line or 0) - 1]
    assert finding.column == 3
    fell = scheduler(enqueue=f"if (p->mm)\n\t\t{INSERT}")
    (finding,) = source_gate.check(fell, "it", headers=headers).findings
    assert fell.splitlines()[(finding.line or 0) - 1] == "}"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("u64 f(struct task_struct *p) { return p->restart_block.futex; }", "vmlinux.h:"),
        ("struct { int a; } mine;\nu64 x = mine;", "scheduler.bpf.c:2"),
    ],
    ids=["of the kernel's header", "of the text itself"],
)
def test_messages_of_the_parser_name_no_place_inside_the_sandbox(text: str, where: str, headers: Path) -> None:
    """A type without a name is called by where it is."""
    report = source_gate.check(f'#include "at.h"\n{text}\n', "it", headers=headers)
    assert errors(report) == {"parse-error"}
    assert f" at {where}" in answer(report)
    assert "/shown" not in answer(report)
    assert "/scratch" not in answer(report)


def test_two_insertions_on_a_path_are_noted_and_no_error(headers: Path) -> None:
    report = source_gate.check(scheduler(enqueue=f"{INSERT}\n\t{INSERT}"), "it", headers=headers)
    assert [(finding.rule, finding.severity) for finding in report.findings] == [("insert-once", "note")]
    assert report.passed


def test_without_our_header_there_is_no_licence(headers: Path) -> None:
    report = source_gate.check("#include <linux/bpf/vmlinux.h>\n", "it", headers=headers)
    assert errors(report) == {"licence-gpl", "ops-present"}


def test_without_exit_or_enqueue_there_are_notes_only(headers: Path) -> None:
    text = scheduler(fields=PARTS["fields"].replace(".exit = (void *)it_exit,", ""), dispatch="", init="return 0;")
    report = source_gate.check(text.replace(".enqueue = (void *)it_enqueue,", ""), "it", headers=headers)
    assert {(finding.rule, finding.severity) for finding in report.findings} == {
        ("enqueue-inserts", "note"),
        ("has-exit", "note"),
    }


# --- hostile texts --------------------------------------------------------------------------------------------------

BOMB = "#define A0 x\n" + "".join(f"#define A{n} A{n - 1} A{n - 1}\n" for n in range(1, 40)) + "int y = A39;\n"


def many_locals(count: int, use: str = "v{n} = enq_flags & {n} ? 1 : 0;\n") -> str:
    """A scheduler in which each callback has as many variables, each of which may be one or another."""
    body = "".join(f"int v{n} = 0;" for n in range(count)) + "\n" + "".join(use.format(n=n) for n in range(count))
    return scheduler(enqueue=body + INSERT)


HOSTILE = {
    "a secret file": ('#include "/etc/shadow"\n', "include-allowed"),
    "an embedded file": ('const char x[] = {\n#embed "/etc/passwd"\n};\n', "include-allowed"),
    "a question about files": ('#if __has_include("/etc/shadow")\n#endif\n', "directive-allowed"),
    "a file by a macro": ('#define F "/etc/shadow"\n#include F\n', "include-allowed"),
    "a file in two lines": ('#inc\\\nlude \\\n"/etc/shadow"\n', "include-allowed"),
    "a directive after an escaped line": ('\\\n#include "/etc/shadow"\n', "include-allowed"),
    "a directive by a digraph": ('%:include "/etc/shadow"\n', "include-allowed"),
    "a device": ('#include "/dev/zero"\n', "include-allowed"),
    "itself": ("#include __FILE__\n", "include-allowed"),
    "itself, twice": ("#include __FILE__\n#include __FILE__\n", "include-allowed"),
    "a way up": ('#include "../../etc/shadow"\n', "include-allowed"),
    "a macro bomb": (BOMB, "parse-bounded"),
    "a macro bomb behind an end": ("#endif\n" + BOMB, "parse-bounded"),
    "ten megabytes": ("int x;\n" * 1_500_000, "size-bounded"),
    "one long line": ("x" * 10_000_000, "size-bounded"),
    "zero bytes": ('#include "at.h"\n\0\0\0', "plain-text"),
    "half characters": ("int \ud800;", "plain-text"),
    "100,000 parentheses": (f"int x = {'(' * 100_000}1{')' * 100_000};", "size-bounded"),
    "as many parentheses as fit": (f"int x = {'(' * 30_000}1{')' * 30_000};", "parse-error"),
    "as many signs as fit": (f"int x = {'-+' * 30_000}1;", "parse-bounded"),
    "as many sums as fit": (f'#include "at.h"\nint f(int x) {{ return x{"+x" * 30_000}; }}', "parse-bounded"),
    "as many blocks as fit": (f'#include "at.h"\nvoid f(void) {{ {"{" * 30_000} }}', "parse-error"),
    "as many branches as fit": (
        f'#include "at.h"\nvoid f(int x) {{ {"if(x)" * 12_000} ; }}',
        "parse-bounded",
    ),
    "a large initialiser": ('#include "at.h"\nint x[] = {' + "1," * 30_000 + "};", "parse-bounded"),
    "a macro of loops": (
        '#include "at.h"\n#define T(x) x x x x x x x x\nvoid f(int x) { T(T(T(T(T(T(while (x) { x--; })))))) }',
        "parse-bounded",
    ),
    "a large array": ('#include "at.h"\nint x[1ULL << 40] = { [0 ... 1ULL << 39] = 7 };', "parse-bounded"),
    "a pragma": ("#pragma redefine_extname a b\n", "directive-allowed"),
    "a pragma operator": ('_Pragma("clang attribute push(__attribute__((weak)))") int x;', "no-compiler-tests"),
    "nothing": ("", "ops-present"),
    "words only": ("I cannot help with that.", "parse-error"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_text_is_answered_soon(what: str, headers: Path) -> None:
    text, rule = HOSTILE[what]
    started = time.monotonic()
    report = source_gate.check(text, "it", headers=headers)
    assert time.monotonic() - started < HOSTILE_S
    assert rule in errors(report), [finding.text() for finding in report.findings]
    assert "root:" not in answer(report)
    assert len(answer(report).encode()) <= ANSWER_BYTES


MANY = {
    "each one or another": (1100, "v{n} = enq_flags & {n} ? 1 : 0;"),
    "set to what is known": (1500, "v{n} = {n};"),
    "behind branches": (900, "if (enq_flags & {n}) v{n} = {n};"),
    "in loops": (900, "while (enq_flags & {n}) v{n}++;"),
    "in loops in loops": (60, "while (enq_flags & {n}) for (; v{n} < 9; v{n}++)"),
    "one from another": (900, "v{n} = v0 + (enq_flags ? {n} : v1);"),
}


@pytest.mark.parametrize("how", MANY)
def test_a_source_of_many_locals_is_answered_whatever_the_walk_would_take(how: str, headers: Path) -> None:
    started = time.monotonic()
    report = source_gate.check(many_locals(*MANY[how]), "it", headers=headers)
    assert time.monotonic() - started < HOSTILE_S
    assert errors(report) <= {"path-complexity", "parse-bounded", "enqueue-inserts"}, report.findings
    if how == "set to what is known":
        assert report.passed


def test_rules_that_would_not_end_are_ended(headers: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever a rule does: it runs where the kernel bounds its time."""
    endless = tmp_path / "judge_inside.py"
    endless.write_text("while True: pass")
    shown = source_gate._rules()
    place = next(at for at in shown.values() if at.endswith("judge_inside.py"))
    ours = {path: at for path, at in shown.items() if at != place}
    monkeypatch.setattr(source_gate, "_rules", lambda: {**ours, endless: place})
    monkeypatch.setattr(source_gate, "LIMITS", replace(source_gate.LIMITS, cpu_s=2))
    (finding,) = source_gate.check(OURS[0].read_text(), OURS[0].name.removesuffix(".bpf.c"), headers=headers).findings
    assert finding.rule == "parse-bounded"
    assert finding.message == "the rules had to be ended: it took over 2 s of CPU time"


def test_what_is_no_text_is_answered_too(headers: Path) -> None:
    noise = random.Random(4)
    for _ in range(3):
        text = noise.randbytes(4000).decode("latin-1")
        assert not source_gate.check(text, "it", headers=headers).passed
        printable = "".join(noise.choices("#(){}[];\"'\\ \n*&=+-,.<>ifwhileinclude0123456789", k=3000))
        assert not source_gate.check(printable, "it", headers=headers).passed


def test_many_branches_are_followed_or_said_to_be_too_many(headers: Path) -> None:
    branches = "".join(f"\tif (enq_flags & {1 << (n % 60)}ULL) v{n} = 1;\n" for n in range(40))
    variables = "".join(f"int v{n} = 0; " for n in range(40))
    started = time.monotonic()
    report = source_gate.check(scheduler(enqueue=f"{variables}\n{branches}\t{INSERT}"), "it", headers=headers)
    assert time.monotonic() - started < HOSTILE_S
    assert report.passed


def test_mutated_schedulers_never_raise(headers: Path) -> None:
    """Deletes and doubles lines of a real one: whatever comes out, there is a report."""
    lines = (resources.bpf_source_dir() / "at_interactive.bpf.c").read_text().splitlines()
    noise = random.Random(7)
    for _ in range(8):
        kept = [line for line in lines for _ in range(noise.choices((1, 0, 2), (40, 1, 1))[0])]
        report = source_gate.check("\n".join(kept), "at_interactive", headers=headers)
        assert all(isinstance(finding, Finding) for finding in report.findings)
