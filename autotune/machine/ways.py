# SPDX-License-Identifier: MIT
"""Which of the three ways leads to root where schedulers are switched: being root, a daemon, or `sudo -n`.

A daemon comes before sudo: it keeps sessions of several people apart, and needs no rule for anybody. Standard library
only.
"""

from __future__ import annotations

import os
from typing import Literal, TypeAlias

from autotune.deadline import Deadline
from autotune.errors import AutotuneError, NoMachineError
from autotune.frozen import dataclass
from autotune.schedext.holding.client import LEASE_S, HolderClient, SchedulerHolder, privilege_problem
from autotune.service import client as service

WayName: TypeAlias = Literal["root", "daemon", "sudo"]


@dataclass(frozen=True)
class Way:
    """How schedulers are switched here. `name` is None where nothing leads to root, and `problem` then says why not, as
    a clause."""

    name: WayName | None
    problem: str = ""

    @property
    def text(self) -> str:
        texts = {
            "root": "root",
            "daemon": "the daemon attaches schedulers",
            "sudo": "sudo starts the holder without a password",
        }
        return texts[self.name] if self.name is not None else self.problem


def way() -> Way:
    """Find the way."""
    if os.geteuid() == 0:
        return Way("root")
    refused = _daemon_problem()
    if refused is None:
        return Way("daemon")
    problem = privilege_problem()
    if problem is None:
        return Way("sudo")
    return Way(None, f"{problem}; {refused}" if refused else problem)


def _daemon_problem() -> str | None:
    """Return why no daemon attaches schedulers for us; None when one does, empty when there is none."""
    try:
        service.leasing().close()
    except NoMachineError:
        return ""
    except AutotuneError as error:
        return error.message
    return None


def holder(*, libbpf: str | None = None, lease_s: float = LEASE_S, deadline: Deadline | None = None) -> SchedulerHolder:
    """Return what attaches schedulers here: the lease of a daemon, else a holder of our own. What it is to attach by a
    daemon must name its candidate (`AttachSpec.candidate`). Raises BusyError when somebody else has the lease,
    PrivilegeError where nothing leads to root."""
    if way().name == "daemon":
        from autotune.service.leased import LeasedHolder

        return LeasedHolder(lease_s=lease_s, deadline=deadline)
    return HolderClient(libbpf=libbpf, lease_s=lease_s, deadline=deadline)
