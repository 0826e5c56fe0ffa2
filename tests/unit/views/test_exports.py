# SPDX-License-Identifier: MIT
"""Files that reports are written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune.errors import AutotuneError, UsageError
from autotune.views import exports


@pytest.mark.parametrize("name", ["missing/report.json", "file/report.json", "directory"])
def test_a_path_that_cannot_be_written_is_found_out_before(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    with pytest.raises(UsageError, match=r"^--json .* cannot be written: "):
        exports.check_writable(tmp_path / name, "--json")


def test_checking_leaves_no_file_and_changes_none(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("old")
    exports.check_writable(tmp_path / "new.json", "--json")
    exports.check_writable(tmp_path / "old.json", "--json")
    (tmp_path / "link.json").symlink_to("nowhere.json")
    exports.check_writable(tmp_path / "link.json", "--json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "old.json"]
    assert (tmp_path / "old.json").read_text() == "old"


def test_writing_replaces_the_old_content_keeps_its_mode_and_follows_links(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    exports.write(tmp_path / "link", "new\n", "--json")
    assert (tmp_path / "real").read_text() == "new\n"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_full_disk_is_one_error_that_names_the_option() -> None:
    with pytest.raises(AutotuneError) as caught:
        exports.write(Path("/dev/full"), "text", "--export-csv")
    assert caught.value.message == "--export-csv /dev/full could not be written: No space left on device"
