# SPDX-License-Identifier: MIT
"""Judges by the look of a value whether it is a secret, where its name leaves that open.

Spared are placeholders, numbers, paths, digests, names in code and words of prose.
"""

from __future__ import annotations

import itertools
import re

from autotune.redact.marks import MARKED
from autotune.redact.names import Strength, words_of

LEAST_LITERAL = 8
"""Least length: shorter values of secret variables are common words or numbers, and would blank out half a text."""
_PLACEHOLDER = re.compile(
    r"\$[A-Za-z_]\w*|\$[{(].*|%\w*%?|<.*>?|[*]+|[xX]+|\.{2,}|\{\{.*|\{\w*\}|@\w+@|-|"
    r"(?i:null|nullptr|none|nil|true|false|yes|no|on|off|undefined|empty|unset|required|optional|redacted|hidden|str|int|"
    r"bool|string|bytes|char|object|value|password|passwd|passphrase|secret|token|key|api_key|text)"
)
_NUMBER = re.compile(r"[-+]?(?:0x[0-9A-Fa-f]{1,16}|\d[\d.,_]{0,20}(?:[A-Za-z%/]{1,5})?)")
_PATH = re.compile(r"(?:~|\.{1,2})?(?:/[\w.+@:~-]*)+|(?:[\w.+@-]+/)+[\w.+@-]*\.[a-z]{1,5}")
_NAMES = r"[A-Za-z_]\w*(?:(?:\.|->|::)[A-Za-z_]\w*)*"
CALL = re.compile(rf"{_NAMES}(?:\([^()]*\)+[\w.()\[\]]*|\([^()]*,|\(\w*|\[.*)")
_IDENTIFIER = re.compile(r"[A-Za-z_]+(?:(?:\.|->|::|-)[A-Za-z_]+)*")
_DIGEST = re.compile(r"(?:\w{2,10}:)?[0-9A-Fa-f]{7,128}|[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
LONGEST_SPARED = 200
"""Longer values of secret-like names are secrets whatever they look like; this also bounds what is read twice."""
NOT_REAL = re.compile(rf"(?:{_PLACEHOLDER.pattern}|{MARKED.pattern})", re.S)
_PROSE = words_of(
    "incorrect invalid expected missing accepted rejected changed expired unknown denied failed correct "
    "authentication required optional hashing unset disabled enabled"
)
AFTER_OPTION = words_of("to is for and or in of the a an as with was from has must option argument flag when if")


def looks_mixed(value: str) -> bool:
    """Return whether it mixes capital and small letters and digits, as generators of tokens do and people do not."""
    return any(map(str.isdigit, value)) and any(map(str.islower, value)) and any(map(str.isupper, value))


def looks_typed(value: str) -> bool:
    """Return whether it has letters and digits and is no digest: a password that a person chose, or a token."""
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value)) and not _DIGEST.fullmatch(value)


def is_generated(value: str, changes: float = 0.4) -> bool:
    """Return whether letters and digits read as a generator writes them: about as many capitals as small letters, and
    `changes` (of 1) from one kind to another. Names of tests and symbols have fewer capitals, in front of words. Of
    random letters and digits 62 % of the neighbours are of different kinds, with a spread of 11 % where there are
    20."""
    letters = sum(map(str.isalpha, value))
    capitals = sum(map(str.isupper, value))
    if not 0.2 * letters <= capitals <= 0.8 * letters:
        return False
    kinds = [(char.isdigit(), char.isupper()) for char in value]
    return sum(a != b for a, b in itertools.pairwise(kinds)) >= changes * (len(value) - 1)


def _looks_random(value: str) -> bool:
    """Return whether a part between the dots and arrows of a name is long and mixed: no programmer's word."""
    pieces = [piece for piece in re.split(r"\.|->|::", value) if len(piece) >= 16]
    return any(looks_mixed(piece) or _has_many_digits(piece) or is_generated(piece, 0.35) for piece in pieces)


def _has_many_digits(value: str) -> bool:
    """Return whether there are as many digits as in hexadecimal; names have a digit or two."""
    digits = sum(map(str.isdigit, value))
    return digits >= 3 and digits >= 0.15 * len(value)


def _is_member(value: str) -> bool:
    """Return whether it is code that reads a member, which no password is: `passwd->pw_passwd`, `Config::kToken2`."""
    return bool(re.search(r"->|::", value) and re.fullmatch(_NAMES, value)) and not _looks_random(value)


def is_path(value: str) -> bool:
    """Return whether it is a path of ordinary words; a slash may begin a secret in base64 too."""
    return bool(_PATH.fullmatch(value)) and not any(len(p) >= 20 and looks_mixed(p) for p in value.split("/"))


def is_word(value: str) -> bool:
    return value.isascii() and value.isalpha()


def hides_weak(value: str) -> bool:
    """Judge a value after a name that may mean something else: secret only when it is long and looks random."""
    if len(value) < 16 or _DIGEST.fullmatch(value) or is_path(value) or " " in value:
        return False
    return looks_mixed(value) and not CALL.match(value)


def hides_quoted(strength: Strength, value: str) -> bool:
    if strength == "password":
        return not re.fullmatch(r"\d{0,3}", value)
    return not (is_path(value) or _NUMBER.fullmatch(value) or (len(value) < LEAST_LITERAL and is_word(value)))


def hides_bare(strength: Strength, value: str, glued: bool, ends: str) -> bool:
    """Judge `NAME=value` (glued) and `NAME = value`. `ends` is what follows the value on its line: `;` means code."""
    if CALL.fullmatch(value):
        return False
    if strength == "token" and (_NUMBER.fullmatch(value) or is_path(value)):
        return False
    if re.fullmatch(r"\d{0,3}", value) or (not glued and _is_member(value)):
        return False
    if _IDENTIFIER.fullmatch(value):
        if glued:
            return ends[:1] not in (")", ",") and (strength == "password" or len(value) >= LEAST_LITERAL)
        code = ends[:1] in (";", ")", ",") or not is_word(value)
        return not code and (strength == "password" or len(value) >= LEAST_LITERAL)
    return strength == "password" or len(value) >= 3


def hides_after_colon(strength: Strength, value: str, alone: bool) -> bool:
    """Judge `NAME: value`. `alone` on its line, as in YAML; prose continues."""
    if _NUMBER.fullmatch(value):
        return strength == "password" and alone and len(value) >= 4
    if _IDENTIFIER.fullmatch(value) and not _looks_random(value):
        return strength == "password" and alone and len(value) >= 6 and value.lower() not in _PROSE
    is_name = re.fullmatch(_NAMES + r"[?!.:\\]*", value) and not _looks_random(value)
    if is_path(value) or CALL.fullmatch(value) or is_name:
        return strength == "password" and alone and len(value) >= 6 and any(map(str.isdigit, value))
    return len(value) >= 6


def is_real(value: str) -> bool:
    """Return whether it is neither a placeholder (`$TOKEN`, `<password>`, `***`) nor redacted already."""
    return not NOT_REAL.fullmatch(value) and not value.startswith("[redacted:")


def is_random(value: str) -> bool:
    return is_real(value) and len(value) >= 16 and any(map(str.isdigit, value))


def is_password(value: str) -> bool:
    """Return whether a word in the place of a password is one, not a word of prose."""
    return is_real(value) and value.lower() not in _PROSE | AFTER_OPTION


def is_netrc_password(value: str) -> bool:
    return is_real(value) and len(value) >= 6 and not is_word(value.rstrip(".,:;)")) and not value.endswith("...")
