# SPDX-License-Identifier: MIT
"""Values of secret variables, wherever and however they stand."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from autotune.redact import Redactor
from tests.support.made_up_secrets import PASSWORD, chars, pem


def test_values_of_secret_variables_are_replaced_wherever_and_however_they_stand() -> None:
    value = 'p@ss"word/' + chars(10)
    redactor = Redactor({"DB_PASSWORD": value, "EDITOR": "vim-of-mine", "API_TOKEN": "short"})
    encoded = base64.b64encode(value.encode()).decode().rstrip("=")
    for form in (value, json.dumps(value)[1:-1], quote(value, safe=""), encoded):
        assert redactor.text(f"got {form} here") == "got [redacted: variable] here"
    assert redactor.text("vim-of-mine is short") == "vim-of-mine is short"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "user:"])
def test_a_value_in_base64_is_found_whatever_is_encoded_with_it(before: str) -> None:
    value = chars(20)
    encoded = base64.b64encode(f"{before}{value}{before}".encode()).decode()
    assert "[redacted: variable]" in Redactor({"DB_PASSWORD": value}).text(f"got {encoded} here")


def test_a_password_in_a_url_of_any_variable_is_known() -> None:
    assert Redactor({"DATABASE_URL": f"postgres://me:{PASSWORD}@h/x"}).text(f"a {PASSWORD}") == "a [redacted: variable]"


def test_lines_of_a_key_in_a_variable_are_known_one_by_one() -> None:
    key = pem("RSA PRIVATE KEY")
    assert key.splitlines()[2] not in Redactor({"DEPLOY_KEY": key}).text(f"  {key.splitlines()[2]}")


def test_values_that_are_not_utf_8_are_taken() -> None:
    assert (
        Redactor({"A_TOKEN": "\udcff7abcdefgh"}).text("x \udcff7abcdefgh \\udcff") == "x [redacted: variable] \\udcff"
    )
    assert Redactor({"A_TOKEN": "\ud8007abcdefgh"}).text("x") == "x"


def test_common_words_paths_and_numbers_in_secret_variables_do_not_blank_out_the_text() -> None:
    redactor = Redactor({"A_KEY": "password", "B_TOKEN": "/home/me/key", "C_SECRET": "12345678"})
    assert redactor.text("the password of 12345678 in /home/me/key") == "the password of 12345678 in /home/me/key"


# --- keys that were damaged on their way ---


@pytest.mark.parametrize("inside", ["\n", "\r\n", "\t", "\x1b", "\x0b", " "])
def test_the_pieces_of_a_broken_key_are_known_each_by_itself(inside: str) -> None:
    first, second = "sk-live-a1B2c3D4e5F6", "g7h8i9j0"
    whole = first + inside + second
    for shown in (whole, repr(whole), repr(whole.encode()), f"... {first}", f"value b'{second}\\n'"):
        said = Redactor({"SOME_API_KEY": whole + "\n"}).text(shown)
        assert first not in said
        assert second not in said
