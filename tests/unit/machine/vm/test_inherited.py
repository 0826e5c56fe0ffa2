# SPDX-License-Identifier: MIT
"""What goes into the micro-VM with a command, and what of the host does not."""

from __future__ import annotations

import multiprocessing
import os
import resource
from pathlib import Path

import pytest

from autotune.machine.vm import inherited


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (" -j4 --jobserver-auth=3,4", " -j4 "),
        ("kw -j4 --jobserver-auth=fifo:/tmp/GMfifo12 -- A=--jobserver-auth=3,4", "kw -j4  -- A=--jobserver-auth=3,4"),
        ("--jobserver-fds=3,4 -j", "-j2"),
        ("-j --jobserver-fds=3,4 --no-print-directory", "-j2 --no-print-directory"),
        ("-O -j3 --jobserver-auth=-2,-2 --sync-mutex=fnm:/tmp/GMx", "-O -j3 "),
        ("-j", "-j"),
        ("--jobserver-authors=me", "--jobserver-authors=me"),
        ("", ""),
    ],
)
def test_a_make_inside_has_as_many_jobs_and_no_jobserver_of_the_host(given: str, kept: str) -> None:
    assert inherited.without_jobserver(given, 2) == kept
    flags = dict.fromkeys(("MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS", "CARGO_MAKEFLAGS"), given)
    assert inherited.environment({**flags, "NOTE": given}, 2) == {**dict.fromkeys(flags, kept), "NOTE": given}


def taken_on(given: dict[str, object]) -> tuple[int, tuple[int, int]]:
    """Umask and limit of open files of a process that took them on."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(inherited.take_on, (given,))
        return pool.apply(os.umask, (0,)), pool.apply(resource.getrlimit, (resource.RLIMIT_NOFILE,))


def test_umask_and_limits_are_taken_on() -> None:
    given = inherited.read()
    hard = given["limits"]["RLIMIT_NOFILE"][1]
    given |= {"umask": 0o027, "limits": {"RLIMIT_NOFILE": [300, hard]}}
    assert taken_on(given) == (0o027, (300, hard))


def test_what_this_kernel_does_not_allow_is_taken_on_as_far_as_it_does() -> None:
    most = int(Path("/proc/sys/fs/nr_open").read_text())
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    _, limit = taken_on({"umask": None, "limits": {"RLIMIT_NOFILE": [300, most + 1], "RLIMIT_STACK": [2, 1]}})
    assert limit in ((300, most), before)  # an ordinary user cannot raise it
    assert taken_on({})[1] == before
