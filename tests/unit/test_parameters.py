# SPDX-License-Identifier: MIT
"""Parameters of the workload: lists, combinations, and what `{name}` becomes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autotune import parameters
from autotune.records import Candidate, Parameter, Workload

JOBS = Parameter("jobs", ("2", "4"))


def shell(command: str, *given: Parameter, **more: str) -> Workload:
    return Workload(command, ("sh", "-c", command), "/", parameters=given, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("2,4,8", ["2", "4", "8"]),
        ("one", ["one"]),
        (",-v", ["", "-v"]),
        (r"a\,b,c", ["a,b", "c"]),
        (r"a\\,b", ["a\\", "b"]),
        (r"\n,x", [r"\n", "x"]),
        ("a b,ü\n", ["a b", "ü\n"]),
    ],
)
def test_a_list_is_split_at_its_commas_and_written_back(text: str, values: list[str]) -> None:
    assert parameters.split(text) == values
    assert parameters.split(parameters.joined(values)) == values


@pytest.mark.parametrize(("name", "values"), [("", "1"), ("2x", "1"), ("a b", "1"), ("{x}", "1"), ("a", "b,c,b")])
def test_a_name_that_is_none_and_a_value_that_comes_twice_are_refused(name: str, values: str) -> None:
    with pytest.raises(ValueError, match=r"is not a name such as jobs|has the value 'b' twice"):
        parameters.parameter(name, values)


def test_all_combinations_the_last_parameter_changing_fastest() -> None:
    found = parameters.points((JOBS, Parameter("cc", ("gcc", "clang"))))
    assert [tuple(value for _, value in point) for point in found] == [
        ("2", "gcc"),
        ("2", "clang"),
        ("4", "gcc"),
        ("4", "clang"),
    ]
    assert parameters.points(()) == ((),)


def test_values_replace_names_in_every_command() -> None:
    made = parameters.everywhere(
        shell("make -j{jobs}", JOBS, prepare="rm {jobs}", setup="s{jobs}", cleanup="c{jobs}", conclude="k{jobs}")
    )
    assert [one.argv[-1] for one in made] == ["make -j2", "make -j4"]
    assert made[1].conclude == "k4"
    assert (made[1].command, made[1].prepare, made[1].setup, made[1].cleanup) == ("make -j4", "rm 4", "s4", "c4")
    assert made[1].parameters == ()


def test_the_file_for_input_keeps_its_braces_as_in_hyperfine() -> None:
    assert parameters.everywhere(shell("cat{jobs}", JOBS, input_path="/{jobs}"))[0].input_path == "/{jobs}"


def test_a_value_never_becomes_two_arguments_of_a_vector() -> None:
    words = Workload("x", ("cc", "-O{level}", "{level}"), "/", parameters=(Parameter("level", ("2 -g", "$(reboot)")),))
    assert [one.argv for one in parameters.everywhere(words)] == [
        ("cc", "-O2 -g", "2 -g"),
        ("cc", "-O$(reboot)", "$(reboot)"),
    ]


def test_one_pass_replaces_all_and_what_is_the_shells_or_unknown_stays() -> None:
    given = (Parameter("a", ("{b}",)), Parameter("b", (r"\1",)))
    (made,) = parameters.everywhere(shell("echo {a} {b} ${a} {c} {} {{a}}", *given))
    assert made.command == r"echo {b} \1 ${a} {c} {} {{b}}"


@pytest.mark.parametrize(
    ("workload", "name"),
    [
        (shell("make", JOBS), "jobs"),
        (shell("make -j${jobs}", JOBS), "jobs"),
        (shell("make", JOBS, setup="{jobs}"), "jobs"),
        (shell("make -j{jobs}", JOBS), None),
        (shell("make", JOBS, prepare="git checkout {jobs}"), None),
        (shell("make", *()), None),
    ],
)
def test_a_parameter_that_changes_no_run_is_named(workload: Workload, name: str | None) -> None:
    assert parameters.unused(workload) == name


def test_a_candidate_is_keyed_by_its_values_too_and_scheduled_without_them() -> None:
    one = Candidate("at_fifo", (("slice_us", 5),), params=(("jobs", "2"), ("x", "a b")))
    assert one.key == "at_fifo:slice_us=5 jobs=2 x='a b'"
    assert one.alone.key == "at_fifo:slice_us=5"
    split_elsewhere = [Candidate("s", params=(("a", a), ("b", b))).key for a, b in (("1 b=2", "3"), ("1", "2 b=3"))]
    assert len(set(split_elsewhere)) == 2


def test_the_line_for_people_is_that_of_the_filled_arguments_and_the_name_is_filled_too() -> None:
    plain = Workload("work '{n}'", ("work", "{n}"), "/", parameters=(Parameter("n", ("1", "a b")),), name="with {n}")
    assert [one.command for one in parameters.everywhere(plain)] == ["work 1", "work 'a b'"]
    assert [one.name for one in parameters.everywhere(plain)] == ["with 1", "with a b"]
    split = replace(plain, command="work  {n}")  # as -N splits it
    assert [one.command for one in parameters.everywhere(split)] == ["work  1", "work  a b"]
