# SPDX-License-Identifier: MIT
"""Commands of the program, one file each."""
