# SPDX-License-Identifier: MIT
"""The running kernel's sched_ext state, read from sysfs and the kernel's log each time, never remembered.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from autotune.records import KernelState, SchedulerExit

SYSFS = Path("/sys/kernel/sched_ext")
_SYSRQ = "/proc/sysrq-trigger"
UNSUPPORTED = "unsupported"
"""Our name for a kernel without sched_ext; the other states (`enabling`, `enabled`, `disabling`, `disabled`) are its
own."""

LEAST_KERNEL = "6.14"
"""The first kernel with all functions that our schedulers call (`scx_bpf_now`); 6.12 has sched_ext, but not these."""

_FIRST_PAUSE_S = 0.0005
_LONGEST_PAUSE_S = 0.05
_MOST_READS = 5
_MOST_EVENTS = 64


def version_of(release: str) -> tuple[int, ...]:
    """Return major and minor number of a kernel release, for comparing."""
    return tuple(int(number) for number in re.findall(r"\d+", release)[:2])


def too_old(release: str) -> bool:
    """Return whether a kernel has sched_ext but lacks functions that our schedulers call; False where that is
    unknown."""
    return len(version_of(release)) == 2 and version_of(release) < version_of(LEAST_KERNEL)


def read_state(sysfs: Path = SYSFS) -> KernelState:
    """Read the state. The files are read one after another, so a switch in between may show parts that do not belong
    together; then they are read again. Files that are absent or vanish mean "nothing attached"."""
    for _ in range(_MOST_READS):
        seen = _read_once(sysfs)
        if seen.state == (_text(sysfs / "state") or UNSUPPORTED) and (seen.state != "enabled" or seen.ops):
            break
    return seen


def _read_once(sysfs: Path) -> KernelState:
    state = _text(sysfs / "state")
    if state is None:
        return KernelState(UNSUPPORTED, None, 0, 0, None)
    switch_all = _text(sysfs / "switch_all")
    return KernelState(
        state=state,
        ops=_text(sysfs / "root" / "ops") or None,
        enable_seq=_number(sysfs / "enable_seq"),
        nr_rejected=_number(sysfs / "nr_rejected"),
        switch_all=None if switch_all is None else switch_all != "0",
    )


def read_events(sysfs: Path = SYSFS) -> dict[str, int]:
    """Read what the kernel counts of the attached scheduler since it was attached, by name without SCX_EV_; empty
    without one, and where the kernel does not count."""
    lines = (_text(sysfs / "root" / "events") or "").splitlines()[:_MOST_EVENTS]
    found = (re.fullmatch(r"SCX_EV_(\w{1,60}) (\d{1,19})", line) for line in lines)
    return {one[1].lower(): int(one[2]) for one in found if one is not None}


def events_between(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return what was counted between two looks, but for zeros."""
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in grown.items() if count > 0}


def ops_matches(expected: str, shown: str | None) -> bool:
    """Return whether the kernel shows `expected`, as it is or with a suffix such as version and build
    (`bpfland_1.1.2_g7a58a3a_x86_64_unknown_linux_gnu`). A longer name (`at_fifo_2` for `at_fifo`) is a different
    scheduler."""
    return shown is not None and re.fullmatch(re.escape(expected) + r"(_v?\d+\.\d.*)?", shown) is not None


def wait_for(
    wanted: Callable[[KernelState], bool], timeout_s: float, *, sysfs: Path = SYSFS
) -> tuple[bool, KernelState]:
    """Read the state until `wanted` is true or time is up. Returns whether it became true, and the last state. Pauses
    begin at half a millisecond, since a switch usually takes only a few, and grow."""
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while True:
        state = read_state(sysfs)
        if wanted(state):
            return True, state
        if time.monotonic() >= deadline:
            return False, state
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


def eject(ops: str, sysfs: Path = SYSFS) -> bool:
    """Make the kernel eject the attached scheduler (SysRq-S) if it is `ops`. Needs root."""
    if not ops_matches(ops, read_state(sysfs).ops):
        return False
    try:
        with open(_SYSRQ, "wb", buffering=0) as file:
            file.write(b"S")
    except OSError:
        return False
    return True


class KernelLog:
    """The kernel's messages about schedulers from now on: the only source for a scheduler that keeps no exit record.
    Needs root where the log is restricted; empty without access. Close it."""

    def __init__(self, path: str = "/dev/kmsg") -> None:
        self._fd = -1
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._fd, 0, os.SEEK_END)

    def read(self) -> list[str]:
        """Return the messages since the last call."""
        found: list[str] = []
        while self._fd >= 0:
            try:
                record = os.read(self._fd, 8192)
            except BrokenPipeError:
                continue  # older messages were overwritten before we read them
            except OSError:
                break
            if not record:
                break
            head, _, message = record.partition(b";")
            text = message if head[:1].isdigit() else record
            found.append(text.decode(errors="replace").partition("\n")[0])
        return found

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


_KINDS = {
    "unregistered from user space": 64,
    "unregistered from BPF": 65,
    "unregistered from the main kernel": 66,
    "disabled by sysrq-S": 67,
    "scx_bpf_error": 1025,
    "runnable task stall": 1026,
}
"""Exit kinds by the kernel's wording (`enum scx_exit_kind`); any other wording counts as its general error, 1024."""


_DISABLED = re.compile(r'sched_ext: BPF scheduler "([^"]*)" disabled \((.*)\)')


def exit_in_log(messages: list[str], ops: str) -> SchedulerExit | None:
    """Read from the kernel's log why the scheduler `ops` went (`sched_ext: BPF scheduler "NAME" disabled (REASON)`);
    None when the log has no such line."""
    for index in reversed(range(len(messages))):
        found = _DISABLED.search(messages[index])
        if found and ops_matches(ops, found[1]):
            prefix = f"sched_ext: {found[1]}: "
            rest = (text.partition(prefix)[2] for text in messages[index + 1 :] if prefix in text)
            return SchedulerExit(kind_of(found[2]), 0, found[2], next(rest, ""))
    return None


_OWN_WORDS = frozenset({65, 1025})
"""Kinds whose message the scheduler wrote itself, by scx_bpf_exit and scx_bpf_error."""
_KERNEL_CODES = 1 << 48 | 1 << 32
"""SCX_ECODE_ACT_RESTART and SCX_ECODE_RSN_HOTPLUG: of all codes these two have a meaning of the kernel's."""


def in_kernel_words(record: SchedulerExit | None, logged: SchedulerExit | None) -> SchedulerExit | None:
    """Return why a generated scheduler went: what the kernel itself `logged`, else the bare kind in the `record`. That
    the scheduler keeps, and may fill with what it likes, such as another process's memory."""
    code = record.code & _KERNEL_CODES if record is not None else 0
    if logged is not None:
        return SchedulerExit(logged.kind, code, logged.reason, "" if logged.kind in _OWN_WORDS else logged.message)
    if record is None:
        return None
    words = {kind: reason for reason, kind in _KINDS.items()}
    kind = record.kind if record.kind in words else 1024
    return SchedulerExit(kind, code, words.get(kind, "runtime error"), "")


def without_own_words(messages: Iterable[str], ops: str) -> list[str]:
    """Return the kernel's messages about schedulers without those whose text the scheduler `ops` wrote."""
    own, kept = False, []
    for message in messages:
        ended = _DISABLED.search(message)
        if ended:
            own = ops_matches(ops, ended[1]) and kind_of(ended[2]) in _OWN_WORDS
        elif own and re.search(r"sched_ext: [^:]*: ", message):
            continue
        kept.append(message)
    return kept


def kind_of(reason: str) -> int:
    """Return the member of `enum scx_exit_kind` for the kernel's wording of a reason."""
    return _KINDS.get(reason, 1024)


def _text(path: Path) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text is not None and text.isdigit() else 0
