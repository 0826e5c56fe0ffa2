# SPDX-License-Identifier: MIT
"""The watch over an attached scheduler, and the breaker that detaches it past a bound. Standard library only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

from autotune.canary.bounds import Bounds, Breach, GuardKind, Judge, Look, Mode
from autotune.canary.senses import DETACH_S, KeptState, Pressure, Senses, lift
from autotune.errors import AutotuneError, DetachError
from autotune.frozen import dataclass
from autotune.measure.wakeups import Wake
from autotune.records import Detachment
from autotune.schedext.kernel import ops_matches

SENSE_PERIOD_S = 0.5
"""How often pressure and state are read. When an ejection is seen, the kernel has already done what is needed."""
LAST_RESORT_AFTER_S = 0.4
"""How long detaching may take before the kernel is made to eject the scheduler, well within the second. It takes 60 ms
even under emulation."""
DETACH_CALL_S = 65.0
"""How long `detach` may take to return once the scheduler is gone: longer than the holder's client waits."""
_LOOK_AGAIN_S = 0.02  # from a real-time thread: a shorter pause would keep the holder from its work on a slow machine


@dataclass(frozen=True)
class Reaction:
    """Detaching after a breach, in s from the moment when the bound was exceeded."""

    noticed_after_s: float
    detached_after_s: float | None
    """Until the kernel was back on its own scheduler; None when it was not within DETACH_S."""
    by: Literal["detach", "last resort", "kernel"]


class Breaker:
    """Detaches a scheduler once, from a thread of its own: at the end, or after a breach.

    `detach` must be safe to call from another thread. It is not called before `attached`, because an attach in progress
    cannot be cancelled; until then only the last resort is left."""

    def __init__(self, detach: Callable[[], Detachment | None], ops: str, senses: Senses) -> None:
        self._detach = detach
        self._ops = ops
        self._senses = senses
        self._go, self._attached, self._done = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="at-detach", daemon=True)
        self.detachment: Detachment | None = None
        self.error: AutotuneError | None = None
        self.reaction: Reaction | None = None

    @property
    def is_detaching(self) -> bool:
        """Whether detaching was requested."""
        return self._go.is_set()

    def start(self) -> None:
        self._thread.start()

    def attached(self) -> None:
        self._attached.set()

    def trip(self, breach: Breach) -> None:
        """Detach, and watch until the scheduler is gone; called by the guard."""
        by: Literal["detach", "last resort", "kernel"] = "detach" if self._in_charge() else "kernel"
        self._go.set()
        started_s = self._senses.now()
        patience_s = LAST_RESORT_AFTER_S if self._attached.is_set() else 0.0
        is_ejected = False
        while self._in_charge() and self._senses.now() - started_s < DETACH_S:
            if not is_ejected and self._senses.now() - started_s >= patience_s:
                is_ejected = True
                by = "last resort" if self._senses.last_resort(self._ops, self._senses.sysfs) else by
            time.sleep(_LOOK_AGAIN_S)
        gone_s = None if self._in_charge() else self._senses.now() - breach.since_s
        self.reaction = Reaction(breach.noticed_s - breach.since_s, gone_s, by)

    def _in_charge(self) -> bool:
        """Return whether ours is attached, or on its way out; another one is not ours to judge."""
        seen = self._senses.state()
        gone = seen.state in ("disabled", "unsupported")
        return not gone and (seen.ops is None or ops_matches(self._ops, seen.ops))

    def finish(self) -> None:
        """Detach unless that was done, and wait for it. Raises nothing: what went wrong is in `error`."""
        self._go.set()
        if not self._done.wait(DETACH_CALL_S):
            self.error = DetachError(f"detaching {self._ops} did not end within {DETACH_CALL_S:g} s", stage="canary")

    def cancel(self) -> None:
        """End without calling `detach`: nothing was attached."""
        self._detach = lambda: None
        self._attached.set()
        self.finish()

    def _run(self) -> None:
        lift()
        self._go.wait()
        self._attached.wait()
        try:
            self.detachment = self._detach()
        except AutotuneError as error:
            self.error = error
        except Exception as error:  # nobody would see the traceback of this thread
            self.error = AutotuneError(f"{type(error).__name__}: {error}", stage="canary")
        finally:
            self._done.set()


@dataclass(frozen=True)
class WatchResult:
    """The results of a watch from start to end."""

    mode: Mode
    watched_s: float
    wakes: int
    worst_s: float
    worst_p99_s: float
    """Largest of any one second."""
    worst_pressure: float | None
    """Largest share of any one second; None where the kernel does not count it."""
    guard: GuardKind
    cpu_share: float
    """CPU time of probe and guard per second watched."""

    def as_look(self) -> Look:
        """Return the watch of a baseline run as the look that its candidates are compared with."""
        return Look(self.wakes, self.worst_p99_s, self.worst_s, self.worst_pressure)


class Watch:
    """Watches while a scheduler is attached, in a canary or a measured run: `start` before it is attached, `stop` after
    it was detached. `breach` is None as long as all is well. With `breaker` None it only watches, so that a baseline
    run bears the same cost. `lift` makes the guard real-time where this process may not."""

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
        bounds = bounds or Bounds()
        self._judge = Judge(bounds, before, ops)
        self._guard_period_s = bounds.guard_period_s
        self._probe = self._senses.probe(partial, bounds.probe_period_s)
        self._state = KeptState(self._senses.sysfs)
        self._pressure = Pressure(self._senses.pressure_path)
        self._breach: Breach | None = None
        self._armed_s: float | None = None
        self._sense_at_s = 0.0
        self._stepped_s: float | None = None
        self._lifted = False
        self._stopping = threading.Event()  # polled, not waited for: see _run
        self._breached = threading.Event()
        self._guard = threading.Thread(target=self._run, name="at-guard", daemon=True)
        self._guard_cpu_s = 0.0
        self._started_s = 0.0

    @property
    def breach(self) -> Breach | None:
        return self._breach

    @property
    def was_armed(self) -> bool:
        """Whether the scheduler was seen in charge; from then on it is judged."""
        return self._armed_s is not None

    def wait(self, timeout_s: float) -> Breach | None:
        """Wait until a breach was handled, or time is up."""
        self._breached.wait(timeout_s)
        return self._breach

    def start(self) -> None:
        """Start probe and guard. Raises AutotuneError where the probe cannot be under SCHED_EXT."""
        self._started_s = self._senses.now()
        self._judge.seq_before = self._senses.state().enable_seq
        self._probe.start()
        self._guard.start()

    def stop(self) -> WatchResult:
        """End probe and guard; may be called again, and after a `start` that failed."""
        self._stopping.set()
        if self._guard.ident is not None:
            self._guard.join(2 * DETACH_S)
        self._probe.stop()
        self._pressure.close()
        self._state.close()
        watched_s = self._senses.now() - self._started_s
        judge = self._judge
        return WatchResult(
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
                time.sleep(self._guard_period_s)  # half of what waiting for the event would cost
                found = self.step(self._senses.now())
                if found is not None:
                    self._trip(found)
                    break
        except Exception as error:  # a broken watch watches nothing: detach
            now_s = self._senses.now()
            self._trip(Breach("watch", f"{type(error).__name__}: {error}", "no error", now_s, now_s))
        self._guard_cpu_s = time.thread_time()

    def _trip(self, breach: Breach) -> None:
        self._breach = breach
        if self._breaker is not None:
            self._breaker.trip(breach)
        self._breached.set()

    def step(self, now_s: float) -> Breach | None:
        """Look once. What happens before the scheduler is in charge, or after detaching began, does not count against
        it."""
        paused_s = 0.0 if self._stepped_s is None else now_s - self._stepped_s - self._guard_period_s
        self._stepped_s = now_s
        if self._armed_s is None and not self._arm(now_s):
            return None
        if self._breaker is not None and self._breaker.is_detaching:
            return None
        found = self._latency(now_s)
        if found is not None or now_s >= self._sense_at_s:
            self._sense_at_s = now_s + SENSE_PERIOD_S
            # an ejection explains the rest
            found = (self._judge.state(now_s, self._state.read()) if self._ops is not None else None) or found
            found = found or self._judge.pressure(now_s, self._pressure.read())
        # Detaching is under way: no breach, whatever the state was meanwhile.
        if found is None or (self._breaker is not None and self._breaker.is_detaching):
            return None
        beyond_scheduler = self._lifted or self._partial
        if beyond_scheduler and isinstance(found.limit, float) and paused_s >= self._judge.late_limit_s / 2:
            return Breach(found.bound, found.value, found.limit, found.since_s, found.noticed_s, stood_still=True)
        return found

    def _arm(self, now_s: float) -> bool:
        """Return whether the scheduler is in charge; from then on it is judged."""
        seen = self._state.read() if self._ops is not None else None
        if seen is not None and not self._judge.in_charge(seen):
            self._probe.take()
            return False
        self._judge.enable_seq = None if seen is None else seen.enable_seq
        self._probe.take()
        self._armed_s = now_s
        return True

    def _latency(self, now_s: float) -> Breach | None:
        assert self._armed_s is not None
        # A wake-up that was due while the scheduler was being attached counts as late from here on only.
        wakes = [Wake(at_s, min(late_s, at_s - self._armed_s)) for at_s, late_s in self._probe.take()]
        due_s = max(self._probe.due_s or 0.0, self._armed_s)
        found = self._judge.wakes(now_s, [wake for wake in wakes if wake.late_s >= 0.0])
        if found is None and due_s < now_s:
            found = self._judge.overdue(now_s, due_s)
        return found
