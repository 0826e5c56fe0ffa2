# SPDX-License-Identifier: MIT
"""Secrets leave neither the machine nor a log; ordinary build output stays as it is.

The secrets here are made up and put together at run time, so that no scanner takes them for real ones."""

from __future__ import annotations

import base64
import json
import random
import string
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.redact import Redactor, is_secret_name

RNG = random.Random(7)
NOBODY = Redactor({})


def chars(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(RNG.choice(alphabet) for _ in range(count))


HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
DASHES = "-" * 5


def pem(kind: str) -> str:
    body = "\n".join(chars(64) for _ in range(3))
    return f"{DASHES}BEGIN {kind}{DASHES}\n{body}\n{DASHES}END {kind}{DASHES}"


SECRETS = {
    "anthropic": "sk-" + "ant-api03-" + chars(80),
    "openai": "sk-" + "proj-" + chars(48),
    "openai old": "sk-" + chars(48),
    "aws id": "AKIA" + chars(16, UPPER),
    "aws session id": "ASIA" + chars(16, UPPER),
    "github": "ghp_" + chars(36),
    "github app": "ghs_" + chars(36),
    "github fine": "github_pat_" + chars(60),
    "gitlab": "glpat-" + chars(20),
    "slack bot": "xoxb-" + chars(12, string.digits) + "-" + chars(24),
    "slack app": "xapp-1-" + chars(30),
    "slack hook": "https://hooks." + "slack.com/services/T" + chars(8) + "/B" + chars(8) + "/" + chars(24),
    "google": "AIza" + chars(35),
    "google oauth": "ya29." + chars(60),
    "google client": "GOCSPX-" + chars(28),
    "stripe": "sk_" + "live_" + chars(24),
    "stripe hook": "whsec_" + chars(32),
    "npm": "npm_" + chars(36),
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + chars(80),
    "crates": "cio" + chars(32),
    "docker": "dckr_pat_" + chars(27),
    "hugging face": "hf_" + chars(34),
    "digital ocean": "dop_v1_" + chars(64, HEX),
    "sendgrid": "SG." + chars(22) + "." + chars(43),
    "twilio": "SK" + chars(32, HEX),
    "telegram": chars(9, "123456789") + ":AA" + chars(33),
    "vault": "hvs." + chars(40),
    "terraform": chars(14) + ".atlasv1." + chars(60),
    "jwt": "eyJ" + chars(30) + ".eyJ" + chars(60) + "." + chars(40),
    "age": "AGE-SECRET-KEY-1" + chars(58, UPPER),
    "rsa": pem("RSA PRIVATE KEY"),
    "openssh": pem("OPENSSH PRIVATE KEY"),
    "pkcs8": pem("PRIVATE KEY"),
    "pgp": pem("PGP PRIVATE KEY BLOCK"),
    "cut off key": pem("EC PRIVATE KEY").rpartition(DASHES + "END")[0],
}

PASSWORD = chars(6, string.ascii_lowercase) + "7!" + chars(6)
HIDDEN = {
    "bearer": f"Authorization: Bearer {PASSWORD}",
    "basic": f'curl -H "authorization: Basic {PASSWORD}="',
    "cookie": f"Set-Cookie: sid={PASSWORD}; HttpOnly",
    "url": f"git clone https://me:{PASSWORD}@example.org/x.git",
    "postgres": f"postgres://app:{PASSWORD}@db:5432/x",
    "option": f"mysql --password={PASSWORD} -h db",
    "option with a space": f"tool --api-key {PASSWORD}",
    "export": f"export FOO_TOKEN={PASSWORD}",
    "env file": f'DB_PASSWORD="{PASSWORD}"',
    "json": json.dumps({"api_key": PASSWORD}),
    "yaml": f"  client_secret: {PASSWORD}",
    "toml": f"auth-token = '{PASSWORD}'",
    "camel": f'"accessToken": "{PASSWORD}"',
    "aws": f"aws_secret_access_key = {PASSWORD}",
    "header": f"X-Api-Key: {PASSWORD}",
    "netrc": f"machine example.org login me password {PASSWORD}",
    "azure": f"DefaultEndpointsProtocol=https;AccountName=x;AccountKey={PASSWORD}",
    "sas": f"https://x.blob.example/c?sv=1&sig={PASSWORD}",
}

SPARED = (
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "id: 123e4567-e89b-12d3-a456-426614174000",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "gcc -O2 -Wall -DKEY_SIZE=32 -c src/keyboard.c -o build/keyboard.o",
    "make[1]: Entering directory '/home/me/project/token-parser'",
    "error: unexpected token ')' before ';'",
    "bash: syntax error near unexpected token `newline'",
    "password = NULL;",
    "char *password = getenv(name);",
    "key = value",
    "monkey: 3 keys: 12",
    "tokens/s: 1234.5",
    "key lookups: 123456",
    "Secret: nothing to see",
    "AUTHOR=Somebody Else",
    "PWD=/home/me/project",
    "SSH_AUTH_SOCK=/tmp/ssh-x/agent.1",
    "token_count = 8192",
    "checking for password hashing... yes",
    "real 0m1.234s user 0m2.345s",
    "http://example.org:8080/path",
    "ratio 12:34:56",
)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("around", ["{}", "before {} after", '{{"a": "{}"}}', "x={}\ny"])
def test_known_formats_are_replaced(name: str, around: str) -> None:
    secret = SECRETS[name]
    shown = NOBODY.text(around.format(secret))
    assert "[redacted: " in shown
    assert not any(piece in shown for piece in secret.replace("-" * 5, " ").split() if len(piece) > 15)


@pytest.mark.parametrize("name", HIDDEN)
def test_what_stands_where_secrets_stand_is_replaced(name: str) -> None:
    shown = NOBODY.text(HIDDEN[name])
    assert PASSWORD not in shown
    assert "[redacted: " in shown


def test_a_key_on_one_line_with_escaped_line_ends_is_replaced() -> None:
    shown = NOBODY.text(json.dumps({"pem": pem("RSA PRIVATE KEY")}))
    assert "PRIVATE" not in shown


@pytest.mark.parametrize("text", SPARED)
def test_ordinary_output_stays_as_it_is(text: str) -> None:
    assert NOBODY.text(text) == text


def test_values_of_secret_variables_are_replaced_wherever_and_however_they_stand() -> None:
    value = 'p@ss"word/' + chars(10)
    redactor = Redactor({"DB_PASSWORD": value, "EDITOR": "vim-of-mine", "API_TOKEN": "short"})
    encoded = base64.b64encode(value.encode()).decode().rstrip("=")
    for form in (value, json.dumps(value)[1:-1], quote(value, safe=""), encoded):
        assert redactor.text(f"got {form} here") == "got [redacted: variable] here"
    assert redactor.text("vim-of-mine is short") == "vim-of-mine is short"


def test_common_words_paths_and_numbers_in_secret_variables_do_not_blank_out_the_text() -> None:
    redactor = Redactor({"A_KEY": "password", "B_TOKEN": "/home/me/key", "C_SECRET": "12345678"})
    assert redactor.text("the password of 12345678 in /home/me/key") == "the password of 12345678 in /home/me/key"


@pytest.mark.parametrize("name", ["API_KEY", "dbPassword", "auth-token", "GITHUB_TOKEN", "client.secret", "APIKEY"])
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["KEYBOARD", "AUTHOR", "XDG_SESSION_TYPE", "MONKEY", "PWD", "KEY_FILE", "tokenizer", "compat"]
)
def test_names_that_only_look_secret(name: str) -> None:
    assert not is_secret_name(name)


def test_data_is_redacted_through_and_through() -> None:
    value = {"a": [f"Bearer {SECRETS['jwt']}", 3], "password": "hunter2", "n": None, "token": {"b": "plain"}}
    shown = NOBODY.data(value)
    assert shown == {
        "a": ["Bearer [redacted: JWT]", 3],
        "password": "[redacted: value]",
        "n": None,
        "token": {"b": "plain"},
    }


@given(
    st.lists(st.sampled_from([*SECRETS.values(), *HIDDEN.values(), *SPARED, " ", "=", "\n", "token=", "'"]), max_size=6)
)
def test_redacting_again_changes_nothing(parts: list[str]) -> None:
    once = NOBODY.text(" ".join(parts))
    assert NOBODY.text(once) == once


@given(st.text(max_size=300))
def test_any_text_is_taken(text: str) -> None:
    once = NOBODY.text(text)
    assert NOBODY.text(once) == once


@pytest.mark.parametrize(
    "piece", ["a", "-----BEGIN ", "eyJ", "sk-", "password=", "://a:", '"', "\\", "token: ", "A_KEY=", "xoxb-1"]
)
def test_hostile_input_costs_linear_time(piece: str) -> None:
    def took_s(size: int) -> float:
        text = (piece * (size // len(piece)))[:size]
        started = time.process_time()
        NOBODY.text(text)
        return time.process_time() - started

    took_s(20_000)
    small, large = took_s(40_000) + 1e-4, took_s(320_000)
    assert large / small < 40, (small, large)  # eight times as long; quadratic would be 64 times
