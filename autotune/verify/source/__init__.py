# SPDX-License-Identifier: MIT
"""The gate of the source. Each rule is a small function from facts to findings; `gate.py` lists them."""
