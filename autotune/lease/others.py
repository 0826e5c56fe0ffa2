# SPDX-License-Identifier: MIT
"""Finds out which scheduler somebody else attached, and who that was.

What always holds here:
- other people's programs (systemctl, scxctl) may be absent, and have a deadline.

Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os

from autotune.errors import PrivilegeError
from autotune.lease import loaders, owners
from autotune.lease.other import Origin, Other
from autotune.lease.owners import OwnerProcess
from autotune.privilege import program_as_root
from autotune.records import KernelState
from autotune.schedext import kernel
from autotune.schedext.holding.holder import LOCK_PATH, lock_holders, lock_owner
from autotune.schedext.kernel import UNSUPPORTED, wait_for

SETTLE_S = 3.0
HERE = os.path.dirname(os.path.realpath(__file__))


# --- owner ----------------------------------------------------------------------------------------------


def look() -> Other | None:
    """Return the attached scheduler and its owner; None when nothing is attached. Call it before attaching one of
    ours."""
    state = kernel.read_state()
    if state.state not in ("enabled", "disabled", UNSUPPORTED):  # it is being attached or detached
        _, state = wait_for(lambda seen: seen.state in ("enabled", "disabled", UNSUPPORTED), SETTLE_S)
    if state.state in ("disabled", UNSUPPORTED):
        return None
    return identify(state, _owner(state.ops or ""))


def _owner(ops: str) -> OwnerProcess | None:
    """Find the owner's process. Root sees what processes have open; an ordinary user goes through sudo, or by names."""
    if os.geteuid() == 0:
        pid = owners.find(ops)
    else:
        with contextlib.suppress(PrivilegeError, ValueError, TypeError, KeyError):
            seen = json.loads(loaders.output_of(*program_as_root(os.path.join(HERE, "owners.py"), ops)) or "null")
            if seen is not None:
                return owners.process(int(seen["pid"]))
        pid = owners.find_by_name(ops)
    return None if pid is None else owners.process(pid)


def identify(state: KernelState, owner: OwnerProcess | None) -> Other:
    """Describe the attached scheduler by the process that owns it (None: not found) and by what the loaders report."""
    ops = state.ops or "unknown"
    holders = lock_holders(LOCK_PATH)
    line = {owner.pid, *(above.pid for above in owners.ancestors(owner))} if owner is not None else set()
    if holders and (owner is None or holders & line):
        return Other(ops, lock_owner(LOCK_PATH), owner.argv if owner else (), "autotune", None, None, ())
    return _of_process(ops, owner) if owner is not None else _without_process(ops)


def _of_process(ops: str, owner: OwnerProcess) -> Other:
    program, flags = owners.program_of(owner), owner.argv[1:]
    if any(above.name == owners.LOADER for above in owners.ancestors(owner)):
        reported = loaders.scx_loader_says()
        mode = reported[1] if reported is not None and reported[0] == program else None
        return Other(ops, owner.pid, owner.argv, "scx_loader", program, mode, flags, owner.started)
    unit = _unit_of(owner)
    origin: Origin = "scx.service" if unit is not None else "hand"
    return Other(ops, owner.pid, owner.argv, origin, program, None, flags if program else (), owner.started, unit)


def _unit_of(owner: OwnerProcess) -> str | None:
    """Return the service that runs this process. Except for scx's own services only the main process counts, since
    programs started by hand may be below one (sshd) too."""
    main = loaders.main_pid(loaders.SERVICE)
    if main is not None and main in {owner.pid, *(above.pid for above in owners.ancestors(owner))}:
        return loaders.SERVICE
    return owner.unit if owner.unit is not None and loaders.main_pid(owner.unit) == owner.pid else None


def _without_process(ops: str) -> Other:
    reported = loaders.scx_loader_says()
    if reported is not None and owners.fits(reported[0], ops):
        return Other(ops, None, (), "scx_loader", reported[0], reported[1], ())
    main = loaders.main_pid(loaders.SERVICE)
    if main is not None:
        found = owners.process(main)
        argv, started = (found.argv, found.started) if found is not None else ((), 0)
        return Other(ops, main, argv, "scx.service", owners.program_of(found), None, argv[1:], started, loaders.SERVICE)
    return Other(ops, None, (), "unknown", None, None, ())
