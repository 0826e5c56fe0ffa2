# SPDX-License-Identifier: MIT
"""Secrets and places where they stand, and ordinary output that is none.

They are made up and put together at run time, so that no scanner takes them for real ones."""

from __future__ import annotations

import json
import random
import string

RNG = random.Random(7)


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
    "an arrow in a value": f"token = x->{PASSWORD}",
    "an arrow in front of a quote": f"password = 'x->{PASSWORD}'",
    "json in prose": f"the answer was 'access_token': {PASSWORD} and so on",
    "a variable beside": f"API_TOKEN=x{PASSWORD} CRATE_NAME=my-crate",
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
    "case TOKEN_KEY: password = passwd->pw_passwd; }",
    "    token = parser->tokens->current_token2;",
    "secret = Config::kSecret2, next",
    "CARGO_CRATE_NAME=my-token CARGO_PKG_VERSION=1.2.3-rc1-Final",
    "Given no hashes to check 0 links for project 'no-such-token': discarding no candidates",
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
