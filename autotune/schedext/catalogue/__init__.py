# SPDX-License-Identifier: MIT
"""What schedulers there are and what they take."""
