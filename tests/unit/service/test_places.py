# SPDX-License-Identifier: MIT
"""Where the service listens, and what it does with what is there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from autotune.errors import AutotuneError, BusyError
from autotune.service import places

TOP = Path(__file__).resolve().parents[3]


def test_only_its_owner_may_connect_and_nothing_stays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "socket"
    with places.listening(path, None):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(path))
    assert not path.exists()


def test_a_group_may_be_given(tmp_path: Path) -> None:
    path = tmp_path / "new" / "socket"
    with places.listening(path, os.getegid()):
        assert (path.stat().st_mode & 0o777, path.stat().st_gid) == (0o660, os.getegid())


def test_the_socket_of_one_that_was_killed_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with places.listening(path, None), socket.socket(socket.AF_UNIX) as one:
        one.connect(str(path))


def test_one_that_listens_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(BusyError, match="listens at"), places.listening(path, None):
            raise AssertionError
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(path))


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "socket"
    (tmp_path / "precious").write_text("precious")
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("precious")
    with pytest.raises(AutotuneError, match="cannot be made"), places.listening(path, None):
        raise AssertionError
    assert path.is_symlink() or path.exists()
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_path_that_is_too_long_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises((AutotuneError, OSError), match="too long"), places.listening(tmp_path / ("x" * 200), None):
        raise AssertionError


def test_a_client_looks_where_its_user_says_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTUNE_SOCKET", "/x/y")
    assert places.candidates() == (Path("/x/y"),)
    monkeypatch.delenv("AUTOTUNE_SOCKET")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert places.candidates() == (places.SYSTEM, Path("/run/user/7/autotune/socket"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert places.candidates()[1].is_absolute()


PASSED = """
import os, sys
sys.path.insert(0, sys.argv[1])
if int(sys.argv[2]) != 3:
    os.dup2(int(sys.argv[2]), 3)
from autotune.errors import AutotuneError
from autotune.service import places
env = {"LISTEN_PID": sys.argv[3].replace("me", str(os.getpid())), "LISTEN_FDS": sys.argv[4], "LISTEN_FDNAMES": "x"}
try:
    found = places.inherited(env)
    print(None if found is None else (found.getsockname(), os.get_inheritable(found.fileno())), env)
except AutotuneError as error:
    print(error.message)
"""


def passed(fd: int, pid: str = "me", count: str = "1") -> str:
    argv = [sys.executable, "-c", PASSED, str(TOP), str(fd), pid, count]
    return subprocess.run(argv, pass_fds=[fd], capture_output=True, text=True, check=True).stdout.strip()


def test_the_socket_of_systemd_is_used_and_its_variables_go_no_further(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))
        one.listen()
        assert passed(one.fileno()) == f"('{tmp_path / 'socket'}', False) {{}}"
        for pid, count in (("1", "1"), ("", ""), ("me", "0"), ("me", "x")):
            assert passed(one.fileno(), pid, count) == "None {}"
        assert "one is wanted" in passed(one.fileno(), "me", "2")


def test_what_is_no_listening_unix_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET) as inet, socket.socket(socket.AF_UNIX) as deaf:
        inet.listen()
        deaf.bind(str(tmp_path / "socket"))
        assert "no listening Unix socket" in passed(inet.fileno())
        assert "no listening Unix socket" in passed(deaf.fileno())
    with open(tmp_path / "file", "w") as file:
        assert "cannot be used" in passed(file.fileno())
