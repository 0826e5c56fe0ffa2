# SPDX-License-Identifier: MIT
"""Runs inside the VM, which plays a host: autotune is stopped while its scheduler is attached. Prints as JSON what was
seen.

usage: stopped.py OBJECT LIBBPF
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autotune.schedext.kernel import read_state, wait_for
from tests.support import forked_program

OBJECT, LIBBPF = sys.argv[1:3]
FROZEN = Path("/sys/fs/cgroup/frozen")
LEASE_S = 2.0
PATIENCE_S = 120.0

CLIENT = f"""
import os, signal, sys
from autotune.errors import HolderLost
from autotune.records import AttachSpec
from autotune.schedext.holding.client import HolderClient
from autotune.schedext.kernel import read_state

holder = HolderClient(libbpf={LIBBPF!r}, lease_s={LEASE_S})
spec = AttachSpec("at_fifo", {OBJECT!r})
holder.attach(spec)
print("attached", flush=True)
sys.stdin.readline()
try:
    holder.detach()
    print("detached", flush=True)
except HolderLost as error:
    print(type(error).__name__, error.message, flush=True)
holder.attach(spec)
print(read_state().state, holder.detach().state.state, flush=True)
holder.close()
"""


def state_is(wanted: str) -> bool:
    return wait_for(lambda seen: seen.state == wanted, PATIENCE_S)[0]


def process_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def lines(child: subprocess.Popen[str]) -> Callable[[], str]:
    assert child.stdout is not None
    return lambda: child.stdout.readline().strip() if child.stdout is not None else ""


def client(stop: Callable[[int], None], go_on: Callable[[int], None], group: Path | None = None) -> dict[str, Any]:
    def enter() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text("0")

    child = subprocess.Popen(
        [sys.executable, "-c", CLIENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=enter,
        start_new_session=True,
    )
    assert child.stdin is not None
    said = lines(child)
    seen: dict[str, Any] = {"attached": said()}
    # While it runs, its lease is renewed.
    seen["kept"] = not wait_for(lambda found: found.state != "enabled", 2 * LEASE_S)[0]
    stop(child.pid)
    seen["detached_meanwhile"] = state_is("disabled")
    go_on(child.pid)
    child.stdin.write("\n")
    child.stdin.flush()
    seen["told"] = said()
    seen["again"] = said()
    seen["exit_code"] = child.wait(PATIENCE_S)
    return seen


def freeze(_pid: int) -> None:
    (FROZEN / "cgroup.freeze").write_text("1")


def thaw(_pid: int) -> None:
    (FROZEN / "cgroup.freeze").write_text("0")


def applied() -> dict[str, Any]:
    """Ctrl-Z on `autotune apply`, then `fg`; Ctrl-Z again, then `autotune stop` from elsewhere."""
    child = forked_program.start(
        "apply",
        "at_fifo",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    seen: dict[str, Any] = {"attached": state_is("enabled")}
    os.killpg(child.pid, signal.SIGTSTP)
    seen["detached"] = state_is("disabled")
    seen["state"] = stopped_state(child.pid)
    os.killpg(child.pid, signal.SIGCONT)
    seen["attached_again"] = state_is("enabled")
    os.killpg(child.pid, signal.SIGTSTP)
    seen["detached_again"] = state_is("disabled")
    seen["state_again"] = stopped_state(child.pid)
    stop = forked_program.run("stop", text=True)
    seen["stop"] = {"exit_code": stop.returncode, "said": stop.stdout + stop.stderr}
    seen["said"] = child.communicate(timeout=PATIENCE_S)[0]
    seen["exit_code"] = child.returncode
    return seen


def stopped_state(pid: int) -> str:
    """The process's state once it has stopped; it says something first."""
    wait_for(lambda _seen: process_state(pid) == "T", PATIENCE_S)
    return process_state(pid)


def main() -> None:
    seen: dict[str, Any] = {
        "stopped": client(lambda pid: os.kill(pid, signal.SIGSTOP), lambda pid: os.kill(pid, signal.SIGCONT))
    }
    FROZEN.mkdir()
    seen["frozen"] = client(freeze, thaw, FROZEN)
    seen["applied"] = applied()
    seen["state"] = read_state().state
    print(json.dumps(seen))


main()
