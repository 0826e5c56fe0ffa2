# SPDX-License-Identifier: MIT
"""Root is probed as the helper will be started. Where the real sudo cannot show a case, a program plays it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autotune import privilege
from autotune.errors import PrivilegeError

PROBE = [sys.executable, "-c", "import os, sys; sys.exit(os.geteuid() != 0)"]


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def play_sudo(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A `sudo` that does what the script says, first on PATH."""
    (directory / "sudo").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def test_root_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert privilege.as_root(["holder"], probe=["must", "not", "run"]) == ["holder"]
    assert privilege.problem(["must", "not", "run"]) is None


@pytest.mark.usefixtures("ordinary")
def test_the_very_program_is_probed_without_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play_sudo(tmp_path, monkeypatch, f'printf "%s\\n" "$@" > {tmp_path}/asked; ps -o tty= -p $$ >> {tmp_path}/asked')
    argv = privilege.as_root(["python", "holder.py"], probe=["python", "holder.py", "--probe"])
    assert argv == [str(tmp_path / "sudo"), "-n", "--", "python", "holder.py"]
    assert (tmp_path / "asked").read_text().split() == ["-n", "--", "python", "holder.py", "--probe", "?"]


@pytest.mark.usefixtures("ordinary")
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'sudo: a password is required' >&2; exit 1", "sudo asks for a password"),
        ("echo 'sudo: a terminal is required to read the password' >&2; exit 1", "sudo asks for a password"),
        ("exit 1", "sudo asks for a password"),
        ("echo 'sudo: eve is not in the sudoers file' >&2; exit 1", "refuses: eve is not in the sudoers file"),
        ("exec sleep 600", "did not answer within"),
    ],
)
def test_why_root_cannot_be_had_is_one_clause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    play_sudo(tmp_path, monkeypatch, script)
    monkeypatch.setattr(privilege, "PROBE_S", 0.5 if "sleep" in script else privilege.PROBE_S)
    problem = privilege.problem(PROBE)
    assert problem is not None
    assert said in problem
    with pytest.raises(PrivilegeError) as raised:
        privilege.as_root(["holder"], probe=PROBE)
    assert "--machine vm" in raised.value.hint


@pytest.mark.usefixtures("ordinary")
def test_without_sudo_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert privilege.problem(PROBE) == "switching schedulers needs root, and there is no sudo"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="making a user needs root")
@pytest.mark.parametrize(("rule", "works"), [("NOPASSWD: ALL", True), ("ALL", False), (f"NOPASSWD: {PROBE[0]}", True)])
def test_the_real_sudo_agrees(rule: str, works: bool) -> None:
    """As `nobody`, with a rule of our own in sudoers.d; a password cannot be asked for there."""
    if not Path("/etc/sudoers.d").is_dir():
        pytest.skip("there is no sudo")
    own = Path("/etc/sudoers.d/autotune-test")
    own.write_text(f"nobody ALL=(ALL) {rule}\n")
    own.chmod(0o440)
    code = (
        "import sys; sys.path[:0] = sys.argv[1:2]; from autotune import privilege as p; print(p.problem(sys.argv[2:]))"
    )
    root = str(Path(__file__).parents[2])
    try:
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PROBE[0], "-c", code, root, *PROBE],
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
    finally:
        own.unlink()
    assert done.stdout.strip() == str(
        None if works else "switching schedulers needs root, and sudo asks for a password"
    )
