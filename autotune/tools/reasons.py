# SPDX-License-Identifier: MIT
"""Reasons not to propose a scheduler on a machine, for models, the offline planner and people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from autotune.canary.strikes import Strikes
from autotune.errors import AutotuneError
from autotune.records import MachineInfo
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.schedext.catalogue.knobs import Trait
from autotune.schedext.kernel import version_of
from autotune.schedext.programs.binaries import Places, find, here, how_to_get

LACKING: dict[Trait, str] = {
    "several_llcs": "it balances between last-level caches, and this machine has one",
    "numa": "it is made for several NUMA nodes, and this machine has one",
    "core_types": "it is made for fast and slow cores, and those here are alike",
    "smt": "it is made for SMT siblings, and the cores here have none",
    "schedutil": "it steers frequencies through the schedutil governor, which is not in use here",
    "nohz_full": "it spares CPUs that were booted without ticks (nohz_full), and there are none here",
}
"""Reasons by missing trait."""


ABSENT = "not installed"
ELSEWHERE = "it was made for another directory; name it with --scheduler to try it here"


def unusable(
    catalog: Catalog, machine: MachineInfo, places: Places | None = None, *, directory: Path | None = None
) -> dict[str, str]:
    """Return the schedulers that cannot run, or cannot be of use, on this machine, each with the reason, and generated
    ones that were not made in this directory: whoever wrote one had no say in others. Programs are searched in `places`
    (None: those of this machine)."""
    searched = here() if places is None else places
    found = ((one.name, _why_not(one, machine, searched, directory)) for one in catalog.schedulers)
    return {name: why for name, why in found if why is not None}


def by_reason(reasons: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Group the names by reason, for people. Those that are not installed have an empty reason: each is installed in
    its own way."""
    found: dict[str, tuple[str, ...]] = {}
    for name, why in reasons.items():
        key = "" if why.startswith(ABSENT) else why
        found[key] = (*found.get(key, ()), name)
    return found


def _why_not(one: Scheduler, machine: MachineInfo, places: Places, directory: Path | None) -> str | None:
    """Return the first reason. "Not installed" comes last: nobody should install what would not help."""
    checks: Iterable[Callable[[], str | None]] = (
        lambda: _refused(one.name, directory) if one.is_generated else None,
        lambda: kernel_reason(one, machine.kernel),
        lambda: machine_reason(one, machine),
        lambda: _program_reason(one, machine),
        lambda: _absent(one, places) if one.kind == "binary" else None,
    )
    return next((why for why in (check() for check in checks) if why is not None), None)


def _refused(name: str, directory: Path | None) -> str | None:
    """Return why a generated scheduler is not offered: it was made elsewhere, it was changed since it passed, or has
    three strikes."""
    try:
        one = custom.load(name)
        if directory is not None and one.made_in != directory.resolve():
            return ELSEWHERE
        digest = custom.checked(one)
        strikes = Strikes()
        if strikes.is_barred(digest):
            return f"it was detached three times on this host, last for: {strikes.reasons(digest)[-1].reason}"
    except AutotuneError as error:
        return error.message
    return None


def kernel_reason(one: Scheduler, kernel: str) -> str | None:
    """Return the reason in the kernel's release, if any."""
    least = one.requirements.kernel_min
    if least is not None and version_of(kernel) < version_of(least):
        return f"it needs Linux {least}, and this is {kernel}"
    for series in one.requirements.kernel_not:
        if version_of(kernel)[:2] == version_of(series)[:2]:
            return f"Linux {series} is known to refuse it, and this is {kernel}"
    return None


def machine_reason(one: Scheduler, machine: MachineInfo) -> str | None:
    """Return the reason in the machine's size or traits, if any. An unknown trait is no reason."""
    most = one.requirements.cpus_max
    if most is not None and machine.cpus > most:
        return f"it is made for {most} CPUs at most, and this machine has {machine.cpus}"
    lacking = [
        trait for trait in one.requirements.machine if machine.traits is not None and trait not in machine.traits
    ]
    return LACKING[lacking[0]] if lacking else None


def _program_reason(one: Scheduler, machine: MachineInfo) -> str | None:
    if one.program is None:
        return None
    if one.program.help == "never":
        return "its options cannot be read: it attaches itself whatever its arguments"
    if machine.kind == "vm" and one.program.not_in_vm is not None:
        return f"it cannot run in a micro-VM: {one.program.not_in_vm}"
    return None


def _absent(one: Scheduler, places: Places) -> str | None:
    try:
        return None if find(one, places=places) else f"{ABSENT}: {how_to_get(one)}"
    except AutotuneError as error:
        return error.message
