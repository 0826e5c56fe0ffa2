# SPDX-License-Identifier: MIT
"""Removes values in places of secrets: headers, cookies, URLs and .netrc. Here the place decides, not a name."""

from __future__ import annotations

import re
from collections.abc import Callable

from autotune.redact.marks import MARKED
from autotune.redact.values import is_netrc_password, is_password, is_random, is_real, is_word

_QUOTE = r"(?:\\{0,3}[\"'])?"
_SCHEMES = r"(?:bearer|basic|token|apikey|api-key|bot|negotiate|ntlm)"
_NO_MARK = r"(?!\[redacted: )"

# kind, the text before that stays, the text that is replaced, whether it is. No attempt reads what another has read:
# each begins with fixed characters and reads one run that cannot contain them again, or a bounded number of characters.
CONTEXTS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = tuple(
    (kind, re.compile(rf"({before}){_NO_MARK}({value})", re.I | re.M), is_one)
    for kind, before, value, is_one in (
        (
            "authorization",
            rf"authorization{_QUOTE}[ \t]{{0,4}}[:=][ \t]{{0,4}}{_QUOTE}{_SCHEMES}[ \t]{{1,4}}",
            r"[^\s\"'\\]+",
            is_password,
        ),
        (
            "authorization",
            rf"authorization{_QUOTE}[ \t]{{0,4}}[:=][ \t]{{0,4}}{_QUOTE}"
            r"(?:digest|aws4-hmac-sha256|hawk|oauth|dpop)[ \t]{1,4}",
            r"[^\r\n]+",
            is_real,
        ),
        (
            "authorization",
            rf"authorization{_QUOTE}[ \t]{{0,4}}[:=][ \t]{{0,4}}{_QUOTE}(?!{_SCHEMES}\b|digest|aws4|hawk|oauth|dpop)",
            r"[^\s\"'\\,;]{6,}",
            lambda value: is_password(value) and (len(value) >= 16 or not is_word(value)),
        ),
        ("authorization", r"\bbearer[ \t]{1,4}", r"[A-Za-z0-9._~+/=-]{16,}", is_random),
        (
            "cookie",
            rf"(?<![\w-])(?:set-)?cookie2?{_QUOTE}[ \t]{{0,4}}:[ \t]{{0,4}}{_QUOTE}",
            r"[\w.!#$%&*+^`|~-]{1,80}=(?:=?\"[^\"\r\n]*\"|[^\r\n\"'])*",
            lambda value: not MARKED.fullmatch(value),
        ),
        ("password", r":(?:\\?/){2}[^\s/:@\"'<>]{0,256}:", r"[^\s/\"'<>]+(?=@)", is_real),
        ("password", r":(?:\\?/){2}", r"[^\s/:@\"'<>]{16,}(?=(?::x-oauth-basic)?@)", is_random),
        (
            "password",
            r"\b(?:machine[ \t]{1,8}\S{1,256}|default)\s{1,8}(?:(?:login|account)\s{1,8}\S{1,256}\s{1,8}){0,2}"
            r"(?:password|passwd)[ \t]{1,8}",
            r"\S+",
            is_real,
        ),
        (
            "password",
            r"\blogin[ \t]{1,8}\S{1,256}\s{1,8}password[ \t]{1,8}",
            r"\S+",
            is_real,
        ),
        ("password", r"^[ \t]{0,8}password[ \t]{1,8}", r"\S+(?=[ \t]{0,8}\r?$)", is_netrc_password),
        (
            "signature",
            r"[?&;](?:sig|signature|x-amz-signature|x-goog-signature|x-amz-security-token|token|access_token|api_key|"
            r"apikey|key|code)=",
            r"[^\s&\"'<>#]{12,}",
            lambda value: is_real(value) and any(map(str.isdigit, value)),
        ),
    )
)
"""What follows these words is replaced; the words stay."""


def without_placed(text: str) -> str:
    for kind, pattern, is_one in CONTEXTS:
        text = pattern.sub(
            lambda found, kind=kind, is_one=is_one: (  # type: ignore[misc]
                f"{found[1]}[redacted: {kind}]" if is_one(found[2]) else found[0]
            ),
            text,
        )
    return text
