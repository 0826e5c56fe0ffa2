# SPDX-License-Identifier: MIT
"""Runs as root inside a micro-VM, for `scripts/bench lease`: an ordinary user attaches and detaches at_fifo by a lease
of the daemon and by a holder that sudo starts, in turn. Prints the seconds of each as JSON, a list by its way.

usage: bench_lease.py REPEATS OBJECT LIBBPF
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))

from autotune.records import AttachSpec  # noqa: E402
from autotune.schedext.holding.client import HolderClient, SchedulerHolder  # noqa: E402
from autotune.service.leased import LeasedHolder  # noqa: E402
from autotune.service.places import SYSTEM  # noqa: E402

USER = 4242
HOME = Path("/run/bench")
START_S = 120.0


def prepare() -> None:
    """Make the user, who may use the daemon and sudo (inside the VM only), and start the daemon."""
    for path, line in (
        ("/etc/passwd", f"bench:x:{USER}:{USER}::{HOME}:/bin/sh"),
        ("/etc/group", f"bench:x:{USER}:"),
        ("/etc/shadow", "bench:*:19000:0:99999:7:::"),  # sudo asks who has no line there for a password
        ("/etc/sudoers.d/bench", "bench ALL=(ALL) NOPASSWD: ALL"),
    ):
        with open(path, "a") as file:
            file.write(line + "\n")
    os.chmod("/etc/sudoers.d/bench", 0o440)
    HOME.mkdir()
    os.chown(HOME, USER, USER)
    os.chmod("/root", 0o755)  # Python and its packages may live there
    SYSTEM.parent.mkdir(exist_ok=True)
    daemon = [sys.executable, "-S", "-E", "-I", str(TOP / "autotune/daemon.py"), "--group", "bench"]
    subprocess.Popen([*daemon, "--socket", str(SYSTEM), "--state", "/run/bench-state"], stderr=subprocess.DEVNULL)
    end_s = time.monotonic() + START_S
    while not SYSTEM.exists() and time.monotonic() < end_s:
        time.sleep(0.1)


def taken_s(holder: Callable[[], SchedulerHolder], spec: AttachSpec) -> float:
    """Attach and detach once, from nothing to nothing."""
    began_s = time.monotonic()
    one = holder()
    try:
        one.attach(spec)
        one.detach()
    finally:
        one.close()
    return time.monotonic() - began_s


def main() -> None:
    repeats, path, libbpf = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    prepare()
    os.setgroups([USER])
    os.setgid(USER)
    os.setuid(USER)
    os.environ["HOME"] = str(HOME)
    spec = AttachSpec("at_fifo", path, candidate="at_fifo")
    ways: dict[str, Callable[[], SchedulerHolder]] = {
        "daemon": LeasedHolder,
        "sudo": lambda: HolderClient(libbpf=libbpf),
    }
    for holder in ways.values():
        taken_s(holder, spec)  # to warm up
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, holder in ways.items():
            found[name].append(taken_s(holder, spec))
    print(json.dumps(found))


main()
