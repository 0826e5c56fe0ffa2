# SPDX-License-Identifier: MIT
"""Takes secrets out of text before it leaves the machine or is kept in a log. Pure, standard library only.

Three nets, one after another: the values of environment variables whose names say that they are secret; the formats of
known keys and tokens; and values that are assigned to secret-like names. What looks like a hash, a version, a path or
prose is spared. A secret without a known format, in a variable without a telling name, is not recognised: that is the
limit of any such filter, and why `--no-output-to-model` exists.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

LEAST_LITERAL = 8
"""Shorter values of secret variables are common words or numbers, and would blank out half a text."""

_WORDS = (
    "KEY|APIKEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|PWD|PW|CREDENTIAL|CREDENTIALS|CREDS|AUTH|PRIVATE|COOKIE|DSN|"
    "JWT|BEARER|SIGNATURE|PAT"
)
_SECRET_NAME = re.compile(
    rf"(?:^|[_\-.])(?:{_WORDS})S?(?:$|[_\-.0-9])|(?:APIKEY|PASSWORD|PASSWD|SECRET|ACCESSKEY)", re.I
)
_HARMLESS_NAME = re.compile(
    r"^(?:PWD|OLDPWD|AUTHOR|.*_AUTHOR|SSH_AUTH_SOCK|GIT_ASKPASS|XAUTHORITY|.*KEY(?:ID|_ID|NAME|_NAME|MAP|BOARD|RING|"
    r"CODE|_FILE|_PATH|_TYPE|_SIZE|_LENGTH|_COUNT)|.*TOKENS?_(?:FILE|PATH|COUNT|LIMIT|PER_.*)|.*(?:_FILE|_PATH|_DIR|_SOCK))$",
    re.I,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def is_secret_name(name: str) -> bool:
    """A name of a variable, key or option that says that its value is secret: `API_KEY`, `dbPassword`, `auth-token`."""
    flat = _CAMEL.sub("_", name)
    return bool(_SECRET_NAME.search(flat)) and not _HARMLESS_NAME.match(flat.strip("-"))


# --- formats ---------------------------------------------------------------------------------------------

_B64 = r"[A-Za-z0-9+/=_-]"
_PEM_KINDS = r"(?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?"

# Each begins with fixed characters and repeats one class within a bound, so that hostile input costs linear time.
_FORMATS: tuple[tuple[str, str], ...] = (
    (
        "private key",
        rf"-----BEGIN {_PEM_KINDS}-----(?:(?!-----BEGIN )[\s\S]){{0,20000}}?"
        rf"(?:-----END {_PEM_KINDS}-----|\Z|\n\n|(?=-----BEGIN ))",
    ),
    ("private key", r"PuTTY-User-Key-File-\d:(?:(?!Private-MAC)[\s\S]){0,20000}(?:Private-MAC: [0-9a-f]{8,128}|\Z)"),
    ("private key", r"AGE-SECRET-KEY-1[0-9A-Z]{20,100}"),
    ("Anthropic key", r"sk-ant-[A-Za-z0-9_-]{16,200}"),
    ("OpenAI key", r"\bsk-(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,200}"),
    ("AWS key id", r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"),
    ("GitHub token", r"(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255})"),
    ("GitLab token", r"gl(?:pat|ptt|dt|rt|cbt|ft|imt|agent|soat)-[A-Za-z0-9_.-]{18,200}"),
    ("Slack token", r"xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-[A-Za-z0-9-]{10,250}"),
    ("Slack webhook", r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_-]{10,200}"),
    ("Google key", r"AIza[0-9A-Za-z_-]{35}"),
    ("Google token", r"\bya29\.[0-9A-Za-z_-]{20,500}|\bGOCSPX-[0-9A-Za-z_-]{20,60}"),
    ("Stripe key", r"(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,200}|whsec_[0-9A-Za-z+/=]{16,100}"),
    ("npm token", r"\bnpm_[A-Za-z0-9]{36}"),
    ("PyPI token", r"pypi-AgE[A-Za-z0-9_-]{20,500}"),
    ("crates.io token", r"\bcio[A-Za-z0-9]{32}\b"),
    ("Docker token", r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,100}"),
    ("Hugging Face token", r"\bhf_[A-Za-z0-9]{30,60}"),
    ("DigitalOcean token", r"do[opr]_v1_[a-f0-9]{64}"),
    ("SendGrid key", r"\bSG\.[A-Za-z0-9_-]{16,40}\.[A-Za-z0-9_-]{30,60}"),
    ("Twilio key", r"\bSK[0-9a-f]{32}\b"),
    ("Telegram token", r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}"),
    ("Discord token", r"\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}"),
    ("Vault token", r"\bhv[sbr]\.[A-Za-z0-9_-]{20,300}"),
    ("Terraform token", r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{40,100}"),
    ("JWT", r"eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{0,2000}"),
)
_KNOWN = [(kind, re.compile(pattern)) for kind, pattern in _FORMATS]

_SCHEMES = r"(?:bearer|basic|token|digest|apikey)"
_NOT_YET = rf"(?![\s\"']{{0,8}}(?:{_SCHEMES}\s{{1,4}})?\[redacted)"
_CONTEXTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(rf"({before}){_NOT_YET}({value})", re.I))
    for kind, before, value in (
        (
            "authorization",
            r"(?:proxy-)?authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:" + _SCHEMES + r"\s{1,4})?",
            r"[^\s\"',;]{6,4000}",
        ),
        ("authorization", r"\bbearer\s{1,4}", r"[A-Za-z0-9._~+/=-]{16,4000}"),
        ("cookie", r"(?:^|[\"'\s])(?:set-)?cookie[\"']?\s{0,4}:\s{0,4}[\"']?", r"[^\n\r\"']{4,4000}"),
        ("password", r"\b[a-z][a-z0-9+.-]{1,30}://[^\s/:@\"'<>]{0,200}:", r"[^\s/@\"'<>]{1,300}(?=@)"),
        (
            "password",
            r"(?:^|\s)--?(?:password|passwd|pass|token|api-key|secret|auth-token|access-token)[= ]\s{0,3}[\"']?",
            r"(?!-)[^\s\"']{3,400}",
        ),
        (
            "password",
            r"\b(?:login|machine)\s+\S{1,200}(?:\s+login\s+\S{1,200})?\s+password\s+",
            r"\S{1,300}",
        ),
        (
            "signature",
            r"[?&;](?:sig|signature|x-amz-signature|token|access_token|api_key|key)=",
            r"[^\s&\"'<>]{12,600}",
        ),
    )
)
"""What follows certain words is replaced; the words stay."""

# NAME = value, NAME: value, "name": "value", NAME=value: the name decides.
_ASSIGNED = re.compile(
    r"(?<![A-Za-z0-9_.\-])([\"']?)([A-Za-z_][A-Za-z0-9_.\-]{1,80})\1(\s{0,4}(?::=|=>|=|:)\s{0,4})"
    r"(\"(?:[^\"\\\n]|\\.){1,2000}\"|'(?:[^'\\\n]|\\.){1,2000}'|[^\s\"'(){}<>,;]{1,2000})"
)
_PLAIN_VALUE = re.compile(
    r"^(?:null|none|nil|true|false|yes|no|on|off|undefined|empty|unset|required|optional|redacted|\*+|x+|\.\.\.|"
    r"[-+]?\d{1,12}(?:\.\d+)?%?|\$.{0,80}|%.{0,40}|<.{0,80}|\[redacted.*|(?:str|int|bool|string|bytes|char|object|"
    r"optional\[.*)|[a-z]{1,7})$",
    re.I,
)


class Redactor:
    """Replaces secrets by `[redacted: KIND]`. Built from the environment whose secrets it is to know."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        literals = sorted(set(_literals(environ)), key=len, reverse=True)
        self._literals = re.compile("|".join(map(re.escape, literals))) if literals else None

    def text(self, text: str) -> str:
        """The text without secrets; applying it again changes nothing."""
        if self._literals is not None:
            text = self._literals.sub("[redacted: variable]", text)
        for kind, pattern in _KNOWN:
            text = pattern.sub(f"[redacted: {kind}]", text)
        for kind, pattern in _CONTEXTS:
            text = pattern.sub(rf"\g<1>[redacted: {kind}]", text)
        return _ASSIGNED.sub(_assigned, text)

    def data(self, value: Any) -> Any:
        """The same through JSON values; under a secret name a text is replaced whole."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.data(item) for item in value]
        if isinstance(value, dict):
            return {
                key: "[redacted: value]" if is_secret_name(key) and isinstance(item, str) and item else self.data(item)
                for key, item in value.items()
            }
        return value


def _assigned(match: re.Match[str]) -> str:
    quote_mark, name, between, value = match.groups()
    bare = value.strip("\"'")
    if not is_secret_name(name) or _PLAIN_VALUE.match(bare) or len(bare) < 3:
        return match.group(0)
    if value[0] not in "\"'" and not quote_mark and ":" in between and not _looks_random(bare):
        return match.group(0)  # "token: expected", "key: value" in prose
    mark = value[0] if value[0] in "\"'" else ""
    return f"{quote_mark}{name}{quote_mark}{between}{mark}[redacted: value]{mark}"


def _looks_random(value: str) -> bool:
    """Not a word: has digits or marks besides letters, or is long."""
    return len(value) >= 16 or (len(value) >= 6 and any(not character.isalpha() for character in value.rstrip(".,:;)")))


def _literals(environ: Mapping[str, str]) -> Iterator[str]:
    """The values of secret variables, as they are and as programs write them: escaped, percent-encoded, in base64."""
    for name, value in environ.items():
        if not is_secret_name(name) or not _worth_hiding(value):
            continue
        yield value
        yield json.dumps(value)[1:-1]
        yield quote(value, safe="")
        yield quote(value)
        data = value.encode("utf-8", "surrogateescape")
        for variant in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
            yield variant.decode().rstrip("=")


def _worth_hiding(value: str) -> bool:
    """Long enough, and neither a path nor one plain word or number."""
    stripped = value.strip()
    if len(stripped) < LEAST_LITERAL or stripped.startswith(("/", "~", "./")):
        return False
    return not re.fullmatch(r"[a-z]+|[A-Z]+|\d{1,9}(?:\.\d+)?", stripped) or len(stripped) >= 16
