# SPDX-License-Identifier: MIT
"""The source gate. Each rule is a small function from facts to findings; `gate.py` lists them."""
