# SPDX-License-Identifier: MIT
"""Runs inside the VM: starts autotune in host mode, disturbs it at a chosen moment, and reports what is left.

usage: giveback.py JSON
A list of objects: `when`, the moment to wait for: prepare, baseline, attached or confirm; `how`: ctrl-c (typed at a
pseudo-terminal), kill (SIGKILL of autotune), term, kill-holder or kill-both; `argv`, the arguments of autotune;
optionally `env`, added to ours.
Prints a JSON list: exit code, state, seconds until `disabled`, processes of ours still alive, output, or what was never
seen. One process for all, which has imported autotune: see forked_program.
"""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import forked_program

STATE = Path("/sys/kernel/sched_ext/state")
OURS = ("schedext/holding/holder.py", "autotune-guard", "autotune/runner.py", "scx_cosmos", "sleep 0.7531")
"""What autotune starts has one of these in its command line; the workload is `sleep 0.7531`."""
LOOK_S = 0.15
"""Between two looks at all processes, which cost much of a CPU here: well below how long what is waited for lasts."""
MOST_CHARACTERS = 60_000
"""Of each session's output; all of them together must fit into what is kept of this script's."""


def processes(*needles: str) -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if "giveback.py" in line or "-m autotune" in line:
                continue  # their arguments name the workload too
            if any(needle in line for needle in needles):
                found.append((int(entry.name), line.strip()))
    return found


def state() -> str:
    return STATE.read_text().strip()


class NeverSeen(Exception):
    """The moment to wait for did not come."""


class Session:
    """autotune under a pseudo-terminal, its output read all the time."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.process = forked_program.start(
            *argv,
            env={**os.environ, **env},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            first=lambda: _take_terminal(slave),
        )
        os.close(slave)
        self.output = bytearray()

    def read(self, wait_s: float) -> None:
        ready, _, _ = select.select([self.master], [], [], wait_s)
        if ready:
            try:
                self.output += os.read(self.master, 65536)
            except OSError:
                time.sleep(wait_s)

    def read_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.read(left)

    def wait_for(self, what: str, limit_s: float = 400.0) -> None:
        moments: dict[str, Callable[[], object]] = {
            "prepare": lambda: processes("sleep 0.7001"),
            "baseline": lambda: processes("sleep 0.7531") and state() == "disabled",
            "attached": lambda: processes("sleep 0.7531") and state() == "enabled",
            "confirm": lambda: b"Confirmation: round" in self.output and state() == "enabled",  # the live view
        }
        deadline = time.monotonic() + limit_s
        while not moments[what]():
            self.read_for(LOOK_S)
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise NeverSeen(f"never saw '{what}': {self.output.decode(errors='replace')[-3000:]}")

    def end(self) -> None:
        """Leave nothing to the next one."""
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def _take_terminal(slave: int) -> None:
    import fcntl
    import termios

    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


def disturb(session: Session, how: str) -> None:
    if how == "ctrl-c":
        os.write(session.master, b"\x03")
    elif how == "kill":
        session.process.send_signal(signal.SIGKILL)
    elif how == "term":
        session.process.send_signal(signal.SIGTERM)
    elif how in ("kill-holder", "kill-both"):
        if how == "kill-both":
            session.process.send_signal(signal.SIGKILL)
        for pid, line in processes("schedext/holding/holder.py"):
            if not line.startswith("sudo"):
                os.kill(pid, signal.SIGKILL)


def one(when: str, how: str, argv: list[str], env: dict[str, str] | None = None) -> dict[str, Any]:
    before = {pid for pid, _ in processes(*OURS)}  # the agent of this VM has a runner too
    session = Session(argv, env or {})
    try:
        session.wait_for(when)
        disturb(session, how)
        return until_it_is_over(session, how, before)
    except NeverSeen as error:
        return {"error": str(error)}
    finally:
        session.end()


def until_it_is_over(session: Session, how: str, before: set[int]) -> dict[str, Any]:
    started = time.monotonic()
    disabled_s = None
    limit_s = 450.0 if how == "kill-holder" else 60.0  # without its holder a session goes on to its end
    while time.monotonic() - started < limit_s:
        session.read_for(0.1)
        if disabled_s is None and state() == "disabled":
            disabled_s = time.monotonic() - started
        if session.process.poll() is not None and disabled_s is not None:
            break
    time.sleep(1.0)
    while (left := _left(before)) and time.monotonic() < started + limit_s:
        time.sleep(0.5)  # a busy machine takes longer; what would stay does not end by itself
    session.read(0.1)
    return {
        "exit_code": session.process.poll(),
        "state": state(),
        "disabled_s": disabled_s,
        "left": left,
        "output": _without_redrawing(session.output.decode(errors="replace"))[-MOST_CHARACTERS:],
    }


def _left(before: set[int]) -> list[str]:
    return [line for pid, line in processes(*OURS) if pid not in before]


def _without_redrawing(text: str) -> str:
    """Keep each line once: the live view draws the same ones again and again."""
    return "\n".join(dict.fromkeys(text.splitlines()))


def main() -> None:
    print(json.dumps([one(**asked) for asked in json.loads(sys.argv[1])]))


main()
