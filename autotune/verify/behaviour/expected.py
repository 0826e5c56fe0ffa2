# SPDX-License-Identifier: MIT
"""What a scheduler is told to expect of the tasks of a load: of some much, of some little, of some nothing. Pure.

The tasks are forked by a process that executed nothing while the guide was there, so their numbers are known
beforehand: `at_identity_fork` of bpf_src/include/at_identity.h makes them of a 1 and of how many were forked before.
"""

from __future__ import annotations

from autotune.records import Expectations

FORKS = 1024
"""Tasks of whose order of start something is expected: more than a short load forks."""
CHAINS_NS = (2_000_000, 10_000_000_000, 0, 100_000_000)
"""Taken in turn; 0: nothing is expected."""
_BITS = (1 << 64) - 1


def expectations() -> Expectations:
    """Return what is expected of the tasks of any load."""
    chains_ns = {str(place(number)): CHAINS_NS[number % len(CHAINS_NS)] for number in range(FORKS)}
    told = {number: length_ns for number, length_ns in chains_ns.items() if length_ns}
    return Expectations(told, max(CHAINS_NS))


def place(number: int) -> int:
    """Return the number of a task by its place: `at_mix` of the header, with a parent of no known program."""
    mixed = (1 ^ (number + 0x9E3779B97F4A7C15 + (1 << 6))) * 0xFF51AFD7ED558CCD & _BITS
    return mixed ^ mixed >> 32 or 1
