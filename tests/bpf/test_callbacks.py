# SPDX-License-Identifier: MIT
"""Gate 2 judges which callback calls what: directly, by a function of the source, in another section."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune import resources
from autotune.machine.vm import kernels
from autotune.schedext.build import find_headers
from autotune.verify import callbacks
from autotune.verify.compile import compile_source

ROOT = Path(__file__).parents[2]
GOOD = sorted([*resources.bpf_source_dir().glob("*.bpf.c"), *(ROOT / "tests/bpf/good").glob("*.bpf.c")])

PARTS = """#include "at.h"
{before}
AT_OP2(void, some_enqueue, struct task_struct *, p, u64, enq_flags)
{{
	{enqueue}
	scx_bpf_dsq_insert(p, AT_SHARED, 5 * AT_MS, enq_flags);
}}
AT_OP2(void, some_dispatch, s32, cpu, struct task_struct *, prev)
{{
	{dispatch}
	scx_bpf_dsq_move_to_local(AT_SHARED);
}}
AT_OP1(void, some_running, struct task_struct *, p)
{{
	{running}
}}
AT_OP0(s32, "struct_ops.s", some_init)
{{
	return scx_bpf_create_dsq(AT_SHARED, -1);
}}
AT_EXIT(some_exit)

SEC(".struct_ops.link")
struct sched_ext_ops some_ops = {{
	.enqueue = (void *)some_enqueue,
	.dispatch = (void *)some_dispatch,
	.running = (void *)some_running,
	.init = (void *)some_init,
	.exit = (void *)some_exit,
	.timeout_ms = 5000,
	.name = "some",
}};
"""


@pytest.fixture(scope="module")
def headers() -> Path:
    fetched = next(iter(kernels.installed()), None)
    return find_headers(fetched.headers if fetched else None)


def wrong(headers: Path, **parts: str) -> list[str]:
    """What gate 2 says of a scheduler with these parts; it must compile."""
    source = PARTS.format(**{"before": "", "enqueue": "", "dispatch": "", "running": "", **parts})
    findings = compile_source(source, "some", headers).report.findings
    errors = [one for one in findings if one.severity == "error"]
    assert {one.rule for one in errors} <= {"object-callback"}, errors
    return [one.message for one in errors]


@pytest.mark.bpf
@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_schedulers_that_work_pass(path: Path, headers: Path) -> None:
    report = compile_source(path.read_text(), path.name.removesuffix(".bpf.c"), headers).report

    assert [one for one in report.findings if one.rule in ("object-callback", "object-unreadable")] == []


@pytest.mark.bpf
def test_the_parts_alone_pass(headers: Path) -> None:
    assert wrong(headers) == []


@pytest.mark.bpf
@pytest.mark.parametrize(
    ("part", "call", "says"),
    [
        ("running", "scx_bpf_dsq_insert(p, AT_SHARED, 1, 0);", ".running calls scx_bpf_dsq_insert"),
        ("running", "scx_bpf_dsq_move_to_local(AT_SHARED);", ".running calls scx_bpf_dsq_move_to_local"),
        ("enqueue", "scx_bpf_dsq_move_to_local(AT_SHARED);", ".enqueue calls scx_bpf_dsq_move_to_local"),
        ("enqueue", "scx_bpf_dispatch_cancel();", ".enqueue calls scx_bpf_dispatch_cancel"),
        ("dispatch", "scx_bpf_create_dsq(7, -1);", ".dispatch calls scx_bpf_create_dsq"),
        ("dispatch", "if (prev) { bool idle; scx_bpf_select_cpu_dfl(prev, 0, 0, &idle); }",
         ".dispatch calls scx_bpf_select_cpu_dfl"),
        ("enqueue", "scx_bpf_reenqueue_local();", ".enqueue calls scx_bpf_reenqueue_local"),
    ],
)  # fmt: skip
def test_a_call_in_the_wrong_callback_is_refused(headers: Path, part: str, call: str, says: str) -> None:
    assert [text for text in wrong(headers, **{part: call}) if says in text]


@pytest.mark.bpf
@pytest.mark.parametrize("kind", ["static __attribute__((noinline))", "__attribute__((noinline))"])
def test_a_function_between_callback_and_call_hides_nothing(headers: Path, kind: str) -> None:
    before = (
        f"{kind} int inner(u64 dsq) {{ return scx_bpf_dsq_move_to_local(dsq); }}\n"
        f"{kind} int outer(u64 dsq) {{ return inner(dsq) + inner(dsq + 1); }}\n"
    )

    assert wrong(headers, before=before, dispatch="outer(AT_SHARED);") == []
    assert wrong(headers, before=before, running="outer(AT_SHARED);", dispatch="outer(AT_SHARED);") == [
        ".running calls scx_bpf_dsq_move_to_local"
    ]


@pytest.mark.bpf
def test_what_may_be_called_everywhere_may_be_called_everywhere(headers: Path) -> None:
    assert wrong(headers, running="scx_bpf_kick_cpu(0, SCX_KICK_IDLE);", enqueue="scx_bpf_dsq_nr_queued(1);") == []


def test_what_is_no_object_is_refused() -> None:
    (finding,) = callbacks.check(b"\x7fELF nonsense")

    assert finding.rule == "object-unreadable"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("__scx_bpf_dsq_insert_vtime", "scx_bpf_dsq_insert_vtime"),
        ("scx_bpf_dsq_move_to_local___v2", "scx_bpf_dsq_move_to_local"),
        ("scx_bpf_select_cpu_dfl_impl", "scx_bpf_select_cpu_dfl"),
        ("scx_bpf_kick_cpu", "scx_bpf_kick_cpu"),
    ],
)
def test_variants_for_versions_of_the_kernel_count_as_the_function(name: str, known: str) -> None:
    assert callbacks.plain(name) == known
