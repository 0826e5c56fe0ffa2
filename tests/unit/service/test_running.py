# SPDX-License-Identifier: MIT
"""The process of the job that runs: as its user, within its time, ended by ever stronger signals."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import PrivilegeError
from autotune.records import Identity
from autotune.service import running
from autotune.service.jobs import Job
from autotune.service.running import JobProcess, groups_of, refuse_root

OTHER = Identity(4242, 4343, (4444,))
ME = OTHER if os.geteuid() == 0 else Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()))


def job(owner: Identity = ME) -> Job:
    return Job(1, owner, "me", "true", ("true",), "/", "", {"PATH": os.environ["PATH"]})


@pytest.fixture
def as_sh(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(script: str, owner: Identity = ME) -> JobProcess:
        monkeypatch.setattr(running, "argv_of", lambda _job: ["/bin/sh", "-c", script])
        return JobProcess(job(owner))

    return run


def ended(process: JobProcess, limit_s: float = 30.0) -> tuple[int, str]:
    end = time.monotonic() + limit_s
    while not select.select([process.pidfd], [], [], 0.05)[0]:
        process.tick()
        assert time.monotonic() < end
    assert process.has_ended()
    code, text = process.reap(), b""
    while data := process.read():
        text += data
    process.close_output()
    return code, text.decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_it_runs_as_the_user_with_that_users_groups_and_no_way_back(as_sh: Any) -> None:
    code, text = ended(as_sh("cat /proc/self/status"))
    found = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert code == 0
    assert set(found["Uid"].split()) == {"4242"}
    assert set(found["Gid"].split()) == {"4343"}
    assert found["Groups"].split() == ["4444"]
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_it_has_none_of_our_descriptors(as_sh: Any, tmp_path: Path) -> None:
    with open(tmp_path / "secret", "w") as file:
        os.set_inheritable(file.fileno(), True)
        assert ended(as_sh("ls /proc/self/fd | wc -l"))[1].strip() == "4"  # and the one that ls opens


@pytest.mark.parametrize(
    "identity", [Identity(0, 0), Identity(0, 1000), Identity(0xFFFFFFFF, 1), Identity(1, 0xFFFFFFFF)]
)
def test_root_and_what_would_leave_us_root_are_refused(as_sh: Any, identity: Identity) -> None:
    with pytest.raises(PrivilegeError, match="no session as root"):
        refuse_root(identity)
    with pytest.raises(PrivilegeError):
        as_sh("true", identity)


def test_an_ordinary_service_runs_sessions_of_its_own_user_only(as_sh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4000)
    with pytest.raises(PrivilegeError, match="only root can run a session of user 4242"):
        as_sh("true", OTHER)


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("true", 0)])
def test_its_exit_code_is_known(as_sh: Any, script: str, code: int) -> None:
    assert ended(as_sh(script))[0] == code


def test_what_ignores_one_signal_gets_the_next(as_sh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "STEPS", tuple((number, 0.3) for number, _ in running.STEPS))
    process = as_sh("trap 'echo INT' INT; trap 'echo TERM' TERM; echo on; while :; do sleep 0.05; done")
    while b"on" not in process.read():
        time.sleep(0.02)
    process.end("cancelled")
    process.end("another reason")
    code, text = ended(process)
    assert (code, text.split(), process.why_ended) == (128 + signal.SIGKILL, ["INT", "TERM"], "cancelled")


def test_one_that_takes_too_long_is_ended(as_sh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LONGEST_S", 0.2)
    process = as_sh("exec sleep 600")
    assert ended(process)[0] == 130
    assert process.why_ended.startswith("it took longer than")


def test_what_it_left_in_its_group_is_ended(as_sh: Any) -> None:
    process = as_sh("sleep 602 & echo $!")
    code, text = ended(process)
    assert code == 0
    end = time.monotonic() + 10
    while Path(f"/proc/{text.strip()}/cmdline").exists() and time.monotonic() < end:
        if not Path(f"/proc/{text.strip()}/cmdline").read_bytes():
            break  # a zombie that process 1 has not reaped yet
        time.sleep(0.02)
    assert not Path(f"/proc/{text.strip()}").exists() or not Path(f"/proc/{text.strip()}/cmdline").read_bytes()


def test_a_user_without_an_account_has_the_groups_that_the_kernel_named() -> None:
    assert groups_of(Identity(54321, 54321, (7, 3))) == [3, 7]
