# SPDX-License-Identifier: MIT
"""What a run cannot have caused, read from the real /proc."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autotune.machine.base import Place
from autotune.machine.executor import Executor
from autotune.measure import surroundings
from autotune.measure.surroundings import Reading, between
from autotune.records import Identity, RunSpec, Surroundings

SPIN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\n"


def own_s() -> float:
    found = surroundings.own_cpu_s(os.getpid())
    assert found is not None
    return found


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-E", "-c", code]


@contextmanager
def grown(by_s: float) -> Iterator[None]:
    before = own_s()
    yield
    assert own_s() - before >= by_s - 0.05


@pytest.mark.first
@pytest.mark.parametrize(
    "how",
    [
        "{}",
        "import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {!r}])",
        "import os, sys\nif os.fork() == 0:\n os.setsid()\n"
        " os.execv(sys.executable, [sys.executable, '-S', '-c', {!r}])\nos.wait()",
    ],
    ids=["itself", "a child", "a child in a session of its own"],
)
def test_what_the_command_used_is_the_sessions_own_after_its_end(how: str) -> None:
    code = how.format(SPIN.format(0.3))
    with grown(0.3):
        subprocess.run(python(code), check=True)


def test_what_runs_on_is_the_sessions_own_as_a_server_that_setup_left() -> None:
    server = subprocess.Popen(python("while True: pass"))
    try:
        before = own_s()
        deadline = time.monotonic() + 60
        while own_s() - before < 0.2:
            assert time.monotonic() < deadline, "its CPU time does not show"
            time.sleep(0.05)
    finally:
        server.kill()
        server.wait()


def test_a_process_that_is_not_below_us_is_not_ours() -> None:
    """It is started by way of a process that ends, and so belongs to whoever adopts orphans."""
    code = (
        "import os, sys\n"
        "pid = os.fork()\n"
        "if pid: print(pid, flush=True); os._exit(0)\n"
        "os.setsid(); os.close(1)\n"
        "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass\n"
    )
    done = subprocess.run(python(code), stdout=subprocess.PIPE, check=True, text=True)
    pid = int(done.stdout)
    try:
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if parent == os.getpid():
            pytest.skip("this process adopts orphans")
        before = surroundings.read()
        time.sleep(1.0)
        seen = between(before, surroundings.read())
    finally:
        os.kill(pid, 9)
    assert seen.others_s is not None
    assert seen.others_s > 0.05, "at least a part of the CPU, whatever else runs"
    assert seen.cpus == len(os.sched_getaffinity(0))


def test_a_gap_in_what_is_known_stays_one_and_nothing_is_negative() -> None:
    before = Reading(1.0, 10.0, 0.0, 5.0, 3, 1.0, frozenset({0, 1}))
    after = Reading(3.0, 11.0, 0.5, 7.0, 4, 0.5, frozenset({0, 1}))
    assert between(before, after) == Surroundings(2.0, 2, 0.0, 0.5, 1, 0.5)
    assert between(Reading(1.0), Reading(2.0)) == Surroundings(1.0, 0)
    assert surroundings.read(processes=False).own_s is None
    assert surroundings.read(proc="/nonexistent", cpus="/nonexistent").used_s is None


def test_in_a_micro_vm_steal_adds_up_and_the_rest_is_the_hosts() -> None:
    host, guest = Surroundings(2.0, 4, 1.0, 0.1, 2, 0.9), Surroundings(1.9, 2, None, 0.3)
    assert surroundings.with_guest(host, guest) == Surroundings(2.0, 4, 1.0, 0.4, 2, 0.9)
    assert surroundings.with_guest(host, None) == host
    assert surroundings.with_guest(Surroundings(2.0, 4), Surroundings(1.9, 2)) == Surroundings(2.0, 4)


@pytest.mark.slow
def test_a_measured_run_and_its_children_are_no_disturbance_of_it() -> None:
    executor = Executor(Place("/", pristine=False, identity=Identity(os.getuid(), os.getgid(), tuple(os.getgroups()))))
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {SPIN.format(0.4)!r}])"
    try:
        executor.run(RunSpec(("true",), "/", dict(os.environ)))
        before = surroundings.read()
        measured = executor.measure(RunSpec(tuple(python(child)), "/", dict(os.environ)), None)
        after = surroundings.read()
    finally:
        executor.close()
    seen = measured.surroundings
    assert seen is not None
    assert seen.others_s is not None
    assert before.used_s is not None
    assert after.used_s is not None
    assert seen.elapsed_s >= measured.run.wall_s
    assert seen.others_s <= after.used_s - before.used_s - 0.3
