# SPDX-License-Identifier: MIT
"""Removes values whose names stand beside them in a structure: an XML element or its attributes, a pair of `name` and
`value`, a call that defines, a block of YAML, an option of openssl."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from autotune.redact.marks import MARKED
from autotune.redact.names import Strength, name_strength
from autotune.redact.values import LEAST_LITERAL, hides_quoted, hides_weak, is_path, is_real, looks_typed

# Each attempt reads a bounded number of characters, or what no other attempt of the same pattern can begin in.
_NAME = r"(?P<name>[\w.:\-]{1,80})"
_QUOTED = r"(?P<quote>\\{0,3}[\"'])(?P<value>[^\"'\r\n]{1,400})(?P=quote)"
_OPEN = r"(?:\\{0,3}[\"'])?"
_SECRET_WORD = r"\b(?=\w{0,40}(?i:key|token|secret|pass|pw|cred|auth|private|cookie|session|jwt|psk))(?P<name>\w{1,80})"
_IS = rf"{_OPEN}[ \t]{{0,4}}[:=][ \t]{{0,4}}"
_PATTERNS = tuple(
    re.compile(pattern, re.M)
    for pattern in (
        # <password>x</password>, <entry key="db.password">x</entry>
        rf"<{_NAME}>(?P<value>[^<>\r\n]{{1,400}})</",
        rf"\b(?:name|key|id)=[\"']{_NAME}[\"']>(?P<value>[^<>\r\n]{{1,400}})</",
        # <key>DB_PASSWORD</key><string>x</string>
        rf"<key>{_NAME}</key>\s{{0,40}}<string>(?P<value>[^<>\r\n]{{1,400}})</",
        # <property name="password" value="x"/>
        rf"\b(?:name|key|id)=[\"']{_NAME}[\"']\s{{1,40}}value={_QUOTED}",
        # - name: DB_PASSWORD        {"name": "DB_PASSWORD", "value": "x"}
        #   value: x
        rf"\b(?i:(?:parameter|option|variable)?(?:name|key)){_IS}{_OPEN}{_NAME}{_OPEN},?\s{{0,80}}{_OPEN}"
        rf"\b(?i:(?:parameter|option|variable)?value){_IS}"
        rf"(?:{_QUOTED}|(?P<bare>[^\s\"'\\,{{}}]{{1,400}}))",
        # define('DB_PASSWORD', 'x'), setenv("DB_PASSWORD", "x", 1), "DB_PASSWORD", "x" in such a call
        rf"\b(?i:define|setenv|putenv|set_?property|set_?variable|set_?secret|add_?env|env)\s{{0,4}}\(\s{{0,4}}"
        rf"[\"']{_NAME}[\"']\s{{0,4}},\s{{0,4}}{_QUOTED}",
        # os.environ.setdefault("DB_PASSWORD", "x"), headers.put('X-Api-Key', 'x'), addHeader("X-Auth-Token", "x")
        rf"(?i:\b\w{{0,24}}(?:define|env|set|put|add|append|header|default|property|variable|secret|config)\w{{0,16}})"
        rf"\s{{0,4}}\(\s{{0,4}}[\"']{_NAME}[\"']\s{{0,4}},\s{{0,4}}(?P<quote>[\"'])(?P<value>[^\s\"'-][^\s\"']{{2,400}})(?P=quote)",
        # <password value="x"/>
        rf"<{_NAME}\s{{1,40}}value={_QUOTED}",
        # os.environ["DB_PASSWORD"] = "x", config['password'] => 'x'
        rf"\[{_OPEN}{_NAME}{_OPEN}\][ \t]{{0,8}}=>?[ \t]{{0,8}}{_QUOTED}",
        # password: str = "x", const TOKEN: &str = "x", char password[] = "x"
        rf"{_SECRET_WORD}(?:[ \t]{{0,4}}:[ \t]{{0,4}}[&\w.<>\[\]?| ]{{1,40}}|\[\w{{0,8}}\])"
        rf"[ \t]{{0,4}}=[ \t]{{0,4}}{_QUOTED}",
        # #define WIFI_PASSWORD "x"
        rf"^[ \t]{{0,8}}#[ \t]{{0,8}}define[ \t]{{1,16}}{_NAME}[ \t]{{1,40}}L?{_QUOTED}",
        # ENV DB_PASSWORD x, set DB_PASSWORD x, in a Dockerfile and in shells
        rf"^[ \t]{{0,8}}(?:ENV|ARG|setenv|set(?:[ \t]{{1,4}}-\w{{1,4}}){{1,3}})[ \t]{{1,8}}{_NAME}[ \t]{{1,8}}"
        r"(?P<value>[^\s\"'=]{1,400})",
    )
)
_BLOCK = re.compile(
    r"^(?P<indent>[ \t]{0,40})(?:- )?[\"']?(?P<name>[\w.\-]{1,80})[\"']?:[ \t]{0,4}[|>][+-]?\d?[ \t]{0,8}\r?\n"
    r"(?P<value>(?:(?P=indent)[ \t]+[^\r\n]*(?:\r?\n|\Z)|[ \t]*\r?\n)+)",
    re.M,
)
_OF_CONNECTION = re.compile(
    r"(?i:(?<=[;\"'])pwd=(?P<last>(?![/.~$])[^;\s\"']{4,200})|\bpwd=(?P<value>(?![/.~$])[^;\s\"']{4,200});\w)"
)
"""`UID=sa;PWD=x` and `Pwd=x;Database=y`; in other places PWD is a directory."""
_OF_WORKFLOW = re.compile(r"::add-mask::(?P<value>[^\s\"']{1,400})")
_OF_SQL = re.compile(
    r"(?i:\bidentified[ \t]{1,8}by(?:[ \t]{1,8}password)?|\bpassword)[ \t]{1,8}'(?P<value>[^'\s]{1,400})'"
)
"""`CREATE USER u IDENTIFIED BY 'x'`, `ALTER ROLE u WITH PASSWORD 'x'`."""
_OF_REDIS = re.compile(r"^[ \t]{0,8}(?:requirepass|masterauth)[ \t]{1,8}[\"']?(?P<value>[^\s\"']{1,400})", re.M)
_OF_PAIR = re.compile(
    r"\b(?i:(?:basic_?)?auth)[ \t]{0,4}(?:=[ \t]{0,4})?\([ \t]{0,4}[\"'][^\"'\r\n]{1,80}[\"'][ \t]{0,4},[ \t]{0,4}"
    r"(?P<quote>[\"'])(?P<value>[^\"'\r\n]{1,400})(?P=quote)"
)
"""`auth=("user", "x")`, as clients of HTTP take it."""
_LIST = re.compile(rf"{_SECRET_WORD}{_IS}\[(?P<value>[^\[\]]{{1,2000}})\]")
_LISTED = re.compile(r"(?P<quote>[\"'])(?P<value>[^\"'\s]{16,400})(?P=quote)")
"""`tokens = ["x", "y"]`; most such lists are of names."""
_OF_SETTER = re.compile(rf"(?<![\w.\-])(?:[\w]{{1,40}}\.)?{_NAME}(?:[ \t]{{1,4}}|[ \t]?\([ \t]{{0,4}}){_QUOTED}")
"""`setPassword("x")`, `storePassword 'x'`; what is called `token` there is mostly a parser's."""
_OF_OPENSSL = re.compile(r"-pass(?:in|out)?(?:[ \t]{1,4}|=)[\"']?pass:(?P<value>[^\s\"']{1,200})")


def without_contained(text: str) -> str:
    for pattern in _PATTERNS:
        text = pattern.sub(_replaced, text)
    text = _BLOCK.sub(_block, text) if "|" in text or ">" in text else text
    for pattern in (_OF_CONNECTION, _OF_WORKFLOW, _OF_OPENSSL, _OF_SQL, _OF_REDIS, _OF_PAIR):
        text = pattern.sub(_placed, text)
    return _LIST.sub(_listed, _OF_SETTER.sub(_set, text))


def _listed(found: re.Match[str]) -> str:
    def replaced(one: re.Match[str]) -> str:
        return _cut(one, "value") if is_real(one["value"]) and hides_weak(one["value"]) else one.group()

    if not name_strength(found["name"]):
        return found.group()
    start, end = (place - found.start() for place in found.span("value"))
    return found.group()[:start] + _LISTED.sub(replaced, found["value"]) + found.group()[end:]


def _set(found: re.Match[str]) -> str:
    """Replace what a setter gets where it looks like a secret: the words of messages and parsers stay."""
    value, strength = found["value"], name_strength(found["name"])
    if not is_real(value) or not looks_typed(value) or is_path(value) or re.search(r"\s", value):
        return found.group()
    hides = len(value) >= LEAST_LITERAL if strength == "password" else strength == "token" and hides_weak(value)
    return _cut(found, "value") if hides else found.group()


def _placed(found: re.Match[str]) -> str:
    group = "last" if "last" in found.re.groupindex and found["last"] else "value"
    return _cut(found, group) if is_real(found[group]) else found.group()


def _replaced(found: re.Match[str]) -> str:
    group = "bare" if "bare" in found.re.groupindex and found["bare"] else "value"
    value, strength = found[group], name_strength(found["name"].rpartition(":")[2])
    return _cut(found, group) if strength and _hides(strength, value) else found.group()


def _hides(strength: Strength, value: str) -> bool:
    if not is_real(value.strip()) or "[redacted: " in value:
        return False
    return hides_weak(value) if strength == "weak" else hides_quoted(strength, value)


def _block(found: re.Match[str]) -> str:
    """Replace the lines of a block by one mark, indented as a block is."""
    value = found["value"]
    strength = name_strength(found["name"])
    if strength in ("", "weak") or not value.strip() or MARKED.fullmatch(value.strip()):
        return found.group()
    end = "\n" if value.endswith("\n") else ""
    return f"{found.group()[: -len(value)]}{found['indent']}  [redacted: value]{end}"


def _cut(found: re.Match[str], group: str) -> str:
    start, end = (place - found.start() for place in found.span(group))
    return f"{found.group()[:start]}[redacted: value]{found.group()[end:]}"


def name_beside_value(value: Mapping[str, Any]) -> str:
    """Return the name in a JSON object that is a pair of `name` and `value`; empty when there is none."""
    return next((str(value[key]) for key in ("name", "key", "Name", "Key") if isinstance(value.get(key), str)), "")
