# SPDX-License-Identifier: MIT
"""Which workloads a command belongs to: in its directory, in other clones, and at values of parameters."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune import parameters
from autotune.knowledge import matching
from autotune.knowledge.commands import words_of
from autotune.knowledge.store import Knowledge
from autotune.records import Candidate, Parameter, Session
from tests.support import sessions

REMOTE = '[remote "origin"]\n\turl = https://example.org/me/thing.git\n'
TEXTS = st.text(alphabet="ab{}$ =4'\"/-", max_size=30)
VALUES = st.text(alphabet="ab{}$ =4'\"", min_size=1, max_size=8)


@given(text=TEXTS, values=st.dictionaries(st.sampled_from(["a", "b", "ab"]), VALUES, min_size=1))
def test_values_take_the_place_of_their_names_as_in_a_session(text: str, values: dict[str, str]) -> None:
    swept = sessions.workload(
        command=text, argv=(text,), parameters=tuple(Parameter(name, (value,)) for name, value in values.items())
    )
    assert matching.fill(text, values) == parameters.at(swept, tuple(values.items())).argv[0]


@given(text=TEXTS)
def test_without_values_a_text_stays_as_it_is(text: str) -> None:
    assert matching.fill(text, {}) == text


def clone(top: Path, config: str = REMOTE) -> str:
    """A clone of a project, with a directory src in it, which is returned."""
    (top / ".git").mkdir(parents=True)
    (top / ".git/config").write_text(config)
    (top / "src").mkdir()
    return str(top / "src")


def swept(values: tuple[str, ...], **changed: Any) -> Session:
    """A session that tried `make -j{jobs}` with these values."""
    results = tuple(sessions.result(Candidate("eevdf", params=(("jobs", one),)), None) for one in values)
    work = sessions.workload(
        command="make -j{jobs}", argv=("sh", "-c", "make -j{jobs}"), parameters=(Parameter("jobs", values),), **changed
    )
    return sessions.session(workload=work, results=results, winner=None)


def opened(knowledge: Knowledge, path: Path, *kept: Session) -> sqlite3.Connection:
    for one in kept:
        knowledge.record(one)
    return sqlite3.connect(path)


def test_a_command_is_found_at_the_same_place_of_another_clone_and_of_no_other_project(
    knowledge: Knowledge, path: Path, tmp_path: Path
) -> None:
    mine, other, foreign = clone(tmp_path / "a"), clone(tmp_path / "b"), clone(tmp_path / "c", REMOTE + "x")
    Path(foreign, "../.git/config").write_text(REMOTE.replace("thing", "another"))
    kept = [sessions.session(workload=sessions.workload(cwd=cwd)) for cwd in (other, foreign, str(tmp_path / "b"))]
    db = opened(knowledge, path, *kept)
    (found,) = matching.in_clones(db, words_of("make -j8"), mine)
    assert (found.directory, found.is_elsewhere, found.params) == (other, True, "")
    assert matching.in_directory(db, words_of("make -j8"), mine) == []
    assert matching.in_clones(db, words_of("make -j9"), mine) == []
    assert matching.in_clones(db, words_of("make -j8"), other) == []
    (own,) = matching.in_directory(db, words_of("make -j8"), other)
    assert not own.is_elsewhere
    db.close()


@pytest.mark.parametrize(
    ("command", "params"),
    [("make -j4", " jobs=4"), (("make", "-j16"), " jobs=16"), ("make -j{jobs}", ""), ("make -j5", None)],
)
def test_a_command_is_one_of_those_that_a_session_with_parameters_ran(
    knowledge: Knowledge, path: Path, command: Any, params: str | None
) -> None:
    db = opened(knowledge, path, swept(("4", "16"), cwd="/home/me"))
    found = matching.in_directory(db, words_of(command), "/home/me")
    assert [one.params for one in found] == ([] if params is None else [params])
    db.close()


def test_a_value_may_be_the_program_and_have_blanks_and_quotes(knowledge: Knowledge, path: Path) -> None:
    value = "cc -O2 'it'"
    work = sessions.workload(
        cwd="/x", command="{cc} a.c", argv=("{cc}", "a.c"), parameters=(Parameter("cc", (value,)),)
    )
    results = (sessions.result(Candidate("eevdf", params=(("cc", value),)), None),)
    db = opened(knowledge, path, sessions.session(workload=work, results=results, winner=None))
    (found,) = matching.in_directory(db, (value, "a.c"), "/x")
    assert found.params == Candidate("eevdf", params=(("cc", value),)).key.removeprefix("eevdf")
    db.close()
