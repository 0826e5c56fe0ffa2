# SPDX-License-Identifier: MIT
"""The right to switch the host's scheduler: who has it, and for how long."""
