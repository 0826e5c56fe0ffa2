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

from autotune.redact import LONGEST_MARK, MOST_GROWTH, Redactor, is_secret_name

RNG = random.Random(7)
NOBODY = Redactor({})


def chars(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(RNG.choice(alphabet) for _ in range(count))


HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
DASHES = "-" * 5


def pem(kind: str, headers: str = "", lines: int = 3) -> str:
    body = "\n".join(chars(64) for _ in range(lines))
    return f"{DASHES}BEGIN {kind}{DASHES}\n{headers}{body}\n{DASHES}END {kind}{DASHES}"


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
    "discord": "M" + chars(23) + "." + chars(6) + "." + chars(27),
    "gitlab deploy": "gldt-" + chars(20),
    "slack user": "xoxp-" + chars(12, string.digits) + "-" + chars(24),
    "github oauth": "gho_" + chars(36),
    "github user": "ghu_" + chars(36),
    "github refresh": "ghr_" + chars(36),
    "stripe restricted": "rk_" + "live_" + chars(24),
    "jwt": "eyJ" + chars(30) + ".eyJ" + chars(60) + "." + chars(40),
    "age": "AGE-SECRET-KEY-1" + chars(58, UPPER),
    "rsa": pem("RSA PRIVATE KEY"),
    "openssh": pem("OPENSSH PRIVATE KEY"),
    "pkcs8": pem("PRIVATE KEY"),
    "pgp": pem("PGP PRIVATE KEY BLOCK"),
    "dsa": pem("DSA PRIVATE KEY"),
    "encrypted": pem("ENCRYPTED PRIVATE KEY"),
    "encrypted the old way": pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"),
    "pgp with a header": pem("PGP PRIVATE KEY BLOCK", "Version: GnuPG v2\n\n"),
    "long key": pem("RSA PRIVATE KEY", lines=600),
    "putty": "PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nComment: x\nPublic-Lines: 1\n"
    + chars(64)
    + "\nPrivate-Lines: 1\n"
    + chars(64)
    + "\nPrivate-MAC: "
    + chars(64, HEX),
    "putty cut off": "PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\nComment: x\nPublic-Lines: 1\n"
    + chars(64)
    + "\nPrivate-Lines: 2\n"
    + chars(64),
    "key without its beginning": pem("RSA PRIVATE KEY").partition("\n")[2],
    "cut off in a line": pem("RSA PRIVATE KEY")[:150],
    "pgp cut off": pem("PGP PRIVATE KEY BLOCK", "Version: GnuPG v2\n\n")[:200],
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
    "digest": f'Authorization: Digest username="me", response="{PASSWORD}"',
    "token scheme": f"authorization: token {PASSWORD}",
    "header in json": json.dumps({"Authorization": f"Bearer {PASSWORD}"}),
    "json in json": json.dumps(json.dumps({"password": PASSWORD})),
    "cookie of a client": f"Cookie: a=b; sid={PASSWORD}",
    "cookie with quotes": f'Cookie: a="b"; sid="{PASSWORD}"',
    "python": f"{{'password': '{PASSWORD}'}}",
    "colon": f"passwd: {PASSWORD}",
    "pass": f"DB_PASS={PASSWORD}",
    "odd marks": f"password=a(b,c;d{PASSWORD}",
    "words in an ini file": f"password = two {PASSWORD}",
    "redis": f"redis://:{PASSWORD}@h:6379",
    "at in a url": f"https://me:x@{PASSWORD}@example.org/",
    "netrc over lines": f"machine example.org\n  login me\n  password {PASSWORD}",
    "npmrc": f"//registry.example.org/:_authToken={PASSWORD}",
    "connection": f"Server=h;User Id=a;Password={PASSWORD};Encrypt=true",
    "after colours": f"\x1b[0mFOO_SECRET={PASSWORD}",
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
    "key: 3f786850e387550fdab836ed7e6dc881de23001b",
    "cache-key: linux-build-3f786850e387",
    "session: 123e4567-e89b-12d3-a456-426614174000",
    "gcc -fuse-ld=lld --build-id=sha1 -Wl,-rpath,/opt/x -DTOKEN=42",
    "if (password == NULL) return;",
    "token = next_token;",
    "auth = get_auth(user)",
    "std::string token=parse_token(x);",
    "key = item->key_value;",
    "sorted(x, key=operator.itemgetter)",
    "password: str = field(default='')",
    "#define KEY_ENTER 28",
    "PASS: tests/foo1",
    'CONFIG_MODULE_SIG_KEY="certs/signing_key.pem"',
    "SECRET=/run/secrets/x",
    "usage: tool --password PASSWORD --token <token> --api-key $API_KEY",
    "use --password to set it",
    "password=${DB_PASSWORD}",
    "cookie: 0x7ffe1234",
    "tokens: 4096 max_tokens: 8192 tokens=123456",
    "https://example.org:8080/a@b",
    "sk-learn-based-approach-to-this-problem-is",
    "npm_config_registry_of_this_machine_is_here",
    "hf_transformers_model_training_with_long_names",
    "task-1234567890123456789012345",
    f"{DASHES}BEGIN CERTIFICATE{DASHES}\nMIIB\n{DASHES}END CERTIFICATE{DASHES}",
    f"{DASHES}BEGIN PUBLIC KEY{DASHES}\nMIIB\n{DASHES}END PUBLIC KEY{DASHES}",
    "SKIPPED 0123456789abcdef AKIA AIza eyJ hvs. SG. ghp_ pypi- xoxb-",
    "passwd:         files systemd",
    "bearer of bad news",
    "Authorization: required",
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
    assert shown != "[redacted: text]"
    assert "[redacted: " in shown


def test_a_key_on_one_line_with_escaped_line_ends_is_replaced() -> None:
    shown = NOBODY.text(json.dumps({"pem": pem("RSA PRIVATE KEY")}))
    assert "PRIVATE" not in shown


@pytest.mark.parametrize("around", ["\\n{}", "\x1b[31m{}\x1b[0m", "x%3D{}", "({})", "'{}'", "k={}&b=1"])
@pytest.mark.parametrize("name", [name for name, secret in SECRETS.items() if "\n" not in secret])
def test_known_formats_are_replaced_after_escapes_too(name: str, around: str) -> None:
    assert SECRETS[name][4:] not in NOBODY.text(around.format(SECRETS[name]))


@pytest.mark.parametrize("line_end", ["\\n", "\r\n", "\\r\\n", "\\\\n"])
@pytest.mark.parametrize("name", ["rsa", "cut off key", "encrypted the old way", "key without its beginning"])
def test_private_keys_are_replaced_whatever_their_line_ends_are(name: str, line_end: str) -> None:
    shown = NOBODY.text("before " + SECRETS[name].replace("\n", line_end) + line_end + "make: done")
    assert not any(line in shown for line in SECRETS[name].splitlines() if len(line) > 15)
    assert shown.endswith("make: done")


def test_what_follows_a_key_that_is_cut_off_stays() -> None:
    shown = NOBODY.text(SECRETS["cut off key"] + "make: done\nreal 0m1s\n")
    assert shown == "[redacted: private key]\nmake: done\nreal 0m1s\n"


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


@pytest.mark.parametrize("name", ["API_KEY", "dbPassword", "auth-token", "GITHUB_TOKEN", "client.secret", "APIKEY"])
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "KEYBOARD",
        "AUTHOR",
        "XDG_SESSION_TYPE",
        "MONKEY",
        "PWD",
        "KEY_FILE",
        "tokenizer",
        "compat",
        "KEYMAP",
        "SSH_AUTH_SOCK",
        "DESKTOP_SESSION",
        "DBUS_SESSION_BUS_ADDRESS",
        "token_count",
        "primary_key",
        "tokens_per_s",
    ],
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
          "Authorization: ", "password ", "login a ", "{", "}", "&sig=", "eyJ", "."]  # fmt: skip


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


@pytest.mark.parametrize(
    "piece", ["a", "-----BEGIN ", "eyJ", "sk-", "password=", "://a:", '"', "\\", "token: ", "A_KEY=", "xoxb-1"]
)
@pytest.mark.slow
def test_hostile_input_costs_linear_time(piece: str) -> None:
    def took_s(size: int) -> float:
        text = (piece * (size // len(piece)))[:size]
        started = time.process_time()
        NOBODY.text(text)
        return time.process_time() - started

    took_s(20_000)
    small, large = took_s(40_000) + 1e-4, took_s(320_000)
    assert large / small < 40, (small, large)  # eight times as long; quadratic would be 64 times


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
    "password= ",
    'password=\\"x',
    'key=\\"x\\"',
    "sk-a-",
    "key",
    "password: ",
    "A_KEY='",
    "authorization:",
]


@pytest.mark.slow
@pytest.mark.parametrize("piece", HOSTILE)
def test_a_megabyte_of_the_same_takes_as_long_for_its_length_as_less_of_it(piece: str) -> None:
    def took_s(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        started = time.process_time()
        NOBODY.text(text)
        return time.process_time() - started

    took_s(20_000)
    small, large = took_s(125_000) + 1e-3, took_s(1_000_000)
    assert large / small < 32, (small, large)  # eight times as long; quadratic would be 64 times


# --- keys that were damaged on their way ---


@pytest.mark.parametrize("inside", ["\n", "\r\n", "\t", "\x1b", "\x0b", " "])
def test_the_pieces_of_a_broken_key_are_known_each_by_itself(inside: str) -> None:
    first, second = "sk-live-a1B2c3D4e5F6", "g7h8i9j0"
    whole = first + inside + second
    for shown in (whole, repr(whole), repr(whole.encode()), f"... {first}", f"value b'{second}\\n'"):
        said = Redactor({"SOME_API_KEY": whole + "\n"}).text(shown)
        assert first not in said
        assert second not in said


def test_known_secrets_are_taken_out_of_a_text_of_any_length() -> None:
    redactor = Redactor({"SOME_API_KEY": "a1b2c3d4e5f6\n"})
    said = redactor.known("x" * (4 << 20) + " a1b2c3d4e5f6 token=hunter2hunter2")
    assert said.endswith(" [redacted: variable] token=hunter2hunter2")
