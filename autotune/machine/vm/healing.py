# SPDX-License-Identifier: MIT
"""Notices that a fetched kernel set was damaged before it is used, and fetches it again.

A damaged set is not booted, and none of its programs runs: its faults would be blamed on a scheduler.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from autotune import digests, durable
from autotune.errors import AutotuneError, NoMachineError
from autotune.machine.vm import kernels, vmlinux
from autotune.machine.vm.kernels import Kernel

Notify = Callable[[str], None]


def sound(given: Path | None, notify: Notify) -> Kernel:
    """Find the kernel to boot as `kernels.find` does; a fetched one is checked, and made whole where it is damaged,
    which `notify` reports. Raises NoMachineError when it cannot be made whole, and what `kernels.find` raises."""
    for release, broken in _incomplete() if given is None else ():
        notify(f"kernel {release} in the cache is damaged: {broken}; it is fetched anew")
        with contextlib.suppress(AutotuneError):
            kernels.fetch(notify, release)
    kernel = kernels.find(given)
    top = _top(kernel)
    if top is None:
        return kernel
    damage = _damage(top, kernel.version, notify)
    return kernel if damage is None else _healed(kernel, top, damage, notify)


def sound_parts(notify: Notify) -> Kernel | None:
    """Return the newest fetched kernel set, for its libbpf and headers alone; None when none is whole, so that the
    system's have to do. No more than those are read when they are as they were fetched."""
    fetched = kernels.installed()
    if not fetched:
        return None
    if _parts_are_whole(fetched[0]):
        return fetched[0]
    try:
        return sound(None, notify)
    except AutotuneError as error:
        notify(error.message)
        return None


def _parts_are_whole(kernel: Kernel) -> bool:
    top, parts = _top(kernel), [part for part in (kernel.libbpf, kernel.headers) if part is not None]
    return top is not None and digests.is_noted(top) and not digests.damaged(top, parts)


def damages() -> Iterator[str]:
    """Yield a sentence on each fetched set that is damaged."""
    for release, broken in _incomplete():
        yield f"{release} is damaged: {broken}; 'autotune vm setup' fetches it anew."
    for kernel in kernels.installed():
        if (damage := damage_of(kernel)) is not None:
            yield f"{kernel.version} is damaged: {damage}; 'autotune vm setup' fetches it anew."


def damage_of(kernel: Kernel) -> str | None:
    """Return what is wrong with a fetched kernel set, in a clause; None when nothing is, or when that is not known."""
    top = _top(kernel)
    found = digests.damaged(top) if top is not None else {}
    return digests.described(found) if found else None


def _top(kernel: Kernel) -> Path | None:
    """Return the directory of a kernel set, fetched or given; None for other kernels."""
    top = next((place for place in kernel.image.parents if (place / kernels.MANIFEST).is_file()), None)
    return top if kernel.source != "host" else None


def _damage(top: Path, release: str, notify: Notify) -> str | None:
    """Check a set, and remake what needs no fetching. A set that was fetched before digests were kept is taken for
    whole, and its digests are noted."""
    if not digests.is_noted(top):
        with contextlib.suppress(OSError):
            digests.note_all(top)
        return None
    found = digests.damaged(top)
    if found and _unpacked_again(top, list(found)):
        left = digests.damaged(top)
        if not left:
            notify(f"kernel {release} in the cache was damaged: {digests.described(found)}; it was unpacked anew")
        found = left
    return digests.described(found) if found else None


def _unpacked_again(top: Path, damaged: list[str]) -> bool:
    """Make the unpacked kernel anew from its image, when nothing else is damaged."""
    if len(damaged) != 1 or not damaged[0].endswith("/vmlinux"):
        return False
    target = top / damaged[0]
    try:
        elf = vmlinux.unpack(target.with_name("vmlinuz").read_bytes())
        if elf is not None:
            durable.replace(target, elf, mode=durable.SHARED)
    except OSError:
        return False
    return elf is not None


def _healed(kernel: Kernel, top: Path, damage: str, notify: Notify) -> Kernel:
    what = f"kernel {kernel.version} in {'the cache' if _is_ours(top) else top} is damaged: {damage}"
    if not _is_ours(top):
        raise NoMachineError(what, hint="copy it again, or leave out --kernel")
    notify(f"{what}; it is fetched anew")
    try:
        return kernels.fetch(notify, kernel.version)
    except AutotuneError as error:
        other = next((one for one in kernels.installed() if damage_of(one) is None), None)
        if other is None or kernel.source == "given":
            raise NoMachineError(f"{what}; it cannot be fetched anew: {error.message}", hint=error.hint) from error
        notify(f"it cannot be fetched anew ({error.message}); kernel {other.version} is used instead")
        return other


def _is_ours(top: Path) -> bool:
    return top.resolve().parent == kernels.store().resolve()


def _incomplete() -> Iterator[tuple[str, str]]:
    """Yield release and damage of the sets that `kernels.installed` leaves out: without manifest, image or modules."""
    whole = {kernel.version for kernel in kernels.installed()}
    for path in kernels.store().glob(f"*/{digests.LIST}"):
        if path.parent.name not in whole and (found := digests.damaged(path.parent)):
            yield path.parent.name, digests.described(found)
