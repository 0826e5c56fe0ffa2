# SPDX-License-Identifier: MIT
"""Schedulers that are programs: found, queried, compared, built."""
