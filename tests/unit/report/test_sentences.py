# SPDX-License-Identifier: MIT
"""Sentences of a report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autotune.report import plain_text, sentences
from tests.support import sessions


@pytest.mark.parametrize(
    ("kind", "acceleration", "place"),
    [
        ("host", "none", "on this host"),
        ("vm", "kvm", "a micro-VM with KVM"),
        ("vm", "tcg", "a micro-VM under emulation"),
    ],
)
def test_the_first_line_says_where_it_runs_and_why(kind: str, acceleration: str, place: str) -> None:
    info = sessions.machine(kind=kind, acceleration=acceleration, why="the reason", cpus=1)
    text = sentences.machine_sentence(info)
    assert place in text
    assert text.endswith("Linux 6.18.15+deb13-amd64, 1 CPU, 4.0 GiB: the reason.")


def test_the_baseline_says_which_gains_the_budget_is_likely_to_find() -> None:
    text = sentences.baseline_sentence(sessions.BASE, is_time=True)
    assert text.startswith("Under EEVDF: median 2.408 s over 5 runs, noise 1.1 %")
    assert text.endswith("With this budget, gains from about 2.1 % on are found 8 times of 10.")
    none = sentences.baseline_sentence(replace(sessions.BASE, detectable=None), is_time=True)
    assert none.endswith("This budget has no room to confirm a gain.")


def test_a_winner_is_recommended_with_its_interval() -> None:
    text = sentences.conclusion(sessions.session())
    assert text.startswith("Use at_batch:slice_us=20000,stay=true: the command runs 1.084 times as fast")
    assert "95 % interval 1.051 to 1.118" in text


def test_without_a_winner_the_advice_is_to_stay() -> None:
    done = sessions.session(winner=None, results=sessions.results()[1:])
    assert sentences.conclusion(done).startswith("Stay with EEVDF: no scheduler was shown to beat it here")


def test_without_a_baseline_nothing_is_claimed() -> None:
    done = sessions.session(winner=None, baseline=None, results=(), interrupted=True)
    assert "ended before the baseline was known" in sentences.conclusion(done)
    assert "repeat" not in plain_text.plain_text(done)
