# SPDX-License-Identifier: MIT
"""A digest changes with what decides how a scheduler schedules, and with nothing else."""

from __future__ import annotations

import os
from pathlib import Path

from autotune.knowledge import versions


def test_a_file_has_the_digest_of_its_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"x" * 3_000_000)
    other.write_bytes(b"x" * 3_000_000)
    assert versions.of_file(str(one)) == versions.of_file(str(other)) != ""
    other.write_bytes(b"x" * 2_999_999 + b"y")
    assert versions.of_file(str(one)) != versions.of_file(str(other))


def test_a_source_has_that_of_itself_and_its_headers(tmp_path: Path) -> None:
    source, include = tmp_path / "a.bpf.c", tmp_path / "include"
    source.write_text("a")
    alone = versions.of_source(str(source))
    include.mkdir()
    (include / "notes.md").write_text("no header")
    assert versions.of_source(str(source)) == alone
    (include / "a.h").write_text("one")
    with_header = versions.of_source(str(source))
    (include / "a.h").write_text("two")
    assert len({alone, with_header, versions.of_source(str(source))}) == 3


def test_what_cannot_be_read_has_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("absent", "pipe", "."):
        assert versions.of_file(str(tmp_path / name)) == ""
    (tmp_path / "include").write_text("no directory")
    (tmp_path / "a.bpf.c").write_text("a")
    assert versions.of_source(str(tmp_path / "a.bpf.c")) == ""
