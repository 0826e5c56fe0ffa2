# SPDX-License-Identifier: MIT
"""Output while a session runs: `live` at a terminal, `plain` everywhere else. Both are listeners."""
