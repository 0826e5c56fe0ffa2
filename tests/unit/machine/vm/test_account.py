# SPDX-License-Identifier: MIT
"""Who QEMU runs as when autotune is root, by the real setpriv: what that account may do, and when it stays root.

A file stands for /dev/kvm. That QEMU itself runs so: tests/vm/test_microvm.py.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autotune.errors import PrivilegeError, UsageError
from autotune.machine import select
from autotune.machine.vm import account
from autotune.machine.vm.account import Account, choose

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else"),
]

SETPRIV = shutil.which("setpriv") or "setpriv"
DAEMON, NOBODY, GROUP = 1, 65534, 54321


@pytest.fixture(autouse=True)
def nobody_invoked_us(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUDO_UID", "SUDO_GID", "SUDO_USER", "DOAS_USER", "PKEXEC_UID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that other users may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="autotune-test-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def device(public: Path) -> Path:
    path = public / "kvm"
    path.touch()
    path.chmod(0o660)
    os.chown(path, 0, GROUP)
    return path


def invoked_by(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "daemon" if variable == "DOAS_USER" else str(DAEMON))


def become(who: Account, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [SETPRIV, *who.options(), "--", "/bin/sh", "-c", script, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")


# --- who ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["SUDO_UID", "DOAS_USER", "PKEXEC_UID"])
@pytest.mark.parametrize("keeps_writes", [False, True])
def test_it_is_the_invoking_user(
    monkeypatch: pytest.MonkeyPatch, device: Path, variable: str, keeps_writes: bool
) -> None:
    invoked_by(monkeypatch, variable)
    who = choose(SETPRIV, keeps_writes=keeps_writes, device=device)
    assert who == Account(DAEMON, DAEMON, (GROUP,), kvm=True)


@pytest.mark.parametrize("uid", [None, "0"])
def test_for_root_itself_it_is_nobody(monkeypatch: pytest.MonkeyPatch, device: Path, uid: str | None) -> None:
    if uid is not None:
        monkeypatch.setenv("SUDO_UID", uid)
    who = choose(SETPRIV, device=device)
    assert (who.uid, who.kvm, who.why_root) == (NOBODY, True, "")


def test_an_unknown_user_is_an_error_and_never_root(monkeypatch: pytest.MonkeyPatch, device: Path) -> None:
    monkeypatch.setenv("SUDO_UID", "54321")
    with pytest.raises(PrivilegeError, match="names no account"):
        choose(SETPRIV, device=device)


def test_who_is_not_root_stays_as_they_are(monkeypatch: pytest.MonkeyPatch, device: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    who = choose("/nowhere/setpriv", device=device)
    assert (who.uid, who.options(), who.kvm) == (None, [], True)


def test_root_with_a_directory_of_its_own_for_writes_stays_root_and_says_so(device: Path) -> None:
    who = choose(SETPRIV, keeps_writes=True, device=device)
    assert (who.uid, who.options()) == (None, [])
    assert "directory of its own" in who.why_root


def test_where_root_cannot_become_the_user_it_stays_root_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: Path
) -> None:
    """As in a container without the capability."""
    invoked_by(monkeypatch, "SUDO_UID")
    narrow = tmp_path / "setpriv"
    narrow.write_text(f'#!/bin/sh\nexec {SETPRIV} --bounding-set=-dac_read_search -- {SETPRIV} "$@"\n')
    narrow.chmod(0o755)
    who = choose(str(narrow), device=device)
    assert (who.uid, who.kvm) == (None, True)
    assert who.why_root.startswith("setpriv: ")
    assert "\n" not in who.why_root
    assert "No such file" in choose("/nowhere/setpriv", device=device).why_root


# --- /dev/kvm ----------------------------------------------------------------------------------------------


def test_the_group_of_the_device_is_added_and_no_other(monkeypatch: pytest.MonkeyPatch, device: Path) -> None:
    invoked_by(monkeypatch, "SUDO_UID")
    assert become(choose(SETPRIV, device=device), "id -G").stdout.split() == [str(DAEMON), str(GROUP)]


@pytest.mark.parametrize(("mode", "gid", "kvm"), [(0o666, 0, True), (0o600, 0, False), (0o660, 0, False)])
def test_a_device_that_the_user_may_not_open_means_emulation(
    monkeypatch: pytest.MonkeyPatch, device: Path, mode: int, gid: int, kvm: bool
) -> None:
    """Root's group is never added: it may write to files of root's."""
    invoked_by(monkeypatch, "SUDO_UID")
    device.chmod(mode)
    os.chown(device, 0, gid)
    assert choose(SETPRIV, device=device) == Account(DAEMON, DAEMON, (), kvm=kvm)


def test_root_itself_keeps_a_device_that_only_root_may_use(device: Path) -> None:
    device.chmod(0o600)
    who = choose(SETPRIV, device=device)
    assert (who.uid, who.kvm, who.why_root) == (None, True, f"only root may use {device}")


def test_without_a_device_it_is_emulation(device: Path) -> None:
    device.unlink()
    assert choose(SETPRIV, device=device) == Account(NOBODY, choose(SETPRIV, device=device).gid, (), kvm=False)


# --- what it may do ----------------------------------------------------------------------------------------


def test_it_reads_what_root_reads_and_changes_nothing(device: Path, public: Path) -> None:
    who = choose(SETPRIV, device=device)
    secret = public / "closed" / "secret"
    secret.parent.mkdir(mode=0o700)
    secret.write_text("root's\n")
    secret.chmod(0o600)
    assert become(who, 'cat "$0"', str(secret)).stdout == "root's\n"
    for script in ('echo x > "$0"', 'rm -f "$0"', 'chmod 666 "$0"', 'chown 1 "$0"', 'ln "$0" "$0.link"'):
        assert become(who, script, str(secret)).returncode != 0, script
    assert become(who, 'kill -0 "$0"', str(os.getpid())).returncode != 0
    assert become(who, "mount -t tmpfs none /mnt").returncode != 0
    assert secret.read_text() == "root's\n"


def test_a_setuid_program_does_not_make_it_root(device: Path, public: Path) -> None:
    """If the file system allows such programs at all."""
    program = public / "id"
    shutil.copy2(shutil.which("id") or "/usr/bin/id", program)
    program.chmod(0o4755)
    assert become(choose(SETPRIV, device=device), str(program) + " -u").stdout.split() == [str(NOBODY)]


def test_it_dies_with_the_process_that_started_it(device: Path) -> None:
    """The kernel forgets a parent-death signal when a process changes its user, so the order of setpriv matters."""
    who = replace(choose(SETPRIV, device=device), kvm=False)
    argv = [SETPRIV, *who.options(), "--pdeathsig", "KILL", "--", "sleep", "60.5"]
    starter = f"import subprocess, time; print(subprocess.Popen({argv!r}).pid, flush=True); time.sleep(60)"
    with subprocess.Popen(["python3", "-c", starter], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        while Path(f"/proc/{child}/comm").read_text() != "sleep\n":
            pass
        pidfd = os.pidfd_open(child)
        parent.send_signal(signal.SIGKILL)
    try:
        assert _ends(pidfd)
    finally:
        os.close(pidfd)


def _ends(pidfd: int) -> bool:
    import select as polling

    return bool(polling.select([pidfd], [], [], 30)[0])


# --- a directory for what is written inside ----------------------------------------------------------------


def test_a_directory_that_is_made_for_the_users_writes_is_the_users(
    monkeypatch: pytest.MonkeyPatch, public: Path
) -> None:
    invoked_by(monkeypatch, "SUDO_UID")
    made = select._writable_directory(public / "new" / "kept")
    assert made is not None
    assert (made.stat().st_uid, made.parent.stat().st_uid) == (DAEMON, 0)


def test_a_directory_that_only_root_may_write_is_refused_for_a_user(
    monkeypatch: pytest.MonkeyPatch, public: Path
) -> None:
    assert select._writable_directory(public) == public
    invoked_by(monkeypatch, "SUDO_UID")
    with pytest.raises(UsageError, match="cannot be written"):
        select._writable_directory(public)
    assert public.stat().st_uid == 0


def test_one_that_holds_something_or_is_a_link_is_not_handed_over(
    monkeypatch: pytest.MonkeyPatch, public: Path
) -> None:
    invoked_by(monkeypatch, "SUDO_UID")
    (public / "full").mkdir()
    (public / "full" / "file").touch()
    (public / "empty").mkdir()
    (public / "link").symlink_to("empty")
    for name in ("full", "link", "nowhere"):
        account.hand_over(SETPRIV, public / name)
    assert {path.stat().st_uid for path in (public / "full", public / "empty")} == {0}
