# SPDX-License-Identifier: MIT
"""Secrets of known formats."""

from __future__ import annotations

import pytest

from autotune.redact import Redactor
from tests.support.made_up_secrets import SECRETS

NOBODY = Redactor({})


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("around", ["{}", "before {} after", '{{"a": "{}"}}', "x={}\ny"])
def test_known_formats_are_replaced(name: str, around: str) -> None:
    secret = SECRETS[name]
    shown = NOBODY.text(around.format(secret))
    assert "[redacted: " in shown
    assert not any(piece in shown for piece in secret.replace("-" * 5, " ").split() if len(piece) > 15)


@pytest.mark.parametrize("around", ["\\n{}", "\x1b[31m{}\x1b[0m", "x%3D{}", "({})", "'{}'", "k={}&b=1"])
@pytest.mark.parametrize("name", [name for name, secret in SECRETS.items() if "\n" not in secret])
def test_known_formats_are_replaced_after_escapes_too(name: str, around: str) -> None:
    assert SECRETS[name][4:] not in NOBODY.text(around.format(SECRETS[name]))
