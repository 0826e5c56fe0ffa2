# SPDX-License-Identifier: MIT
"""The gates between the source of a generated scheduler and a running kernel."""
