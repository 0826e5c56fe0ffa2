# SPDX-License-Identifier: MIT
"""Private keys, whole and cut off."""

from __future__ import annotations

import json

import pytest

from autotune.redact import Redactor
from tests.support.made_up_secrets import SECRETS, pem

NOBODY = Redactor({})


def test_a_key_on_one_line_with_escaped_line_ends_is_replaced() -> None:
    shown = NOBODY.text(json.dumps({"pem": pem("RSA PRIVATE KEY")}))
    assert "PRIVATE" not in shown


@pytest.mark.parametrize("line_end", ["\\n", "\r\n", "\\r\\n", "\\\\n"])
@pytest.mark.parametrize("name", ["rsa", "cut off key", "encrypted the old way", "key without its beginning"])
def test_private_keys_are_replaced_whatever_their_line_ends_are(name: str, line_end: str) -> None:
    shown = NOBODY.text("before " + SECRETS[name].replace("\n", line_end) + line_end + "make: done")
    assert not any(line in shown for line in SECRETS[name].splitlines() if len(line) > 15)
    assert shown.endswith("make: done")


def test_what_follows_a_key_that_is_cut_off_stays() -> None:
    shown = NOBODY.text(SECRETS["cut off key"] + "make: done\nreal 0m1s\n")
    assert shown == "[redacted: private key]\nmake: done\nreal 0m1s\n"
