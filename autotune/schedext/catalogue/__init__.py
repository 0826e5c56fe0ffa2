# SPDX-License-Identifier: MIT
"""The schedulers that can be tried, and their knobs."""
