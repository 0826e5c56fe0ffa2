# SPDX-License-Identifier: MIT
"""The planners, which propose candidates."""
