# SPDX-License-Identifier: MIT
"""What is no regular file is not opened, whatever its name led to before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from autotune import opening
from tests.support.waiting import waiting_writer


def test_a_regular_file_is_opened_for_reading(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        with open(opening.regular(tmp_path / name)) as file:
            assert file.read() == "text"
    with pytest.raises(OSError, match="it is a link"):
        opening.regular(tmp_path / "link", follow=False)


@pytest.mark.parametrize(
    ("path", "said"), [("/dev/zero", "not a regular file"), ("/", "directory"), ("/nowhere/at/all", "/nowhere/at/all")]
)
def test_anything_else_is_an_error(path: str, said: str) -> None:
    with pytest.raises(OSError, match=said):
        opening.regular(path)


@pytest.mark.parametrize(
    ("why", "raised"),
    [
        (PermissionError(13, "no", "/proc/self/fd/9"), PermissionError),
        (FileNotFoundError(2, "no", "/proc/self/fd/9"), OSError),
    ],
)
def test_an_error_names_the_file_and_no_descriptor_and_what_is_there_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: OSError, raised: type[OSError]
) -> None:
    (tmp_path / "file").write_text("text")
    real = os.open

    def refused(path: Any, flags: int, *more: Any) -> int:
        if str(path).startswith("/proc/self/fd/"):
            raise why
        return real(path, flags, *more)

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(raised) as caught:
        opening.regular(tmp_path / "file")
    assert caught.value.filename == str(tmp_path / "file")
    assert type(caught.value) is raised


def test_a_pipe_in_the_place_of_a_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with waiting_writer(tmp_path / "pipe") as waits:
        with pytest.raises(OSError, match="not a regular file"):
            opening.regular(tmp_path / "pipe")
        assert waits()


def test_a_file_that_becomes_a_pipe_at_the_last_moment_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autotune import reading

    path, real = tmp_path / "settings", os.open
    path.write_text("text")

    def open_later(where: Any, flags: int, *more: Any, **named: Any) -> int:
        if where == path:
            path.unlink()
            os.mkfifo(path)
            monkeypatch.undo()
            with waiting_writer(path) as waits:
                try:
                    return real(where, flags, *more, **named)
                finally:
                    let_in.append(not waits())
        return real(where, flags, *more, **named)

    let_in: list[bool] = []
    monkeypatch.setattr(os, "open", open_later)
    with pytest.raises(OSError, match="not a regular file"):
        reading.data(path)
    assert let_in == [False]
