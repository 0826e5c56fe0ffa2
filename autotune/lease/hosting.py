# SPDX-License-Identifier: MIT
"""Attaches schedulers on this host for `lease.shared` as `autotune apply` does: those of the catalogue, and generated
ones with their seal, their canary and their watch.

What a scheduler's name and settings come to is remembered where the user's runs meet, until the next boot: looking that
up takes most of the time of attaching, and many runs ask for the same. The holder checks that it is still the same
file. Generated ones are looked up, with all their checks, every time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from autotune import __version__, durable, reading
from autotune.errors import AttachError, AutotuneError, BusyError
from autotune.frozen import dataclass
from autotune.knowledge import versions
from autotune.lease import others
from autotune.records import Attachment, AttachSpec, Detachment, KernelState
from autotune.schedext import kernel
from autotune.schedext.evidence import exit_text
from autotune.wire import from_json, to_json

REMEMBERED = "shared.specs"
MOST_REMEMBERED = 20


class _Attached(Protocol):
    """Something that has a scheduler attached."""

    def attach(self, spec: AttachSpec) -> Attachment: ...

    def detach(self) -> Detachment: ...

    def close(self) -> None: ...


class SharedHost:
    """Attaches one scheduler on this host. `place` is the directory where the user's runs meet."""

    def __init__(self, place: str) -> None:
        self._memory = Lookups(Path(place) / REMEMBERED)
        self._stack = contextlib.ExitStack()
        self._attached: _Attached | None = None
        self._expected = ""

    def attach(self, spec: str) -> str:
        """Attach `spec` (`NAME:knob=value,...`), and return its name in the kernel. Raises AutotuneError: there is no
        root or no sched_ext, another scheduler is attached, it does not build, it is refused."""
        _refuse_unusable(kernel.read_state())
        known = self._memory.recall(spec)
        try:
            self._expected = self._attach(lambda stack: self._again(known, stack)) if known is not None else ""
        except AttachError:  # it may be another file by now
            self._memory.forget(spec)
        if not self._expected:
            self._expected = self._attach(lambda stack: self._anew(spec, stack))
        return self._expected

    def _attach(self, attach: Callable[[contextlib.ExitStack], Attachment]) -> str:
        with contextlib.ExitStack() as stack:
            attachment = attach(stack)
            self._stack = stack.pop_all()
        return attachment.ops

    def problem(self) -> str | None:
        """Return why it is no longer attached, as a clause; None while it is."""
        state = kernel.read_state()
        if state.state == "enabled" and kernel.ops_matches(self._expected, state.ops):
            return None
        return self._why() or (f"{state.ops} was attached instead" if state.ops else f"state is {state.state}")

    def detach(self) -> None:
        """Detach, and end all helpers. Never raises: the holder's end detaches too."""
        attached, self._attached = self._attached, None
        with contextlib.suppress(Exception):
            if attached is not None:
                attached.detach()
        with contextlib.suppress(Exception):
            self._stack.close()

    def _again(self, known: Remembered, stack: contextlib.ExitStack) -> Attachment:
        from autotune.machine import ways

        client = ways.holder(libbpf=known.libbpf)
        stack.callback(client.close)
        self._attached = client
        return client.attach(known.attach)

    def _anew(self, spec: str, stack: contextlib.ExitStack) -> Attachment:
        from autotune.lease import handover
        from autotune.machine.vm import healing
        from autotune.schedext.catalogue import custom
        from autotune.schedext.holding.client import LEASE_S
        from autotune.schedext.resolve import CatalogResolver

        catalog = custom.catalog()
        candidate = catalog.parse_candidate(spec)
        machine = stack.enter_context(handover.host(LEASE_S, lambda _text: None))
        found = CatalogResolver(machine.headers, catalog)(candidate)
        self._attached = machine
        attachment = machine.attach(found)
        fetched = healing.sound_parts(lambda _text: None)
        self._memory.remember(spec, found, str(fetched.libbpf) if fetched and fetched.libbpf else None)
        return attachment

    def _why(self) -> str:
        """Detach what is left, and return why the kernel detached it; empty where that is not known."""
        attached, self._attached = self._attached, None
        if attached is None:
            return ""
        try:
            gone = attached.detach().exit
        except AutotuneError as error:
            return error.message
        return exit_text(gone) if gone is not None else ""


def _refuse_unusable(state: KernelState) -> None:
    if state.state == kernel.UNSUPPORTED:
        raise AttachError("the kernel has no sched_ext")
    if kernel.too_old(os.uname().release):
        raise AttachError(f"the kernel {os.uname().release} is older than {kernel.LEAST_KERNEL}")
    other = others.look() if state.state != "disabled" else None
    if other is not None:
        raise BusyError(f"another scheduler is attached: {other.sentence}")


# --- what was looked up ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Remembered:
    """What a scheduler's name and settings came to, under this kernel and this autotune."""

    kernel: str
    version: str
    attach: AttachSpec
    libbpf: str | None


class Lookups:
    """What was looked up since the last boot, in a file of the user's alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def recall(self, spec: str) -> Remembered | None:
        """Return what a scheduler came to; None when that is not known, or nothing any more."""
        try:
            found = from_json(Remembered, self._read()[spec])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        is_same = (found.kernel, found.version) == (os.uname().release, __version__)
        return found if is_same and not _has_changed(found.attach) else None

    def remember(self, spec: str, found: AttachSpec, libbpf: str | None) -> None:
        """Remember what a scheduler came to; nothing happens for a generated one, or when it cannot be written."""
        if found.generated or found.guide is not None:
            return
        with contextlib.suppress(OSError, ValueError, TypeError):
            if found.program is None:
                digest = hashlib.sha256(reading.data(Path(found.object_path))).hexdigest()
                found = replace(found, object_sha256=digest)
            kept = dict(list(self._kept().items())[-MOST_REMEMBERED + 1 :])
            kept[spec] = to_json(Remembered(os.uname().release, __version__, found, libbpf))
            durable.replace(self._path, json.dumps(kept).encode())

    def forget(self, spec: str) -> None:
        """Forget what a scheduler came to."""
        with contextlib.suppress(OSError):
            kept = {name: one for name, one in self._kept().items() if name != spec}
            durable.replace(self._path, json.dumps(kept).encode())

    def _kept(self) -> dict[str, Any]:
        try:
            return self._read()
        except (OSError, ValueError):
            return {}

    def _read(self) -> dict[str, Any]:
        found = reading.json_of(self._path, follow=False)
        if not isinstance(found, dict):
            raise ValueError("not an object")
        return found


def _has_changed(spec: AttachSpec) -> bool:
    """Return whether the source of one of ours has changed since; the holder checks files."""
    return spec.program is None and versions.of_source(spec.digest_of) != spec.digest
