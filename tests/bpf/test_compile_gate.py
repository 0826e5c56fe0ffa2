# SPDX-License-Identifier: MIT
"""Gate 2: clang sees the source and the headers, and nothing else of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune import resources
from autotune.machine import kernels
from autotune.schedext.build import find_headers
from autotune.verify import sandbox
from autotune.verify.compiling import compile_source
from autotune.verify.findings import ANSWER_BYTES, answer

pytestmark = pytest.mark.bpf
OWN = sorted(path.name.removesuffix(".bpf.c") for path in resources.bpf_source_dir().glob("*.bpf.c"))


@pytest.fixture(scope="module")
def headers() -> Path:
    fetched = next(iter(kernels.installed()), None)
    return find_headers(fetched.headers if fetched else None)


def own_source(name: str) -> str:
    return (resources.bpf_source_dir() / f"{name}.bpf.c").read_text()


@pytest.mark.parametrize("name", OWN)
def test_our_own_schedulers_compile_and_give_the_same_object_each_time(name: str, headers: Path) -> None:
    first = compile_source(own_source(name), name, headers)
    assert first.report.passed
    assert first.content == compile_source(own_source(name), name, headers).content
    assert first.content is not None
    assert first.content[:4] == b"\x7fELF"


@pytest.mark.parametrize(
    "text",
    [
        '#include "/etc/shadow"\n',
        "#include </etc/passwd>\n",
        '#define WHAT "/etc/passwd"\n#include WHAT\n',
        '#include "../../../etc/passwd"\n',
        '#include "/proc/self/environ"\n',
        '#include "/proc/mounts"\n',
        '#include "/dev/zero"\n',
        'char x[] = {\n#embed "/etc/passwd"\n};\n',
        '#if __has_include("/etc/passwd")\nint root_x_0_0;\n#else\n#error "nothing to see"\n#endif\n',
    ],
)
def test_a_source_that_reads_files_gets_nothing(text: str, headers: Path) -> None:
    done = compile_source(text, "thief", headers)
    assert done.content is None
    assert "root" not in done.report.log
    assert "HOME=" not in done.report.log
    assert done.report.findings[0].line is not None


@pytest.mark.parametrize(
    "text",
    [
        "#include __FILE__\n",
        "#define A(x) x x x x x x x x x x\nA(A(A(A(A(A(A(A(A(A(int y;))))))))))\n",
        "x(" * 100000,
        "int a[1 << 28] = {1};\n",
        "int x = " + "(" * 50000 + "1" + ")" * 50000 + ";\n",
        "\x00\x01\x02" * 1000,
        "int x = 1\n" * 100000,
    ],
)
def test_a_compile_bomb_is_a_finding_within_bounds(text: str, headers: Path) -> None:
    report = compile_source(text, "bomb", headers).report
    assert not report.passed
    assert report.took_s < 30
    assert len(answer(report).encode()) <= ANSWER_BYTES


def test_a_mistake_is_told_at_its_line_and_column(headers: Path) -> None:
    text = own_source("at_fifo").replace("at_kick(p);", "at_kick(q);")
    line = next(number for number, it in enumerate(text.splitlines(), 1) if "at_kick(q)" in it)
    (finding, *_) = compile_source(text, "at_fifo", headers).report.findings
    assert (finding.line, finding.column) == (line, text.splitlines()[line - 1].index("q") + 1)
    assert "undeclared identifier 'q'" in finding.message


def test_a_mistake_within_a_macro_of_ours_is_told_where_the_macro_is_used(headers: Path) -> None:
    text = own_source("at_fifo").replace("AT_EXIT(at_fifo_exit)", "AT_EXIT(at_fifo exit)")
    line = next(number for number, it in enumerate(text.splitlines(), 1) if "AT_EXIT(" in it)
    findings = compile_source(text, "at_fifo", headers).report.findings
    assert line in [finding.line for finding in findings]


def test_inside_there_is_nothing_but_programs() -> None:
    said = sandbox.run(["sh", "-c", "ls /; ls -A /scratch; id -u; env"], shown={}).stdout
    lines = said.decode().splitlines()
    assert set(lines[: lines.index("65534")]) <= {"bin", "lib", "lib64", "usr", "scratch"}
    variables = {line.partition("=")[0] for line in lines[lines.index("65534") + 1 :]}
    assert variables <= {"HOME", "PATH", "LC_ALL", "PWD", "TMPDIR"}


def test_inside_there_is_no_network() -> None:
    script = "import socket; socket.create_connection(('127.0.0.1', 22), 1)"
    done = sandbox.run(["python3", "-S", "-c", script], shown={})
    assert b"Network is unreachable" in done.stderr or b"refused" in done.stderr
    script = "import socket; print(len(socket.if_nameindex()))"
    assert sandbox.run(["python3", "-S", "-c", script], shown={}).stdout == b"1\n"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("while :; do :; done", "it took over 1 s"),
        ("yes", "it wrote more than 64 KiB"),
        ("sleep 60; true", "took over"),
    ],
)
def test_what_passes_a_bound_is_ended_with_all_it_started(script: str, why: str) -> None:
    done = sandbox.run(["sh", "-c", script], shown={}, limits=sandbox.Limits(wall_s=1.0, output_bytes=64 << 10))
    assert why in done.ended_for
    assert done.wall_s < 5
