# SPDX-License-Identifier: MIT
"""Real measuring processes, as autotune starts them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autotune.measure.client import Runner


@pytest.fixture(scope="module")
def shared() -> Iterator[Runner]:
    """One for all tests of a file, which it outlives."""
    with Runner() as runner:
        yield runner


@pytest.fixture
def runner() -> Iterator[Runner]:
    """One that the test may end or break."""
    with Runner() as runner:
        yield runner
