# SPDX-License-Identifier: MIT
"""The schedulers that another is made from, and their sources."""

from __future__ import annotations

import pytest

from autotune import resources
from autotune.errors import UsageError
from autotune.schedext import seal
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.ancestry import ancestors, source_of
from tests.support.generated_schedulers import SOURCE, kept


def test_ours_generated_ones_and_its_own_older_version_are_ancestors_with_the_source_of_now() -> None:
    kept("mine")
    kept("other", source="/* other */\n")
    found = {one.name: one.source_sha256 for one in ancestors(["at_fifo", "other"], "mine")}
    ours = (resources.bpf_source_dir() / "at_fifo.bpf.c").read_text()
    assert found == {
        "at_fifo": seal.sha256(ours.encode()),
        "custom:other": seal.sha256(b"/* other */\n"),
        "custom:mine": seal.sha256(SOURCE.encode()),
    }


def test_a_new_one_made_from_nothing_has_none_and_a_damaged_older_version_is_none() -> None:
    assert ancestors([], "mine") == ()
    (kept("mine").directory / "entry.json").write_text("{")
    assert ancestors([], "mine") == ()


def test_what_does_not_exist_and_programs_are_refused() -> None:
    with pytest.raises(UsageError, match="no scheduler is called"):
        ancestors(["no_such"])
    with pytest.raises(UsageError, match="it is a program"):
        source_of(custom.catalog().get("scx_lavd"))
