# SPDX-License-Identifier: MIT
"""The holder: its lock, its order of steps, and how its process takes signals, bad requests and the end of its pipe.

The steps are tested over a sysfs tree that a scripted object changes as the kernel would; real schedulers are
attached by the VM's tests. The process is the real one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import (
    AttachError,
    AutotuneError,
    BusyError,
    DetachError,
    HolderLost,
    LeaseLapsed,
    NotAttached,
    PrivilegeError,
    UsageError,
)
from autotune.process import Worker
from autotune.records import AttachSpec
from autotune.schedext import kernel
from autotune.schedext.holding import holder as module
from autotune.schedext.holding.holder import Holder, Lock, lock_holders
from autotune.wire import to_json
from tests.support.libbpf_stand_in import SPEC, UNREGISTERED, Machine

TOP = Path(__file__).resolve().parents[4]
SCHED_EXT = os.path.exists("/sys/kernel/sched_ext")


# --- the lock --------------------------------------------------------------------------------------------


def test_one_process_at_a_time_may_switch_and_the_other_is_told_who(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    Lock(path, owner=4711).take()
    with pytest.raises(BusyError, match=r"\(process 4711\)") as caught:
        Lock(path).take()
    assert caught.value.hint == "wait for it to end"


def test_taking_it_twice_is_fine(tmp_path: Path) -> None:
    lock = Lock(str(tmp_path / "lock"))
    lock.take()
    lock.take()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()} {os.getpid()}"


def test_the_owner_before_leaves_nothing_in_the_lock_s_text(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("123456789 and more")
    Lock(str(tmp_path / "lock"), owner=5).take()
    assert (tmp_path / "lock").read_text() == f"5 {os.getpid()}"


def test_the_kernel_drops_it_with_a_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys; from autotune.schedext.holding.holder import Lock; "
        "Lock(sys.argv[1]).take(); print('has it'); input()"
    )
    argv = [sys.executable, "-u", "-c", code, str(path)]
    owner = subprocess.Popen(argv, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "has it\n"
    with pytest.raises(BusyError, match=f"process {owner.pid}"):
        Lock(str(path)).take()
    owner.kill()
    owner.communicate()
    Lock(str(path)).take()


@contextlib.contextmanager
def locked_by(path: Path, *prefix: str) -> Iterator[int]:
    """A process that has the lock, shared, as everybody could who could read the file."""
    argv = [*prefix, "flock", "-s", "--no-fork", str(path), "sh", "-c", "echo locked; exec sleep 600"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"locked\n"
    try:
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def test_the_lock_is_readable_for_its_owner_alone_also_where_an_older_one_was_not(tmp_path: Path) -> None:
    Lock(str(tmp_path / "new")).take()
    (tmp_path / "old").write_text("")
    (tmp_path / "old").chmod(0o644)
    Lock(str(tmp_path / "old")).take()
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("new", "old")] == [0o600, 0o600]


@pytest.mark.skipif(os.geteuid() != 0, reason="root can become another user")
def test_another_user_s_lock_is_named_as_such_and_passes_for_no_autotune() -> None:
    with tempfile.TemporaryDirectory() as open_to_all:  # pytest's own directories are not
        os.chmod(open_to_all, 0o755)
        path = Path(open_to_all, "lock")
        path.write_text("4711 4712")
        path.chmod(0o644)
        with locked_by(path, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") as pid:
            with pytest.raises(BusyError) as caught:
                Lock(str(path)).take()
            assert caught.value.message == f"the lock {path} is taken by process {pid} of user 65534"
            assert "end it if it is no autotune" in caught.value.hint
            assert module.lock_holders(str(path)) == set()
            assert module.lock_owner(str(path)) is None


@pytest.mark.parametrize("content", ["4711", "4711 1", "4711 nobody", "", "x" * 100])
def test_the_text_of_an_owner_before_is_not_believed(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lock"
    path.write_text(content)
    with locked_by(path) as pid:
        with pytest.raises(BusyError, match=rf"\(process {pid}\)"):
            Lock(str(path)).take()
        assert module.lock_owner(str(path)) == pid
    assert module.lock_owner(str(path)) is None


def test_who_may_not_read_the_lock_finds_the_owner_in_the_arguments_of_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = f"import fcntl, time; f = open({str(path)!r}, 'w'); fcntl.flock(f, 2); print(flush=True); time.sleep(600)"
    holder = subprocess.Popen([sys.executable, "-c", code, "--client", "4711", "--token", "x"], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        assert module.lock_owner(str(path)) == 4711
    finally:
        holder.kill()
        holder.communicate()


def test_who_holds_a_lock_is_seen_without_touching_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = f"import fcntl, time; f = open({str(path)!r}, 'w'); fcntl.flock(f, 2); print(flush=True); time.sleep(99)"
    child = subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    assert lock_holders(str(path)) == {child.pid}
    child.kill()
    child.communicate()
    assert lock_holders(str(path)) == set()


def test_a_probe_of_the_holder_ends_at_once(tmp_path: Path) -> None:
    """Also where a user is not root, and before anything of ours is imported."""
    alone = tmp_path / "holder.py"
    alone.write_bytes(Path(module.__file__).read_bytes())
    done = subprocess.run([sys.executable, "-S", "-E", "-I", str(alone), "--probe"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (int(os.geteuid() != 0), b"")


def test_a_refused_lock_leaves_no_file_open(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    Lock(path).take()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(BusyError):
            Lock(path).take()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_place_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    with pytest.raises(AttachError, match=r"the lock .*/none/lock cannot be taken: No such file") as caught:
        Lock(str(tmp_path / "none" / "lock")).take()
    assert f"check {tmp_path}/none/lock" in caught.value.hint


def test_a_link_in_the_lock_s_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(AttachError, match="cannot be taken"):
        Lock(str(tmp_path / "lock")).take()
    assert (tmp_path / "precious").read_text() == "precious"


# --- attach, confirm, detach, confirm --------------------------------------------------------------------


def test_a_switch_there_and_back(holder: Holder, machine: Machine) -> None:
    attachment = holder.attach(SPEC)
    assert attachment.ops == "at_test"
    assert (attachment.before.state, attachment.before.enable_seq) == ("disabled", 0)
    assert (attachment.after.state, attachment.after.enable_seq) == ("enabled", 1)
    assert attachment.attach_s > 0
    assert holder.exit_record() is None
    machine.record = UNREGISTERED
    detachment = holder.detach()
    assert detachment.state.state == "disabled"
    assert detachment.exit == UNREGISTERED
    assert machine.log == ["open /objects/at_test.o", "set slice_us=7", "load", "attach", "detach", "close"]


def test_the_name_may_have_version_and_build(holder: Holder, machine: Machine) -> None:
    machine.ops = "at_test_1.2.3_x86_64"
    machine.on_attach = lambda: machine.enable(machine.ops)
    assert holder.attach(SPEC).ops == "at_test_1.2.3_x86_64"


def test_partial_mode_tells_the_kernel_and_the_scheduler(holder: Holder, machine: Machine) -> None:
    holder.attach(AttachSpec("at_test", "/o", {}, partial=True))
    assert machine.log == ["open /o", "set partial=True", "set_partial", "load", "attach"]


def test_another_s_scheduler_is_left_alone(holder: Holder, machine: Machine) -> None:
    machine.enable("scx_other")
    with pytest.raises(BusyError, match=r"'scx_other' is attached already \(state enabled\)"):
        holder.attach(SPEC)
    assert machine.log == []
    assert kernel.read_state(machine.tree).ops == "scx_other"


def test_our_own_scheduler_must_be_detached_first(holder: Holder, machine: Machine) -> None:
    holder.attach(SPEC)
    with pytest.raises(BusyError, match="at_test is still attached"):
        holder.attach(SPEC)
    assert kernel.read_state(machine.tree).ops == "at_test"


def test_two_holders_do_not_share_a_machine(holder: Holder, machine: Machine, tmp_path: Path) -> None:
    holder.attach(SPEC)
    machine.record = UNREGISTERED
    holder.detach()
    with pytest.raises(BusyError, match="another autotune"):
        Holder(None, Lock(str(tmp_path / "lock"))).attach(SPEC)


def test_a_kernel_without_sched_ext(holder: Holder, machine: Machine, tmp_path: Path) -> None:
    (machine.tree / "state").unlink()
    with pytest.raises(AttachError, match="this kernel has no sched_ext") as caught:
        holder.attach(SPEC)
    assert "--machine vm" in caught.value.hint
    assert not (tmp_path / "lock").exists()


def test_without_root_nothing_is_tried(
    holder: Holder, machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PrivilegeError, match="needs root"):
        holder.attach(SPEC)
    assert machine.log == []
    assert not (tmp_path / "lock").exists()


def test_an_object_that_holds_another_scheduler_is_not_loaded(holder: Holder, machine: Machine) -> None:
    machine.ops = "at_other"
    with pytest.raises(AttachError, match=r"at_test.o contains the scheduler 'at_other', not 'at_test'"):
        holder.attach(SPEC)
    assert machine.log == ["open /objects/at_test.o", "close"]


def test_a_bad_knob_is_not_loaded(holder: Holder, machine: Machine) -> None:
    with pytest.raises(UsageError, match="no knob 'nope'"):
        holder.attach(AttachSpec("at_test", "/o", {"nope": 1}))
    assert machine.log == ["open /o", "close"]


def test_after_a_refusal_the_next_attach_works(holder: Holder, machine: Machine) -> None:
    def refuse() -> None:
        raise AttachError("was refused by the kernel", detail="R1 is bad")

    machine.on_load = refuse
    with pytest.raises(AttachError) as caught:
        holder.attach(SPEC)
    assert caught.value.detail == "R1 is bad"
    assert machine.log[-1] == "close"
    machine.on_load = lambda: None
    assert holder.attach(SPEC).after.state == "enabled"


def test_a_kernel_that_does_not_go_back_is_an_error_not_a_detachment(holder: Holder, machine: Machine) -> None:
    holder.attach(SPEC)
    machine.on_detach = lambda: None
    with pytest.raises(DetachError, match="not back on its own scheduler: state is enabled, at_test is att") as caught:
        holder.detach()
    assert caught.value.stage == "detach"
    assert "sysrq" in caught.value.hint
    assert machine.log[-1] == "close"


def test_one_that_stays_is_ejected_by_the_kernel_and_that_is_noted(
    holder: Holder, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder.attach(SPEC)
    machine.on_detach = lambda: None

    def eject(ops: str) -> bool:
        machine.disable()
        return ops == "at_test"

    monkeypatch.setattr(module, "eject", eject)
    detachment = holder.detach()
    assert detachment.state.state == "disabled"
    assert detachment.note == "at_test stayed attached, and had to be ejected"


def test_another_one_that_came_meanwhile_is_neither_ejected_nor_called_ours(
    holder: Holder, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder.attach(SPEC)
    machine.on_detach = lambda: machine.enable("scx_other")
    monkeypatch.setattr(module, "eject", lambda ops: pytest.fail(ops))
    with pytest.raises(DetachError, match="scx_other is attached"):
        holder.detach()


def test_an_attach_that_failed_and_left_it_attached_says_so(holder: Holder, machine: Machine) -> None:
    def half() -> None:
        machine.enable()
        raise AttachError("it broke")

    machine.on_attach = half
    machine.on_detach = lambda: None
    with pytest.raises(DetachError, match="at_test is attached") as caught:
        holder.attach(SPEC)
    assert isinstance(caught.value.__cause__, AttachError)


def test_a_lease_is_for_what_is_attached_and_is_renewed(holder: Holder, machine: Machine) -> None:
    assert machine
    assert holder.left_s() is None
    holder.attach(SPEC, lease_s=100.0)
    holder.renew()
    left_s = holder.left_s()
    assert left_s is not None
    assert 0.0 < left_s <= 100.0
    holder.detach()
    assert holder.left_s() is None
    holder.attach(SPEC)
    assert holder.left_s() is None


def test_a_lease_that_lapsed_is_reported_once_and_the_next_attach_works(holder: Holder, machine: Machine) -> None:
    holder.attach(SPEC, lease_s=5.0)
    holder.lapse()
    assert kernel.read_state(machine.tree).state == "disabled"
    with pytest.raises(LeaseLapsed, match=r"stopped for more than 5 s, and at_test was detached"):
        holder.detach()
    with pytest.raises(NotAttached):
        holder.detach()
    assert holder.attach(SPEC, lease_s=5.0).ops == "at_test"


def test_a_lapse_that_nobody_heard_of_is_forgotten_by_the_next_attach(holder: Holder, machine: Machine) -> None:
    assert machine
    holder.attach(SPEC, lease_s=5.0)
    holder.lapse()
    holder.attach(SPEC, lease_s=5.0)
    assert holder.detach().state.state == "disabled"


def test_detaching_nothing_is_an_error(holder: Holder) -> None:
    with pytest.raises(NotAttached, match="no scheduler is attached"):
        holder.detach()


# --- the process -----------------------------------------------------------------------------------------


def start(*options: str, stderr: int | None = subprocess.DEVNULL) -> Worker:
    argv = [sys.executable, "-S", "-E", "-I", module.__file__, *options]
    return Worker(argv, HolderLost, stderr=stderr)


@pytest.fixture
def process() -> Iterator[Worker]:
    worker = start()
    yield worker
    worker.kill()
    worker.close()


def ask(worker: Worker, op: str, **fields: Any) -> Any:
    return worker.request(op, timeout_s=20.0, **fields)


def test_the_end_of_its_pipe_ends_it(process: Worker) -> None:
    assert ask(process, "exit") is None
    assert process.close() == 0


def test_it_starts_without_site_packages_and_without_heavy_modules() -> None:
    heavy = ("asyncio", "logging", "typing_extensions", "pydantic", "rich", "multiprocessing")
    code = "import sys; from autotune.schedext.holding import holder; print(*sys.modules, sep='\\n')"
    argv = [sys.executable, "-S", "-E", "-c", code]
    loaded = subprocess.run(argv, cwd=TOP, capture_output=True, text=True, check=True).stdout.split()
    assert "autotune.schedext.libbpf" in loaded
    assert not set(heavy) & set(loaded)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_leave_ends_it_at_once(process: Worker, number: signal.Signals) -> None:
    ask(process, "exit")
    process.process.send_signal(number)
    assert process.process.wait(60.0) == -number


def test_ctrl_c_is_not_for_it(process: Worker) -> None:
    ask(process, "exit")
    process.process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    assert ask(process, "exit") is None


def test_it_obeys_even_when_its_parent_ignored_and_blocked_the_signals() -> None:
    def deaf() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGHUP])

    argv = [sys.executable, "-S", "-E", "-I", module.__file__]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=deaf)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b'{"id":1,"op":"exit"}\n')
    process.stdin.flush()
    assert b'"id":1' in process.stdout.readline()
    process.terminate()
    process.communicate(timeout=60.0)
    assert process.returncode == -signal.SIGTERM


@pytest.mark.parametrize("op", ["", "attachment", "__init__"])
def test_an_operation_it_does_not_know_is_an_error_and_it_goes_on(process: Worker, op: str) -> None:
    with pytest.raises(AutotuneError, match="unknown operation"):
        ask(process, op)
    assert ask(process, "exit") is None


@pytest.mark.parametrize("fields", [{}, {"spec": None}, {"spec": []}, {"spec": {"object_path": "x"}}])
def test_a_request_that_makes_no_sense_is_an_error_and_it_goes_on(process: Worker, fields: dict[str, Any]) -> None:
    with pytest.raises(AutotuneError) as caught:
        ask(process, "attach", **fields)
    assert caught.value.stage == "internal"
    assert ask(process, "exit") is None


def test_what_is_no_request_at_all_ends_it(process: Worker) -> None:
    assert process.process.stdin is not None
    process.process.stdin.write(b"attach please\n")
    assert process.process.wait(60.0) == 0


@pytest.mark.skipif(SCHED_EXT, reason="this kernel has sched_ext")
def test_on_a_kernel_without_sched_ext_it_says_so(process: Worker) -> None:
    with pytest.raises(AttachError, match="no sched_ext"):
        ask(process, "attach", spec=to_json(SPEC))


def test_what_is_printed_inside_does_not_get_into_the_answers() -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from autotune.schedext.holding import holder\n"
        "holder.Holder.exit_record = lambda self: os.write(1, b'noise') and os.read(0, 1).decode()\n"
        "holder.main()\n"
    )
    worker = Worker([sys.executable, "-S", "-E", "-c", code, str(TOP)], HolderLost, stderr=subprocess.DEVNULL)
    assert ask(worker, "exit") == ""
    assert ask(worker, "exit") == ""
    assert worker.close() == 0


def test_errors_keep_their_class_on_the_way(process: Worker) -> None:
    with pytest.raises(NotAttached, match="no scheduler is attached") as caught:
        ask(process, "detach")
    assert caught.value.stage == "detach"


@pytest.mark.slow
def test_a_request_that_is_stuck_ends_the_process() -> None:
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from autotune.schedext.holding import holder\n"
        "from autotune.process import Channel, serve\n"
        "holder.REQUEST_S = 1\n"
        "holder._obey_signals()\n"
        "serve(Channel(0, 1), {'stick': holder._limited(lambda request: time.sleep(60)),"
        " 'fine': holder._limited(lambda request: 'fine')})\n"
    )
    worker = Worker([sys.executable, "-S", "-E", "-c", code, str(TOP)], HolderLost)
    assert ask(worker, "fine") == "fine"
    time.sleep(1.2)  # a request that ended leaves no alarm behind
    assert ask(worker, "fine") == "fine"
    started = time.monotonic()
    with pytest.raises(HolderLost):
        ask(worker, "stick")
    assert 0.5 < time.monotonic() - started < 60.0  # not when it would have ended by itself
    assert worker.close() == -signal.SIGALRM
