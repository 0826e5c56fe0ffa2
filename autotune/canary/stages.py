# SPDX-License-Identifier: MIT
"""Runs the canary: looks at the machine, then attaches the scheduler in stages, under a load and a watch. Standard
library only."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import field
from typing import Any

from autotune.canary.bounds import Bounds, Breach, Look, Mode, shown
from autotune.canary.senses import LOOK_S, Senses, lift, look
from autotune.canary.watch import Breaker, Watch
from autotune.errors import AutotuneError, DetachError
from autotune.frozen import dataclass
from autotune.measure.wakeups import SCHED_EXT
from autotune.records import Attachment, Detachment, SchedulerExit
from autotune.schedext.evidence import exit_text
from autotune.schedext.kernel import ops_matches
from autotune.wire import to_json

WATCH_S = 10.0
"""How long a canary lasts. The watch during measured runs covers what a scheduler does only later."""
PARTIAL_SHARE = 0.3
"""Share of that time in partial mode first, where the scheduler can: only our own probe and load are at stake then."""
LOOKS = 3
"""How often to look again at a machine that is too busy to judge: a peak may pass."""
_HOG_CPU_S = 120


class Hogs:
    """The canary's load: tasks that always want the CPU, one a CPU, so that the scheduler has to choose. Nice 19
    disturbs others least. They end with us, even on SIGKILL (each looks whether we are there every few milliseconds of
    its own CPU time, of which a busy machine gives it little), and in any case after two minutes of CPU time."""

    _SCRIPT = 'ulimit -t "$2"; while kill -0 "$1"; do i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); done; done'

    def __init__(self, count: int | None = None) -> None:
        self._count = len(os.sched_getaffinity(0)) if count is None else count
        self._hogs: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Hogs:
        argv = ["/bin/sh", "-c", self._SCRIPT, "sh", str(os.getpid()), str(_HOG_CPU_S)]
        try:
            for _ in range(self._count):
                self._hogs.append(
                    subprocess.Popen(
                        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                    )
                )
                os.setpriority(os.PRIO_PROCESS, self._hogs[-1].pid, 19)
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
        """Move the load to SCHED_EXT, or back."""
        for hog in self._hogs:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(hog.pid, SCHED_EXT if partial else os.SCHED_OTHER, os.sched_param(0))


@dataclass(frozen=True)
class CanaryOutcome:
    """How a canary ended. `numbers` is JSON: the look before, the stages, the reaction to a breach."""

    passed: bool
    reason: str
    """Bound, value and limit, or the kernel's reason; empty when it passed."""
    fault: bool
    """Whether the scheduler is to blame: a strike. False when it passed, when the machine is too busy or paused, or
    when somebody else detached it."""
    breach: Breach | None
    numbers: dict[str, Any]


@dataclass(frozen=True)
class CanaryPlan:
    """A canary's candidate, and how to watch it. `hogs` is the number of load tasks; None: one a CPU."""

    ops: str
    can_be_partial: bool
    bounds: Bounds = field(default_factory=Bounds)
    watch_s: float = WATCH_S
    look_s: float = LOOK_S
    hogs: int | None = None
    senses: Senses = field(default_factory=Senses)
    lift: Callable[[int], bool] = lift

    def stages(self) -> Iterator[tuple[Mode, float]]:
        """Yield the modes in turn, and for how long each."""
        partial_s = self.watch_s * PARTIAL_SHARE if self.can_be_partial else 0.0
        if self.can_be_partial:
            yield "partial", partial_s
        yield "whole", self.watch_s - partial_s


def run(attach: Callable[[bool], Attachment], detach: Callable[[], Detachment], plan: CanaryPlan) -> CanaryOutcome:
    """Attach (True: in partial mode), watch and detach, stage by stage until one fails. Nothing is attached afterwards.
    Raises what `attach` raises, and AutotuneError when the scheduler could not be detached: the host is not restored
    then, and no session may continue."""
    numbers: dict[str, Any] = {"stages": []}
    with Hogs(plan.hogs) as hogs:
        # SCHED_EXT is served like any other policy while nothing is attached: one look does for both stages.
        before = _look_at_a_calm_moment(plan)
        numbers["look"] = to_json(before)
        if before.p99_s > plan.bounds.busy_p99_s:
            return CanaryOutcome(False, _too_busy(before, plan.bounds), False, None, numbers)
        for mode, stage_s in plan.stages():
            hogs.be_partial(mode == "partial")
            outcome = _stage(attach, detach, plan, mode, stage_s, before, numbers)
            if not outcome.passed:
                return outcome
    return CanaryOutcome(True, "", False, None, numbers)


def _look_at_a_calm_moment(plan: CanaryPlan) -> Look:
    """Return the first look that bounds can be relative to, else the last."""
    for _ in range(LOOKS):
        seen = look(plan.look_s, senses=plan.senses)
        if seen.p99_s <= plan.bounds.busy_p99_s:
            break
    return seen


def _stage(
    attach: Callable[[bool], Attachment],
    detach: Callable[[], Detachment],
    plan: CanaryPlan,
    mode: Mode,
    stage_s: float,
    before: Look,
    numbers: dict[str, Any],
) -> CanaryOutcome:
    partial = mode == "partial"
    breaker = Breaker(detach, plan.ops, plan.senses)
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
    return _outcome(watch, breaker, numbers)


def _insist_on_gone(plan: CanaryPlan, breaker: Breaker) -> None:
    seen = plan.senses.state()
    if seen.state in ("disabled", "unsupported") or not ops_matches(plan.ops, seen.ops):
        return
    why = f" ({breaker.error.message})" if breaker.error is not None else ""
    raise DetachError(
        f"{plan.ops} could not be detached: state is {seen.state}{why}",
        hint="press Alt-SysRq-S or run 'echo S > /proc/sysrq-trigger' as root",
        stage="canary",
    )


def _outcome(watch: Watch, breaker: Breaker, numbers: dict[str, Any]) -> CanaryOutcome:
    breach = watch.breach
    gone = breaker.detachment.exit if breaker.detachment is not None else None
    numbers["exit"] = to_json(gone)
    if breaker.reaction is not None:
        numbers["reaction"] = to_json(breaker.reaction)
    # Between two looks of the guard it can have left by itself, or have been detached by somebody, before we did.
    has_left = gone is not None and not gone.is_unregistered
    if breach is not None or has_left:
        return CanaryOutcome(False, _reason(breach, gone), is_fault(breach, gone), breach, numbers)
    if breaker.error is not None:
        return CanaryOutcome(False, f"detaching failed: {breaker.error.message}", False, None, numbers)
    if not watch.was_armed:
        return CanaryOutcome(False, "it was never seen in charge, so nothing was watched", False, None, numbers)
    return CanaryOutcome(True, "", False, None, numbers)


def _reason(breach: Breach | None, gone: SchedulerExit | None) -> str:
    """Return the kernel's own reason where it ejected the scheduler; else the bound."""
    if gone is not None and (gone.is_error or breach is None or breach.bound == "sched_ext state"):
        return exit_text(gone)
    return breach.text() if breach is not None else "unknown"


def is_fault(breach: Breach | None, gone: SchedulerExit | None) -> bool:
    """Return whether the scheduler is to blame, so that it counts as a strike: yes if the kernel ejected it. One that
    is gone otherwise was detached by somebody else, or its holder died."""
    if gone is not None and gone.is_error:
        return True
    if breach is None or breach.bound in ("watch", "sched_ext state"):
        return False
    return not breach.stood_still


def _too_busy(before: Look, bounds: Bounds) -> str:
    seen, most = shown(before.p99_s, "ms"), shown(bounds.busy_p99_s, "ms")
    return f"the machine is too busy for a canary: wake-ups are {seen} late before it (p99), limit {most}"
