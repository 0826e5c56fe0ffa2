# SPDX-License-Identifier: MIT
"""Schedulers that are programs: found, asked, compared, built."""
