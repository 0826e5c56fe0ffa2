# SPDX-License-Identifier: MIT
"""The standing of a generated scheduler, from a real store of sessions, real strikes and its seal."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune.canary.standing import all_known, known, standings
from autotune.canary.strikes import Strikes
from autotune.knowledge.store import Knowledge
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.origin import Maker, Origin
from tests.support.generated_schedulers import kept, session_with


@pytest.fixture(autouse=True)
def _own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_it_rises_by_confirmed_sessions_and_a_canary_and_falls_by_a_strike() -> None:
    one = kept("mine")
    digest = one.seal.object_sha256
    with Knowledge() as knowledge:
        assert known(one, knowledge).promotion.standing == "candidate"
        knowledge.record(session_with(one, "faster", id="0a1b2c3d", started_at=1.0))
        assert known(one, knowledge).promotion.standing == "proven"
        knowledge.record(session_with(one, "faster", id="0a1b2c3e", started_at=2.0, command="sort big"))
        assert known(one, knowledge).promotion.standing == "proven"
        Strikes().remember_passed(digest, "6.18.15")
        trusted = known(one, knowledge)
        assert (trusted.promotion.standing, trusted.canary_passed) == ("trusted", ("6.18.15",))
        knowledge.record(session_with(one, "slower", id="0a1b2c3f", started_at=3.0, command="sort big"))
        assert known(one, knowledge).promotion.standing == "proven"
        Strikes().strike(digest, "wake-up latency", "6.18.15")
        struck = known(one, knowledge)
        assert struck.promotion.standing == "candidate"
        assert "a strike since" in struck.promotion.text


def test_what_a_bundle_claims_promotes_nothing() -> None:
    won = {"verdict": "faster", "speedup": [9.0, 8.0, 9.5], "confirmed": True, "metric": "wall_s", "program": "make"}
    claims = {"maker": "a person", "standing": "trusted: confirmed faster on 50 workloads", "outcomes": [won] * 50}
    one = kept("mine", origin=Origin(maker=Maker("import")), claims=claims)
    assert custom.read_claims(one) == claims
    with Knowledge() as knowledge:
        found = known(one, knowledge)
    assert (found.promotion.standing, found.outcomes, found.canary_passed) == ("candidate", (), ())
    assert found.custom.origin.maker.kind == "import"


def test_one_that_was_changed_or_that_older_gates_passed_is_unsealed() -> None:
    one = kept("mine")
    one.source.write_text("/* another */\n")
    with Knowledge() as knowledge:
        found = known(one, knowledge).promotion
    assert (found.standing, found.why) == ("unsealed", ("its source has changed since it passed the gates",))


def test_the_generated_ones_of_a_catalogue_are_told_and_damaged_ones_are_left_out() -> None:
    kept("mine")
    good = kept("other")
    (kept("worse").directory / "seal.json").write_text("{")
    entries = [*custom.catalog().schedulers]
    with Knowledge() as knowledge:
        knowledge.record(session_with(good, "faster", id="0a1b2c3d"))
        assert {name: found.standing for name, found in standings(entries, knowledge).items()} == {
            "custom:mine": "candidate",
            "custom:other": "proven",
        }
        assert [each.custom.entry.name for each in all_known(custom.names(), knowledge)] == [
            "custom:other",
            "custom:mine",
        ]
