# SPDX-License-Identifier: MIT
"""Names that say that their values are secret, and names that only look so."""

from __future__ import annotations

import pytest

from autotune.redact.names import name_strength


@pytest.mark.parametrize("name", ["API_KEY", "dbPassword", "auth-token", "GITHUB_TOKEN", "client.secret", "APIKEY"])
def test_secret_names(name: str) -> None:
    assert name_strength(name)


@pytest.mark.parametrize(
    "name",
    [
        "KEYBOARD",
        "AUTHOR",
        "XDG_SESSION_TYPE",
        "MONKEY",
        "PWD",
        "KEY_FILE",
        "tokenizer",
        "compat",
        "KEYMAP",
        "SSH_AUTH_SOCK",
        "DESKTOP_SESSION",
        "DBUS_SESSION_BUS_ADDRESS",
        "token_count",
        "primary_key",
        "tokens_per_s",
    ],
)
def test_names_that_only_look_secret(name: str) -> None:
    assert not name_strength(name)
