# SPDX-License-Identifier: MIT
"""Runs inside the VM, which plays a host: `autotune apply` and `autotune stop` as a user runs them; prints as JSON what
was seen.

usage: applying.py OBJECT_OF_AT_VTIME LIBBPF
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autotune.lease import applied
from autotune.records import AttachSpec
from autotune.schedext.holding.client import HolderClient
from autotune.schedext.kernel import read_state, wait_for
from tests.support import forked_program

VTIME, LIBBPF = sys.argv[1:3]
BY_HAND = [sys.executable, "-S", str(Path(__file__).resolve().parent / "by_hand.py"), "at_vtime", VTIME, LIBBPF]


def autotune(*argv: str) -> dict[str, Any]:
    done = forked_program.run(*argv, text=True)
    return {"exit_code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def started(*argv: str) -> tuple[subprocess.Popen[str], str]:
    """A program of ours that is to keep a scheduler, once it does; and what it said so far."""
    child = forked_program.start(
        *argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    lines = [child.stdout.readline()]
    while lines[-1] and "is applied" not in lines[-1]:
        lines.append(child.stdout.readline())
    return child, "".join(lines)


def applying(*argv: str, then: Callable[[subprocess.Popen[str]], Any]) -> dict[str, Any]:
    """Apply, wait until it is, do something, and see how it ends."""
    child, said = started("apply", *argv)
    seen: dict[str, Any] = {"state": read_state().state, "ops": read_state().ops, "then": then(child)}
    rest, errors = child.communicate(timeout=120)
    wait_for(lambda now: now.state in ("disabled", "enabled"), 10.0)
    after = read_state()
    seen.update(stdout=said + rest, stderr=errors, exit_code=child.returncode, recorded=applied.path().exists())
    return {**seen, "after": {"state": after.state, "ops": after.ops}}


def killed(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()
    wait_for(lambda now: now.state == "disabled", 20.0)


def apply_another(child: subprocess.Popen[str]) -> dict[str, Any]:
    refused = autotune("apply", "at_vtime")
    child.terminate()
    return refused


def ejected(_child: subprocess.Popen[str]) -> None:
    Path("/proc/sysrq-trigger").write_text("S")


def beside_another() -> dict[str, Any]:
    """A session while another autotune, this process, has a scheduler attached."""
    holder = HolderClient(libbpf=LIBBPF)
    try:
        holder.attach(AttachSpec("at_vtime", VTIME))
        seen = autotune(
            "cc",
            "--machine",
            "host",
            "--scheduler",
            "at_fifo",
            "--budget",
            "3m",
            "--setup",
            "touch /tmp/set-up",
            "true",
        )
        return {**seen, "ops": read_state().ops, "was_set_up": Path("/tmp/set-up").exists()}
    finally:
        holder.close()


SLOW_BUT_UNDER_AT_FIFO = "grep -qs at_fifo /sys/kernel/sched_ext/root/ops || sleep 0.6; sleep 0.2"


def tuned_and_kept() -> dict[str, Any]:
    """A whole session beside somebody else's scheduler, whose winner is kept until Ctrl-C."""
    options = [
        "--machine",
        "host",
        "--replace-current",
        "--apply",
        "--scheduler",
        "at_fifo",
        "--runs",
        "6",
        "--no-observe",
    ]
    child, said = started("cc", *options, SLOW_BUT_UNDER_AT_FIFO)
    kept = read_state().ops
    child.send_signal(signal.SIGINT)
    rest, errors = child.communicate(timeout=120)
    end = {"stdout": said + rest, "stderr": errors, "exit_code": child.returncode}
    return {**end, "kept": kept, "after": read_state().ops}


def main() -> None:
    seen: dict[str, Any] = {"nothing": autotune("stop")}
    seen["stop"] = applying("at_fifo:slice_us=4000", then=lambda _child: autotune("stop"))
    seen["twice"] = applying("at_fifo", then=apply_another)
    seen["ejected"] = applying("at_fifo", then=ejected)
    seen["killed"] = applying("at_fifo", then=killed)
    seen["stop_after_kill"] = autotune("stop")
    seen["beside_another"] = beside_another()
    other = subprocess.Popen(BY_HAND, start_new_session=True)
    wait_for(lambda now: now.state == "enabled", 30.0)
    seen["in_the_way"] = autotune("apply", "at_fifo")
    ctrl_c = {"then": lambda child: child.send_signal(signal.SIGINT)}
    seen["replaced"] = applying("at_fifo", "--replace-current", **ctrl_c)
    seen["replaced"]["ended"] = other.wait(60)
    seen["session"] = tuned_and_kept()  # beside the one that was just restored
    print(json.dumps(seen))


main()
