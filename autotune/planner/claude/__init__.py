# SPDX-License-Identifier: MIT
"""Claude as a planner: the service, the conversation, its cost and its transcript."""
