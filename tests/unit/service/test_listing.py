# SPDX-License-Identifier: MIT
"""What clients see of a job."""

from __future__ import annotations

from autotune.records import Identity
from autotune.service.jobs import Job
from autotune.service.listing import details, line

JOB = Job(3, Identity(7, 7), "seven", "make --token=hush", ("--", "make"), "/secret", "/r.json", {"TOKEN": "hush"})


def test_its_owner_and_root_see_it_and_nobody_sees_the_environment() -> None:
    for who in (Identity(7, 9), Identity(0, 0)):
        assert line(JOB, who)["command"] == "make --token=hush"
        assert "env" not in line(JOB, who)
    assert "env" not in details(JOB, 1)


def test_others_see_who_waits_and_not_what_for() -> None:
    found = line(JOB, Identity(8, 7, (7,)))
    assert (found["id"], found["user"], found["state"]) == (3, "seven", "queued")
    assert "hush" not in str(found)
    assert "secret" not in str(found)


def test_nobody_is_ahead_of_what_is_over() -> None:
    assert details(JOB, 2)["ahead"] == 2
    assert details(Job(**{**vars(JOB), "state": "finished"}), 2)["ahead"] == 0
