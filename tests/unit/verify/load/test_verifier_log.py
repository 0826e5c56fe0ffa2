# SPDX-License-Identifier: MIT
"""What is made of the verifier's words. The logs in verifier_logs/ are real: small schedulers with one fault each,
loaded in the micro-VM (Linux 6.18); of the longest only the end is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune.verify.load.gate import judge
from autotune.verify.load.verifier_log import explain, is_verifier_log, verification_ms, verified_instructions

LOGS = Path(__file__).parent / "verifier_logs"


def log(name: str) -> str:
    return (LOGS / f"{name}.log").read_text()


@pytest.mark.parametrize(
    ("name", "line", "meaning", "advice"),
    [
        ("infinite_loop", 23, "whose end the verifier cannot see", "bpf_iter_num"),
        ("toolarge", 15, "gave up after 1000000 instructions", "bpf_iter_num"),
        ("null_context", 41, "may be NULL", "compare it with NULL"),
        ("prevnull", 14, "may be NULL", "compare it with NULL"),
        ("scalar", 9, "a number is used as a pointer", "with their type"),
        ("noreturn", 20, "without a valid return value", "return a value on every path"),
        ("stack_in_calls", None, "512 bytes of stack", "keep large variables in a map"),
        ("stackread", 15, "outside of its array", "array's length"),
        ("array", 9, "outside of its array", "array's length"),
        ("notallowed", 14, "may sleep", "only init and exit callbacks may sleep"),
        ("unreleased", 16, "not released", "bpf_iter_num_destroy"),
        ("cpumaskref", 8, "not released", "scx_bpf_put_cpumask"),
        ("sleeping_on_lock", 39, "a lock is taken", "call nothing between"),
        ("argtype", 8, "another type", "as the callback received it"),
        ("writes", 8, "may not be written", "p->scx.slice"),
    ],
)
def test_each_complaint_is_explained_with_its_line_and_what_to_do(
    name: str, line: int | None, meaning: str, advice: str
) -> None:
    found = explain(log(name), "")
    assert found.rule == "verifier"
    assert found.line == line
    assert meaning in found.message
    assert advice in found.advice


def test_the_verifiers_own_words_and_the_callback_are_kept() -> None:
    found = explain(log("null_context"), "", "null_context_running")
    assert "in null_context_running" in found.message
    assert "R0 invalid mem access 'map_value_or_null'" in found.message


def test_a_fault_inside_a_headers_helper_is_shown_where_the_helper_is_used() -> None:
    text = log("sleeping_on_lock")
    last = [line for line in text.splitlines() if line.startswith("; ")][-1]
    assert "@ at.h:" in last
    assert explain(text, "").line == 39


def test_what_is_not_given_back_is_shown_where_it_was_taken() -> None:
    assert "if (cpu == 1) @ unreleased.bpf.c:17" in log("unreleased")
    assert explain(log("unreleased"), "").line == 16


def test_the_column_is_where_the_line_begins() -> None:
    source = "\n" * 40 + "\t\tctx->runs++;\n"
    found = explain(log("null_context"), source)
    assert (found.line, found.column) == (41, 3)


def test_a_line_that_the_source_does_not_have_has_no_column() -> None:
    found = explain(log("null_context"), "one line\n")
    assert (found.line, found.column) == (41, None)


def test_a_complaint_before_any_trace_is_shown_where_the_callback_is_defined() -> None:
    source = "/* head */\nAT_OP2(void, stack_in_calls_enqueue, ...)\n"
    assert explain(log("stack_in_calls"), source, "stack_in_calls_enqueue").line == 2


def test_an_unknown_complaint_is_reported_as_it_is() -> None:
    trace = "0: R1=ctx() R10=fp0\n; x = 1; @ mine.bpf.c:7\n0: (95) exit\n"
    text = f"{trace}the moon is full\nprocessed 1 insns (limit 1000000)\n"
    found = explain(text, "")
    assert (found.line, found.advice) == (7, "")
    assert "the moon is full" in found.message


def test_an_empty_log_makes_a_finding_too() -> None:
    assert "no reason" in explain("", "").message


def test_statistics_are_read() -> None:
    text = "verification time 2225 usec\nstack depth 8\nprocessed 26 insns (limit 1000000) max_states_per_insn 0\n"
    assert verified_instructions(text) == 26
    assert verification_ms(text) == 2.225
    assert verified_instructions("") is None
    assert verification_ms("") is None


def test_what_libbpf_says_is_no_verifiers_log() -> None:
    libbpf = "libbpf: extern (func ksym) 'scx_bpf_made_up': not found in kernel or module BTFs\n"
    assert not is_verifier_log(libbpf)
    found = judge({"stage": "load", "said": "x.o was refused: not found", "log": libbpf, "program": ""}, "")
    assert [finding.rule for finding in found] == ["load"]


def test_a_scheduler_whose_init_fails_is_a_finding_of_its_own() -> None:
    heard = {"stage": "attach", "said": "ops.init() failed (-17)", "log": "", "program": ""}
    (found,) = judge(heard, "")
    assert found.rule == "attach"
    assert "init" in found.advice
