# SPDX-License-Identifier: MIT
"""What a session is composed of by whoever starts it: the machine, the planner, and what finds or builds the rest."""

from __future__ import annotations

import time
from collections.abc import Callable

from autotune.deadline import Deadline
from autotune.events import Listener
from autotune.frozen import dataclass
from autotune.machine.base import Machine
from autotune.planner.base import Planner
from autotune.session.guiding import Guiding, Resolver
from autotune.session.observing import Probe


@dataclass(frozen=True)
class SessionParts:
    """Everybody that one session works with."""

    machine: Machine
    planner: Planner
    listener: Listener
    resolve: Resolver
    """Finds or builds what attaching a candidate needs. Raises BuildError, UsageError."""
    clock: Callable[[], float] = time.monotonic
    """Counts the seconds of the budget."""
    deadline: Deadline | None = None
    """End of the budget; None: it begins now."""
    probe: Probe | None = None
    """Watches one run; None: none is watched."""
    guiding: Guiding | None = None
    """Tells schedulers what the watched run lets them expect; None: they know nothing."""
