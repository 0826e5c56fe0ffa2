# SPDX-License-Identifier: MIT
"""An empty store, and where its file is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.knowledge.store import Knowledge


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.sqlite3"


@pytest.fixture
def knowledge(path: Path) -> Iterator[Knowledge]:
    with Knowledge(path) as kept:
        yield kept
