# SPDX-License-Identifier: MIT
"""Rules for what may be claimed. Pure."""
