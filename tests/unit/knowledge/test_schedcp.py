# SPDX-License-Identifier: MIT
"""SchedCP's file of workloads goes both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autotune.errors import UsageError
from autotune.knowledge import schedcp
from tests.support import sessions

THEIRS: dict[str, Any] = {
    "profiles": {
        "5f1c": {"id": "5f1c", "description": "a kernel build", "created_at": 1753000000, "updated_at": 1753000100}
    },
    "history": [
        {
            "id": "77aa",
            "workload_id": "5f1c",
            "execution_id": "e-1",
            "scheduler_name": "scx_rusty",
            "args": ["--slice-us-underutil", "20000"],
            "result_description": "42 s, 8 % less",
            "created_at": 1753000050,
        }
    ],
}


def test_their_workloads_become_profiles_with_notes() -> None:
    (profile,) = schedcp.profiles_of(THEIRS, "/home/me")
    assert (profile["id"], profile["description"], profile["directory"]) == ("5f1c", "a kernel build", "/home/me")
    (note,) = profile["notes"]
    assert note["scheduler"] == "scx_rusty --slice-us-underutil 20000"
    assert (note["id"], note["execution_id"], note["result"]) == ("77aa", "e-1", "42 s, 8 % less")
    assert note["created_at"] == 1753000050.0


def test_a_history_by_workload_is_read_too() -> None:
    by_workload = {**THEIRS, "history": {"5f1c": THEIRS["history"]}}
    assert schedcp.profiles_of(by_workload, "/") == schedcp.profiles_of(THEIRS, "/")


def test_our_sessions_become_workloads_of_theirs_the_baseline_among_them() -> None:
    made = schedcp.document_of([sessions.session(id="0a1b2c3d"), sessions.session(id="0a1b2c3e", started_at=2e9)], [])
    assert schedcp.is_one(made)
    ((name, profile),) = made["profiles"].items()
    assert profile == {
        "id": name,
        "description": "make -j8 in /home/me/project",
        "created_at": 1790000000,
        "updated_at": 2000000000,
    }
    assert len(made["history"]) == 10
    best, eevdf = made["history"][:2]
    assert best["workload_id"] == name
    assert (best["scheduler_name"], best["args"]) == ("at_batch", ["slice_us=20000", "stay=true"])
    assert best["result_description"].startswith("faster: median 2.221 s over 12 runs, 1.084 times EEVDF")
    assert eevdf["scheduler_name"] == "eevdf"
    assert len({one["id"] for one in made["history"]}) == 10


def test_what_we_write_of_theirs_is_what_we_read() -> None:
    profiles = schedcp.profiles_of(THEIRS, "/")
    for one in profiles:
        one["notes"] = [{**note, "profile": one["id"]} for note in one["notes"]]
    again = schedcp.document_of([], json.loads(json.dumps(profiles)))
    assert again["profiles"] == THEIRS["profiles"]
    words = {"scheduler_name": "scx_rusty --slice-us-underutil 20000", "args": []}
    assert again["history"] == [{**THEIRS["history"][0], **words}]


@pytest.mark.parametrize(
    "bad",
    [
        {"profiles": [], "history": []},
        {"profiles": {}, "history": [{"id": 1}]},
        {"profiles": {"a": 7}, "history": []},
        {"profiles": {}, "history": [7]},
        {"profiles": {}, "history": 7},
        {"profiles": {}, "history": [{**THEIRS["history"][0], "workload_id": "nobody"}]},
        {"profiles": THEIRS["profiles"], "history": [{**THEIRS["history"][0], "created_at": "soon"}]},
    ],
)
def test_another_form_is_refused(bad: Any) -> None:
    with pytest.raises(UsageError, match=r"schedcp_workloads\.json"):
        schedcp.profiles_of(bad, "/")


@pytest.mark.parametrize("other", [7, [], {}, {"profiles": {}}, None])
def test_other_documents_are_none(other: Any) -> None:
    assert not schedcp.is_one(other)
