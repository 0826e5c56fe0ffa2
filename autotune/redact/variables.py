# SPDX-License-Identifier: MIT
"""Finds the values of secret environment variables, in every form that programs write them in."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from autotune.redact.contexts import CONTEXTS
from autotune.redact.formats import FORMATS
from autotune.redact.names import Strength, name_strength
from autotune.redact.values import LEAST_LITERAL, is_path

LEAST_WORD = 12
"""Values of secret variables that are one plain word are spared below this length: `password`, `production`."""
_KINDS = frozenset([kind for kind, *_ in FORMATS] + [kind for kind, *_ in CONTEXTS] + ["JWT", "Discord token"])
_BROKEN = re.compile(r"[^!-~]+")
"""Characters at which a damaged key falls into pieces, each of which is shown by itself."""
AROUND = " \t\r\n\v\f\x00\x85\xa0\u2007\u202f\u200b\u2060\ufeff"
"""Characters around a key that are not part of it: white space, a byte order mark, and others that are not seen."""
_URL_PASSWORD = re.compile(r"://[^\s/:@]{0,256}:([^\s/@]+)@")


def literals_of(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of secret variables, and passwords in the URLs of all, in every form that programs write them
    in."""
    marks = " ".join(f"[redacted: {kind}]" for kind in ("variable", "value", "private key", "text", *_KINDS))
    for name, value in environ.items():
        for secret in _secrets_of(name, value):
            yield from (form for form in _forms(secret) if len(form) >= LEAST_LITERAL and form not in marks)


def _secrets_of(name: str, value: str) -> Iterator[str]:
    strength = name_strength(name)
    if strength and _worth_hiding(strength, value.strip()):
        yield from {value.strip(), without_surroundings(value)}
        yield from (line.strip() for line in value.splitlines() if len(line) >= 20 and " " not in line.strip())
        yield from (piece for piece in _pieces(value) if re.search(r"\d", piece) and re.search(r"[A-Za-z]", piece))
    for password in _URL_PASSWORD.findall(value):
        if _worth_hiding("password", password):
            yield password


def without_surroundings(value: str) -> str:
    """Return a key without what is around it by mistake: white space, a byte order mark, and a pair of quotes, which
    `docker --env-file` and many a CI system keep."""
    value = value.strip(AROUND)
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1].strip(AROUND) if quoted else value


def _pieces(value: str) -> Iterator[str]:
    pieces = _BROKEN.split(value.strip())
    return (piece for piece in pieces if len(pieces) > 1 and len(piece) >= LEAST_LITERAL)


def _worth_hiding(strength: Strength, value: str) -> bool:
    """Return whether the value of a secret variable is replaced wherever it appears. Not when it is short, a small
    number, a path, or a common word, which would blank out half a text; after KEY, SESSION and such only when it looks
    random, is a digest or has several kinds of characters."""
    if len(value) < LEAST_LITERAL or is_path(value) or re.fullmatch(r"[-+]?\d{1,9}(?:\.\d+)?", value):
        return False
    if re.fullmatch(r"[a-z]+|[A-Z][a-z]*|[A-Z]+", value):
        return len(value) >= (16 if strength == "weak" else LEAST_WORD)
    if strength == "weak":
        return not re.fullmatch(r"[A-Za-z]+(?:[-_ .:][A-Za-z0-9]{1,10})*", value)
    return True


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is and as programs write it: as Python shows it, escaped for JSON (also twice),
    percent-encoded, in base64."""
    data = secret.encode("utf-8", "surrogateescape" if _encodes(secret) else "surrogatepass")
    yield from (secret, data.decode("utf-8", "backslashreplace"), repr(secret)[1:-1], repr(data)[2:-1])
    for ascii_only in (True, False):
        once = json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
        yield from (once, json.dumps(once, ensure_ascii=ascii_only)[1:-1], once.replace("/", "\\/"))
    for encoded in (quote(data, safe=""), quote(data), quote_plus(data)):
        yield from (encoded, re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), encoded))
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(data).decode().rstrip("=")
        yield from (_base64_core(encode, data, shift) for shift in range(3))


def _encodes(secret: str) -> bool:
    try:
        secret.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _base64_core(encode: Callable[[bytes], bytes], data: bytes, shift: int) -> str:
    """Return the part of the base64 form that does not depend on what precedes (`user:`) and follows."""
    text = encode(b"\0" * shift + data).decode().rstrip("=")
    first = (0, 2, 3)[shift]
    whole = (shift + len(data)) * 8 // 6
    return text[first:whole]
