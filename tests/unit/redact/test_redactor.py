# SPDX-License-Identifier: MIT
"""Secrets leave neither the machine nor a log; ordinary build output stays as it is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.redact import LONGEST_MARK, MOST_GROWTH, Redactor
from tests.support.made_up_secrets import DASHES, HIDDEN, PASSWORD, SECRETS, SPARED, chars

NOBODY = Redactor({})


def took_s(piece: str, size: int) -> float:
    """CPU time for a text of one piece again and again."""
    text = (piece * (size // len(piece) + 1))[:size]
    started = time.process_time()
    NOBODY.text(text)
    return time.process_time() - started


@pytest.mark.parametrize("name", HIDDEN)
def test_what_stands_where_secrets_stand_is_replaced(name: str) -> None:
    shown = NOBODY.text(HIDDEN[name])
    assert PASSWORD not in shown
    assert shown != "[redacted: text]"
    assert "[redacted: " in shown


@pytest.mark.parametrize("text", SPARED)
def test_ordinary_output_stays_as_it_is(text: str) -> None:
    assert NOBODY.text(text) == text


def test_data_is_redacted_through_and_through() -> None:
    value = {"a": [f"Bearer {SECRETS['jwt']}", 3], "password": "hunter2", "n": None, "token": {"b": "plain"}}
    shown = NOBODY.data(value)
    assert shown == {
        "a": ["Bearer [redacted: JWT]", 3],
        "password": "[redacted: value]",
        "n": None,
        "token": "[redacted: value]",
    }


@given(
    st.lists(st.sampled_from([*SECRETS.values(), *HIDDEN.values(), *SPARED, " ", "=", "\n", "token=", "'"]), max_size=6)
)
def test_redacting_again_changes_nothing(parts: list[str]) -> None:
    once = NOBODY.text(" ".join(parts))
    assert NOBODY.text(once) == once


def test_data_keeps_what_is_no_secret_under_names_that_may_mean_something_else() -> None:
    value = {"key": "at_fifo:slice_us=5000", "input_tokens": 12, "session_id": "s-1", "tokens": [1, 2], "secret": True}
    assert NOBODY.data(value) == value


def test_data_replaces_everything_under_a_secret_name() -> None:
    value = {"password": 1234, "credentials": {"user": "me"}, "secrets": ["a"], "auth": chars(9) + "aB1" + chars(9)}
    assert NOBODY.data(value) == dict.fromkeys(value, "[redacted: value]")


PIECES = [*SECRETS.values(), *HIDDEN.values(), *SPARED,
          PASSWORD, " ", "=", "\n", "token=", "'", '"', "\\", ";", "@", "]",
          "://a:", "password: ", "--token ", "Cookie: ", "a=", "Bearer ", "[redacted: ", "[redacted: value]", DASHES,
          "Authorization: ", "password ", "login a ", "{", "}", "&sig=", "eyJ", ".",
          "mysql -p", "curl -u a:", "echo password: ", " | sudo -S ", "<<< ", "sshpass -p ", "zip -rP ",
          '"curl", ']  # fmt: skip


@given(
    st.lists(st.sampled_from(PIECES), max_size=8), st.sampled_from([{}, {"A_TOKEN": PASSWORD, "B_KEY": "]]]]]]]]]]1"}])
)
def test_any_mixture_is_settled_and_bounded(parts: list[str], environ: dict[str, str]) -> None:
    redactor, text = Redactor(environ), "".join(parts)
    once = redactor.text(text)
    assert redactor.text(once) == once
    assert len(once) <= MOST_GROWTH * len(text) + LONGEST_MARK


@given(st.lists(st.sampled_from(PIECES), max_size=4))
def test_redacted_data_stays_as_it_is(parts: list[str]) -> None:
    once = NOBODY.data({"a": parts, "password": "".join(parts), "key": "".join(parts)})
    assert NOBODY.data(once) == once


@pytest.mark.parametrize("text", [HIDDEN["url"], HIDDEN["json"], HIDDEN["export"], "password=[redacted: variable]x"])
def test_ordinary_secrets_do_not_cost_the_whole_text(text: str) -> None:
    assert "[redacted: text]" not in NOBODY.text(text)


@given(st.text(max_size=300))
def test_any_text_is_taken(text: str) -> None:
    once = NOBODY.text(text)
    assert NOBODY.text(once) == once


HOSTILE = [
    "a",
    "A",
    "0",
    "-",
    " ",
    "\n",
    "=",
    '"',
    "\\",
    "_",
    "-----BEGIN RSA PRIVATE KEY-----\n",
    "eyJ",
    "eyJaaaaaaaaa.",
    "PuTTY-User-Key-File-2:",
    "-----END RSA PRIVATE KEY-----",
    "password=",
    "key=",
    "a://",
    "://a:",
    "[redacted: ",
    "login a ",
    "cookie: a=",
    "zk-",
    "acme_live_Ab1",
    "<a>",
    "<password>a",
    "name: a\nvalue: ",
    'name="a" value="',
    "define('a', 'b",
    "password: |\n ",
    "a: >\n  \n",
    "#define A ",
    "-pass pass:",
    "password= ",
    'password=\\"x',
    'key=\\"x\\"',
    "sk-a-",
    "key",
    "password: ",
    "A_KEY='",
    "authorization:",
    "mysql -pa ",
    'curl "\\" ',
    "echo pass ",
    "<<< a ",
    "-----BEGIN ",
    "sk-",
    "token: ",
    "A_KEY=",
    "xoxb-1",
]


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE)
def test_much_of_the_same_takes_as_long_for_its_length_as_less_of_it(piece: str) -> None:
    took_s(piece, 10_000)
    small, large = took_s(piece, 25_000) + 2e-4, took_s(piece, 200_000)
    assert large / small < 32, (small, large)  # eight times as long; quadratic would be 64 times


# --- known secrets alone ---


def test_known_secrets_are_taken_out_of_a_text_of_any_length() -> None:
    redactor = Redactor({"SOME_API_KEY": "a1b2c3d4e5f6\n"})
    said = redactor.known("x" * (4 << 20) + " a1b2c3d4e5f6 token=hunter2hunter2")
    assert said.endswith(" [redacted: variable] token=hunter2hunter2")
