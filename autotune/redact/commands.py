# SPDX-License-Identifier: MIT
"""Removes secrets from command lines, where the program decides which word is one: `mysql -pSECRET`, `curl -u
me:SECRET` (`programs` has the table), `echo SECRET | sudo -S make`.

A command is what follows a known program's name up to the end of the simple command. It may stand in a script, within
quotes, in a log, or as a list of strings in code. Each character is read once.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from autotune.redact.marks import MARK
from autotune.redact.names import name_strength
from autotune.redact.programs import CLUSTERED, PROGRAMS, READS_SECRET, WRAPPERS, Form
from autotune.redact.values import is_password, is_real

Span = tuple[int, int]
MOST_WORDS = 500
"""Words of one command that are looked at; the rest begins anew."""
MOST_PROGRAMS = 4
"""Known programs in one command (`sudo docker exec db mysql ...`) that are looked at."""
REPLACEMENT = "[redacted: password]"

_NAME = re.compile(r"(?<![\w.@+~-])[a-z0-9][\w.-]*(?![\w.:/=@-])")
_QUOTE = re.compile(r"\\.|[\"'\n]", re.S)
_GAP = re.compile(r"(?:[ \t]|\\\r?\n)+")
_REDIRECTION = re.compile(r"\d?[<>]+&?")
_PIECES = rf"{MARK}|\\[^\n]|[^\s\\\"'|;&()`<>]"
_WORDS = {
    "": re.compile(rf"(?:'[^'\n]*'|\"(?:[^\"\\\n]|\\[^\n])*\"|{_PIECES})+"),
    "'": re.compile(rf"(?:\"(?:[^\"'\\\n]|\\[^\n])*\"|{_PIECES})+"),
    '"': re.compile(rf"(?:'[^'\"\n]*'|{_PIECES})+"),
}
"""A word of a command, by the quote that the command stands in."""
_NEXT_STRING = re.compile(r"\\?[\"']\s{0,40},\s{0,40}\\?[\"'](?P<word>(?:[^\"'\\\n]|\\[^\n\"'])*)")
"""The next word of a command that is a list of strings."""
_MAPPING = re.compile(r"\d{1,5}(?::\d{1,5})+")
"""Ports or numbers of users and groups."""


def without_command_secrets(text: str) -> str:
    """Remove the secrets from all command lines in a text."""
    kept, at = [], 0
    for start, end in sorted({*_in_commands(text), *_piped(text), *_said(text)}):
        if start >= at:
            kept += [text[at:start], REPLACEMENT]
            at = end
    return "".join([*kept, text[at:]])


# --- commands and their words ------------------------------------------------------------------------------


def _in_commands(text: str) -> Iterator[Span]:
    position, line, quote = 0, 0, ""
    for name in _NAME.finditer(text):
        if name.start() < position or name.group() not in PROGRAMS:
            continue
        quote = _open_quote(text, line, name.start(), quote)
        line = name.start()
        words = list(itertools.islice(_words(text, name.span(), quote), MOST_WORDS))
        yield from _secrets(text, words)
        position = words[-1][1]


def _open_quote(text: str, start: int, end: int, quote: str) -> str:
    """Return the quote that is open at `end`; at `start`, `quote` is."""
    line = text.rfind("\n", start, end)
    if line >= 0:
        start, quote = line, ""
    for found in _QUOTE.finditer(text, start, end):
        mark = found.group()
        if mark in "\"'":
            quote = "" if quote == mark else quote or mark
    return quote


def _words(text: str, name: Span, quote: str) -> Iterator[Span]:
    """Yield the words of the command that begins with `name`, without the quotes around them."""
    yield name
    end = name[1]
    if text[name[0] - 1 : name[0]] in ("'", '"') and (found := _NEXT_STRING.match(text, end)):
        while found is not None:
            yield found.span("word")
            found = _NEXT_STRING.match(text, found.end())
        return
    if quote and text[end : end + 1] == quote and text[name[0] - 1 : name[0]] == quote:
        end, quote = end + 1, ""  # only the name is quoted
    while (gap := _GAP.match(text, end)) is not None:
        aside = _REDIRECTION.match(text, gap.end())
        start = gap.end() if aside is None else aside.end() + len(_gap(text, aside.end()))
        word = _WORDS[quote].match(text, start)
        if word is None:
            return
        end = word.end()
        if aside is None:
            yield _bare(text, word.span())


def _gap(text: str, at: int) -> str:
    found = _GAP.match(text, at)
    return found.group() if found else ""


def _bare(text: str, span: Span) -> Span:
    """Leave out the quotes around a word."""
    start, end = span
    opened = re.match(r"\\?[\"']", text[start : start + 2])
    if opened is None or end - start < 2 * opened.end() or not text[start:end].endswith(opened.group()):
        return span
    return start + opened.end(), end - opened.end()


# --- which words are secrets -------------------------------------------------------------------------------


def _secrets(text: str, words: Sequence[Span]) -> Iterator[Span]:
    """Yield the secrets of a command. A program that a word names later, as after `sudo` or `docker exec`, brings its
    forms along."""
    names = [text[slice(*word)] for word in words]
    programs = [at for at, name in enumerate(names) if name in PROGRAMS and not (at and names[at - 1][:2] == "--")]
    for first in programs[:MOST_PROGRAMS]:
        name = names[first]
        for form in PROGRAMS[name]:
            for number, at in _places(form, name, names[: _own_words(name, names, first)], first + 1):
                start, end = words[number]
                span = _within(text, (start + at, end), form)
                if span is not None:
                    yield span


def _own_words(name: str, names: Sequence[str], first: int) -> int:
    """Return where the words of a program end: with the command, or where a wrapper's own command begins."""
    if name not in WRAPPERS:
        return len(names)
    place = first + 1
    while place < len(names) and names[place].startswith("-"):
        place += 2 if len(names[place]) == 2 and names[place][1] in "pfdP" else 1
    return place


def _places(form: Form, name: str, words: Sequence[str], first: int) -> Iterator[tuple[int, int]]:
    """Yield the number of each word that may hold a secret, and how many characters into it the secret's place
    begins."""
    missing = list(form.needs)
    for number in range(first, len(words)):
        word = words[number]
        if missing:
            missing = missing[1:] if word == missing[0] else missing
            if missing or form.option or form.separator == "=":
                continue
            yield from _behind(form, words, number)
        elif form.option:
            yield from _at_option(form, name, words, number)
        elif form.separator == "=":
            yield number, 0
        elif form.between[:1] == ("KEY",):
            if _is_key(word):
                yield from _behind(form, words, number - 1)
        elif not form.needs and number >= first + len(form.between) and not word.startswith("-"):
            yield number, 0
            return


def _behind(form: Form, words: Sequence[str], number: int) -> Iterator[tuple[int, int]]:
    """Yield the word behind those that the form has between."""
    place = len(words) - 1 if form.between == ("LAST",) else number + 1 + len(form.between)
    if number < place < len(words) and not words[place].startswith("-"):
        yield place, 0


def _at_option(form: Form, name: str, words: Sequence[str], number: int) -> Iterator[tuple[int, int]]:
    """Yield the secret's place when this word is the form's option: `-p X`, `--pass=X`, `-pX`, `-xp X`."""
    word, option = words[number], form.option
    if form.glued:
        start = _glued(form, name, word)
        if 0 < start < len(word):
            yield number, start
    elif word == option or (name in CLUSTERED and _is_in_cluster(word, form)):
        yield from _behind(form, words, number)
    elif word.startswith(option + "=") and not form.between:
        yield number, len(option) + 1


def _glued(form: Form, name: str, word: str) -> int:
    """Return where the value begins that stands in one word with its option; 0 when the option is another."""
    if word.startswith(form.option):
        return len(form.option)
    cluster = re.match(rf"-[A-Za-z]{{1,8}}?{form.option[1]}", word) if name in CLUSTERED and form.separator else None
    return cluster.end() if cluster else 0


def _is_in_cluster(word: str, form: Form) -> bool:
    if len(form.option) != 2 or not re.fullmatch(r"-[A-Za-z]{2,8}", word):
        return False
    return form.option[1] in (word if form.between == ("LAST",) else word[-1])


def _is_key(word: str) -> bool:
    """Return whether a word is surely the name of a secret; one alone may be a sub-command (`gh secret`)."""
    strength = name_strength(word)
    return strength == "password" or (strength == "token" and re.search(r"[_.:-]|[a-z][A-Z]", word) is not None)


def _within(text: str, span: Span, form: Form) -> Span | None:
    """Return where in a word the secret is; None when it holds none."""
    start, end = span
    if form.separator:
        found = text.find(form.separator, start, end)
        if found < 0:
            return None
        start = found + 1
    if form.end:
        found = text.rfind(form.end, start, end)
        end = found if found >= 0 else end
    start, end = _bare(text, (start, end))
    while end > start and text[end - 1] in "\"'\\" and text[start] not in "\"'":
        end -= 1
    value = text[start:end]
    if not value or value[0] in "$`" or _MAPPING.fullmatch(value) or not is_real(value):
        return None
    return None if form.only_with_digits and not any(map(str.isdigit, value)) else (start, end)


# --- secrets on standard input -----------------------------------------------------------------------------

_VALUE = r"(?P<value>'[^'\n]{1,200}'|\"[^\"\n]{1,200}\"|[^\s'\"|;&<>]{1,200})"
_PIPE = re.compile(
    rf"\b(?:echo|printf)[ \t]{{1,8}}(?:-[neE]{{1,3}}[ \t]{{1,8}})?(?:[\"']%s(?:\\\\?n)?[\"'][ \t]{{1,8}})?{_VALUE}"
    r"[ \t]{0,8}\|(?P<command>[^|\n]{1,200})"
)
_HERE = re.compile(rf"<<<[ \t]{{0,8}}{_VALUE}")


def _piped(text: str) -> Iterator[Span]:
    """Yield what a command that reads a secret gets on its standard input."""
    if "|" in text:
        for found in _PIPE.finditer(text):
            if READS_SECRET.search(found["command"]):
                yield from _fed(text, found, found["command"])
    if "<<<" in text:
        for found in _HERE.finditer(text):
            line = text[max(0, found.start() - 200) : found.start()].rpartition("\n")[2]
            if READS_SECRET.search(line):
                yield from _fed(text, found, line)


def _fed(text: str, found: re.Match[str], command: str) -> Iterator[Span]:
    start, end = _bare(text, found.span("value"))
    if "chpasswd" in command:  # it reads NAME:PASSWORD
        start = text.find(":", start, end) + 1 or end
    value = text[start:end]
    if value and value[0] not in "$`" and is_real(value):
        yield start, end


_SAY = re.compile(r"\b(?:echo|printf|print)\b(?=[ \t(])")
_REST = re.compile(r"[^\n;|&]{0,300}")
_NAMED = re.compile(
    r"(?<![\w-])(?P<name>[\w-]{0,40}(?:pass|pwd|pw)[\w-]{0,40})(?P<sure>[ \t]{0,4}[:=])?[ \t]{0,4}(?:is[ \t]{1,4})?"
    r"(?:%\w[^\s\"']{0,8}[\"'][ \t]{1,4})?(?P<value>[^\s\"'\\,;|&)]{4,200})",
    re.I,
)


def _said(text: str) -> Iterator[Span]:
    """Yield what is printed as a password: `echo "password: SECRET"`. Where neither a colon nor `=` is there, only what
    has a digit."""
    position = 0
    for said in _SAY.finditer(text):
        if said.end() < position:
            continue
        rest = _REST.match(text, said.end())
        position = rest.end() if rest else said.end()
        for found in _NAMED.finditer(text, said.end(), position):
            value = found["value"]
            sure = bool(found["sure"]) or any(map(str.isdigit, value))
            if sure and name_strength(found["name"]) == "password" and value[0] not in "$`%-" and is_password(value):
                yield found.span("value")
