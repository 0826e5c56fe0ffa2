# SPDX-License-Identifier: MIT
"""A local server, and conversations with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.claude_conversation import Planning
from tests.support.messages_server import Script, Step, serving


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    place.mkdir()
    (place / "Makefile").write_text("all:\n\t./bench\n")
    (place / ".env").write_text("TOKEN=abc\n")
    (tmp_path / "outside").write_text("not for the model\n")
    (place / "link").symlink_to(tmp_path / "outside")
    return place


@pytest.fixture
def planning(directory: Path) -> Iterator[Any]:
    """Begins a session that is answered by the given steps."""
    with serving() as script:

        def begin(*steps: Step, **options: Any) -> Planning:
            script.steps[:] = steps
            return Planning(script, directory, **options)

        yield begin


@pytest.fixture
def script() -> Iterator[Script]:
    with serving() as script:
        yield script
