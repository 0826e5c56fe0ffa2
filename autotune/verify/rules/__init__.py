# SPDX-License-Identifier: MIT
"""The rules of gate 1. Each is a small function from facts to findings; `verify/source.py` lists them."""
