# SPDX-License-Identifier: MIT
"""The command's own parameters, from options to the workload."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.commands.arguments import CcArguments
from autotune.commands.workloads import workload_from
from autotune.errors import UsageError
from autotune.records import Parameter


def parameters(**options: Any) -> tuple[Parameter, ...]:
    return workload_from(CcArguments(["make -j{jobs}"], **options)).parameters


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"param": ["jobs=2,4,8"]}, ("2", "4", "8")),
        ({"param": ["jobs=2"]}, ("2",)),
        ({"param": ["jobs=a b,c=d"]}, ("a b", "c=d")),
        ({"param": [r"jobs=a\,b,c\\"]}, ("a,b", "c\\")),
        ({"param": ["jobs="]}, ("",)),
        ({"parameter_list": [("jobs", "2,4,8")]}, ("2", "4", "8")),
        ({"parameter_scan": [("jobs", "1", "4")]}, ("1", "2", "3", "4")),
        ({"parameter_scan": [("jobs", "2", "8")], "parameter_step": "3"}, ("2", "5", "8")),
        ({"parameter_scan": [("jobs", "0.1", "0.35")], "parameter_step": "0.1"}, ("0.1", "0.2", "0.3")),
        ({"parameter_scan": [("jobs", "-1", "1")]}, ("-1", "0", "1")),
        ({"parameter_scan": [("jobs", "3", "3")]}, ("3",)),
    ],
)
def test_values_are_read_as_hyperfine_reads_them(options: dict[str, Any], values: tuple[str, ...]) -> None:
    assert parameters(**options) == (Parameter("jobs", values),)


def test_several_parameters_are_kept_in_order() -> None:
    found = parameters(param=["a=1,2", "b=3"], parameter_list=[("c", "4")], parameter_scan=[("d", "5", "6")])
    assert [one.name for one in found] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"param": ["jobs"]}, "'jobs' has no values"),
        ({"param": ["=1,2"]}, "'' is not a name"),
        ({"param": ["9=1,2"]}, "'9' is not a name"),
        ({"param": ["jobs=1,1"]}, "jobs has the value '1' twice"),
        ({"param": ["jobs=1", "jobs=2"]}, "jobs is given twice"),
        ({"param": ["jobs=1"], "parameter_list": [("jobs", "2")]}, "jobs is given twice"),
        ({"parameter_scan": [("jobs", "4", "1")]}, "no numbers from MIN to MAX"),
        ({"parameter_scan": [("jobs", "1", "4")], "parameter_step": "0"}, "no numbers from MIN to MAX"),
        ({"parameter_scan": [("jobs", "a", "4")]}, "must be numbers"),
        ({"parameter_scan": [("jobs", "1", "inf")]}, "must be numbers"),
        ({"parameter_scan": [("jobs", "nan", "1")]}, "must be numbers"),
        ({"parameter_scan": [("jobs", "1", "1e9")]}, "1000000000 numbers; at most 100"),
        ({"parameter_step": "2"}, "--parameter-step-size needs --parameter-scan"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        parameters(**options)
    assert "\n" not in str(refused.value)
