# SPDX-License-Identifier: MIT
"""Removes private keys: whole ones, ones whose end is cut off, and ones whose beginning is."""

from __future__ import annotations

import re

LONGEST_KEY = 65536
"""Most characters that are removed between the BEGIN and the END of a private key."""

_PEM = r"(?:[A-Z0-9]{1,20} ){0,5}PRIVATE KEY(?: BLOCK)?"
_FENCE = re.compile(
    rf"(?P<begin>-{{4,5}} ?BEGIN {_PEM} ?-{{4,5}}|PuTTY-User-Key-File-\d:)|"
    rf"(?P<end>-{{4,5}} ?END {_PEM} ?-{{4,5}}|Private-(?:MAC|Hash): ?[0-9A-Fa-f]+)"
)
_KEY_HEADERS = (
    r"(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset|Subject|Encryption|Public-Lines|Private-Lines|Key-Derivation|"
    r"Argon2-[A-Za-z]{1,20}): ?[^\\\r\n]{0,200}"
)
_KEY_REST = re.compile(
    r"[ \t]?[\w+/=.@-]*(?: [A-Za-z0-9+/=]{16,})*"
    r"(?:(?:\r{0,2}\n|(?:\\{1,4}r)?\\{1,4}n)[ \t\"'>|+#*]{0,16}"
    rf"(?:[A-Za-z0-9+/=]{{16,}}|(?:{_KEY_HEADERS}|[A-Za-z0-9+/=]*)"
    r"(?=[ \t\"',+]{0,8}(?:\r{0,2}\n|\\{1,4}[rn]|\\?[\"']|\Z))))*"
)
"""The lines after a BEGIN without an END that look like a key."""
_KEY_BACK = re.compile(
    r"[\s\"'>|#*,]{0,40}(?:[nr]\\{1,4}){0,2}[A-Za-z0-9+/=]{0,76}?(?![A-Za-z0-9+/=](?!\\))"
    r"(?:[nr]\\{1,4}|[\s\"'>|#*,]|[A-Za-z0-9+/=]{15,}(?:[nr]\\{1,4}|[A-Za-z0-9+/=](?!\\)))*"
)
"""The lines before an END without a BEGIN that look like a key, read from the end."""


def without_private_keys(text: str) -> str:
    """Remove private keys: whole ones, ones whose end is cut off, and ones whose beginning is."""
    if "PRIVATE KEY" not in text and "PuTTY-User" not in text and "Private-" not in text:
        return text
    fences = list(_FENCE.finditer(text))
    kept, at = [], 0
    for number, fence in enumerate(fences):
        if fence.start() < at:
            continue
        following = fences[number + 1] if number + 1 < len(fences) else None
        start, end = _key_span(text, fence, following, at)
        kept += [text[at:start], "[redacted: private key]"]
        at = end
    return "".join([*kept, text[at:]])


def _key_span(text: str, fence: re.Match[str], following: re.Match[str] | None, least: int) -> tuple[int, int]:
    """Return the extent of the key to which this BEGIN or END belongs."""
    if fence["end"]:
        before = text[max(least, fence.start() - LONGEST_KEY) : fence.start()][::-1]
        back = _KEY_BACK.match(before)
        return fence.start() - len(back.group().rstrip() if back else ""), fence.end()
    if following is not None and following["end"] and following.start() - fence.end() <= LONGEST_KEY:
        return fence.start(), following.end()
    rest = _KEY_REST.match(text, fence.end(), following.start() if following else len(text))
    return fence.start(), rest.end() if rest else fence.end()
