# SPDX-License-Identifier: MIT
"""The load gate: the kernel's verifier."""
