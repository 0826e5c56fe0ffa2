# SPDX-License-Identifier: MIT
"""Two commands are the same only where a shell would start the same program with the same words."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotune.knowledge.commands import OWN, program_of, words_of


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a; b", "a | b", "a && b", "a > b", "a $b", "a `b`", "a *", "a ?", "a [x]", "a ~", "a #b", "a 'b'",
        'a "b"', "a \\b", "a\nb", "A=1 make", "cd x", "echo x", "time make", "if x", "! a", "{ a", "a {1,2}",
        "exec make", ". x", "a\u00a0b", "a (b)", "\x0b", "a & b",
    ],
)  # fmt: skip
def test_a_text_that_a_shell_does_more_with_stays_one(text: str) -> None:
    assert words_of(text) == ("sh", "-c", text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("make -j8", ("make", "-j8")),
        ("  make\t-j8  ", ("make", "-j8")),
        ("/usr/bin/make -C a CC=gcc all", ("/usr/bin/make", "-C", "a", "CC=gcc", "all")),
        ("./run --size=4k,8k:x @f +1 %2", ("./run", "--size=4k,8k:x", "@f", "+1", "%2")),
    ],
)
def test_plain_words_are_those_words(text: str, words: tuple[str, ...]) -> None:
    assert words_of(text) == words
    assert words_of(list(words)) == words
    assert words_of(["sh", "-c", text]) == words


@given(st.lists(st.text("ab-_@%+:,./=9 \t'\"$*~#\\;&|(){}[]<>!\n", max_size=6), min_size=1, max_size=4))
def test_words_of_the_text_that_stands_for_words_execute_these(words: list[str]) -> None:
    """Whatever is found equal is what a shell would have executed."""
    text = " ".join(words)
    found = words_of(text)
    assert found == ("sh", "-c", text) or found == tuple(shlex.split(text))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("abxyz019_@%+:,./=-", min_size=1, max_size=6), max_size=4))
def test_a_shell_gives_a_program_the_very_words(words: list[str]) -> None:
    show = "import sys; print(sys.argv[1:])"
    text = " ".join([sys.executable, "-c", "SHOW", *words])
    assert words_of(text) == (sys.executable, "-c", "SHOW", *words)
    by_shell = subprocess.run(
        ["sh", "-c", text.replace("SHOW", shlex.quote(show))], capture_output=True, text=True, check=True
    )
    assert by_shell.stdout == f"{words}\n"


@pytest.mark.parametrize("word", ["echo", "test", "cd", "true", "kill", "printf", "exit", "for", "."])
def test_the_words_that_shells_keep_for_themselves_are_known(word: str) -> None:
    kind = subprocess.run(["sh", "-c", f"type {word}"], capture_output=True, text=True, check=True).stdout
    assert "/" not in kind
    assert word in OWN


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (("/usr/bin/make", "-j8"), "make"),
        (("sh", "-c", "make -j8 | tee log"), "make"),
        (("sh", "-c", "A=1 make"), "make"),
        (("sh", "-c", ""), ""),
        ((), ""),
    ],
)
def test_the_program_is_named(words: tuple[str, ...], program: str) -> None:
    assert program_of(words) == program
