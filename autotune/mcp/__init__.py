# SPDX-License-Identifier: MIT
"""The MCP server: the other door to the tools, for AI clients of any maker."""
