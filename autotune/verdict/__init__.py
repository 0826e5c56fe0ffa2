# SPDX-License-Identifier: MIT
"""What may be claimed. Pure."""
