# SPDX-License-Identifier: MIT
"""Reads a scheduler's help text into options. Pure.

Two layouts are known. Rust schedulers (clap): an option on a line of its own, `  -s, --slice-us <SLICE_US>`, its text
indented below or, in the short layout, beside it. C schedulers (getopt): `  -s SLICE_US   text`. Options come after the
line that begins with `Usage:`; what is before it, or has no dash, is prose.
"""

from __future__ import annotations

import re

from autotune.errors import AutotuneError
from autotune.frozen import dataclass

MOST_CHARACTERS = 1 << 20
_USAGE = re.compile(r"^\s*usage:", re.IGNORECASE)
_OPTION = re.compile(
    r"""^(?P<indent>[ ]{1,8}|\t)
    (?:(?P<short>-[A-Za-z0-9])(?:,[ ]|(?=[ =\[.]|$)))?
    (?P<long>--[A-Za-z0-9][\w-]*)?
    (?P<value>(?:\[=<[^>]*>\] | =<[^>]*> | [ ]\[?<[^>]*>\]? | [ =][A-Z][A-Z0-9_]*(?=[ ]{2}|\t|$)))?
    (?P<many>\.\.\.)?
    (?:(?:[ ]{2,}|[ ]*\t\s*)(?P<text>\S.*))?\s*$""",
    re.VERBOSE,
)
_DEFAULT = re.compile(r"\[default: (.*?)\](?=\s|$)")
_VALUES = re.compile(r"\[possible values: ([^\]]*)\]")
_LISTED = re.compile(r"^\s*- ([\w.+-]+)(?::\s|:?$)")


@dataclass(frozen=True)
class Option:
    """One option of a help text. `flag` is its long form, or the short one when there is no other."""

    flag: str
    short: str | None = None
    takes_value: bool = False
    value_name: str | None = None
    default: str | None = None
    """None when the text names none."""
    options: tuple[str, ...] = ()
    """The only values that it takes, where the text lists them."""
    repeatable: bool = False
    """Marked as repeatable; some repeatable options are not marked."""
    text: str = ""
    value_optional: bool = False


def parse(text: str) -> list[Option]:
    """Parse the options of a help text, in its order. Raises AutotuneError when it has none."""
    lines = text[:MOST_CHARACTERS].expandtabs(8).splitlines()
    start = next((number for number, line in enumerate(lines) if _USAGE.match(line)), None)
    found = {} if start is None else _options(lines[start + 1 :])
    if not found:
        missing = "no line that begins with 'Usage:'" if start is None else "no options"
        raise AutotuneError(
            f"its help text cannot be read: it has {missing}",
            hint="check that the program is an scx scheduler, and not an old or unrelated one",
            stage="scheduler",
        )
    return list(found.values())


def _options(lines: list[str]) -> dict[str, Option]:
    """Return each option with its lines: all that are indented deeper than it, and empty ones."""
    found: dict[str, Option] = {}
    number = 0
    while number < len(lines):
        head = _OPTION.match(lines[number])
        number += 1
        if head is None or not (head["short"] or head["long"]):
            continue
        column = len(head["indent"]) + (4 if head["long"] and head["short"] else 0)
        body = [head["text"] or ""]
        while number < len(lines) and _belongs(lines[number], column):
            body.append(lines[number])
            number += 1
        option = _option(head, body)
        found.setdefault(option.flag, option)
    return found


def _belongs(line: str, column: int) -> bool:
    """Return whether it is a blank line, or text deeper than the option's name. An option without a short form is
    indented four columns."""
    bare = line.lstrip()
    if not bare:
        return True
    indent = len(line) - len(bare)
    return indent > column and not (indent <= 8 and _is_option(line))


def _is_option(line: str) -> bool:
    match = _OPTION.match(line)
    return match is not None and bool(match["short"] or match["long"])


def _option(head: re.Match[str], body: list[str]) -> Option:
    value = (head["value"] or "").strip()
    listed, prose = _listed(body)
    text = " ".join(" ".join(prose).split())
    default, values = _DEFAULT.search(text), _VALUES.search(text)
    inline = tuple(part.strip() for part in values[1].split(",")) if values else ()
    return Option(
        flag=head["long"] or head["short"],
        short=head["short"],
        takes_value=bool(value),
        value_name=value.strip("[]=<>") or None,
        default=_unquoted(default[1]) if default else None,
        options=listed or inline,
        repeatable=bool(head["many"]),
        text=_VALUES.sub("", _DEFAULT.sub("", text)).strip(),
        value_optional=value.startswith("["),
    )


def _listed(body: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return the values of a list below `Possible values:`, and the lines without that list."""
    titles = [number for number, line in enumerate(body) if line.strip() == "Possible values:"]
    if not titles:
        return (), body
    start = titles[0]
    end = next((n for n in range(start + 1, len(body)) if not body[n].strip()), len(body))
    values = (match[1] for match in map(_LISTED.match, body[start + 1 : end]) if match)
    return tuple(values), body[:start] + body[end:]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text
