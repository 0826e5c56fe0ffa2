# SPDX-License-Identifier: MIT
"""Several reports of one session: each is written or says why not, and none costs another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autotune.report import formats
from autotune.report.formats import ReportKind
from tests.support.command_line import Story, error_of, run

NAMES: dict[ReportKind, str] = {
    "json": "r.json",
    "markdown": "r.md",
    "csv": "r.csv",
    "asciidoc": "r.adoc",
    "orgmode": "r.org",
    "hyperfine": "h.json",
    "html": "r.html",
}
ALL = [word for kind, name in NAMES.items() for word in (formats.OPTIONS[kind], name)]


@pytest.mark.usefixtures("story")
def test_all_reports_are_written_at_once_and_whole() -> None:
    assert run("cc", "make", *ALL).exit_code == 0
    assert sorted(path.name for path in Path().iterdir()) == sorted(NAMES.values())
    assert Path("r.html").read_text().endswith("</html>\n")
    assert json.loads(Path("h.json").read_text())["schema_version"] == 2
    assert Path("r.adoc").read_text().startswith("== autotune")
    assert Path("r.org").read_text().startswith("* autotune")


@pytest.mark.first
@pytest.mark.usefixtures("story")
@pytest.mark.parametrize("kind", NAMES)
def test_a_report_that_cannot_be_written_costs_no_other(kind: ReportKind) -> None:
    given = [
        word for one, name in NAMES.items() for word in (formats.OPTIONS[one], "/dev/full" if one == kind else name)
    ]
    result = run("cc", "make", *given)
    assert result.exit_code == 1
    assert f"{formats.OPTIONS[kind]} /dev/full could not be written: No space left on device" in error_of(result)
    assert {path.name for path in Path().iterdir()} == set(NAMES.values()) - {NAMES[kind]}
    assert "Use at_batch" in result.stdout


@pytest.mark.usefixtures("story")
def test_a_report_whose_code_fails_costs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_given: object) -> str:
        raise ZeroDivisionError("a bug")

    monkeypatch.setitem(formats._TEXTS, "html", broken)
    result = run("cc", "make", *ALL)
    assert result.exit_code == 1
    assert "--export-html: ZeroDivisionError: a bug" in error_of(result)
    assert {path.name for path in Path().iterdir()} == set(NAMES.values()) - {"r.html"}


@pytest.mark.first
@pytest.mark.parametrize("kind", NAMES)
def test_any_one_report_may_go_to_standard_output(story: Story, kind: ReportKind) -> None:
    result = run("cc", "make", formats.OPTIONS[kind], "-", "--machine", "vm")
    assert result.exit_code == 0
    assert result.stdout == formats.text(kind, story.session, ["--machine", "vm"])
    assert "Use at_batch" in result.stderr
    assert not list(Path().iterdir())


@pytest.mark.usefixtures("story")
def test_two_reports_for_one_place_are_refused_before_anything_runs() -> None:
    both = run("cc", "make", "--json", "-", "--export-html", "-")
    assert both.exit_code == 2
    assert "--json and --export-html cannot both go to standard output" in error_of(both)
    Path("link").symlink_to("r")
    same = run("cc", "make", "--export-csv", "r", "--export-asciidoc", "./link")
    assert same.exit_code == 2
    assert "--export-csv and --export-asciidoc name the same file" in error_of(same)
    assert run("cc", "make", "--export-csv", "/dev/null", "--export-html", "/dev/null").exit_code == 0


@pytest.mark.usefixtures("story")
def test_plot_is_plain_text_after_the_report() -> None:
    result = run("cc", "make", "--plot")
    assert result.exit_code == 0
    before, _, plots = result.stdout.partition("Every run by scheduler [s]")
    assert "To repeat it" in before
    assert "in order of time" in plots
    assert "\x1b" not in result.stdout


@pytest.mark.usefixtures("story")
def test_plot_leaves_a_document_on_standard_output_alone() -> None:
    result = run("cc", "make", "--plot", "--json", "-")
    assert json.loads(result.stdout)["winner"]
    assert "Every run by scheduler" in result.stderr
