# SPDX-License-Identifier: MIT
"""Where a generated scheduler comes from, as it is kept beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autotune.schedext.catalogue import custom, origin
from autotune.schedext.catalogue.origin import Ancestor, Maker, Origin
from tests.support.generated_schedulers import kept


def test_who_made_it_from_what_is_kept_with_it_and_read_again(tmp_path: Path) -> None:
    given = Origin(None, Maker("model", "claude-x"), 12.5, (Ancestor("at_fifo", "ab" * 32),), True)
    kept("mine", made_in=tmp_path, origin=given)
    found = custom.load("mine").origin
    assert (found.maker.text, found.made_at, found.unfair_by_design) == ("a model (claude-x)", 12.5, True)
    assert [one.text for one in found.made_from] == ["at_fifo (abababababab)"]
    assert found.made_in == custom.load("mine").made_in == tmp_path.resolve()


def test_one_of_an_older_version_has_a_directory_at_most(tmp_path: Path) -> None:
    place = kept("mine").directory / custom.ORIGIN
    place.write_text(json.dumps({"directory": str(tmp_path)}))
    found = custom.load("mine").origin
    assert (found.made_in, found.maker.text, found.made_from) == (tmp_path, "not known", ())


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '{"directory": 3}', '{"made_from": 1}', '{"maker": {"kind": "god"}}', '{"made_at": "x"}'],
)
def test_a_damaged_one_tells_nothing(text: str) -> None:
    place = kept("mine").directory / custom.ORIGIN
    place.write_text(text)
    found = origin.read(place.parent)
    assert (found.made_in, found.maker.kind, found.made_from) == (None, "unknown", ())


def test_a_relative_directory_is_none() -> None:
    assert Origin("here/there").made_in is None
