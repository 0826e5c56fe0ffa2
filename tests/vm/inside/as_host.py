# SPDX-License-Identifier: MIT
"""Runs inside the VM: attaches one object by the host's own path (holder, evidence) under load, and prints as JSON
how it went.

usage: as_host.py OPS OBJECT LIBBPF SECONDS [knob=value...]
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from autotune.errors import AutotuneError
from autotune.records import AttachSpec, KnobValue
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


def value(text: str) -> bool | int:
    return {"true": True, "false": False}[text] if text in ("true", "false") else int(text)


def cpu_ticks(pid: int) -> int:
    """User and system time of a process and of its reaped children."""
    with open(f"/proc/{pid}/stat") as file:
        return sum(int(field) for field in file.read().rpartition(")")[2].split()[11:15])


def main() -> None:
    ops, path, libbpf, seconds, *settings = sys.argv[1:]
    knobs: dict[str, KnobValue] = {
        name: value(text) for name, _, text in (setting.partition("=") for setting in settings)
    }
    holder = HolderClient(libbpf=libbpf)
    try:
        attachment = holder.attach(AttachSpec(ops, path, knobs, partial=knobs.get("partial") is True))
    except AutotuneError as error:
        print(json.dumps({"error": error.to_wire()}))
        return
    taker = EvidenceTaker(holder)
    taker.begin(ops)
    loads = [subprocess.Popen(argv) for argv in LOADS]
    repinned = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    deadline = time.monotonic() + float(seconds)
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
        process.wait()
    detachment = holder.detach()
    holder.close()
    print(
        json.dumps(
            {
                "attachment": to_json(attachment),
                "evidence": to_json(evidence),
                "detachment": to_json(detachment),
                "ticks": ticks,
                "worst_wake_s": worst_s,
            }
        )
    )


main()
