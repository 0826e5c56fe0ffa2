# SPDX-License-Identifier: MIT
"""Gate 2 judges the object: what a scheduler has no need of cannot be called, however the source says it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from autotune import resources
from autotune.machine.vm import kernels
from autotune.schedext.build import find_headers
from autotune.verify import calls
from autotune.verify.compile import compile_source

ROOT = Path(__file__).parents[2]
GOOD = sorted([*resources.bpf_source_dir().glob("*.bpf.c"), *(ROOT / "tests/bpf/good").glob("*.bpf.c")])


@pytest.fixture(scope="module")
def headers() -> Path:
    fetched = next(iter(kernels.installed()), None)
    return find_headers(fetched.headers if fetched else None)


@pytest.fixture(scope="module")
def plain() -> str:
    return (resources.bpf_source_dir() / "at_fifo.bpf.c").read_text()


def rules_of(text: str, headers: Path, name: str = "at_fifo") -> set[str]:
    """Rules of gate 2 that a source breaks; it must compile."""
    report = compile_source(text, name, headers).report
    assert not any(
        finding.rule.startswith("compile-") and finding.severity == "error" for finding in report.findings
    ), report
    return {finding.rule for finding in report.findings if finding.severity == "error"}


def with_call(plain: str, declaration: str, statement: str) -> str:
    """The scheduler, with a function more that does something and is kept."""
    return f'{plain}\n{declaration}\nSEC("struct_ops/more") int more(u64 *ctx)\n{{\n{statement}\n\treturn 0;\n}}\n'


@pytest.mark.bpf
@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_what_schedulers_need_is_allowed(path: Path, headers: Path) -> None:
    assert rules_of(path.read_text(), headers, path.name.removesuffix(".bpf.c")) == set()


@pytest.mark.bpf
@pytest.mark.parametrize(
    ("declaration", "statement", "rule"),
    [
        ("", "\tcrash_kexec((void *)0);", "object-function"),
        ("", "\tbpf_send_signal_task((void *)ctx[0], 9, 0, 0);", "object-function"),
        ("", "\tchar to[8]; bpf_copy_from_user_task_str(to, 8, (void *)ctx[1], (void *)ctx[0], 0);", "object-function"),
        ("", "\treturn *(int *)bpf_rdonly_cast((void *)ctx[0], 1);", "object-function"),
        ("static long (*const number)(void *, u32, const void *) = (void *)112;", "\tchar to[8]; number(to, 8, ctx);",
         "object-helper"),
        ("static long (*const trace)(const char *, u32) = (void *)6;", '\ttrace("x", 1);', "object-helper"),
        ("extern const int linux_banner SEC(\".ksyms\");", "\treturn *(volatile int *)&linux_banner;",
         "object-address"),
        ("static long (*through)(void *) = (void *)115;", "\tlong (*volatile f)(void *) = through; return f(ctx);",
         "object-instruction"),
    ],
)  # fmt: skip
def test_what_no_scheduler_needs_is_refused_by_its_object(
    plain: str, headers: Path, declaration: str, statement: str, rule: str
) -> None:
    text = with_call(plain, declaration, statement)
    assert rule in rules_of(text, headers)


@pytest.mark.bpf
def test_a_macro_that_hides_a_helper_from_the_text_does_not_hide_it_from_the_object(plain: str, headers: Path) -> None:
    """SECURITY review: `#define const` before at.h makes the helper a variable that can be set to any number."""
    text = plain.replace('#include "at.h"', '#define const\n#include "at.h"', 1)
    assert text != plain
    text = with_call(
        text, "", "\tat_probe_read_kernel_str = (void *)112; char to[8]; at_probe_read_kernel_str(to, 8, ctx);"
    )
    assert rules_of(text, headers) & {"object-helper", "object-instruction"}


@pytest.mark.bpf
def test_memory_of_the_kernel_is_read_by_the_exit_record_only(plain: str, headers: Path) -> None:
    """The helper of at.h reads wherever it is pointed, so that a scheduler could follow what another process holds."""
    read = "\tchar to[8]; at_probe_read_kernel_str(to, 8, (void *)ctx[0]); return to[0];"
    assert rules_of(with_call(plain, "", read), headers) == {"object-helper"}


@pytest.mark.bpf
@pytest.mark.parametrize(
    "section",
    ["tp_btf/sched_switch", "?kprobe/x", "syscall", "freplace/on_fork", "fentry.s/x", "iter/task", ".init.text"],
)
def test_a_program_that_is_no_callback_is_refused(plain: str, headers: Path, section: str) -> None:
    text = f'{plain}\nSEC("{section}") int more(u64 *ctx)\n{{\n\treturn 0;\n}}\n'
    assert rules_of(text, headers) == {"object-section"}


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"not an object" * 100])
def test_what_is_no_object_is_refused(content: bytes) -> None:
    assert [finding.rule for finding in calls.check(content)] == ["object-unreadable"]


def test_a_call_of_a_kind_that_only_a_loader_writes_is_refused() -> None:
    found = calls.Calls()
    calls._read_code(
        struct.pack("<BBhi", 0x85, 0x20, 0, 1234) + struct.pack("<BBhi", 0x18, 0x31, 0, 1) + bytes(8), found
    )
    assert len(found.odd) == 2
