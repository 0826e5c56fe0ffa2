# SPDX-License-Identifier: MIT
"""What the log of a CI job holds."""

from __future__ import annotations

import io
import re

import pytest

from autotune import events
from autotune.views.ci import CiView, Service, annotation, harmless
from autotune.views.plain import PlainView
from tests.support import sessions

BUSY = "This machine is busy: load 9 on 2 CPUs, 100 % of it"


def log(service: Service, *heard: events.Event) -> list[str]:
    stream = io.StringIO()
    with CiView(stream, service, given=["--machine", "vm"]) as view:
        for event in heard or tuple(sessions.session_events()):
            view(event)
    return stream.getvalue().split("\n")


def plain() -> list[str]:
    stream = io.StringIO()
    with PlainView(stream, given=["--machine", "vm"]) as view:
        for event in sessions.session_events():
            view(event)
    return stream.getvalue().split("\n")


def test_a_service_that_is_not_known_gets_the_plain_lines() -> None:
    assert log("") == plain()


def test_github_folds_the_runs_and_shows_the_result_at_the_top_of_the_job() -> None:
    lines = log("github")

    assert lines[0] == "::group::autotune: the runs"
    table = next(number for number, line in enumerate(lines) if line.startswith("#  scheduler"))
    assert "::endgroup::" in lines[:table]
    (notice,) = [line for line in lines if line.startswith("::notice")]
    assert notice.startswith(f"::notice title=autotune::Use {sessions.BATCH.key}")
    assert [line for line in lines if not line.startswith("::")] == plain()


def test_github_shows_what_makes_the_result_doubtful_as_a_warning() -> None:
    lines = log("github", events.Finished(sessions.session(warnings=(BUSY,))))

    assert f"::warning title=autotune::{BUSY.replace('%', '%25')}" in lines


def test_gitlab_folds_the_runs_in_a_section() -> None:
    lines = log("gitlab")

    opened = re.fullmatch(r"\x1b\[0Ksection_start:\d+:(\w+)\[collapsed=true\]\r\x1b\[0Kautotune: the runs", lines[0])
    assert opened is not None
    (closed,) = [line for line in lines if "section_end" in line]
    assert re.fullmatch(rf"\x1b\[0Ksection_end:\d+:{opened[1]}\r\x1b\[0K", closed)
    assert [line for line in lines if "section_" not in line] == plain()


@pytest.mark.parametrize("text", ["::set-env name=PATH::/tmp", "  ::error::x", "##[command]rm", "\t::stop-commands::a"])
def test_no_text_of_others_is_a_command_to_the_service(text: str) -> None:
    done = sessions.session(workload=sessions.workload(name=text), recommendation=text)

    lines = log("github", events.Notice(text), events.Finished(done))

    ours = ("::group::", "::endgroup::", "::notice title=autotune::", "::warning title=autotune::")
    assert all(line.startswith(ours) for line in lines if re.match(r"\s*(::|##\[)", line))
    assert harmless(text) == f"| {text}"


def test_an_annotation_is_one_line_whatever_it_says() -> None:
    assert annotation("error", "50 %\r\nof it") == "::error title=autotune::50 %25%0D%0Aof it"
