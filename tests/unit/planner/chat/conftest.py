# SPDX-License-Identifier: MIT
"""A local chat completions server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chat_server import serving_chat
from tests.support.messages_server import Script


@pytest.fixture
def script() -> Iterator[Script]:
    with serving_chat() as script:
        yield script
