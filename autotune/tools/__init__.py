# SPDX-License-Identifier: MIT
"""The tools that a model may call."""
