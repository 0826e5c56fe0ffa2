# SPDX-License-Identifier: MIT
"""The gate of loading: what the kernel's verifier says."""
