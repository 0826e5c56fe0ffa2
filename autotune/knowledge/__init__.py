# SPDX-License-Identifier: MIT
"""What was learned: workloads, sessions and their results, in SQLite."""
