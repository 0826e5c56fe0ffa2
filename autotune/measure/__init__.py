# SPDX-License-Identifier: MIT
"""The client of the runner, and what it measures with."""
