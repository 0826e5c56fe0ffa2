# SPDX-License-Identifier: MIT
"""A command that a report offers starts the autotune that wrote it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autotune.report import program


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a blank in its path, and a directory of PATH."""
    monkeypatch.setattr(program, "_started_as", None)
    script = tmp_path / "a checkout/scripts/autotune"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\necho this one\n")
    script.chmod(0o755)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.chdir(script.parents[1])
    return tmp_path


def started(argv0: str) -> str:
    program.start(argv0)
    called = program.called()
    done = subprocess.run(["sh", "-c", called], capture_output=True, text=True, check=False)
    assert done.stdout == "this one\n", done.stderr
    return called


def test_what_is_no_start_of_the_program_is_called_by_its_name(place: Path) -> None:
    assert program.called() == "autotune"
    program.start("-c")
    assert program.called() == "autotune"
    assert place


def test_without_a_link_on_path_it_is_the_path_that_was_typed(place: Path) -> None:
    assert started("scripts/autotune") == "scripts/autotune"
    whole = f"{place}/a checkout/scripts/autotune"
    assert started(whole) == shlex.quote(whole)


def test_a_script_that_the_shell_was_given_without_its_directory(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place / "a checkout/scripts")
    assert started("autotune") == "./autotune"


@pytest.mark.parametrize("name", ["autotune", "at"])
def test_a_link_on_path_is_enough_whatever_was_typed(place: Path, name: str) -> None:
    script = place / "a checkout/scripts/autotune"
    (place / "bin" / name).symlink_to(script)
    assert started(str(place / "bin" / name)) == name
    assert started("scripts/autotune") == ("autotune" if name == "autotune" else "scripts/autotune")


def test_another_autotune_on_path_is_not_meant(place: Path) -> None:
    shutil.copy("/bin/true", place / "bin/autotune")
    assert started("scripts/autotune") == "scripts/autotune"


def test_a_module_is_started_as_one(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-m", "autotune"])
    (place / "__main__.py").touch()
    program.start(str(place / "__main__.py"))
    assert program.called() == "python3 -m autotune"
