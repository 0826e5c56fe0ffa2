# SPDX-License-Identifier: MIT
"""The gates between the text of a generated scheduler and a running kernel."""
