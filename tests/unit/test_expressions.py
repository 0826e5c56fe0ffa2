# SPDX-License-Identifier: MIT
"""Expressions that people type, however wrong: compiled, or refused with a reason."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.expressions import compiled

WRONG = {
    "(a": r"missing \)",
    "(a){99999999999}": "the repetition number is too large",
    "(" * 5000 + "a" + ")" * 5000: "it is nested too deeply",
    "(?a)(?u)(x)": "ASCII and UNICODE flags are incompatible",
    "(x)(?i)": "global flags not at the start",
    r"\N{no such}(a)": "undefined character name",
}


@pytest.mark.parametrize(("text", "reason"), WRONG.items(), ids=[text[:20] for text in WRONG])
def test_what_is_no_expression_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        compiled(text)


def test_advice_about_later_pythons_is_not_printed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled("[[a](b)").groups == 1


@given(st.text(st.sampled_from(r"ab01()[]{}?*+|\.^$-,:=!<>PNdsiaLu "), max_size=30) | st.text(max_size=10))
def test_whatever_is_typed_is_an_expression_or_a_reason(text: str) -> None:
    try:
        said = compiled(text).pattern
    except ValueError as error:
        said = str(error)
    assert said or not text
