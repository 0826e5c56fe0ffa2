# SPDX-License-Identifier: MIT
"""Gate 2: clang sees the source and the headers, and nothing else of the machine."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest

from autotune import resources
from autotune.machine.vm import kernels
from autotune.schedext.build import find_headers
from autotune.verify import sandbox
from autotune.verify.compile import LIMITS, compile_source
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


COUNTED = '#include "at.h"\n#define T(x) x x x x x x x x\n'
BOMBS = {
    "a file in itself": "#include __FILE__\n",
    "a file in itself, many times": "#include __FILE__\n" * 1500,
    "a macro in itself": "#define A(x) x x x x x x x x x x\nA(A(A(A(A(A(A(A(A(A(int y;))))))))))\n",
    "a macro of errors": "#define A(x) x x x x x x x x x x\nA(A(A(A(A(int 1;)))))\n",
    "100,000 calls": "x(" * 100000,
    "calls that fit": "x(" * 30000,
    "a large array": "int a[1 << 28] = {1};\n",
    "a large initialiser": "int a[] = {" + "1," * 32000 + "}; int b[1ULL << 40] = {[0 ... 1ULL << 39] = 7};\n",
    "parentheses": "int x = " + "(" * 50000 + "1" + ")" * 50000 + ";\n",
    "parentheses that fit": "int x = " + "(" * 30000 + "1" + ")" * 30000 + ";\n",
    "blocks that fit": "void f(void) {" + "{" * 60000,
    "no text": "\x00\x01\x02" * 1000,
    "100,000 wrong lines": "int x = 1\n" * 100000,
    "wrong lines that fit": "int x = 1\n" * 1999,
    "a long wrong line": "int x=1 " * 8000,
    "names that are not known": "void f(void) { " + "".join(f"n{n}(); " for n in range(6000)) + "}\n",
    "work for the optimiser": COUNTED
    + "u64 f(u64 x) { T(T(T(T(T(T(if (x & 5) x = x * x + at_now();)))))) return x; }\nint y = 1\n",
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_compile_bomb_is_a_finding_within_bounds(what: str, headers: Path) -> None:
    report = compile_source(BOMBS[what], "bomb", headers).report
    assert not report.passed
    assert report.took_s < 3 * LIMITS.wall_s  # by construction at one of them, and what it takes to start and to end
    assert len(answer(report).encode()) <= ANSWER_BYTES


def test_what_is_too_long_is_refused_before_a_compiler_sees_it(headers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "run", lambda *_, **__: pytest.fail("it was compiled"))
    for text in ("int x = 1\n" * 100_000, "x" * 100_000):
        report = compile_source(text, "bomb", headers).report
        assert {finding.rule for finding in report.findings} == {"size-bounded"}


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


def test_inside_there_is_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its namespace alone: the filter of system calls would refuse the socket itself."""
    monkeypatch.setattr(sandbox, "hardening", sandbox.Hardening)
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
        ("exec >&- 2>&-; sleep 60", "took over"),
    ],
)
def test_what_passes_a_bound_is_ended_with_all_it_started(script: str, why: str) -> None:
    done = sandbox.run(["sh", "-c", script], shown={}, limits=sandbox.SandboxLimits(wall_s=1.0, output_bytes=64 << 10))
    assert why in done.ended_for
    assert done.wall_s < 30  # not the minute that it would go on


@pytest.mark.parametrize("script", ["while :; do :; done", "trap '' XCPU; while :; do :; done"])
def test_who_uses_up_its_cpu_time_is_ended_by_the_kernel(script: str) -> None:
    done = sandbox.run(["sh", "-c", script], shown={}, limits=sandbox.SandboxLimits(wall_s=300.0, cpu_s=1))
    assert done.ended_for == "it took over 1 s of CPU time"


def test_what_is_given_to_the_sandbox_has_no_name_that_others_could_use(tmp_path: Path, headers: Path) -> None:
    """SECURITY review: another user replaced the source between writing and compiling, four times out of four."""
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for place in {Path(tempfile.gettempdir()), Path("/var/tmp"), Path("/dev/shm")}:
                seen.update(str(entry) for entry in place.iterdir() if entry.name.startswith("autotune-compile"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        compiled = compile_source(own_source("at_fifo"), "at_fifo", headers)
    finally:
        done.set()
        watcher.join()
    assert compiled.report.passed
    assert seen == set()
    script = "cat /source/x.c; echo evil > /source/x.c; mv /source/x.c /source/y.c; cat /source/x.c"
    inside = sandbox.run(["sh", "-c", script], shown={}, given={"/source/x.c": b"innocent\n"})
    assert inside.stdout == b"innocent\ninnocent\n"
    assert list(tmp_path.iterdir()) == []
