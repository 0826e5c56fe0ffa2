# SPDX-License-Identifier: MIT
"""The load gate: what the kernel's verifier says."""
