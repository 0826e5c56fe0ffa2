# SPDX-License-Identifier: MIT
"""Who may have the host's scheduler, and for how long."""
