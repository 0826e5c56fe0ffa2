# SPDX-License-Identifier: MIT
"""Tokens of random letters and digits are missed hardly ever, in whatever form they are written."""

from __future__ import annotations

import random
import string

import pytest

from autotune.redact import Redactor

TOKENS = 400
MOST_MISSED = 0.02
NOBODY = Redactor({})

FORMS = (
    "api_key: {}",
    "token: {}",
    "access_token: {}",
    "secret: {}",
    "client_secret: {}",
    "PRIVATE-TOKEN: {}",
    "X-Auth-Token: {}",
    "users:\n- name: me\n  user:\n    token: {}\n",
    "x: 1\ny: 2\npassword: {}",
    "apiVersion: v1\nkind: Secret\ndata:\n  password: {}\n",
    "database:\n  password: {}",
    "a:\n  b:\n    password: {}\n    port: 5432\n",
    "- password: {} # of the database",
    "2026-01-02T03:04:05 INFO client started, api_key: {}",
    "using token: {}, retrying",
    "debug: {{token: {}, user: me}}",
    "token: {}.",
    "secret:\t{}\r\n",
    "> PRIVATE-TOKEN: {}\r\n> Accept: */*\r\n",
    "api_key={}",
    "api_key = {}",
    "api_key = {};",
    "login(token={})",
    '"api_key": "{}"',
    "tool --token {}",
)


def random_tokens(length: int, alphabet: str = string.ascii_letters + string.digits) -> list[str]:
    rng = random.Random(length)
    return ["".join(rng.choice(alphabet) for _ in range(length)) for _ in range(TOKENS)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [32, 40, 64])
@pytest.mark.slow
def test_random_tokens_are_replaced(form: str, length: int) -> None:
    missed = [token for token in random_tokens(length) if token in NOBODY.text(form.format(token))]
    assert len(missed) <= MOST_MISSED * TOKENS, missed[:3]


@pytest.mark.parametrize(
    "alphabet", [string.ascii_letters + string.digits + "_", string.ascii_letters + string.digits + "_-"]
)
@pytest.mark.parametrize("form", ["token: {}", "x: 1\ny: 2\npassword: {}"])
def test_random_tokens_in_base64_for_urls_are_replaced(form: str, alphabet: str) -> None:
    missed = [token for token in random_tokens(40, alphabet) if token in NOBODY.text(form.format(token))]
    assert len(missed) <= MOST_MISSED * TOKENS, missed[:3]


@pytest.mark.parametrize(
    "before", ["", "a:\n  b:\n", "x: 1\ny: 2\n", "- ", "\n\n\n\n", "x: 1\r\n", " " * 40, "data:\n" + " " * 24]
)
def test_a_password_at_the_beginning_of_a_line_is_replaced_whatever_the_lines_before_are(before: str) -> None:
    assert "hunter2secret1" not in NOBODY.text(f"{before}password: hunter2secret1\nport: 1")
    assert "hunterssecret" not in NOBODY.text(f"{before}password: hunterssecret\nport: 1")


@pytest.mark.parametrize(
    "text",
    [
        "error: unexpected token: get_next_token_of_line",
        "parsing token: TOKEN_KIND_IDENTIFIER",
        "token: std::string::const_iterator2",
        "the secret: item->keyOfTheFirst2",
        "x\nthe password: incorrect1",
        "wrong password: try_again2",
    ],
)
def test_names_in_code_and_prose_stay(text: str) -> None:
    assert NOBODY.text(text) == text
