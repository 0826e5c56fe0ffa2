# SPDX-License-Identifier: MIT
"""The guide beside a scheduler: a tracing object that looks each task up among what earlier runs took, and shares the
map of what it found with the scheduler. Standard library only; runs as root."""

from __future__ import annotations

import struct

from autotune.errors import AttachError
from autotune.records import GuideSpec
from autotune.schedext.libbpf import BpfObject, Libbpf

SHARED_MAP = "at_expectations"
"""AT_EXPECTED of bpf_src/include/at_expected.h."""
KNOWN = "known"
LONGEST = "longest_ns"
_U64 = struct.Struct("=Q")
MOST_NS = (1 << 63) - 1


class Guide:
    """The guide of one attached scheduler. Raises AttachError when the kernel refuses it, or an expectation is none."""

    def __init__(self, lib: Libbpf, spec: GuideSpec) -> None:
        self._object: BpfObject = lib.open(spec.object_path, spec.object_sha256)
        try:
            expected = spec.expectations
            self._object.set_knob(LONGEST, _bounded(expected.longest_ns))
            self._object.load()
            for number, chain_ns in expected.chains_ns.items():
                self._object.put(KNOWN, _number(number), _U64.pack(_bounded(chain_ns)))
        except BaseException:
            self._object.close()
            raise

    def lend(self, scheduler: BpfObject) -> None:
        """Let the scheduler, which is not loaded yet, read what is found of each task."""
        scheduler.share_map(SHARED_MAP, self._object)

    def attach(self) -> None:
        """Look up each task that is forked or executes a program from now on."""
        self._object.attach_programs()

    def close(self) -> None:
        self._object.close()


def asks(scheduler: BpfObject) -> bool:
    """Return whether a scheduler asks what to expect of tasks."""
    return scheduler.has_map(SHARED_MAP)


def _bounded(value_ns: int) -> int:
    if not 0 <= value_ns <= MOST_NS:
        raise AttachError(f"{value_ns} ns is no time that can be expected of a task")
    return value_ns


def _number(text: str) -> bytes:
    if not text.isdecimal() or len(text) > 20 or int(text) >= 1 << 64:
        raise AttachError(f"'{text[:40]}' is no number of a task")
    return _U64.pack(int(text))
