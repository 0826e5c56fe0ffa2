# SPDX-License-Identifier: MIT
"""What reports say of the workload's parameters."""

from __future__ import annotations

import shlex

from autotune import parameters
from autotune.records import BASELINE, Candidate, Parameter, Workload
from autotune.report import sweep
from tests.support import sessions


def swept(*values: str, **changed: object) -> Workload:
    return sessions.workload(command="make -j{jobs}", parameters=(Parameter("jobs", values),), **changed)


def test_without_parameters_nothing_is_said() -> None:
    plain = sessions.session()
    assert sweep.parameter_lines(plain.workload) == []
    assert sweep.flags(plain.workload) == []
    assert sweep.footnotes(plain) == []
    assert sweep.winner_lines(plain) == []


def test_the_options_of_a_repeat_are_read_back_as_they_were() -> None:
    workload = swept("a,b", "c\\", "", "d e")
    option, text = sweep.flags(workload)
    assert option == "--param"
    name, _, values = text.partition("=")
    assert parameters.parameter(name, values) == workload.parameters[0]


def test_the_command_is_shown_with_its_values_quoted_as_for_a_shell() -> None:
    for workload, line in (
        (swept("2", "my jobs"), "make -jmy jobs"),  # a line for a shell: the value is text of it
        (swept("2", "my jobs", argv=("make", "-j{jobs}")), "make '-jmy jobs'"),
    ):
        point = (("jobs", "my jobs"),)
        won = sessions.result(Candidate("at_fifo", params=point), "faster", speedup=sessions.interval(1.1, 1.05, 1.2))
        done = sessions.session(workload=workload, results=(won,), winner=won.candidate.key)
        assert sweep.winner_commands(done) == [line]
    assert shlex.split(sweep.winner_commands(done)[0]) == ["make", "-jmy jobs"]


def test_lines_of_eevdfs_values_say_which_may_be_as_good() -> None:
    results = [
        sessions.result(Candidate(BASELINE, params=(("jobs", "8"),)), None, median=1.0),
        sessions.result(
            Candidate(BASELINE, params=(("jobs", "4"),)),
            "same",
            median=1.01,
            speedup=sessions.interval(0.99, 0.97, 1.01),
        ),
        sessions.result(
            Candidate(BASELINE, params=(("jobs", "2"),)),
            "slower",
            median=1.6,
            speedup=sessions.interval(0.6, 0.58, 0.7),
        ),
    ]
    assert sweep.value_lines(results, is_time=True) == [
        "EEVDF by value, best first:",
        "  jobs=8: median 1.000 s",
        "  jobs=4: median 1.010 s, 0.990 [0.970, 1.010] of the best one's speed; may be as good: a winner must beat it "
        "too",
        "  jobs=2: median 1.600 s, 0.600 [0.580, 0.700] of the best one's speed; slower",
    ]
