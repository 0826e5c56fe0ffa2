# SPDX-License-Identifier: MIT
"""Planners begin with what earlier sessions found: a known answer is only checked, the known bad is not tried again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from autotune.knowledge.experience import Experience, KnownCandidate
from autotune.planner.base import Planner, Situation
from autotune.planner.informed import ANEW, Informed, Recollection
from autotune.planner.offline import OfflinePlanner
from autotune.records import Candidate, Proposal, Spending
from autotune.schedext.catalogue.catalog import Catalog
from tests.support.sessions import a_situation, interval, result

CATALOG = Catalog.load()
FIFO, VTIME, BATCH = Candidate("at_fifo"), Candidate("at_vtime"), Candidate("at_batch")


class Given:
    """Proposes the given sets; keeps what it was shown."""

    name = "given"
    transcript = None

    def __init__(self, *sets: Sequence[Candidate], spending: Spending | None = None) -> None:
        self.sets = list(sets)
        self.seen: list[Situation] = []
        self.spending = spending

    def remarks(self) -> Sequence[str]:
        return ()

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        self.seen.append(situation)
        return [Proposal(one, "a test") for one in self.sets.pop(0)] if self.sets else []


def known(candidate: Candidate, *stale: str) -> KnownCandidate:
    return KnownCandidate(candidate, f"{candidate.key} is known", stale)


def informed(
    inner: Planner, own: Experience, *similar: KnownCandidate, settles: bool = True, unusable: tuple[str, ...] = ()
) -> Informed:
    recollection = Recollection(own, similar)
    return Informed(inner, CATALOG, lambda _situation: recollection, settles=settles, unusable=unusable)


def keys(proposals: Sequence[Proposal]) -> list[str]:
    return [one.candidate.key for one in proposals]


def situation(*results: Any, affordable: int = 6, **changed: Any) -> Situation:
    return a_situation(results=results, candidates_affordable=affordable, **changed)


def raced(candidate: Candidate, speedup: float | None, verdict: Any = "undecided") -> Any:
    return result(
        candidate, verdict, speedup=None if speedup is None else interval(speedup, speedup - 0.1, speedup + 0.1)
    )


# --- nothing is known ---


def test_without_knowledge_the_planner_is_as_it_was() -> None:
    plain, told = OfflinePlanner(CATALOG), informed(OfflinePlanner(CATALOG), Experience())
    assert keys(told.propose(situation())) == keys(plain.propose(situation()))
    assert (told.name, told.spending, told.transcript, list(told.remarks())) == ("offline", None, None, [])


# --- the answer is known ---


def test_a_known_best_is_checked_alone_and_nothing_else_is_tried_when_it_is_ahead_again() -> None:
    inner = Given([VTIME])
    planner = informed(inner, Experience(good=(known(FIFO), known(BATCH, "the kernel was another"))))
    (first,) = planner.propose(situation())
    assert (first.candidate, first.reason) == (FIFO, "at_fifo is known")
    assert not planner.propose(situation(raced(FIFO, 1.1)))
    assert list(planner.remarks()) == [
        f"at_fifo is known from an earlier session and is ahead again, so nothing else is tried; {ANEW}"
    ]
    assert inner.seen == []
    assert not planner.propose(situation(raced(FIFO, 1.1)))


@pytest.mark.parametrize("outcome", [raced(FIFO, 0.99), raced(FIFO, 0.9, "slower"), raced(FIFO, None, "invalid")])
def test_when_it_is_not_ahead_any_more_the_planner_begins_as_in_a_first_session(outcome: Any) -> None:
    inner = Given([FIFO, VTIME], [BATCH])
    planner = informed(inner, Experience(good=(known(FIFO),)))
    planner.propose(situation())
    assert keys(planner.propose(situation(outcome))) == ["at_vtime"]
    assert inner.seen[0].results == ()
    assert keys(planner.propose(situation(outcome, raced(VTIME, 1.0)))) == ["at_batch"]
    assert inner.seen[1].results != ()


def test_whoever_asks_for_more_gets_more() -> None:
    planner = informed(Given([VTIME]), Experience(good=(known(FIFO),)), settles=False)
    assert keys(planner.propose(situation())) == ["at_fifo", "at_vtime"]


@pytest.mark.parametrize(
    ("good", "unusable"),
    [
        ((known(FIFO),), ("at_fifo",)),
        ((known(Candidate("custom:gone")),), ()),
        ((known(Candidate("at_fifo", (("x", 1),))),), ()),
    ],
)
def test_a_known_best_that_cannot_run_is_left_out(good: Any, unusable: tuple[str, ...]) -> None:
    planner = informed(Given([VTIME]), Experience(good=good), unusable=unusable)
    assert keys(planner.propose(situation())) == ["at_vtime"]


def test_without_a_winner_those_that_came_closest_are_checked() -> None:
    own = Experience(contenders=(known(FIFO), known(VTIME)))
    planner = informed(Given([BATCH]), own)
    assert keys(planner.propose(situation())) == ["at_fifo", "at_vtime"]
    assert not planner.propose(situation(raced(FIFO, 0.99), raced(VTIME, 0.9, "slower")))
    assert "came closest to beating EEVDF before does not beat it now" in next(iter(planner.remarks()))
    more = informed(Given([BATCH]), own, settles=False)
    assert keys(more.propose(situation())) == ["at_batch"]


# --- before what the planner proposes ---


def test_stale_winners_and_those_of_similar_commands_go_first_and_leave_room() -> None:
    own = Experience(good=(known(BATCH, "the kernel was 6.18"),))
    similar = [known(CATALOG.parse_candidate(f"at_fifo:slice_us={slice_us}")) for slice_us in (1000, 2000, 3000)]
    first = informed(Given([VTIME, FIFO]), own, *similar).propose(situation())
    assert keys(first) == ["at_batch", "at_fifo:slice_us=1000", "at_fifo:slice_us=2000", "at_vtime", "at_fifo"]
    assert first[0].reason == "at_batch is known; since then the kernel was 6.18"
    few = informed(Given([VTIME, FIFO]), own, *similar).propose(situation(affordable=2))
    assert keys(few) == ["at_batch", "at_vtime"]


# --- the known bad ---


def test_the_known_bad_is_not_tried_and_that_is_said_once() -> None:
    inner = Given([FIFO, VTIME], [FIFO, BATCH])
    planner = informed(inner, Experience(bad=(known(FIFO),)), known(FIFO))
    assert keys(planner.propose(situation())) == ["at_vtime"]
    assert list(planner.remarks()) == [f"at_fifo is not tried again: at_fifo is known; {ANEW}"]
    assert keys(planner.propose(situation(raced(VTIME, 1.0)))) == ["at_batch"]
    assert list(planner.remarks()) == []


def test_settings_that_equal_the_defaults_are_the_same_candidate() -> None:
    default = CATALOG.get("at_fifo").knob("slice_us").default
    assert default is not None
    planner = informed(Given([Candidate("at_fifo", (("slice_us", default),)), VTIME]), Experience(bad=(known(FIFO),)))
    assert keys(planner.propose(situation())) == ["at_vtime"]


def test_a_planner_without_a_model_is_asked_again_where_all_was_bad() -> None:
    bad = Experience(bad=(known(FIFO), known(VTIME)))
    assert keys(informed(Given([FIFO], [VTIME], [BATCH]), bad).propose(situation())) == ["at_batch"]
    assert not informed(Given(*[[FIFO]] * 20, [BATCH]), bad).propose(situation())
    model = Given([FIFO], [BATCH], spending=Spending("m"))
    assert not informed(model, bad).propose(situation())
    assert len(model.seen) == 1


def test_where_nothing_can_be_afforded_nothing_is_asked() -> None:
    inner = Given([FIFO])
    assert not informed(inner, Experience(good=(known(BATCH),))).propose(situation(affordable=0))
    assert inner.seen == []
