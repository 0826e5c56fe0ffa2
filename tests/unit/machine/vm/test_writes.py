# SPDX-License-Identifier: MIT
"""What is copied out of the micro-VM's upper layer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autotune.machine.vm.writes import DELETED_LIST, copy_writes


def test_files_directories_and_links_are_copied_as_they_are(tmp_path: Path) -> None:
    upper, target = tmp_path / "upper", tmp_path / "target"
    (upper / "home/me").mkdir(parents=True)
    target.mkdir()
    (upper / "home/me/out").write_bytes(b"\0\xff")
    (upper / "home/me/out").chmod(0o555)
    (upper / "home/me/link").symlink_to("out")
    kept = copy_writes(upper, target)
    assert (target / "home/me/out").read_bytes() == b"\0\xff"
    assert os.access(target / "home/me/out", os.X_OK)
    assert (target / "home/me/link").readlink() == Path("out")
    assert (kept.files, kept.bytes, kept.deleted, kept.problems) == (2, 2, 0, ())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make the device nodes that mark a deletion")
def test_deleted_files_are_listed(tmp_path: Path) -> None:
    upper, target = tmp_path / "upper", tmp_path / "target"
    upper.mkdir()
    target.mkdir()
    os.mknod(upper / "gone", 0o20600, os.makedev(0, 0))
    assert copy_writes(upper, target).deleted == 1
    assert (target / DELETED_LIST).read_text() == "/gone\n"


def test_what_cannot_be_copied_is_named_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    upper, target = tmp_path / "upper", tmp_path / "target"
    upper.mkdir()
    target.mkdir()
    (upper / "a").write_text("a")
    (upper / "b").write_text("b")
    (target / "a").mkdir()  # a directory stands where the file should go
    kept = copy_writes(upper, target)
    assert (target / "b").read_text() == "b"
    assert len(kept.problems) == 1
    assert kept.problems[0].startswith("/a: ")
