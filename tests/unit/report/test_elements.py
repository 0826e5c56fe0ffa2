# SPDX-License-Identifier: MIT
"""No text becomes markup, whatever it is."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import example, given
from hypothesis import strategies as st

from autotune.report.elements import MOST_CHARACTERS, Safe, element, escaped
from autotune.report.text import printable


class Seen(HTMLParser):
    """What a parser makes of markup."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


NO_CHARACTER = "\ufdd0 \ufdef \ufffe \uffff \U0001fffe \U0010ffff"


def test_what_is_no_character_is_shown_as_a_replacement_that_no_parser_drops() -> None:
    seen = Seen(element("p", NO_CHARACTER, aria_label=NO_CHARACTER))
    assert seen.text == seen.tags[0][1]["aria-label"] == " ".join("\ufffd" * 6)


def shown(text: str) -> str:
    """A text as HTML can show it."""
    return "".join(
        "\ufffd" if 0xFDD0 <= ord(one) <= 0xFDEF or ord(one) & 0xFFFE == 0xFFFE else one for one in printable(text)
    )


@given(st.text(max_size=60), st.text(max_size=60))
@example("\ufffe", "\uffff")
def test_any_text_reads_back_as_itself_and_adds_no_element(text: str, value: str) -> None:
    made = element("p", text, class_="x", aria_label=value)
    assert made.isascii()
    seen = Seen(made)
    assert seen.tags == [("p", {"class": "x", "aria-label": shown(value)})]
    assert seen.text == shown(text)


def test_markup_of_ours_is_not_escaped_twice() -> None:
    assert element("p", element("b", "<")) == "<p><b>&lt;</b></p>"
    assert element("circle", element("title", "x"), r=2.5) == '<circle r="2.5"><title>x</title></circle>'
    assert element("line", x1="2%") == '<line x1="2%"/>'


def test_text_without_end_is_cut() -> None:
    cut = escaped("x" * (MOST_CHARACTERS + 1))
    assert isinstance(cut, Safe)
    assert len(cut) == MOST_CHARACTERS + len(" ...")
