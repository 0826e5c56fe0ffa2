# SPDX-License-Identifier: MIT
"""A generated scheduler's first time on a host: for a bounded time, watched, and let go at once past a bound.

What always holds here:
- the guard is watching before the scheduler can be in charge: it arms itself when the kernel says that it is;
- the guard and who lets go are real-time threads where that is allowed, which no sched_ext scheduler can delay; the
  probe is an ordinary thread (SCHED_EXT in partial mode), since it is to be delayed like everybody else;
- a wake-up that has not come yet counts as late as it is by now: a probe that never wakes again is noticed;
- past a bound, and when the watch itself fails, the scheduler is let go; where that takes long, as root, by the kernel
  itself (SysRq-S), which needs no other process to be given the CPU;
- whatever is raised, what was attached is let go.

docs/verification-canary.md tells the bounds with their reasons, and what this cannot see. Standard library only, since
it runs beside what runs as root.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from autotune.errors import AutotuneError
from autotune.records import Attachment, Detachment, KernelState, SchedulerExit, to_json
from autotune.schedext.attach import exit_text
from autotune.schedext.kernel import SYSFS, ops_matches, read_state

WATCH_S = 10.0
"""How long a canary lasts. What a scheduler does only later is for the watch during its measured runs."""
PARTIAL_SHARE = 0.3
"""Of that time in partial mode first, where the scheduler can: only our own probe and load are at stake then."""
LOOK_S = 2.0
"""How long the kernel's own scheduler is looked at before: 100 wake-ups."""
LOOKS = 3
"""Where the machine is too busy to tell, it is looked at so often: a peak may pass."""
PROBE_PERIOD_S = 0.02
"""Twice as often would cost twice as much, and with that, where a wake-up is dear (a cloud VM), over 1 % of a CPU."""
GUARD_PERIOD_S = 0.1
"""How soon a wake-up that does not come is noticed: a tenth of the second within which all must be over."""
SENSE_PERIOD_S = 0.5
"""Pressure and state are read so often. When an ejection is seen the kernel has done what was to be done already."""
LAST_RESORT_AFTER_S = 0.4
"""Letting go takes 60 ms even under emulation. After this the kernel is told directly, well within the second."""
GIVE_UP_S = 5.0
"""After this it is said that the scheduler is still attached."""
RELEASE_S = 65.0
"""How long `release` may take to return once the kernel has let go: more than the holder's client waits."""

_LEAST_WAKES = 3
_LOOK_AGAIN_S = 0.02  # from a real-time thread: more often would keep the holder from its work on a slow machine
_HOG_CPU_S = 120
_SCHED_EXT = 7  # enum in the kernel's include/uapi/linux/sched.h; Python has no name for it
_SYSRQ = "/proc/sysrq-trigger"

BoundName = Literal["wake-up latency", "wake-up latency p99", "CPU pressure", "sched_ext state", "watch"]
Mode = Literal["partial", "whole"]
GuardKind = Literal["real-time", "ordinary"]


@dataclass(frozen=True)
class Bounds:
    """Past any of these a scheduler is let go. Those with a factor are relative to the look before: a slow machine, or
    one that is emulated, is compared with itself."""

    late_s: float = 0.25
    """One wake-up so late is seen by whoever sits before the machine, and a watchdog or a heartbeat may be missed."""
    late_factor: float = 20.0
    """And it must be far beyond the p99 of before: the worst of 500 is several times the p99 on a busy machine."""
    late_worst_factor: float = 2.0
    """And twice the worst of before: what the kernel's own scheduler did too is no fault."""
    p99_s: float = 0.05
    """Wake-ups late by this again and again, within one second, make a machine feel stuck. A queue of two behind
    slices of 20 ms, the longest that our own schedulers give, stays below."""
    p99_factor: float = 10.0
    window_s: float = 1.0
    pressure_rise: float | None = 0.5
    """How much more of the time (0 to 1) some task may wait for a CPU than before; None: not judged, as in measured
    runs, whose workload makes the pressure. On a machine that was under half pressure before it judges nothing."""
    pressure_for_s: float = 3.0
    """And for how long without a pause: a build or an update that starts makes a peak, a CPU left idle lasts."""
    busy_p99_s: float = 0.1
    """Where the kernel's own scheduler is so late already, nothing can be told: the canary is not begun."""


RUN_BOUNDS = Bounds(late_s=1.0, p99_s=0.5, pressure_rise=None)
"""For measured runs, whose workload fills the queues: eight tasks a CPU in turn, with slices of 20 ms, keep each one
waiting for 160 ms, and that is no fault. But a machine whose wake-ups take half a second again and again is stuck."""


class Wake(NamedTuple):
    """One wake-up of the probe: when it ran, and how long after it should have, on the monotonic clock."""

    at_s: float
    late_s: float


@dataclass(frozen=True)
class Look:
    """How a machine was before: what bounds are relative to. `pressure_share` is None where the kernel shows none."""

    wakes: int = 0
    p99_s: float = 0.0
    worst_s: float = 0.0
    pressure_share: float | None = None


@dataclass(frozen=True)
class Breach:
    """A bound that was passed. `since_s` is the moment when it was, `noticed_s` when the guard saw it."""

    bound: BoundName
    value: float | str
    limit: float | str
    since_s: float
    noticed_s: float
    stood_still: bool = False
    """The guard, which no scheduler delays, was late as well: the machine paused, and it is nobody's fault."""

    def text(self) -> str:
        """`wake-up latency: 412 ms, limit 250 ms`."""
        unit = "%" if self.bound == "CPU pressure" else "ms"
        return f"{self.bound}: {_shown(self.value, unit)}, limit {_shown(self.limit, unit)}"


def _shown(value: float | str, unit: str) -> str:
    if isinstance(value, str):
        return value
    return f"{value * (100 if unit == '%' else 1000):.0f} {unit}"


# --- the bounds: pure ------------------------------------------------------------------------------------


def high_percentile(values: Sequence[float], share: float = 0.99) -> float:
    """The percentile by nearest rank, the largest value set aside where there are others: of less than 100 it
    would be the p99, and one late wake-up has a bound of its own. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    rank = max(1, min(math.ceil(share * len(values)), len(values) - 1))
    return sorted(values)[rank - 1]


class LateWindow:
    """The wake-ups of the last `window_s`."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._wakes: deque[Wake] = deque()

    def add(self, wake: Wake) -> None:
        self._wakes.append(wake)
        while self._wakes[0].at_s <= wake.at_s - self._window_s:
            self._wakes.popleft()

    def p99_s(self) -> float | None:
        """None as long as there are too few to say."""
        return None if len(self._wakes) < _LEAST_WAKES else high_percentile([wake.late_s for wake in self._wakes])


class Judge:
    """Holds what is seen against the bounds. Each method returns a breach or None, and keeps the worst for the report.
    `ops` is None under the kernel's own scheduler, which no bound applies to."""

    def __init__(self, bounds: Bounds, before: Look, ops: str | None) -> None:
        self._bounds = bounds
        self._ops = ops
        self._window = LateWindow(bounds.window_s)
        self._totals: deque[tuple[float, float]] = deque()
        self._pressed_since_s: float | None = None
        self.seq_before = -1
        self.enable_seq: int | None = None
        self.late_limit_s = max(
            bounds.late_s, bounds.late_factor * before.p99_s, bounds.late_worst_factor * before.worst_s
        )
        self.p99_limit_s = max(bounds.p99_s, bounds.p99_factor * before.p99_s)
        rise, share = bounds.pressure_rise, before.pressure_share
        self.pressure_limit = None if rise is None or share is None else share + rise
        self.count = 0
        self.worst_s = 0.0
        self.worst_p99_s = 0.0
        self.worst_pressure: float | None = None

    def wakes(self, now_s: float, wakes: Iterable[Wake]) -> Breach | None:
        found: Breach | None = None
        for wake in wakes:
            self.count += 1
            self.worst_s = max(self.worst_s, wake.late_s)
            self._window.add(wake)
            if wake.late_s > self.late_limit_s:
                found = found or self._late(now_s, wake.at_s - wake.late_s, wake.late_s)
        p99_s = self._window.p99_s() or 0.0
        self.worst_p99_s = max(self.worst_p99_s, p99_s)
        if found is None and self._ops is not None and p99_s > self.p99_limit_s:
            return Breach("wake-up latency p99", p99_s, self.p99_limit_s, now_s, now_s)
        return found

    def overdue(self, now_s: float, due_s: float) -> Breach | None:
        """A wake-up that was due then and has not come."""
        late_s = now_s - due_s
        self.worst_s = max(self.worst_s, late_s)
        return self._late(now_s, due_s, late_s) if late_s > self.late_limit_s else None

    def _late(self, now_s: float, due_s: float, late_s: float) -> Breach | None:
        limit_s = self.late_limit_s
        return None if self._ops is None else Breach("wake-up latency", late_s, limit_s, due_s + limit_s, now_s)

    def pressure(self, now_s: float, total_s: float | None) -> Breach | None:
        """`total_s` counts how long some task has waited for a CPU; None where the kernel does not."""
        if total_s is None:
            return None
        self._totals.append((now_s, total_s))
        while len(self._totals) > 2 and self._totals[1][0] <= now_s - self._bounds.window_s:
            self._totals.popleft()
        first_s, first_total_s = self._totals[0]
        if now_s - first_s < self._bounds.window_s / 2:
            return None
        share = max(0.0, total_s - first_total_s) / (now_s - first_s)
        self.worst_pressure = max(self.worst_pressure or 0.0, share)
        if self.pressure_limit is None or self._ops is None or share <= self.pressure_limit:
            self._pressed_since_s = None
            return None
        if self._pressed_since_s is None:
            self._pressed_since_s = now_s
        since_s = self._pressed_since_s + self._bounds.pressure_for_s
        return None if now_s < since_s else Breach("CPU pressure", share, self.pressure_limit, since_s, now_s)

    def state(self, now_s: float, seen: KernelState) -> Breach | None:
        """Whether the expected scheduler is (still) in charge, and is so since it was first seen to be."""
        if self._ops is None or self.in_charge(seen):
            return None
        shown = f"{seen.state} ({seen.ops})" if seen.ops else seen.state
        if seen.state == "enabled" and ops_matches(self._ops, seen.ops):
            shown += ", attached anew"
        return Breach("sched_ext state", shown, f"enabled ({self._ops})", now_s, now_s)

    def in_charge(self, seen: KernelState) -> bool:
        if seen.state != "enabled" or self._ops is None or not ops_matches(self._ops, seen.ops):
            return False
        # The kernel says `enabled` a moment before it counts: the number of before is not yet that of ours.
        return seen.enable_seq > self.seq_before if self.enable_seq is None else seen.enable_seq == self.enable_seq


# --- the senses ------------------------------------------------------------------------------------------


HOLDER_PRIORITY, GUARD_PRIORITY = 1, 2
"""Real-time priorities, the least there are: the guard is not to wait for a holder that loads a scheduler."""


def lift(tid: int = 0, priority: int = GUARD_PRIORITY) -> bool:
    """Make a thread (0: this one; a process: its main thread) real-time: no sched_ext scheduler can delay it then. Not
    inherited by what it starts. False where that is not allowed, which it is to root."""
    try:
        os.sched_setscheduler(tid, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError:
        return False
    return True


class Probe(Protocol):
    """What feels the scheduler. `due_s` is when its next wake-up is due; None before the first."""

    cpu_s: float

    @property
    def due_s(self) -> float | None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def take(self) -> list[Wake]: ...


class WakeProbe:
    """A thread that sleeps and notes how late it wakes. `partial`: under SCHED_EXT, since a scheduler attached in
    partial mode has no other tasks. `cpu_s`: what it used, known once it has ended. Lateness is from the deadline to
    the thread's next step, so it includes waiting for Python's lock, some ms at most."""

    def __init__(self, partial: bool) -> None:
        self._partial = partial
        self._due_s: float | None = None
        self._wakes: deque[Wake] = deque()
        self._stopping = False
        self._started = threading.Event()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="at-probe", daemon=True)
        self.cpu_s = 0.0

    @property
    def due_s(self) -> float | None:
        return self._due_s

    def start(self) -> None:
        """Raises AutotuneError where the kernel has no SCHED_EXT, and it is to be under that."""
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise AutotuneError(
                f"the watch cannot be under SCHED_EXT: {self._error.strerror}",
                hint="partial mode needs a kernel with sched_ext (Linux 6.14 or later)",
                stage="canary",
            )

    def stop(self) -> None:
        """It ends with its next wake-up, which is waited for: by now nothing delays it any more."""
        self._stopping = True
        if self._thread.ident is not None:
            self._thread.join(GIVE_UP_S)

    def take(self) -> list[Wake]:
        """The wake-ups since the last time."""
        taken = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._wakes.popleft())
        return taken

    def _run(self) -> None:
        try:
            if self._partial:
                os.sched_setscheduler(0, _SCHED_EXT, os.sched_param(0))
        except OSError as error:
            self._error = error
            return
        finally:
            self._started.set()
        while not self._stopping:
            self._due_s = due_s = time.monotonic() + PROBE_PERIOD_S
            time.sleep(max(0.0, due_s - time.monotonic()))
            now_s = time.monotonic()
            self._wakes.append(Wake(now_s, max(0.0, now_s - due_s)))
        self.cpu_s = time.thread_time()


class Pressure:
    """How long some task has waited for a CPU since boot, in s; None where the kernel does not count it."""

    def __init__(self, path: str = "/proc/pressure/cpu") -> None:
        self._fd = -1
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> float | None:
        try:
            line = os.pread(self._fd, 256, 0).partition(b"\n")[0]
            return int(line.rpartition(b"total=")[2]) / 1e6
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


@dataclass(frozen=True)
class Senses:
    """Where the watch looks: the kernel's files, its clock, and what feels the scheduler. Others are for tests."""

    sysfs: Path = SYSFS
    pressure_path: str = "/proc/pressure/cpu"
    now: Callable[[], float] = time.monotonic
    probe: Callable[[bool], Probe] = WakeProbe
    last_resort: Callable[[str, Path], bool] = field(default_factory=lambda: tell_kernel)

    def state(self) -> KernelState:
        return read_state(self.sysfs)


def tell_kernel(ops: str, sysfs: Path) -> bool:
    """Have the kernel itself go back to its own scheduler (SysRq-S), if `ops` is what is attached. Needs root."""
    if not ops_matches(ops, read_state(sysfs).ops):
        return False
    try:
        with open(_SYSRQ, "wb", buffering=0) as file:
            file.write(b"S")
    except OSError:
        return False
    return True


def look(seconds: float = LOOK_S, *, partial: bool = False, senses: Senses | None = None) -> Look:
    """How the machine is now: to be taken under the kernel's own scheduler, with the load that will be there."""
    senses = senses or Senses()
    probe, pressure = senses.probe(partial), Pressure(senses.pressure_path)
    try:
        started_s, before_s = senses.now(), pressure.read()
        probe.start()
        time.sleep(seconds)
        wakes = [wake.late_s for wake in probe.take()]
        after_s, elapsed_s = pressure.read(), senses.now() - started_s
    finally:
        probe.stop()
        pressure.close()
    share = None if before_s is None or after_s is None else max(0.0, after_s - before_s) / max(elapsed_s, 1e-9)
    if not wakes:  # not once in all that time: nothing can be judged here, and `run` will say so
        return Look(0, seconds, seconds, share)
    return Look(len(wakes), high_percentile(wakes), max(wakes), share)


# --- the breaker -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reaction:
    """How letting go went after a breach, in s from the moment when the bound was passed."""

    noticed_after_s: float
    detached_after_s: float | None
    """Until the kernel was back on its own scheduler; None when it was not within GIVE_UP_S."""
    by: Literal["release", "last resort", "kernel"]


class Breaker:
    """Lets go of a scheduler, once, from a thread of its own: at the end, or past a bound.

    `release` must be safe to be called from another thread. It is not called before `attached`, since who is still
    attaching cannot be told to let go; until then only the last resort is left."""

    def __init__(self, release: Callable[[], Detachment | None], ops: str, senses: Senses) -> None:
        self._release = release
        self._ops = ops
        self._senses = senses
        self._go, self._attached, self._done = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="at-release", daemon=True)
        self.lifted = False
        self.detachment: Detachment | None = None
        self.error: AutotuneError | None = None
        self.reaction: Reaction | None = None

    @property
    def going(self) -> bool:
        """It was told to let go."""
        return self._go.is_set()

    def start(self) -> None:
        self._thread.start()

    def attached(self) -> None:
        self._attached.set()

    def let_go(self) -> None:
        self._go.set()

    def trip(self, breach: Breach) -> None:
        """Let go and look until the kernel has; for the guard."""
        by: Literal["release", "last resort", "kernel"] = "release" if self._in_charge() else "kernel"
        self._go.set()
        started_s = self._senses.now()
        patience_s = LAST_RESORT_AFTER_S if self._attached.is_set() else 0.0
        told = False
        while self._in_charge() and self._senses.now() - started_s < GIVE_UP_S:
            if not told and self._senses.now() - started_s >= patience_s:
                told = True
                by = "last resort" if self._senses.last_resort(self._ops, self._senses.sysfs) else by
            time.sleep(_LOOK_AGAIN_S)
        gone_s = None if self._in_charge() else self._senses.now() - breach.since_s
        self.reaction = Reaction(breach.noticed_s - breach.since_s, gone_s, by)

    def _in_charge(self) -> bool:
        """Ours is attached, or on its way out; another one is not ours to judge."""
        seen = self._senses.state()
        gone = seen.state in ("disabled", "unsupported")
        return not gone and (seen.ops is None or ops_matches(self._ops, seen.ops))

    def finish(self) -> None:
        """Let go if that was not done, and wait until it is. Nothing is raised: `error` says what went wrong."""
        self._go.set()
        if not self._done.wait(RELEASE_S):
            self.error = AutotuneError(f"letting go of {self._ops} did not end within {RELEASE_S:g} s", stage="canary")

    def cancel(self) -> None:
        """Nothing was attached: end without calling `release`."""
        self._release = lambda: None
        self._attached.set()
        self.finish()

    def _run(self) -> None:
        self.lifted = lift()
        self._go.wait()
        self._attached.wait()
        try:
            self.detachment = self._release()
        except AutotuneError as error:
            self.error = error
        except Exception as error:  # whatever it is must not end as a traceback of a thread that nobody sees
            self.error = AutotuneError(f"{type(error).__name__}: {error}", stage="canary")
        finally:
            self._done.set()


# --- the watch -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched:
    """What a watch saw, start to end."""

    mode: Mode
    watched_s: float
    wakes: int
    worst_s: float
    worst_p99_s: float
    """Of any one second."""
    worst_pressure: float | None
    """Of any one second; None where the kernel does not count it."""
    guard: GuardKind
    cpu_share: float
    """CPU time of probe and guard per second watched."""

    def as_look(self) -> Look:
        """What the watch of a baseline run saw, as what the runs of its candidates are held against."""
        return Look(self.wakes, self.worst_p99_s, self.worst_s, self.worst_pressure)


class Watch:
    """Watches while a scheduler is attached, in a canary or a measured run: `start` before it is attached, `stop` when
    it was let go. `breach` is None as long as all is well. With `breaker` None it only watches, which is how a
    baseline run bears the same cost. `lift` makes the guard real-time where this process may not."""

    def __init__(
        self,
        ops: str | None,
        before: Look,
        breaker: Breaker | None,
        *,
        bounds: Bounds | None = None,
        partial: bool = False,
        senses: Senses | None = None,
        lift: Callable[[int], bool] = lift,
    ) -> None:
        self._ops = ops
        self._breaker = breaker
        self._senses = senses or Senses()
        self._partial = partial
        self._lift = lift
        self._judge = Judge(bounds or Bounds(), before, ops)
        self._probe = self._senses.probe(partial)
        self._pressure = Pressure(self._senses.pressure_path)
        self._breach: Breach | None = None
        self._armed_s: float | None = None
        self._sense_at_s = 0.0
        self._stepped_s: float | None = None
        self._lifted = False
        self._stopping = threading.Event()  # not waited for: see _run
        self._breached = threading.Event()
        self._guard = threading.Thread(target=self._run, name="at-guard", daemon=True)
        self._guard_cpu_s = 0.0
        self._started_s = 0.0

    @property
    def breach(self) -> Breach | None:
        return self._breach

    def wait(self, timeout_s: float) -> Breach | None:
        """Until a breach was dealt with, or the time is over."""
        self._breached.wait(timeout_s)
        return self._breach

    def start(self) -> None:
        """Raises AutotuneError where the probe cannot be under SCHED_EXT."""
        self._started_s = self._senses.now()
        self._judge.seq_before = self._senses.state().enable_seq
        self._probe.start()
        self._guard.start()

    def stop(self) -> Watched:
        """Ends probe and guard; may be called again, and after a `start` that failed."""
        self._stopping.set()
        if self._guard.ident is not None:
            self._guard.join(2 * GIVE_UP_S)
        self._probe.stop()
        self._pressure.close()
        watched_s = self._senses.now() - self._started_s
        judge = self._judge
        return Watched(
            mode="partial" if self._partial else "whole",
            watched_s=watched_s,
            wakes=judge.count,
            worst_s=judge.worst_s,
            worst_p99_s=judge.worst_p99_s,
            worst_pressure=judge.worst_pressure,
            guard="real-time" if self._lifted else "ordinary",
            cpu_share=(self._probe.cpu_s + self._guard_cpu_s) / max(watched_s, 1e-9),
        )

    def _run(self) -> None:
        self._lifted = self._lift(threading.get_native_id())
        try:
            while not self._stopping.is_set():
                time.sleep(GUARD_PERIOD_S)  # half of what waiting for the event would cost
                found = self.step(self._senses.now())
                if found is not None:
                    self._trip(found)
                    break
        except Exception as error:  # a watch that is broken watches nothing: let go
            now_s = self._senses.now()
            self._trip(Breach("watch", f"{type(error).__name__}: {error}", "no error", now_s, now_s))
        self._guard_cpu_s = time.thread_time()

    def _trip(self, breach: Breach) -> None:
        self._breach = breach
        if self._breaker is not None:
            self._breaker.trip(breach)
        self._breached.set()

    def step(self, now_s: float) -> Breach | None:
        """Look once. What was before the scheduler was in charge, and after it was told to go, is not held against
        it."""
        paused_s = 0.0 if self._stepped_s is None else now_s - self._stepped_s - GUARD_PERIOD_S
        self._stepped_s = now_s
        if self._armed_s is None and not self._arm(now_s):
            return None
        if self._breaker is not None and self._breaker.going:
            return None
        found = self._latency(now_s)
        if found is not None or now_s >= self._sense_at_s:
            self._sense_at_s = now_s + SENSE_PERIOD_S
            # an ejection explains the rest
            found = self._judge.state(now_s, self._senses.state()) or found
            found = found or self._judge.pressure(now_s, self._pressure.read())
        # Let go by now, by an end in good order: no breach, whatever the state was meanwhile.
        if found is None or (self._breaker is not None and self._breaker.going):
            return None
        beyond_scheduler = self._lifted or self._partial
        if beyond_scheduler and isinstance(found.limit, float) and paused_s >= self._judge.late_limit_s / 2:
            return Breach(found.bound, found.value, found.limit, found.since_s, found.noticed_s, stood_still=True)
        return found

    def _arm(self, now_s: float) -> bool:
        """True once the scheduler is in charge; from then on it is judged."""
        seen = self._senses.state() if self._ops is not None else None
        if seen is not None and not self._judge.in_charge(seen):
            self._probe.take()
            return False
        self._judge.enable_seq = None if seen is None else seen.enable_seq
        self._probe.take()
        self._armed_s = now_s
        return True

    def _latency(self, now_s: float) -> Breach | None:
        assert self._armed_s is not None
        # A wake-up that was due before, while the scheduler was being attached, is late from here on only.
        wakes = [Wake(at_s, min(late_s, at_s - self._armed_s)) for at_s, late_s in self._probe.take()]
        due_s = max(self._probe.due_s or 0.0, self._armed_s)
        found = self._judge.wakes(now_s, [wake for wake in wakes if wake.late_s >= 0.0])
        if found is None and due_s < now_s:
            found = self._judge.overdue(now_s, due_s)
        return found


# --- the load --------------------------------------------------------------------------------------------


class Load:
    """Tasks that want the CPU all the time, one a CPU, so that a scheduler has to choose: nice 19, so that others are
    disturbed least. They end with us, even by SIGKILL, and in any case after two minutes of CPU time."""

    _SCRIPT = 'ulimit -t "$2"; while kill -0 "$1"; do i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; done'

    def __init__(self, count: int | None = None) -> None:
        self._count = len(os.sched_getaffinity(0)) if count is None else count
        self._hogs: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Load:
        argv = ["nice", "-n", "19", "sh", "-c", self._SCRIPT, "sh", str(os.getpid()), str(_HOG_CPU_S)]
        try:
            for _ in range(self._count):
                self._hogs.append(
                    subprocess.Popen(
                        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                    )
                )
        except OSError as error:
            self.__exit__()
            raise AutotuneError(f"the canary's load cannot be started: {error.strerror}", stage="canary") from error
        return self

    def __exit__(self, *_: object) -> None:
        for hog in self._hogs:
            hog.kill()
        for hog in self._hogs:
            hog.wait()
        self._hogs = []

    def be_partial(self, partial: bool) -> None:
        """Put the load under SCHED_EXT, or back."""
        for hog in self._hogs:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(hog.pid, _SCHED_EXT if partial else os.SCHED_OTHER, os.sched_param(0))


# --- the canary ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """How a canary ended. `numbers` is JSON: the look before, each stage, the reaction to a breach."""

    passed: bool
    reason: str
    """Which bound, value and limit, or the kernel's word; empty when it passed."""
    fault: bool
    """The scheduler is to blame: a strike. False when it passed, when the machine is too busy or paused, and when
    somebody else let go of it."""
    breach: Breach | None
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What a canary needs to know of its candidate and how it is watched. `hogs` is the number of load tasks; None: one
    a CPU."""

    ops: str
    can_be_partial: bool
    bounds: Bounds = Bounds()
    watch_s: float = WATCH_S
    look_s: float = LOOK_S
    hogs: int | None = None
    senses: Senses = field(default_factory=Senses)
    lift: Callable[[int], bool] = lift

    def stages(self) -> Iterator[tuple[Mode, float]]:
        """Modes in turn, and for how long each."""
        partial_s = self.watch_s * PARTIAL_SHARE if self.can_be_partial else 0.0
        if self.can_be_partial:
            yield "partial", partial_s
        yield "whole", self.watch_s - partial_s


def run(attach: Callable[[bool], Attachment], release: Callable[[], Detachment], plan: Plan) -> Outcome:
    """Attach (True: in partial mode), watch, let go, for each stage until one fails. Nothing is attached when this
    returns. Raises what `attach` raises, and AutotuneError when the scheduler could not be let go: then the host is not
    given back, and no session may go on."""
    numbers: dict[str, Any] = {"stages": []}
    with Load(plan.hogs) as load:
        # SCHED_EXT is served like any other policy while nothing is attached: one look does for both stages.
        before = _look_at_a_calm_moment(plan)
        numbers["look"] = to_json(before)
        if before.p99_s > plan.bounds.busy_p99_s:
            return Outcome(False, _too_busy(before, plan.bounds), False, None, numbers)
        for mode, stage_s in plan.stages():
            load.be_partial(mode == "partial")
            outcome = _stage(attach, release, plan, mode, stage_s, before, numbers)
            if not outcome.passed:
                return outcome
    return Outcome(True, "", False, None, numbers)


def _look_at_a_calm_moment(plan: Plan) -> Look:
    """The first look that bounds can be relative to, else the last."""
    for _ in range(LOOKS):
        seen = look(plan.look_s, senses=plan.senses)
        if seen.p99_s <= plan.bounds.busy_p99_s:
            break
    return seen


def _stage(
    attach: Callable[[bool], Attachment],
    release: Callable[[], Detachment],
    plan: Plan,
    mode: Mode,
    stage_s: float,
    before: Look,
    numbers: dict[str, Any],
) -> Outcome:
    partial = mode == "partial"
    breaker = Breaker(release, plan.ops, plan.senses)
    watch = Watch(plan.ops, before, breaker, bounds=plan.bounds, partial=partial, senses=plan.senses, lift=plan.lift)
    breaker.start()
    try:
        watch.start()
        attach(partial)
    except BaseException as error:
        breaker.cancel()
        watched = watch.stop()
        if watch.breach is None or not isinstance(error, AutotuneError):
            raise
    else:
        breaker.attached()
        try:
            watch.wait(stage_s)
        finally:
            breaker.finish()
            watched = watch.stop()
    numbers["stages"].append(to_json(watched))
    _insist_on_gone(plan, breaker)
    return _outcome(watch.breach, breaker, numbers)


def _insist_on_gone(plan: Plan, breaker: Breaker) -> None:
    seen = plan.senses.state()
    if seen.state in ("disabled", "unsupported") or not ops_matches(plan.ops, seen.ops):
        return
    why = f" ({breaker.error.message})" if breaker.error is not None else ""
    raise AutotuneError(
        f"{plan.ops} could not be let go: state is {seen.state}{why}",
        hint="press Alt-SysRq-S or run 'echo S > /proc/sysrq-trigger' as root",
        stage="canary",
    )


def _outcome(breach: Breach | None, breaker: Breaker, numbers: dict[str, Any]) -> Outcome:
    gone = breaker.detachment.exit if breaker.detachment is not None else None
    numbers["exit"] = to_json(gone)
    if breaker.reaction is not None:
        numbers["reaction"] = to_json(breaker.reaction)
    thrown_out = gone is not None and gone.is_error
    if breach is None and not thrown_out:
        if breaker.error is not None:
            return Outcome(False, f"letting go failed: {breaker.error.message}", False, None, numbers)
        return Outcome(True, "", False, None, numbers)
    return Outcome(False, _reason(breach, gone), is_fault(breach, gone), breach, numbers)


def _reason(breach: Breach | None, gone: SchedulerExit | None) -> str:
    """The kernel's own word where it threw the scheduler out; else the bound."""
    if gone is not None and (gone.is_error or breach is None or breach.bound == "sched_ext state"):
        return exit_text(gone)
    return breach.text() if breach is not None else "unknown"


def is_fault(breach: Breach | None, gone: SchedulerExit | None) -> bool:
    """Whether the scheduler is to blame, so that it counts as a strike. One that the kernel threw out is. One that is
    gone otherwise was let go by somebody else, or its holder died."""
    if gone is not None and gone.is_error:
        return True
    if breach is None or breach.bound in ("watch", "sched_ext state"):
        return False
    return not breach.stood_still


def _too_busy(before: Look, bounds: Bounds) -> str:
    seen, most = _shown(before.p99_s, "ms"), _shown(bounds.busy_p99_s, "ms")
    return f"the machine is too busy for a canary: wake-ups are {seen} late before it (p99), limit {most}"
