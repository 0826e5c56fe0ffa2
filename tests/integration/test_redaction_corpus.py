# SPDX-License-Identifier: MIT
"""What share of secrets is missed: values of all vendors' formats, alone, and random ones in all places that name
them; and what is marked in the output of real tools that holds none."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from autotune.redact import Redactor
from tests.support.build_logs import logs
from tests.support.secret_corpus import AFTER_TOKEN, ALONE, NAMED, VENDORS, of, values

pytestmark = pytest.mark.slow

NOBODY = Redactor({})
MOST_MISSED = 0.02
COUNT = 60
OF_A_PACKAGE = '"description": '
"""A page of a package's author, which pip prints: some show credentials as examples of their use."""
LISTS = (
    "tokens: ['{}', 'b']",
    'secrets = ["DB_PASSWORD", "{}"]',
    '{{"api_keys": ["{}"]}}',
    'client.setPassword("{}")',
    "DB_PASSWORD ?= {}",
)
"""Most such lists are of names, and most such calls are about passwords, so that only what looks random counts."""
WRITTEN = ("export API_TOKEN={}", "token: {}", "password = {}", "my-token {}")


def is_there(value: str, text: str) -> bool:
    """Whether half of it in a row or more can still be read."""
    half = max(8, len(value) // 2)
    return any(value[at : at + half] in text for at in range(len(value) - half + 1))


@pytest.mark.parametrize("vendor", VENDORS)
def test_values_of_a_vendor_s_format_are_replaced_wherever_they_stand(vendor: str) -> None:
    missed = [
        text
        for value in values(VENDORS[vendor], COUNT)
        for text in (place.format(value) for place in ALONE)
        if is_there(value, NOBODY.text(text))
    ]
    assert len(missed) <= MOST_MISSED * COUNT * len(ALONE), missed[:3]


@pytest.mark.parametrize(
    ("place", "form"),
    [
        *itertools.product(NAMED, ["{a20}", "{a40}", "{a1}{u39}", "{h40}", "{a8}", "{l5}-{l4}"]),
        *itertools.product(AFTER_TOKEN, ["{a20}", "{a40}", "{a1}{u39}", "{h40}"]),
        *itertools.product(LISTS, ["{a40}"]),
    ],
)
def test_values_of_named_fields_are_replaced(place: str, form: str) -> None:
    missed = [
        text
        for value in values(of(form), COUNT)
        for text in [place.format(value)]
        if is_there(value, NOBODY.text(text))
    ]
    assert len(missed) <= MOST_MISSED * COUNT, missed[:3]


def test_in_two_megabytes_of_real_build_logs_at_most_one_word_is_marked(tmp_path: Path) -> None:
    """Made here by compilers, make, linkers, Python, pip, cargo and dpkg, of a program about tokens and keys."""
    total, marked = 0, []
    for name, text in logs(tmp_path):
        assert "[redacted: " not in text
        shown = NOBODY.text(text)
        total += len(text.encode())
        changed = [
            after for before, after in zip(text.splitlines(), shown.splitlines(), strict=True) if before != after
        ]
        marked += [f"{name}: {line[:300]}" for line in changed if not line.lstrip().startswith(OF_A_PACKAGE)]
    assert total >= 2_000_000
    assert len(marked) <= 1, marked[:20]


def test_a_secret_among_the_same_logs_is_still_found(tmp_path: Path) -> None:
    """A net that never marks would pass the test above."""
    lines = dict(logs(tmp_path, ("make",)))["make"].splitlines()
    secrets = values(of("{a40}"), len(WRITTEN))
    for number, (form, value) in enumerate(zip(WRITTEN, secrets, strict=True), start=1):
        lines.insert(number * len(lines) // (len(WRITTEN) + 1), form.format(value))
    shown = NOBODY.text("\n".join(lines))
    assert [value for value in secrets if value in shown] == []
