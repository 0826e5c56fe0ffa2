# SPDX-License-Identifier: MIT
"""Removes what is assigned to secret-like names: `NAME = value`, `NAME: value`, `"name": "value"`, `--name value`."""

from __future__ import annotations

import re

from autotune.redact.marks import MARK, MARKED
from autotune.redact.names import Strength, name_strength
from autotune.redact.values import (
    AFTER_OPTION,
    CALL,
    LONGEST_SPARED,
    NOT_REAL,
    hides_after_colon,
    hides_bare,
    hides_quoted,
    hides_weak,
    is_path,
    looks_mixed,
    looks_typed,
)

# NAME = value, NAME: value, "name": "value", --name value. The look ahead spares the names that cannot be secret.
_NAMED = re.compile(
    r"(?<![\w.\-])(?=[\w.\-]*?(?:key|token|secret|pass|pwd|pw|cred|auth|private|cookie|session|dsn|jwt|bearer|pat|sig|psk))"
    r"(?P<name>[\w.\-]+)(?P<quote>\\{0,3}[\"'])?"
    r"(?P<between>[ \t]{0,8}(?:[:?+]?=(?![=~>])|=>|%3D|:(?!:))[ \t]{0,8}(?:\r?\n[ \t]{1,8}(?=[\"']))?|[ \t]{1,8})",
    re.I,
)
_OPEN = re.compile(r"\"\"\"|'''|\\{0,3}[\"']")
_SINGLE = re.compile(r"[^'\\\n]*(?:\\.[^'\\\n]*)*")
_DOUBLE = re.compile(r"[^\"\\\n]*(?:\\.[^\"\\\n]*)*")
_BARE = re.compile(rf"(?:{MARK}|->(?=[A-Za-z_])|[^\s\"'<>;,&]|[;,&](?![\w. -]{{1,40}}=))+|<[^<>\s]{{1,80}}>")
_BARE_SHORT = re.compile(r"[^\s\"'<>;,&=:]+={0,2}")
_LINE = re.compile(r"[^\r\n#]*")
_PROSE_GOES_ON = re.compile(r"[a-z]+ [a-z]")
"""Two words after a quoted name are prose: `project 'a-token': discarding no candidates`. In JSON or YAML a bare value
has no second word."""
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=[^=]")
"""The next variable on a line of them, whose own name decides: `CRATE=my-token VERSION=1.2`."""


def without_assigned(text: str) -> str:
    """Remove values assigned to secret-like names. The names decide; values are looked at only after such a name."""
    kept, at, position = [], 0, 0
    while (named := _NAMED.search(text, position)) is not None:
        position = named.end()
        strength = _strength(text, named)
        span = _secret_span(text, named, strength) if strength else None
        if span is not None:
            kept += [text[at : span[0]], "[redacted: value]"]
            at = position = span[1]
    return "".join([*kept, text[at:]])


def _strength(text: str, named: re.Match[str]) -> Strength:
    """Judge the name; `pass` alone is what tests do, but as an option or in a list of options it is a password."""
    name = named["name"].lower()
    is_option = name in ("-pass", "--pass") or (name == "pass" and text[named.start() - 1 : named.start()] == ",")
    return "password" if (is_option and "=" in named["between"]) or name == "--pass" else name_strength(named["name"])


def _secret_span(text: str, named: re.Match[str], strength: Strength) -> tuple[int, int] | None:
    """Return where the secret is that is assigned to a name; None when the value is no secret."""
    start = named.end()
    opened = _OPEN.match(text, start)
    if opened is not None and named["quote"] is None and _closes(text, named.start(), opened.group()):
        return None
    if opened is not None:
        start, end = opened.end(), _quoted_end(text, opened)
    elif (bare := (_BARE_SHORT if strength == "weak" else _BARE).match(text, start)) is not None:
        end = bare.end()
        if MARKED.fullmatch(bare.group()):
            return None
        if not bare.group().rstrip(";,)}").endswith("]") or "[redacted: " not in bare.group():
            end -= len(bare.group()) - len(bare.group().rstrip(";,)}]\\"))
    else:
        return None
    value = text[start:end]
    if not value or NOT_REAL.fullmatch(value):
        return None
    if "[redacted: " in value:
        return (start, end) if strength != "weak" and opened is None and named["between"].strip() else None
    if opened is None and named["between"] in (" = ", "= ", " =") and strength == "password":
        end = _ini_end(text, named, end)
    return (start, end) if _hides(text, named, strength, (start, end), opened is not None) else None


def _closes(text: str, at: int, quote: str) -> bool:
    """Return whether the quote after a name ends a string that the name is in: `"Enter the password: "`."""
    return text[max(0, at - 200) : at].rpartition("\n")[2].count(quote) % 2 == 1


def _quoted_end(text: str, opened: re.Match[str]) -> int:
    """Return where a quoted value ends: at the same quote, or with its line when the quote is cut off."""
    mark = opened.group()
    if len(mark) == 1:
        found = (_SINGLE if mark == "'" else _DOUBLE).match(text, opened.end())
        return found.end() if found else opened.end()
    end = text.find(mark, opened.end())
    end = len(text) if end < 0 else end
    line = text.find("\n", opened.end(), end)
    return line if line >= 0 else end


def _ini_end(text: str, named: re.Match[str], end: int) -> int:
    """Return where `password = two words` ends at the beginning of a line: with the line, unless it looks like code."""
    before = text[max(0, named.start() - 1) : named.start()]
    if before not in ("", "\n"):  # checked first, so that each line is looked at once
        return end
    line = _LINE.match(text, end)
    if line is None or re.search(r"[;(){}\[\]=]", line.group()):
        return end
    return end + len(line.group().rstrip())


def _hides(text: str, named: re.Match[str], strength: Strength, span: tuple[int, int], quoted: bool) -> bool:
    value, between = text[slice(*span)], named["between"]
    if strength == "weak":
        is_header = ":" in between and named["name"].lower().startswith("x-")
        return bool(between.strip()) and (hides_weak(value) or (is_header and len(value) >= 6 and looks_typed(value)))
    if len(value) > LONGEST_SPARED and between.strip():
        return True
    if not between.strip():
        return _hides_after_space(named, strength, value, quoted)
    if quoted or named["name"].lower().startswith("x-"):
        return hides_quoted(strength, value)
    after = text[span[1] : span[1] + 8]
    if "=" in between or "%" in between:
        return hides_bare(strength, value, between in ("=", "%3D", "%3d"), after)
    if named["quote"] and strength == "token" and _PROSE_GOES_ON.match(value + after):
        return False
    alone = not after.strip(" \t").rstrip("\r") or after.lstrip(" \t\r")[:1] in ("\n", "#")
    return bool(named["quote"]) or hides_after_colon(strength, value, alone and _begins_line(text, named.start()))


def _begins_line(text: str, at: int) -> bool:
    """Return whether only the indentation and the dashes of YAML precede it on its line."""
    while at and text[at - 1] in " \t-":
        at -= 1
    return at == 0 or text[at - 1] == "\n"


def _hides_after_space(named: re.Match[str], strength: Strength, value: str, quoted: bool) -> bool:
    """Judge `--password X`; without dashes only a value that looks random: `aws configure set aws_secret_access_key
    X`."""
    if named["quote"] is not None or value.startswith("-"):
        return False
    if not named["name"].startswith("-"):
        if _ASSIGNMENT.match(value):
            return False
        return not quoted and len(value) >= 16 and looks_mixed(value) and not CALL.match(value) and not is_path(value)
    if value.lower() in AFTER_OPTION or (name_strength(value) and value.isupper()):
        return False
    return strength == "password" or hides_quoted(strength, value)
