# SPDX-License-Identifier: MIT
"""Who else could change what root runs: owners, modes, access control lists and directories, on real files."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from autotune import trust
from autotune.errors import AutotuneError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOBODY = 65534


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of ours in a directory of its own."""
    (tmp_path / "place").mkdir(mode=0o755)
    path = tmp_path / "place" / "program"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def acl(*entries: tuple[int, int, int]) -> bytes:
    """An access control list as the kernel takes it: version 2, entries of tag, permissions and number."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


OWNER, GROUP_OBJECT, OTHER, NONE = (0x01, 7, 0xFFFFFFFF), (0x04, 5, 0xFFFFFFFF), (0x20, 5, 0xFFFFFFFF), 0xFFFFFFFF


def set_acl(path: Path, *named: tuple[int, int, int], mask: int = 7) -> None:
    try:
        os.setxattr(
            path, "system.posix_acl_access", acl(OWNER, *named[:1], GROUP_OBJECT, *named[1:], (0x10, mask, NONE), OTHER)
        )
    except OSError as error:
        pytest.skip(f"no access control lists here: {error.strerror}")


def test_our_own_is_trusted(program: Path) -> None:
    trust.refuse_foreign(program)
    assert not trust.is_foreign(program)


def test_what_is_not_there_is_not_trusted(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        trust.refuse_foreign(tmp_path / "absent")
    assert trust.is_foreign(tmp_path / "absent")


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o722])
@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_others_may_write_is_refused_with_the_command_that_mends_it(program: Path, what: str, mode: int) -> None:
    place = program if what == "file" else program.parent
    place.chmod(mode)
    with pytest.raises(AutotuneError, match="can be written by others") as refused:
        trust.refuse_foreign(program)
    assert refused.value.hint == f"chmod go-w {place}"
    assert str(program) in refused.value.message


def test_a_sticky_directory_keeps_what_is_in_it(program: Path) -> None:
    program.parent.chmod(0o1777)
    trust.refuse_foreign(program)


@as_root
@pytest.mark.parametrize("what", ["file", "directory"])
def test_somebody_else_s_is_refused_and_they_are_named(program: Path, what: str) -> None:
    os.chown(program if what == "file" else program.parent, NOBODY, NOBODY)
    with pytest.raises(AutotuneError, match=r"belongs to (nobody|user 65534)"):
        trust.refuse_foreign(program)


@as_root
def test_where_a_link_leads_counts_and_so_does_the_way_to_the_link(program: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(program)
    trust.refuse_foreign(link)
    os.chown(program, NOBODY, NOBODY)
    with pytest.raises(AutotuneError, match="belongs to"):
        trust.refuse_foreign(link)
    os.chown(program, 0, 0)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "link").symlink_to(program)
    with pytest.raises(AutotuneError, match="can be written by others"):
        trust.refuse_foreign(tmp_path / "open" / "link")


@pytest.mark.parametrize("what", ["file", "directory"])
def test_a_user_in_an_access_control_list_is_seen_though_the_group_is_root_s(program: Path, what: str) -> None:
    place = program if what == "file" else program.parent
    set_acl(place, (0x02, 7, NOBODY))
    with pytest.raises(AutotuneError, match=r"can be written by (nobody|user 65534) \(its access control list\)"):
        trust.refuse_foreign(program)


def test_a_group_in_an_access_control_list_is_seen(program: Path) -> None:
    set_acl(program, (0x02, 4, NOBODY), (0x08, 7, NOBODY))
    with pytest.raises(AutotuneError, match=r"can be written by group 65534"):
        trust.refuse_foreign(program)


@pytest.mark.parametrize(
    ("named", "mask"), [((0x02, 5, NOBODY), 7), ((0x02, 7, NOBODY), 5), ((0x02, 7, os.geteuid()), 5)]
)
def test_who_may_only_read_is_no_danger(program: Path, named: tuple[int, int, int], mask: int) -> None:
    set_acl(program, named, mask=mask)
    trust.refuse_foreign(program)


def test_the_reason_says_what_would_be_done(program: Path) -> None:
    program.chmod(0o777)
    with pytest.raises(AutotuneError, match=f"^{program} would be loaded, but it can be written"):
        trust.refuse_foreign(program, would="would be loaded", stage="attach")


def test_of_our_own_code_the_file_and_its_directory_count(program: Path) -> None:
    program.parent.parent.chmod(0o777)
    trust.refuse_foreign_code(program)
    program.parent.chmod(0o777)
    with pytest.raises(AutotuneError, match=r"would run as root, but .*/place can be written by others"):
        trust.refuse_foreign_code(program)
    program.parent.chmod(0o755)
    program.chmod(0o757)
    with pytest.raises(AutotuneError, match="can be written by others"):
        trust.refuse_foreign_code(program)


# --- programs that PATH names ---


@pytest.mark.parametrize(
    "path", ["{usual}:.", ".:{usual}", "{usual}:", ":{usual}", "{usual}:./bin", "bin", "", "../{name}"]
)
def test_a_program_is_not_found_in_the_directory_that_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """What is missing on the machine would otherwise be the project's own, and run as root."""
    usual, project = tmp_path / "usual", tmp_path / "project"
    for place in (usual, project, project / "bin"):
        place.mkdir()
    for place in (project, project / "bin"):
        (place / "bwrap").write_text("#!/bin/sh\n")
        (place / "bwrap").chmod(0o755)
    monkeypatch.chdir(project)
    monkeypatch.setenv("PATH", path.format(usual=usual, name=project.name))
    assert trust.find_program("bwrap") is None
    (usual / "bwrap").symlink_to("/bin/true")
    assert trust.find_program("bwrap", str(usual)) == str(usual / "bwrap")


def test_further_directories_come_after_those_of_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path / "first"))
    assert trust.find_program("tool", str(tmp_path / "second")) == str(tmp_path / "first" / "tool")
    monkeypatch.delenv("PATH")
    assert trust.find_program("sh")


# --- links: each may lead through directories of its own ---


def test_a_link_through_a_directory_that_others_may_write_is_refused(program: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "current").symlink_to(program.parent)
    (tmp_path / "set").symlink_to("shared/current")
    trust.refuse_foreign(tmp_path / "set" / "program")

    shared.chmod(0o777)

    with pytest.raises(AutotuneError, match="shared can be written by others"):
        trust.refuse_foreign(tmp_path / "set" / "program")


@as_root
def test_somebody_else_s_link_is_refused_where_its_directory_is_everybody_s(program: Path, tmp_path: Path) -> None:
    everybodys = tmp_path / "tmp"
    everybodys.mkdir()
    everybodys.chmod(0o1777)
    link = everybodys / "link"
    link.symlink_to(program)
    trust.refuse_foreign(link)

    os.lchown(link, NOBODY, NOBODY)

    with pytest.raises(AutotuneError, match="it belongs to"):
        trust.refuse_foreign(link)


def test_what_stands_beside_a_link_is_not_on_the_way(program: Path, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to(f"place/../place/./{program.name}")

    trust.refuse_foreign(tmp_path / "link")
    with pytest.raises(AutotuneError, match="open can be written by others"):
        trust.refuse_foreign(tmp_path / "open" / ".." / "place" / "program")


def test_a_path_that_starts_where_we_are_is_looked_at_from_the_root(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(program.parent)
    trust.refuse_foreign(Path("program"))

    program.parent.parent.chmod(0o777)

    with pytest.raises(AutotuneError, match="can be written by others"):
        trust.refuse_foreign(Path("program"))


def test_links_in_a_circle_are_an_error_of_the_system_s(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")

    with pytest.raises(OSError, match="symbolic links"):
        trust.refuse_foreign(tmp_path / "one")
    assert trust.is_foreign(tmp_path / "one")


def test_a_current_directory_that_is_gone_makes_nothing_elsewhere_foreign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert not trust.is_foreign(tmp_path / "file")
    assert trust.is_foreign(Path("file"))
