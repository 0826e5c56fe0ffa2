# SPDX-License-Identifier: MIT
"""One report in three markup languages: the same facts, and nothing that the text from outside could add."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from autotune.records import Session
from autotune.report import commands, markup
from tests.support import sessions

HOSTILE = "a|b\n| c | `x` <script> [[file:x]] {{{m}}} *b* _u_ include::/etc/passwd[] <<x>> {sys} ((i)) @@html:x@@ a\\b"
WRITERS = [markup.markdown, markup.asciidoc, markup.orgmode]
Writer = Callable[[Session], str]


def hostile() -> Session:
    row = sessions.result(sessions.VTIME, "invalid", median=None, note=HOSTILE)
    warned = (HOSTILE,)
    return sessions.session(
        results=(*sessions.results(), row), workload=sessions.workload(command=HOSTILE), warnings=warned
    )


@pytest.mark.parametrize("write", WRITERS)
def test_every_report_has_the_table_the_conclusion_the_warnings_and_the_command(write: Writer) -> None:
    done = sessions.session()
    text = write(done)
    assert commands.repeat_command(done) in text
    for fact in ("1.084", "2.221", "ejected", "Use at", "Warning: The first run took 1.4 times"):
        assert fact in text


@pytest.mark.parametrize("write", WRITERS)
def test_no_text_from_outside_adds_a_line(write: Writer) -> None:
    plain, odd = write(sessions.session()), write(hostile())
    extra = 9 if write is markup.asciidoc else 1  # AsciiDoc has a line for each cell, and an empty one between rows
    assert len(odd.splitlines()) - len(plain.splitlines()) == extra


def test_asciidoc_shows_specials_by_number_outside_of_listings() -> None:
    text = re.sub(r"----\n.*?\n----", "", markup.asciidoc(hostile()), flags=re.S)
    assert text.startswith("== autotune&#58; a&#124;b")
    body = re.sub(r"&#\d+;", "", text)
    for trap in ("include::", "<script", "`", "[[", "{", "((", "\\", "*b"):
        assert trap not in body
    cells = [line for line in body.splitlines() if line.startswith("|") and line != "|==="]
    assert len(cells) == 7 * 8
    assert all(line.count("|") == 1 for line in cells)


def test_org_has_one_row_for_each_result_whatever_the_text_is() -> None:
    text = re.sub(r"#\+begin_example\n.*?\n#\+end_example", "", markup.orgmode(hostile()), flags=re.S)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 1 + 1 + 6
    assert {line.count("|") for line in rows if not line.startswith("|---")} == {9}
    for trap in ("[[", "{{{", "*b*", "_u_", "@@", "<script"):
        assert trap not in text
    assert "[1.051, 1.118]" in text


def test_a_line_cannot_begin_as_markup() -> None:
    for text in (".title", "- item", "# comment", "* head", ": literal", "#+include: x", "// comment", "= head"):
        done = sessions.session(recommendation=text)
        assert f"\n{text}\n" not in markup.asciidoc(done)
        if text[0] not in "./":
            assert f"\n{text}\n" not in markup.orgmode(done)


def test_markdown_has_one_table_row_for_each_result_whatever_the_text_is() -> None:
    hostile = sessions.result(sessions.VTIME, "invalid", median=None, note="a|b\n| c | `x` <script>")
    done = sessions.session(results=(*sessions.results(), hostile), workload=sessions.workload(command="a | b\n# c"))
    text = markup.markdown(done)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 6
    bare = [line.replace("\\|", "") for line in lines]
    assert {line.count("|") for line in bare} == {9}
    assert "\\<script\\>" in lines[-1]
    assert text.splitlines()[0] == "## autotune: a \\| b \\# c"
