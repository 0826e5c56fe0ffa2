# SPDX-License-Identifier: MIT
"""How a process ended, as told to somebody who is not its parent, before and after that has waited for it."""

from __future__ import annotations

import os
import platform
import threading

import pytest

from autotune.wrapper import ending

TELLS = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2]) >= (6, 15)


@pytest.mark.parametrize(("how", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", -9), ("kill -TERM $$", -15)])
@pytest.mark.parametrize("is_reaped", [False, True])
def test_its_exit_code_or_its_signal_is_known(how: str, status: int, is_reaped: bool) -> None:
    if is_reaped and not TELLS:
        pytest.skip("needs Linux 6.15")
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", how], os.environ)
    pidfd = os.pidfd_open(pid)
    try:
        assert ending.is_over(pidfd, 30.0)
        if is_reaped:
            os.waitpid(pid, 0)
        assert ending.status(pidfd, pid) == status
    finally:
        os.close(pidfd)
        if not is_reaped:
            os.waitpid(pid, 0)


@pytest.mark.skipif(not TELLS, reason="needs Linux 6.15")
def test_it_is_known_at_any_moment_of_its_parents_waiting() -> None:
    """Between the two ways in which the kernel shows it lies a moment in which it shows neither."""
    for _ in range(100):
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], os.environ)
        pidfd = os.pidfd_open(pid)
        parent = threading.Thread(target=os.waitpid, args=(pid, 0))
        parent.start()
        assert ending.is_over(pidfd, 30.0)
        assert ending.status(pidfd, pid) == 7
        parent.join()
        os.close(pidfd)


def test_one_that_runs_is_not_over() -> None:
    pidfd = os.pidfd_open(os.getpid())
    assert not ending.is_over(pidfd, 0.01)
    assert ending.status(pidfd, os.getpid()) is None
    os.close(pidfd)


def test_a_descriptor_that_is_no_process_tells_nothing() -> None:
    reading, writing = os.pipe()
    assert ending.status(reading, 1 << 22) is None
    os.close(reading)
    os.close(writing)
