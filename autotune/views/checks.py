# SPDX-License-Identifier: MIT
"""The record of one check of this machine."""

from __future__ import annotations

from autotune.frozen import dataclass


@dataclass(frozen=True)
class Check:
    """One requirement: whether it is met, what was found, what it is for, and the command or step that fixes it."""

    name: str
    found: bool
    detail: str
    purpose: str
    fix: str
    required_for: tuple[str, ...]
