# SPDX-License-Identifier: MIT
"""Runs inside the VM: two hogs beside many others that keep coming, under a scheduler or (OPS `none`) EEVDF; prints as
JSON what CPU time the hogs got and how long one of them was kept waiting.

usage: starve.py LIBBPF SECONDS JSON
A list of objects: `load`, `ops` ("none" for EEVDF), `object`, `knobs`. One holder attaches them all.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable

from autotune.records import AttachSpec
from autotune.schedext.holding.client import HolderClient


def burn(cpu_s: float) -> None:
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        pass


def forks() -> None:
    """Children that live for 2 ms of CPU time, one after another."""
    while True:
        pid = os.fork()
        if pid == 0:
            burn(0.002)
            os._exit(0)
        os.waitpid(pid, 0)


def sleepers() -> None:
    """Runs 5 ms, sleeps 50 ms."""
    while True:
        burn(0.005)
        time.sleep(0.05)


def brief() -> None:
    """Runs 0.2 ms, sleeps 1 ms."""
    while True:
        burn(0.0002)
        time.sleep(0.001)


def pipes() -> None:
    """Two tasks that hand a byte to and fro."""
    there, back = os.pipe(), os.pipe()
    child = os.fork()
    mine, other = (there[0], back[1]) if child == 0 else (back[0], there[1])
    if child != 0:
        os.write(other, b"x")
    while True:
        os.write(other, os.read(mine, 1))


LOADS: dict[str, tuple[Callable[[], None], int]] = {
    "forks": (forks, 16),
    "sleepers": (sleepers, 60),
    "brief": (brief, 16),
    "pipes": (pipes, 8),
}


def hog(report_fd: int, seconds: float) -> None:
    """Burns CPU time and reports how much it got and the longest gap in it."""
    began = last = time.monotonic()
    longest_s = 0.0
    while last - began < seconds:
        now = time.monotonic()
        longest_s = max(longest_s, now - last)
        last = now
    os.write(report_fd, json.dumps([time.process_time(), longest_s]).encode() + b"\n")


def start(body: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os._exit(0)
    return pid


def beside(load: str, seconds: float) -> list[tuple[float, float]]:
    """CPU time and longest wait of each hog."""
    body, count = LOADS[load]
    others = [start(body) for _ in range(count)]
    read_fd, write_fd = os.pipe()
    hogs = [start(lambda: hog(write_fd, seconds)) for _ in range(2)]
    for pid in hogs:
        os.waitpid(pid, 0)
    for pid in others:  # all of them before the first is waited for: the rest would keep that from dying
        os.kill(pid, signal.SIGKILL)
    for pid in others:
        os.waitpid(pid, 0)
    reports = [json.loads(line) for line in os.read(read_fd, 4096).splitlines()]
    os.close(read_fd)
    os.close(write_fd)
    return reports


def main() -> None:
    libbpf, seconds, asked = sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])
    holder = HolderClient(libbpf=libbpf)
    seen = []
    for one in asked:
        reason = None
        if one["ops"] != "none":
            holder.attach(AttachSpec(one["ops"], one["object"], one["knobs"]))
        reports = beside(one["load"], seconds)
        if one["ops"] != "none":
            left = holder.detach().exit
            reason = left.reason if left is not None else None
        longest_s = max(wait_s for _, wait_s in reports)
        seen.append({"cpu_s": [cpu_s for cpu_s, _ in reports], "longest_wait_s": longest_s, "reason": reason})
    holder.close()
    print(json.dumps(seen))


main()
