# SPDX-License-Identifier: MIT
"""The HTML report in a real browser: readable at every width, light and dark, and closed to what text may contain."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autotune.records import BASELINE, Session
from autotune.report import html
from tests.support import browser as browsers
from tests.support import sessions
from tests.support.browser import Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        browsers.found() is None and not os.environ.get("AUTOTUNE_REQUIRE_VM"), reason="no Chromium on this machine"
    ),
]

HOSTILE = (
    "</title></style></main><script>document.title='owned'</script><img src=http://127.0.0.1:9/x onerror=alert(1)>"
    "\"'><svg onload=alert(1)>&lt;b&gt; \u202e\x1b[31m" + "long" * 80
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsers.browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def rich() -> Session:
    """A session with runs of all kinds, in which the machine slows down."""
    runs = []
    for number in range(1, 9):
        for place, key in enumerate((BASELINE, sessions.BATCH.key, sessions.FIFO.key, sessions.INTERACTIVE.key)):
            at = 1.79e9 + number * 20 + place * 5
            wall_s = 2.4 + number * 0.02 - place * 0.03
            lost = number == 3 and place == 2
            trial = sessions.trial(key, "confirm" if number > 6 else "race", number, started_at=at)
            run = sessions.run(wall_s=wall_s)
            runs.append(replace(trial, run=run, value=None if lost else wall_s, invalid="x" if lost else None))
    return sessions.session(trials=tuple(runs))


def hostile() -> Session:
    row = sessions.result(sessions.VTIME, "invalid", median=None, note=HOSTILE)
    return sessions.session(
        workload=sessions.workload(command=HOSTILE, cwd=HOSTILE),
        results=(*sessions.results(), row),
        warnings=(HOSTILE,),
        failure=HOSTILE,
        machine=sessions.machine(kind="host", why=HOSTILE),
        versions={HOSTILE: HOSTILE},
        trials=(sessions.trial(), sessions.trial(value=None, invalid=HOSTILE)),
    )


def opened(shown: Browser, tmp_path: Path, session: Session, *, width: int = 1400, dark: bool = False) -> Browser:
    page = tmp_path / "report.html"
    page.write_text(html.page(session, ["--budget", "10m"]))
    shown.open(page, width=width, dark=dark)
    return shown


@pytest.mark.parametrize("width", [320, 400, 860, 1400])
@pytest.mark.parametrize("session", [rich(), hostile()], ids=["rich", "hostile"])
def test_nothing_is_wider_than_the_page(shown: Browser, tmp_path: Path, session: Session, width: int) -> None:
    opened(shown, tmp_path, session, width=width)
    assert shown.value("document.documentElement.scrollWidth") <= width
    wide = (
        "[...document.querySelectorAll('td, p, pre, dd, .strip span, svg')].filter(one => one.getClientRects().length "
        "&& one.getBoundingClientRect().right > innerWidth + 1).length"
    )
    assert shown.value(wide) == 0


def test_light_and_dark_are_as_the_reader_prefers_and_have_contrast(shown: Browser, tmp_path: Path) -> None:
    looks = {}
    for dark in (False, True):
        opened(shown, tmp_path, rich(), dark=dark)
        style = "getComputedStyle(document.body)"
        looks[dark] = [brightness(shown.value(f"{style}.{one}")) for one in ("backgroundColor", "color")]
    assert looks[False][0] > 200 > 100 > looks[False][1]
    assert looks[True][0] < 60 < 200 < looks[True][1]


def brightness(colour: str) -> float:
    return sum(float(one) for one in colour.removeprefix("rgb(").rstrip(")").split(",")[:3]) / 3


def test_text_from_outside_stays_text(shown: Browser, tmp_path: Path) -> None:
    opened(shown, tmp_path, hostile())
    assert shown.value("document.title").startswith("autotune: </title></style></main><script>")
    assert (
        shown.value("document.querySelectorAll('script, img, iframe, b, [onload], [onerror], [href], [src]').length")
        == 0
    )
    assert shown.value("document.querySelectorAll('main').length") == 1
    assert shown.value("document.querySelector('.warning').innerText").count("<script>document.title='owned'") == 1
    assert shown.requested() == [(tmp_path / "report.html").as_uri()]


def test_the_page_loads_nothing_and_the_browser_complains_of_nothing(shown: Browser, tmp_path: Path) -> None:
    opened(shown, tmp_path, rich())
    assert shown.requested() == [(tmp_path / "report.html").as_uri()]
    assert shown.complaints() == []


def test_charts_are_drawn_where_the_numbers_are(shown: Browser, tmp_path: Path) -> None:
    opened(shown, tmp_path, rich())
    middle = "(one => { const box = one.getBoundingClientRect(); return box.left + box.width / 2; })"
    dots = shown.value(f"[...document.querySelectorAll('.strip circle')].map({middle})")
    one = shown.value(f"{middle}(document.querySelector('.strip .one'))")
    batch, fifo, interactive = dots
    assert batch > fifo > one > interactive
    assert shown.value("document.querySelectorAll('.runs.baseline .panel circle').length") == 8
    heights = "[...document.querySelectorAll('.runs.baseline .panel circle')].map(one => +one.getAttribute('cy'))"
    drift = shown.value(heights)
    assert drift == sorted(drift, reverse=True), "slower runs are drawn higher"
    assert shown.value("document.querySelectorAll('.lost').length") == 1
    assert shown.value("document.querySelectorAll('.runs svg rect').length") > 4
