# SPDX-License-Identifier: MIT
"""Remembers whether KVM really boots a kernel here, because only a boot proves it.

`/dev/kvm` can exist and can be opened, and still no kernel boots (nested, or a CPU whose registers QEMU cannot set).
The result of the last try is kept per host kernel, guest kernel and QEMU, so that it costs one failed boot at most.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from pathlib import Path

from autotune import durable, reading
from autotune.resources import state_dir

DEVICE = Path("/dev/kvm")


def usable_device(device: Path = DEVICE) -> bool:
    """Return whether the device can be opened. Necessary for KVM, and far from sufficient."""
    return os.access(device, os.R_OK | os.W_OK)


class KvmResults:
    """The results of boots with KVM, in a small file. A file that cannot be read or written counts as none: the boot is
    tried again."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or state_dir() / "kvm.json"

    def recall(self, guest_kernel: str, qemu: str) -> bool | None:
        """Return whether it booted; None when that was never tried with this combination."""
        answer = self._load().get(_key(guest_kernel, qemu))
        return answer if isinstance(answer, bool) else None

    def remember(self, guest_kernel: str, qemu: str, boots: bool) -> None:
        answers = self._load()
        answers[_key(guest_kernel, qemu)] = boots
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            durable.replace(self._path, json.dumps(answers, indent=1).encode())

    def _load(self) -> dict[str, object]:
        try:
            answers = reading.json_of(self._path)
        except (OSError, ValueError):
            return {}
        return answers if isinstance(answers, dict) else {}


def _key(guest_kernel: str, qemu: str) -> str:
    try:
        stamp = int(os.stat(qemu).st_mtime)
    except OSError:
        stamp = 0
    return f"{platform.release()} {guest_kernel} {qemu} {stamp}"
