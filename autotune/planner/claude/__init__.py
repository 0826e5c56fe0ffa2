# SPDX-License-Identifier: MIT
"""Claude as a planner: service, conversation, cost and transcript."""
