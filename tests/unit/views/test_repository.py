# SPDX-License-Identifier: MIT
"""The user's own schedulers as text: the list, one in full, two beside each other, and a bundle's claims."""

from __future__ import annotations

import json

from autotune.canary import standing
from autotune.canary.strikes import Strikes
from autotune.knowledge.store import Knowledge
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.origin import Ancestor, Maker, Origin
from autotune.verify import bundle
from autotune.views import repository
from tests.support.generated_schedulers import an_entry, kept, session_with

NOW = 1_000_000.0


def a_known(*verdicts: str) -> standing.Known:
    origin = Origin(None, Maker("model", "m-1"), NOW - 7200.0, (Ancestor("at_fifo", "ab" * 32),))
    one = kept("mine", origin=origin)
    with Knowledge() as knowledge:
        for number, verdict in enumerate(verdicts):
            at = NOW - 3600.0 + number
            knowledge.record(session_with(one, verdict, id=f"0a1b2c3{number}", started_at=at))  # type: ignore[arg-type]
        return standing.known(one, knowledge)


def test_the_list_has_standing_maker_ancestors_and_the_best_confirmed_speedup() -> None:
    lines = list(repository.listing([a_known("faster")], width=120, now=NOW))
    assert lines[0].split() == ["NAME", "STANDING", "MADE", "BY", "MADE", "FROM", "MEASURED", "BEST"]
    assert lines[1].split() == [
        "custom:mine", "proven", "a", "model", "(m-1),", "2", "hours", "ago", "at_fifo", "1", "session", "1.210",
    ]  # fmt: skip
    assert lines[2:4] == [
        "  Keeps builders happy.",
        "  proven: confirmed faster on 1 workload here; trusted from 2 on; no canary passed on this host",
    ]
    assert "verify FILE.bpf.c" in next(iter(repository.listing([], width=80, now=NOW)))


def test_one_in_full_tells_each_session_and_its_strikes() -> None:
    known = a_known("faster", "invalid")
    Strikes().strike(known.custom.seal.object_sha256, "wake-up \x1b[2J latency", "6.18.15")
    with Knowledge() as knowledge:
        known = standing.known(known.custom, knowledge)
    text = " ".join(" ".join(repository.details(known, {}, width=100, now=NOW)).split())
    assert "Standing: candidate: it passed the gates; it had a strike since it was confirmed" in text
    assert "Made from: at_fifo (abababababab)" in text
    assert "0a1b2c31, 59 minutes ago: custom:mine on 'make -j8'" in text
    assert "invalid, ejected 1 time" in text
    assert "faster, 1.210 [0.850, 1.300], confirmed" in text
    assert "Detached on Linux 6.18.15: wake-up [2J latency" in text
    assert "Claimed" not in text


def test_claims_are_shown_as_claims_and_damaged_ones_not_at_all() -> None:
    known = a_known("faster")
    text = bundle.exported(known.custom, known.of_this_build, known.promotion)
    claims = json.loads(text)["claims"]
    shown = " ".join(" ".join(repository.details(known, claims, width=100, now=NOW)).split())
    mine, _, claimed = shown.partition("Claimed by the file that it was imported from, and not measured here:")
    assert "0a1b2c30" in mine
    assert "it says custom:mine on make" in claimed
    assert "it says standing: proven" in claimed
    damaged = list(repository.details(known, {**claims, "cpus": "x"}, width=100, now=NOW))
    assert damaged[-1] == "What was claimed of it cannot be read any more."
    assert list(repository.claimed(bundle.Claims(), width=100)) == []


def test_a_bundle_is_shown_before_it_is_verified() -> None:
    known = a_known()
    submitted, claims = bundle.parsed(bundle.exported(known.custom, (), known.promotion))
    shown = list(repository.bundle(submitted, claims, width=100))
    assert shown[0] == "custom:mine: Keeps builders happy."
    assert "  Source: 1 line, 18 bytes" in shown
    unfair = submitted.model_copy(update={"unfair_by_design": True})
    assert any("unfair by design" in line for line in repository.bundle(unfair, claims, width=100))


def test_two_differ_in_texts_knobs_and_source_and_one_not_from_itself() -> None:
    one = an_entry("mine")
    other = one.model_copy(update={"name": "custom:other", "algorithm": "By turns.", "knobs": ()})
    assert list(repository.differences(one, one, "a\n", "a\n")) == []
    lines = list(repository.differences(one, other, "a\n\tb\x1b\n", "a\n\tc\n"))
    assert lines[:2] == ["- algorithm: ", "+ algorithm: By turns."]
    assert lines[2].startswith("- knob slice_us: a whole number from 1 to 9000")
    assert lines[3:5] == ["--- custom:mine", "+++ custom:other"]
    assert lines[-2:] == ["-        b", "+        c"]


def test_what_is_kept_can_be_told_without_any_session() -> None:
    assert "No session has measured it yet." in list(repository.details(a_known(), {}, width=80, now=NOW))
    assert custom.read_claims(custom.load("mine")) == {}
