# SPDX-License-Identifier: MIT
"""The behaviour gate: what a scheduler does to real loads in a micro-VM."""
