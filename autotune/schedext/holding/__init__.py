# SPDX-License-Identifier: MIT
"""The holder, which keeps a scheduler attached, and its client."""
