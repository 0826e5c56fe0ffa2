# SPDX-License-Identifier: MIT
"""What people see while a session runs: `live` at a terminal, `plain` everywhere else. Both are listeners."""
