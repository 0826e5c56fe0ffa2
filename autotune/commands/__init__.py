# SPDX-License-Identifier: MIT
"""What people type: a file a command."""
