# SPDX-License-Identifier: MIT
"""What a model gets of a profile: never more than its bound, whatever the command does, and nothing unredacted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.records import ChainLink, Profile, TaskGroup
from autotune.report import activity
from tests.support import sessions

TOKENS = 600
CHARACTERS_A_TOKEN = 3
"""At least, for names and numbers."""
VIEWS: tuple[activity.View, ...] = ("tasks", "timeline", "waits")
TEXTS = st.text(max_size=400)


def group(key: str, number: int) -> TaskGroup:
    return TaskGroup(key, 10**6, 9999.0 - number, 1e4, 1e6, 1e6, 1e4, 1e5, 10**9, 10**9)


def large(key: str = "x" * 160) -> Profile:
    """A command of many tasks with long arguments."""
    links = tuple(ChainLink(f"{key}{number}", 1e4, 5e4, 1e5) for number in range(1000))
    groups = tuple(group(f"{key}{number}", number) for number in range(500))
    waits = {str(bucket): 10**12 for bucket in range(64)}
    return sessions.profile(wall_s=1e5, chain=links, groups=groups, waits=waits, tasks=10**6, wait_s=1e9)


@pytest.mark.slow
@given(TEXTS, st.booleans())
def test_it_is_less_than_600_tokens_however_large_the_profile(key: str, is_time: bool) -> None:
    text = "\n".join(activity.lines(large(key), is_time=is_time))

    assert len(text) <= TOKENS * CHARACTERS_A_TOKEN
    assert "\n\n" not in text
    assert len(text.splitlines()) >= 5


def test_the_bound_the_tasks_the_chain_and_the_advice_are_told() -> None:
    text = list(activity.lines(sessions.profile(), is_time=True))

    assert text[0].startswith("At most 31 % less time is possible")
    assert any("cc -c a.c: 3.000 s, 2, 2.000 s, 200.0 ms, 50.0 ms - 2.100 s" in line for line in text)
    assert "the end of the longest chain: ld a.o (300.0 ms)" in text
    assert text[-1].endswith("start it first.")


def test_keys_are_redacted_before_they_are_cut() -> None:
    secret = "s3cret" * 12
    seen = sessions.profile(groups=(group(f"load --token {secret}", 0),), chain=(ChainLink(secret, 1.0, 2.0, 2.4),))

    text = "\n".join(activity.lines(seen, is_time=True, redact=lambda one: one.replace(secret, "[redacted]")))

    assert "s3cret" not in text
    assert text.count("[redacted]") >= 2


@pytest.mark.parametrize("what", VIEWS)
def test_each_view_is_bounded_and_leads_on_to_its_end(what: activity.View) -> None:
    seen, offset, rows = large(), 0, 0
    for _ in range(100):
        page = activity.view(seen, what, offset)
        assert len(json.dumps(page)) < 12000
        rows += max(len(value) for value in page.values() if isinstance(value, list) and value[:1] != [1.5])
        if "next_offset" not in page:
            break
        offset = page["next_offset"]
    assert rows >= (1000 if what == "timeline" else 500)


@pytest.mark.parametrize("offset", [-5, 10**9])
@pytest.mark.parametrize("what", VIEWS)
def test_no_offset_is_an_error(what: activity.View, offset: int) -> None:
    assert json.dumps(activity.view(sessions.profile(), what, offset))


def test_the_longest_waits_come_first_and_in_words() -> None:
    page = activity.view(sessions.profile(), "waits", 0)

    assert [row["key"] for row in page["by_time_waited"]] == ["cc -c a.c", "ld a.o"]
    assert page["turns_by_wait_for_a_cpu"] == {"from 1.05 ms": 7}
