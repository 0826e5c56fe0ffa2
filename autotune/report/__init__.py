# SPDX-License-Identifier: MIT
"""Results as text, tables and documents. Pure."""
