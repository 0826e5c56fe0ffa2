# SPDX-License-Identifier: MIT
"""The report of a session in markup languages: Markdown, AsciiDoc and Org. One report, a dialect for each language.

What always holds here: text from the workload, the kernel or a file is escaped by the dialect before it becomes part of
a document, so that it is shown as it is and adds no line, cell, link or macro.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from autotune.frozen import dataclass
from autotune.records import Session
from autotune.report import commands, sentences, session_table, sweep
from autotune.report.continuing import continues_sentence
from autotune.report.table import RIGHT_ALIGNED
from autotune.report.text import printable, sentence

Cells = Sequence[str]


@dataclass(frozen=True)
class Dialect:
    """A markup language: how to escape text, and how to write a heading, a table and a command to copy from it."""

    escaped: Callable[[str], str]
    heading: Callable[[str], str]
    table: Callable[[Cells, Sequence[Cells]], str]
    """Takes the header and the rows; cells are escaped already."""
    command: Callable[[str], str]
    """Takes the command line as it is: nothing is escaped in a literal block."""


def markdown(session: Session, given: Sequence[str] = ()) -> str:
    """Return the report as a Markdown section."""
    return _report(session, given, MARKDOWN)


def asciidoc(session: Session, given: Sequence[str] = ()) -> str:
    """Return the report as an AsciiDoc section."""
    return _report(session, given, ASCIIDOC)


def orgmode(session: Session, given: Sequence[str] = ()) -> str:
    """Return the report as an Org section."""
    return _report(session, given, ORG)


def _report(session: Session, given: Sequence[str], dialect: Dialect) -> str:
    return "\n\n".join(_blocks(session, given, dialect)) + "\n"


def _blocks(session: Session, given: Sequence[str], dialect: Dialect) -> Iterator[str]:
    """Yield the parts of a report; an empty line goes between two."""
    escaped = dialect.escaped
    shown = session_table.session_table(session)
    yield dialect.heading(escaped(f"autotune: {session.workload.title}"))
    yield escaped(sentences.machine_sentence(session.machine))
    yield from (escaped(sentence(line)) for line in sweep.parameter_lines(session.workload))
    if session.baseline is not None:
        yield escaped(
            sentences.baseline_sentence(session.baseline, is_time=session.metric == session_table.WALL_METRIC)
        )
    rows = [[escaped(cell) or " " for cell in row.cells] for row in shown.rows]
    yield dialect.table([escaped(cell) for cell in shown.header], rows)
    yield escaped(session_table.session_footnote(session))
    yield from map(escaped, continues_sentence(session))
    yield escaped(sentences.conclusion(session))
    yield from map(escaped, sentences.why_lines(session))
    yield from (f"Warning: {escaped(sentence(warning))}" for warning in session.warnings)
    says, *command = commands.next_step(session, given) or [""]
    if says:
        yield escaped(says)
    yield from (dialect.command(line) for line in command)
    if session.spending is not None and session.spending.calls:
        yield escaped(sentences.spending_sentence(session.spending))
    for best in sweep.winner_commands(session):
        yield escaped(sweep.AT_ITS_BEST)
        yield dialect.command(best)
    yield escaped("To repeat it:")
    yield dialect.command(commands.repeat_command(session, given))


# --- Markdown --------------------------------------------------------------------------------------------

_MARKDOWN_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|#~"})


def _markdown_escaped(text: str) -> str:
    return printable(text).translate(_MARKDOWN_SPECIAL)


def _markdown_table(header: Cells, rows: Sequence[Cells]) -> str:
    rules = ["---:" if column in RIGHT_ALIGNED else ":---" for column in range(len(header))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rules, *rows))


MARKDOWN = Dialect(_markdown_escaped, "## {}".format, _markdown_table, "    {}".format)


# --- AsciiDoc --------------------------------------------------------------------------------------------

_ASCIIDOC_SPECIAL = str.maketrans({character: f"&#{ord(character)};" for character in "\\`*_#+^~[]{}|<>&(:=/'\""})
"""By number: a reference is text in every place, and a backslash would be one where nothing needs it."""


def _asciidoc_escaped(text: str) -> str:
    shown = printable(text).strip().translate(_ASCIIDOC_SPECIAL)
    # At the start of a line even a dot, a dash or a comma has a meaning.
    return f"&#{ord(shown[0])};{shown[1:]}" if shown[:1] in (".", "-", ",", "!", "%") else shown


def _asciidoc_table(header: Cells, rows: Sequence[Cells]) -> str:
    sides = ",".join(">" if column in RIGHT_ALIGNED else "<" for column in range(len(header)))
    lines = [f'[cols="{sides}",options="header"]', "|==="]
    for cells in (header, *rows):
        lines += [*(f"| {cell.strip()}".rstrip() for cell in cells), ""]
    return "\n".join([*lines[:-1], "|==="])


ASCIIDOC = Dialect(_asciidoc_escaped, "== {}".format, _asciidoc_table, "[listing]\n----\n{}\n----".format)


# --- Org -------------------------------------------------------------------------------------------------

_ORG_SPECIAL = str.maketrans(
    {
        "\\": "\\\u200b",
        "|": r"\vert{}",
        "*": "\u200b*",
        "_": r"\under{}",
        "/": r"\slash{}",
        "=": r"\equal{}",
        "+": r"\plus{}",
        "~": r"\tilde{}",
        "^": r"\asciicirc{}",
        "$": r"\dollar{}",
        "<": r"\lt{}",
        ">": r"\gt{}",
        "{": "{\u200b",
    }
)
_NO_BREAK = "\u200b"
"""Zero-width space: Org's own way to keep a character from being markup."""


def _org_escaped(text: str) -> str:
    shown = printable(text).strip().translate(_ORG_SPECIAL)
    shown = re.sub(r"\[(?![\d]+\.\d)", f"[{_NO_BREAK}", shown)  # links, footnotes, dates; no interval
    shown = shown.replace("@@", f"@{_NO_BREAK}@")
    return f"{_NO_BREAK}{shown}" if shown[:1] in ("#", ":", "-", "%") and len(shown) > 1 else shown


def _org_table(header: Cells, rows: Sequence[Cells]) -> str:
    rule = f"|{'+'.join('---' for _ in header)}|"
    lines = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return "\n".join([lines[0], rule, *lines[1:]])


ORG = Dialect(_org_escaped, "* {}".format, _org_table, "#+begin_example\n{}\n#+end_example".format)
