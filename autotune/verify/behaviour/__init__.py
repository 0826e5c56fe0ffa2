# SPDX-License-Identifier: MIT
"""The gate of behaviour: what a scheduler does to real loads in a micro-VM."""
