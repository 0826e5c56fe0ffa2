# SPDX-License-Identifier: MIT
"""autotune finds out which Linux CPU scheduler makes a command better, and proves it."""

__version__ = "0.1.0"
