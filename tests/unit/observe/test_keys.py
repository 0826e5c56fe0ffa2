# SPDX-License-Identifier: MIT
"""Keys of tasks last from run to run, and tell apart what is different work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.observe.keys import MOST_CHARACTERS, key


def test_two_compilations_of_one_file_have_one_key() -> None:
    first = key(("/usr/lib/gcc/cc1", "-o", "/tmp/ccZa81.s", "/home/me/a/x.c"), "cc1", cwd="/home/me/a", pids={41})
    second = key(("/usr/lib/gcc/cc1", "-o", "/tmp/ccB77q.s", "/home/me/b/x.c"), "cc1", cwd="/home/me/b", pids={97})

    assert first == second == "cc1 -o <temporary> x.c"


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("/tmp/x1", "<temporary>"),
        ("/var/tmp/x1/y", "<temporary>"),
        ("-o/tmp/x1", "-o<temporary>"),
        ("--out=/dev/shm/x1", "--out=<temporary>"),
        ("a:/tmp/x1", "a:<temporary>"),
        ("/home/me/tmp/x1", "/home/me/tmp/x1"),
        ("src/tmp/x1", "src/tmp/x1"),
        ("./tmp/x1", "./tmp/x1"),
    ],
)
def test_a_directory_for_temporary_files_is_one_of_the_system_s(word: str, shown: str) -> None:
    assert key(("cc", word), "x") == f"cc {shown}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("cc", "-c", "a.c"), ("cc", "-c", "b.c")),
        (("seq", "100000"), ("seq", "200000")),
        (("xz", "big"), ("xz", "small")),
        (("cc", "-O2"), ("cc", "-O3")),
    ],
)
def test_different_work_has_different_keys(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert key(one, "x") != key(other, "x")


def test_numbers_of_this_run_s_own_processes_are_left_out() -> None:
    assert key(("sh", "-c", "wait 4711; echo 12"), "sh", pids={4711}) == "sh -c wait <pid>; echo 12"


def test_a_task_without_arguments_is_named_by_its_command_name() -> None:
    assert key((), "kworker/1\x1b[2J") == "[kworker/1?[2J]"


@given(st.lists(st.text(), min_size=1), st.text())
def test_a_key_is_short_and_has_no_control_characters(words: list[str], comm: str) -> None:
    name = key(words, comm, cwd="/w", pids={12})

    assert 0 < len(name) <= MOST_CHARACTERS
    assert name.isprintable() or not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in name)


@given(st.text(alphabet="ab /", min_size=200), st.text(alphabet="ab /", min_size=200))
def test_long_arguments_that_differ_at_their_end_stay_apart(one: str, other: str) -> None:
    assert (key(("x", one), "x") == key(("x", other), "x")) == (one == other)
