# SPDX-License-Identifier: MIT
"""The process that holds a scheduler, and its client."""
