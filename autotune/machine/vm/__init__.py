# SPDX-License-Identifier: MIT
"""The micro-VM: its kernel, its first files, the agent inside, and the client here."""
