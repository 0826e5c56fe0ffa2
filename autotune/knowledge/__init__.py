# SPDX-License-Identifier: MIT
"""The knowledge store: workloads, sessions and their results, in SQLite."""
