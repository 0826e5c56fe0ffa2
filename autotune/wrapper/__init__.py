# SPDX-License-Identifier: MIT
"""`autotune run`: the command itself, under the best scheduler that is known for it. Starts within milliseconds:
nothing here imports more than it needs, and only the standard library."""
