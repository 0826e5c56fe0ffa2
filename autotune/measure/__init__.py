# SPDX-License-Identifier: MIT
"""The runner's client, and what it measures with."""
