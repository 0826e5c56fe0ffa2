# SPDX-License-Identifier: MIT
"""What stands beside a command of `autotune run`: a small process that nobody waits for, and that is no child of the
command. It has the best known scheduler attached as soon as the command has run for a moment, gives it up when the
command is over, and then notes how long that took.

It has none of the command's descriptors, no terminal, and no directory: nothing about it can be felt by the command, by
what reads its output, or by the shell. Whatever fails here, the command just runs.
"""

from __future__ import annotations

import fcntl
import os
import time

from autotune.wrapper import ending, policy, telling

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from autotune.knowledge.matching import Match
    from autotune.lease.sharing import Share
    from autotune.wrapper.known import RunPlan

GRACE_S = 0.2
"""How long a command runs before anything is attached for it: many are over by then (a build with nothing to do)."""
LEAST_KNOWN_S = 1.0
"""A command that took less when it was measured is over before attaching pays."""
LOOK_S = 2.0
"""How often to look whether the command was stopped (Ctrl-Z)."""
_FIRST_FREE = 10
"""Our descriptors are moved here, out of the way of those that are closed."""


class NothingAttached(Exception):
    """The best known scheduler is not attached; the text says why, as a clause."""


def start(plan: RunPlan, *, verbose: bool, started_s: float, require: bool) -> int | None:
    """Start it for the command that this process is about to become. With `require` it attaches at once, and a
    descriptor is returned from which `answer` reads whether that went well. Raises OSError."""
    pidfd = os.pidfd_open(os.getpid())
    reading, writing = os.pipe() if require else (-1, -1)
    try:
        child = os.fork()
        if child == 0:
            _leave(plan, pidfd, 2 if verbose else -1, writing, started_s)
        _await(child)
    except BaseException:
        if require:
            os.close(reading)
        raise
    finally:
        os.close(pidfd)
        if require:
            os.close(writing)
    return reading if require else None


def _await(child: int) -> None:
    try:  # noqa: SIM105 - contextlib takes a millisecond
        os.waitpid(child, 0)
    except ChildProcessError:
        pass  # whoever started us ignores SIGCHLD


def answer(reading: int) -> str | None:
    """Wait until the scheduler is attached; return None, or why it is not."""
    with open(reading, "rb") as file:
        said = file.read(4096).decode(errors="replace")
    return None if said == "+" else said or "the process that attaches schedulers ended"


def _leave(plan: RunPlan, pidfd: int, stderr: int, writing: int, started_s: float) -> None:
    """Leave the command's session and files, and go on in a process that is nobody's child. Does not return."""
    try:
        kept = [
            fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) if one >= 0 else -1 for one in (pidfd, stderr, writing)
        ]
        pid = os.getppid()
        os.setsid()
        _close_all_but(kept)
        if os.fork() == 0:
            os.chdir("/")
            pidfd, stderr, writing = kept
            _Attendant(plan, pid, pidfd, stderr, writing, started_s).attend()
    except BaseException:
        pass
    finally:
        os._exit(0)


def _close_all_but(kept: list[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    first = 3
    for number in sorted(one for one in kept if one >= 0):
        os.closerange(first, number)
        first = number + 1
    os.closerange(first, 1 << 30)


class _OverAlready(NothingAttached):
    """The command ended while its scheduler was being attached."""


class _Attendant:
    def __init__(self, plan: RunPlan, pid: int, pidfd: int, stderr: int, writing: int, started_s: float) -> None:
        self._plan = plan
        self._pid = pid
        self._pidfd = pidfd
        self._stderr = stderr
        self._writing = writing
        self._started_s = started_s
        self._share: Share | None = None
        self._attached_after_s: float | None = None
        self._lost: str | None = None

    def attend(self) -> None:
        """Do all of it, until the command is over and its run is noted."""
        _as_others()
        if not self._concerns_us():
            return
        try:
            if self._plan.why_not:
                raise NothingAttached(self._plan.why_not)
            self._attach()
        except Exception as error:  # whatever it is, the command just runs
            self._not_attached(str(error) or type(error).__name__)
        self._answer("+")
        wall_s = self._wait()
        if self._share is not None:
            self._share.close()
        self._conclude(wall_s)

    def _concerns_us(self) -> bool:
        """Return whether anything is to be attached, said or noted: not for a command that no session knows, nor while
        a session goes on, which would find that its command left a process running."""
        if self._stderr >= 0 or self._writing >= 0:
            return True
        from autotune.knowledge import uses

        return bool(
            self._in_store(lambda db, found: "known" if found and not uses.is_measuring(db, _claims()) else None)
        )

    # --- the scheduler ---

    def _attach(self) -> None:
        """Have the scheduler attached. Raises NothingAttached; NoShare, which says why too."""
        best = self._plan.best
        assert best is not None
        is_required = self._writing >= 0
        if not is_required and ending.is_over(self._pidfd, GRACE_S):
            raise NothingAttached("it is over already")
        why = self._in_store(lambda db, matches: self._objection(db, matches, is_required))
        if why:
            raise NothingAttached(why)
        self._join()

    def _objection(self, db: sqlite3.Connection, matches: list[Match], is_required: bool) -> str | None:
        """Return why attaching would be wrong now, by what is in the store."""
        from autotune.knowledge import uses

        known = self._plan.best
        assert known is not None
        if uses.is_measuring(db, _claims()):
            return "a session of autotune is going on"
        lost = uses.lost_lately(db, [one.workload for one in matches], known.key, known.measured_at)
        if lost is not None:
            return f"{known.spec} was detached early the last time ({lost}); 'autotune recheck' measures it again"
        times = uses.times_of(db, known.session, known.key)
        if times is not None and times.best_s is not None and times.best_s < LEAST_KNOWN_S and not is_required:
            return f"it takes {telling.seconds(times.best_s)}, less than attaching is worth"
        return None

    def _join(self) -> None:
        from autotune.lease.sharing import NoShare, Share

        best = self._plan.best
        assert best is not None
        share = Share(best.spec, runtime=os.environ.get("XDG_RUNTIME_DIR"))
        try:
            share.settle(self._pidfd)
        except NoShare:
            share.close()
            raise
        self._share = share
        if share.ops is None:
            raise _OverAlready("it was over before the scheduler was attached")
        after_s = time.monotonic() - self._started_s
        if self._attached_after_s is None:
            self._attached_after_s = after_s
            self._tell(telling.attached(best, share.waited_s, after_s))

    def _not_attached(self, why: str) -> None:
        if self._share is not None:
            self._share.close()
            self._share = None
        if self._writing >= 0:
            self._answer(why)
            os._exit(0)
        self._tell(telling.just_runs(why))

    def _answer(self, text: str) -> None:
        if self._writing >= 0:
            os.write(self._writing, text.encode(errors="replace"))
            os.close(self._writing)
            self._writing = -1

    # --- until it is over ---

    def _wait(self) -> float:
        """Wait until the command is over; return how long it took."""
        while not self._is_over():
            if self._share is not None and self._share.lost is None and _is_stopped(self._pid):
                self._share.close()  # nobody else is to be scheduled by it meanwhile
                self._share = None
                while _is_stopped(self._pid) and not ending.is_over(self._pidfd, LOOK_S):
                    pass
                self._join_again()
        if self._share is not None and self._share.lost is not None:
            self._lost = self._share.lost
        return time.monotonic() - self._started_s

    def _join_again(self) -> None:
        """Have the scheduler attached after a stop, if the command is not over by then."""
        from autotune.knowledge import uses

        try:
            self._join()
        except _OverAlready:
            pass  # killed while it was stopped, say: it lost nothing
        except Exception as error:
            self._lost = f"{uses.NOT_AGAIN}: {error}"

    def _is_over(self) -> bool:
        if self._share is None:
            return ending.is_over(self._pidfd, 3600.0)
        return self._share.look(self._pidfd, LOOK_S)

    # --- afterwards ---

    def _conclude(self, wall_s: float) -> None:
        status = ending.status(self._pidfd, self._pid)
        try:
            self._in_store(lambda db, matches: self._note(db, matches, wall_s, status))
        except Exception:
            self._tell(telling.ended(wall_s, self._under, status, None))

    @property
    def _under(self) -> str | None:
        best = self._plan.best
        return best.spec if best is not None and self._attached_after_s is not None else None

    def _note(self, db: sqlite3.Connection, matches: list[Match], wall_s: float, status: int | None) -> None:
        from autotune.knowledge import uses

        best, times = self._plan.best, None
        if best is not None:
            times = uses.times_of(db, best.session, best.key)
        self._tell(telling.ended(wall_s, self._under, status, times))
        if self._lost is not None:
            self._tell(f"{self._under} was detached before the end: {self._lost}")
        if not matches:
            return
        workload = uses.workload_of(db, best.session) if best is not None else None
        match = next((one for one in matches if one.workload == workload), matches[0])
        key = (self._under or uses.BASELINE) + match.params
        use = uses.Use(key, wall_s, status, attached_after_s=self._attached_after_s, lost=self._lost)
        if not uses.is_measuring(db, _claims()):
            uses.record(db, match.workload, use)
        if best is not None and times is not None and self._stderr >= 0:
            drifted = uses.drift(uses.uses_of(db, [match.workload]), times, best.measured_at)
            if drifted is not None:
                self._tell(drifted)

    # --- helpers ---

    def _in_store(self, use: Callable[[sqlite3.Connection, list[Match]], str | None]) -> str | None:
        """Call with the store and the command's workloads where its best is known, in another clone say; does nothing
        where there is no store."""
        from autotune.knowledge import uses

        db = uses.opened()
        if db is None:
            return None
        try:
            best = self._plan.best
            directory = self._plan.directory if best is None else best.directory
            return use(db, uses.workloads_of(db, self._plan.words, directory))
        finally:
            db.close()

    def _tell(self, text: str) -> None:
        if self._stderr >= 0:
            telling.say(text, self._stderr)


def _as_others() -> None:
    """Be no task of a partial scheduler: this process was forked by what asked for SCHED_EXT."""
    if os.sched_getscheduler(0) == policy.SCHED_EXT:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _claims() -> str:
    """Return the file of the claims of sessions that are going on (`knowledge.store`)."""
    from autotune.knowledge import best

    return os.path.join(os.path.dirname(best.path()), "history.running")


def _is_stopped(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"T"
    except (OSError, IndexError):
        return False
