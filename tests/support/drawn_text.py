# SPDX-License-Identifier: MIT
"""Draws what rich draws, as text."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console, RenderableType


def drawn(renderable: RenderableType, width: int = 80, **options: Any) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, height=40, highlight=False, **options).print(renderable)
    return stream.getvalue()
