# SPDX-License-Identifier: MIT
"""The store of generated schedulers: what is in it can be tried, and what was touched since cannot."""

from __future__ import annotations

import shutil
import threading

import pytest

from autotune.errors import AttachError, AutotuneError, BusyError, UsageError
from autotune.records import Candidate
from autotune.schedext import seal
from autotune.schedext.catalogue import custom
from autotune.schedext.resolve import CatalogResolver
from tests.support.generated_schedulers import OBJECT, kept


def test_what_was_kept_joins_the_catalogue_and_can_be_a_candidate() -> None:
    kept()
    known = custom.catalog()
    assert "at_fifo" in [one.name for one in known.schedulers]
    candidate = known.parse_candidate("custom:mine:slice_us=100")
    assert candidate.key == "custom:mine:slice_us=100"
    spec = CatalogResolver(None, known)(candidate)
    assert (spec.ops, spec.rodata, spec.generated) == ("mine", {"slice_us": 100}, True)
    assert spec.object_sha256 == seal.sha256(OBJECT)
    seal.check(spec.seal, spec.object_sha256, settings=spec.rodata, kernel="6.18.1")


def test_a_knob_out_of_range_is_refused_as_for_any_other() -> None:
    kept()
    with pytest.raises(UsageError, match="a whole number from 1 to 9000"):
        custom.catalog().parse_candidate("custom:mine:slice_us=0")


def test_a_setting_outside_what_was_proven_is_refused_though_the_entry_was_widened_afterwards() -> None:
    entry = kept().directory / custom.ENTRY
    entry.write_text(entry.read_text().replace("9000", "90000"))
    known = custom.catalog()
    candidate = known.parse_candidate("custom:mine:slice_us=80000")
    with pytest.raises(AttachError, match="80000 for slice_us was not proven, only 1 to 9000"):
        CatalogResolver(None, known)(candidate)
    CatalogResolver(None, known)(known.parse_candidate("custom:mine:slice_us=8000"))


@pytest.mark.parametrize(("part", "said"), [(custom.OBJECT, "not the one that passed"), (custom.SOURCE, "has changed")])
def test_one_changed_byte_of_object_or_source_voids_it(part: str, said: str) -> None:
    path = kept().directory / part
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(AttachError, match=said):
        CatalogResolver(None, custom.catalog())(Candidate("custom:mine"))


@pytest.mark.parametrize(
    "name", ["", "../../etc", "a/b", "a b", "a;rm -rf", "$(x)", ".hidden", "A", "1a", "a.b", "a\n", "é", "x" * 33, "-x"]
)
def test_a_name_that_is_no_plain_word_is_refused_and_touches_nothing(name: str) -> None:
    for act in (custom.load, custom.remove, custom.checked_name):
        with pytest.raises(UsageError, match="cannot be a scheduler's name"):
            act(name)
    with pytest.raises(UsageError), custom.reserved(name):
        pass
    assert custom.names() == []


def test_only_one_verifies_a_name_at_a_time() -> None:
    seen: list[Exception] = []

    def second() -> None:
        try:
            with custom.reserved("mine"):
                pass
        except BusyError as error:
            seen.append(error)

    with custom.reserved("mine"):
        other = threading.Thread(target=second)
        other.start()
        other.join()
    assert [str(error) for error in seen] == ["'mine' is being verified by another autotune (wait for it to end)"]
    with custom.reserved("mine"):
        pass


def test_a_newer_one_replaces_the_older_one_whole() -> None:
    kept(content=b"\x7fELF old")
    one = kept(content=b"\x7fELF new")
    assert one.object_path.read_bytes() == b"\x7fELF new"
    assert custom.names() == ["mine"]
    assert {path.name for path in custom.directory().iterdir()} == {"mine", ".mine.lock"}


def test_a_removed_one_is_gone() -> None:
    kept()
    custom.remove("custom:mine")
    assert custom.entries() == []
    with pytest.raises(UsageError, match="no generated scheduler is called 'mine'"):
        custom.remove("mine")


@pytest.mark.parametrize("content", ["", "{}", "[1]", "\x00", '{"name": "custom:mine", "kind": 3}'])
@pytest.mark.parametrize("part", [custom.ENTRY, custom.SEAL])
def test_a_damaged_one_is_left_out_and_said_to_be_so(part: str, content: str) -> None:
    (kept().directory / part).write_text(content)
    kept("other")
    assert [one.name for one in custom.entries()] == ["custom:other"]
    with pytest.raises(AutotuneError, match="'mine' is damaged"):
        custom.load("mine")


def test_only_the_user_can_read_what_is_kept() -> None:
    for path in kept().directory.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name
    assert custom.directory().stat().st_mode & 0o077 == 0


def test_a_store_that_cannot_be_written_is_an_error() -> None:
    kept()
    shutil.rmtree(custom.directory())
    custom.directory().write_text("a file is in the way")
    with pytest.raises(AutotuneError, match="File exists"), custom.reserved("mine"):
        pass
