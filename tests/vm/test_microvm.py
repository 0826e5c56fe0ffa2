# SPDX-License-Identifier: MIT
"""The micro-VM as a machine: the same directory, user and environment as here; what is written stays inside."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from autotune.errors import MachineFault, MachineLost, RunnerLost
from autotune.machine.base import Place
from autotune.machine.vm import microvm
from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.resilient import ResilientVM
from autotune.records import Identity, RunSpec
from tests.support.guest import MEMORY_BYTES, guest_env, guest_run, own_vm
from tests.support.waiting import is_gone, wait_until

pytestmark = [pytest.mark.vm, pytest.mark.slow]

DAEMON = 1
READ = 1 << 2
"""CAP_DAC_READ_SEARCH."""


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that other users may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="autotune-test-", dir="/var/tmp") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def shell(command: str, cwd: Path, **fields: float) -> RunSpec:
    return RunSpec(("sh", "-c", command), str(cwd), guest_env(), **fields)  # type: ignore[arg-type]


def test_it_runs_the_kernel_it_was_asked_to_and_says_how(vm: ResilientVM, kernel: Kernel) -> None:
    assert vm.info.kernel == kernel.version
    assert vm.info.cpus == 2
    assert vm.info.acceleration in ("kvm", "tcg")
    assert guest_run(vm, "uname", "-r").stdout.head.strip() == kernel.version
    spectre = guest_run(vm, "cat", "/sys/devices/system/cpu/vulnerabilities/spectre_v2").stdout.head
    assert spectre.startswith("Vulnerable") is (vm.info.acceleration == "tcg"), "guards against flaws it has not"
    assert vm.state().state == "disabled"


def qemus() -> list[dict[str, str]]:
    """What the kernel says of each QEMU of ours."""
    running = [child for child in psutil.Process().children(recursive=True) if child.name().startswith("qemu-system")]
    texts = [Path(f"/proc/{program.pid}/status").read_text() for program in running]
    return [dict(line.split(":\t", 1) for line in text.splitlines()) for text in texts]


def test_qemu_runs_under_a_filter_of_system_calls_and_not_as_root(vm: ResilientVM) -> None:
    assert vm.info.kind == "vm"
    assert qemus()
    for status in qemus():
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
        assert "0" not in status["Uid"].split() + status["Gid"].split() + status["Groups"].split()
        assert int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == (READ if os.geteuid() == 0 else 0)


def test_a_command_that_fails_is_not_a_machine_that_is_lost(vm: ResilientVM) -> None:
    assert guest_run(vm, "sh", "-c", "exit 7").exit_code == 7
    assert guest_run(vm, "sh", "-c", "kill -SEGV $$").signal == signal.SIGSEGV
    assert guest_run(vm, "no-such-command").start_error == "no-such-command: command not found"
    assert guest_run(vm, "sleep", "60", timeout_s=1.0).timed_out


def test_a_helper_that_is_killed_inside_is_replaced(vm: ResilientVM, tmp_path: Path) -> None:
    generation = vm.generation
    for _ in range(2):
        with pytest.raises(RunnerLost, match="the process that measures runs"):
            vm.measure(shell("kill -9 $PPID; sleep 30", tmp_path), None)
        assert vm.measure(shell("echo again", tmp_path), None).run.stdout.head == "again\n"
    assert vm.generation == generation, "the VM itself was replaced"


def test_a_machine_that_was_stopped_is_blamed_on_nobody_and_goes_on(vm: ResilientVM, tmp_path: Path) -> None:
    """QEMU is stopped in the middle of a run, for longer than the run may take."""
    generation, qemu = vm.generation, psutil.Process(vm._vm._worker.process.pid)  # type: ignore[union-attr]

    def stop_for_a_while() -> None:
        time.sleep(1.0)
        qemu.suspend()
        time.sleep(5.0)
        qemu.resume()

    spec = shell("sleep 4", tmp_path, timeout_s=5.0)
    for do in (lambda: vm.measure(spec, None), lambda: vm.run(spec)):
        thread = threading.Thread(target=stop_for_a_while)
        thread.start()
        with pytest.raises(MachineFault, match=r"the micro-VM was stopped for about \d+ s during the run"):
            do()
        thread.join()
    assert vm.measure(shell("echo on", tmp_path, timeout_s=60.0), None).run.stdout.head == "on\n"
    assert vm.generation == generation


def test_odd_output_comes_over_whole(vm: ResilientVM) -> None:
    assert guest_run(vm, "printf", r"\377\000ok").stdout.head == "\\xff\0ok"
    many = guest_run(vm, "head", "-c", "30000000", "/dev/zero")
    assert many.stdout.total_bytes == 30_000_000


def test_what_the_workload_writes_stays_inside_and_is_kept_where_that_was_asked_for(
    kernel: Kernel, tmp_path: Path
) -> None:
    """At last the VM dies, which is told apart from a command that fails."""
    work, kept = tmp_path / "work", tmp_path / "kept, with a comma"
    work.mkdir()
    kept.mkdir()
    (work / "gone").write_text("x")
    (work / "input").write_text("host\n")
    machine = own_vm(kernel, work, keep=kept)
    try:
        seen = machine.run(shell("cat input; echo guest > input; echo new > made; cat input made", work))
        machine.run(shell("mkdir -p a/b; echo made > a/b/file; rm gone", work))
        assert sorted(path.name for path in work.rglob("*")) == ["gone", "input"]
        counts = machine.keep_writes()
        with pytest.raises(MachineLost, match="the micro-VM is lost"):
            machine.run(shell("echo c > /proc/sysrq-trigger; sleep 30", work, timeout_s=30.0))
    finally:
        machine.close()
    assert seen.stdout.head == "host\nguest\nnew\n"
    assert (work / "input").read_text() == "host\n"
    assert sorted(path.name for path in work.rglob("*")) == ["gone", "input"]
    below = kept / work.relative_to("/")
    assert (below / "a/b/file").read_text() == "made\n"
    assert (below / "input").read_text() == "guest\n"
    assert f"{work}/gone" in (kept / ".autotune-deleted").read_text()
    assert counts["files"] >= 1
    assert counts["problems"] == []


def test_pristine_runs_start_from_the_same_files_as_the_user_who_called_sudo(
    kernel: Kernel, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU runs as that user too; what is kept is theirs."""
    tmp_path, kept = public, public / "kept"
    (tmp_path / "input").write_text("host\n")
    kept.mkdir()
    if os.geteuid() == 0:
        monkeypatch.setenv("SUDO_UID", str(DAEMON))
        os.chown(kept, DAEMON, DAEMON)
    machine = own_vm(kernel, tmp_path, pristine=True, uid=DAEMON, keep=kept)
    try:
        if os.geteuid() == 0:
            assert {one for status in qemus() for one in status["Uid"].split()} >= {str(DAEMON)}
            assert all("0" not in status["Uid"].split() for status in qemus())
        machine.run(shell("touch /var/tmp/outside", tmp_path))
        assert machine.keep_writes()["problems"] == []
        assert {path.stat().st_uid for path in kept.rglob("*")} == {DAEMON if os.geteuid() == 0 else os.geteuid()}
        for _ in range(2):
            machine.fresh()
            machine.run(shell("echo prepared > made", tmp_path))
            seen = machine.measure(shell("id -u; cat made; ls; rm input; echo x >> made", tmp_path), None)
            assert seen.run.stdout.head == f"{DAEMON}\nprepared\ninput\nkept\nmade\n", seen.run
            assert seen.evidence.problem is None
    finally:
        machine.close()


@pytest.mark.usefixtures("kernel")
def test_a_vm_goes_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys,time; from pathlib import Path; from tests.support.guest import own_vm\n"
        "from autotune.machine.vm.kernels import find\n"
        "m = own_vm(find(None), Path(sys.argv[1])); print(m._worker.process.pid, flush=True); time.sleep(60)"
    )
    top = Path(__file__).resolve().parents[2]

    starter = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=top)
    assert starter.stdout is not None
    qemu = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    wait_until(lambda: is_gone(qemu))


def test_a_kernel_whose_clock_is_too_fast_is_booted_again(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine a kernel may find its counter slower than it is; here it is told so, at its first boot."""
    argv, boots = microvm.qemu_argv, itertools.count()
    said: list[str] = []

    def mistaken(*given: Any, **named: Any) -> list[str]:
        whole = argv(*given, **named)
        if next(boots) == 0:
            whole[whole.index("-append") + 1] += " tsc_early_khz=300000"
        return whole

    monkeypatch.setattr(microvm, "qemu_argv", mistaken)
    place = Place(str(tmp_path), False, Identity(0, 0, (0,)))
    machine = microvm.boot(kernel, place, microvm.VmOptions(2, MEMORY_BYTES), "a test", notify=said.append)
    try:
        assert machine.info.kernel == kernel.version
    finally:
        machine.close()
    if machine.info.acceleration == "tcg":  # KVM tells the kernel the rate
        assert next(boots) == 2
        assert any("its clock is too fast" in text for text in said)
