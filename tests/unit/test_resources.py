# SPDX-License-Identifier: MIT
"""Where the user's files go, whatever HOME says."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from autotune import resources

DIRECTORIES = [resources.cache_dir, resources.state_dir, resources.data_dir]


@pytest.mark.parametrize("home", [None, "", "relative", "~", ".", "~/x"])
@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda one: one.__name__)
def test_a_home_that_says_nothing_leads_to_the_accounts_and_never_into_the_current_directory(
    monkeypatch: pytest.MonkeyPatch, home: str | None, directory: object
) -> None:
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HOME") if home is None else monkeypatch.setenv("HOME", home)
    assert callable(directory)
    assert directory().is_relative_to(pwd.getpwuid(os.geteuid()).pw_dir)


def test_a_user_without_an_account_has_a_place_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert resources.home_dir() == Path("/")
    monkeypatch.setenv("HOME", "/data")
    assert resources.home_dir() == Path("/data")


def test_a_tilde_is_expanded_where_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "~")
    account = Path(pwd.getpwuid(os.geteuid()).pw_dir)
    assert resources.expanded(Path("~/x/y")) == account / "x/y"
    assert resources.expanded(Path("~no-such-user/x")) == Path("~no-such-user/x")
    assert resources.expanded(Path("/a/~")) == Path("/a/~")
