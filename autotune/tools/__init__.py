# SPDX-License-Identifier: MIT
"""What a model may call."""
