# SPDX-License-Identifier: MIT
"""One tuning session."""
