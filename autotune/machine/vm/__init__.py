# SPDX-License-Identifier: MIT
"""The micro-VM: its kernel, its initramfs, the agent inside, and the client here."""
