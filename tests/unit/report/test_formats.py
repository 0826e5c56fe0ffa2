# SPDX-License-Identifier: MIT
"""Every format has an option and a text."""

from __future__ import annotations

import typing

import pytest

from autotune.commands.arguments import CcArguments
from autotune.report import formats
from autotune.report.formats import ReportKind
from tests.support import sessions

KINDS: tuple[ReportKind, ...] = typing.get_args(ReportKind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_has_an_option_of_cc_and_a_text(kind: ReportKind) -> None:
    field = formats.OPTIONS[kind].removeprefix("--").replace("-", "_")
    assert field in CcArguments.__dataclass_fields__
    assert formats.text(kind, sessions.session()).endswith("\n")
    early = sessions.session(results=(), trials=(), baseline=None, observation=None, winner=None, interrupted=True)
    assert formats.text(kind, early)
