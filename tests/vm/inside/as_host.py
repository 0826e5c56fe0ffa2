# SPDX-License-Identifier: MIT
"""Runs inside the VM: attaches objects by the host's own path (holder, evidence) under load, and prints as JSON
how it went.

usage: as_host.py LIBBPF JSON
A list of objects: `ops`, `object`, `seconds`, `knobs`. One holder attaches them all, as in a session.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from autotune.errors import AutotuneError
from autotune.records import AttachSpec
from autotune.schedext.evidence import EvidenceTaker
from autotune.schedext.holding.client import HolderClient
from autotune.wire import to_json

LOADS = (
    ("nice", "-n", "0", "sh", "-c", "while :; do :; done"),
    ("nice", "-n", "10", "sh", "-c", "while :; do :; done"),
    ("nice", "-n", "19", "sh", "-c", "while :; do :; done"),
    ("taskset", "-c", "1", "sh", "-c", "while :; do :; done"),
    ("sh", "-c", "while :; do sleep 0.01; done"),
    ("sh", "-c", "while :; do /bin/true; done"),
)


def cpu_ticks(pid: int) -> int:
    """User and system time of a process and of its reaped children."""
    with open(f"/proc/{pid}/stat") as file:
        return sum(int(field) for field in file.read().rpartition(")")[2].split()[11:15])


def under_load(holder: HolderClient, spec: AttachSpec, seconds: float) -> dict[str, Any]:
    try:
        attachment = holder.attach(spec)
    except AutotuneError as error:
        return {"error": error.to_wire()}
    taker = EvidenceTaker(holder)
    taker.begin(spec.ops)
    loads = [subprocess.Popen(argv) for argv in LOADS]
    repinned = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    deadline = time.monotonic() + seconds
    worst_s, cpu = 0.0, 0
    while time.monotonic() < deadline:
        started = time.monotonic()
        time.sleep(0.02)
        worst_s = max(worst_s, time.monotonic() - started - 0.02)
        cpu = 1 - cpu
        subprocess.run(["taskset", "-cp", str(cpu), str(repinned.pid)], stdout=subprocess.DEVNULL, check=False)
    ticks = [cpu_ticks(process.pid) for process in (*loads, repinned)]
    evidence = taker.finish()
    for process in (*loads, repinned):
        process.kill()
    for process in (*loads, repinned):
        process.wait()
    return {
        "attachment": to_json(attachment),
        "evidence": to_json(evidence),
        "detachment": to_json(holder.detach()),
        "ticks": ticks,
        "worst_wake_s": worst_s,
    }


def main() -> None:
    libbpf, asked = sys.argv[1], json.loads(sys.argv[2])
    holder = HolderClient(libbpf=libbpf)
    seen = []
    for one in asked:
        knobs = one["knobs"]
        spec = AttachSpec(one["ops"], one["object"], knobs, partial=knobs.get("partial") is True)
        seen.append(under_load(holder, spec, one["seconds"]))
    holder.close()
    print(json.dumps(seen))


main()
