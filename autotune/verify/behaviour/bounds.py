# SPDX-License-Identifier: MIT
"""Bounds on what a scheduler may do to the loads of the behaviour gate, each with its reason.

A bound has two parts: what EEVDF did with the same load on the same VM, times a factor, and a floor below which nothing
is a fault. The floors allow for emulation on a machine with other work: there a virtual CPU itself may wait
for tens of milliseconds, and a tick of the guest is late. Standard library only.
"""

from __future__ import annotations

STARVED_FLOOR_S = 2.0
"""Longest wait of a task that wants to run. EEVDF lets no task of nice 0 wait for more than 0.1 s here, our own
schedulers 0.5 s; a user takes two seconds without any answer for a hang."""
STARVED_NICE_FLOOR_S = 3.0
"""The same beside hogs of lower nice levels. EEVDF lets nice 19 wait for 0.3 to 0.6 s; correct virtual time with slices
of 5 ms charges it half a second or more for one turn, and waits of 2.2 s were seen."""
STARVED_FACTOR = 6.0
"""Factor on EEVDF's longest wait in the same load, where that gives more."""
STARVED_SHARE = 0.9
"""A task that waits without a break for this share of a load of 2 s or more is starved whatever EEVDF did: on a machine
that is busy with other work EEVDF's own waits are long, and the bounds above would be longer than the load."""

WAKE_P99_FLOOR_S = 0.2
"""Time within which 99 of 100 sleepers that wake beside two hogs a CPU run. First come, first served, with slices of 20
ms makes them wait for two slices, 40 to 60 ms, plus what emulation adds; no scheduler intends ten turns of a hog."""
WAKE_P99_FACTOR = 20.0
"""Factor on EEVDF's time, which is 4 to 10 ms here."""
WAKE_P99_CEILING_S = 0.5
"""Upper limit of that: EEVDF's time is long only where the machine is busy with other work."""

JAIN_FLOOR = 0.9
"""Jain's index over equal hogs' CPU time: 1 when all got the same, 1/n when one got all. Five hogs on two CPUs with a
queue each and no balancing (two here, three there) have 0.96, which is acceptable; where one of five gets nothing it is
0.8 at best."""

THROUGHPUT_SHARE = 0.5
"""Least share of EEVDF's throughput: forks, pipe round trips and work done by hogs, each at the machine's speed at that
time."""
MOST_SPEED_CHANGE = 2.0
"""The machine's speed is measured by short bursts of a real-time task, which is rough: the result is trusted up to this
factor, and only where the machine was slower under the scheduler than under EEVDF."""

PINNED_SHARE = 0.1
"""Least share of its work under EEVDF that a task bound to one CPU must do. With less it is stuck, not slow: a task
whose CPU never picks it gets nothing, or what little balancing leaves it."""
