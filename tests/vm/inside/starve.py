# SPDX-License-Identifier: MIT
"""Runs inside the VM: two hogs beside many others that keep coming, under a scheduler or (OPS `none`) EEVDF; prints as
JSON what CPU time the hogs got and how long one of them was kept waiting. Beside a pair that wakes each other, which
leaves a CPU idle, it is two sleepers instead, each of which may run on one CPU only.

usage: starve.py LIBBPF SECONDS JSON
A list of objects: `load`, `ops` ("none" for EEVDF), `object`, `knobs`. One holder attaches them all.
"""

from __future__ import annotations

import functools
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


def pipes(together: int = 0) -> None:
    """Two tasks that hand a byte to and fro; so often, both on the first CPU."""
    if together:
        os.sched_setaffinity(0, {0})
    there, back = os.pipe(), os.pipe()
    child = os.fork()
    mine, other = (there[0], back[1]) if child == 0 else (back[0], there[1])
    if child != 0:
        os.write(other, b"x")
    for _ in range(together):
        os.write(other, os.read(mine, 1))
    os.sched_setaffinity(0, ALL_CPUS)
    while True:
        os.write(other, os.read(mine, 1))


TOGETHER = 2000
ALL_CPUS = os.sched_getaffinity(0)
SLEEP_S = 0.01

LOADS: dict[str, tuple[Callable[[], None], int]] = {
    "forks": (forks, 16),
    "sleepers": (sleepers, 60),
    "brief": (brief, 16),
    "pipes": (pipes, 8),
    "pair": (functools.partial(pipes, TOGETHER), 1),
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


def sleeper(report_fd: int, seconds: float, cpu: int) -> None:
    """Sleeps on one CPU and reports how much CPU time it got and how late it woke at worst."""
    os.sched_setaffinity(0, {cpu})
    began = last = time.monotonic()
    longest_s = 0.0
    while last - began < seconds:
        time.sleep(SLEEP_S)
        now = time.monotonic()
        longest_s = max(longest_s, now - last - SLEEP_S)
        last = now
    os.write(report_fd, json.dumps([time.process_time(), longest_s]).encode() + b"\n")


def judged(load: str, report_fd: int, seconds: float) -> list[Callable[[], None]]:
    if load == "pair":
        return [functools.partial(sleeper, report_fd, seconds, cpu) for cpu in (0, 1)]
    return [functools.partial(hog, report_fd, seconds)] * 2


def start(body: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os._exit(0)
    return pid


def leading(body: Callable[[], None]) -> None:
    """Lead a group of what it forks, so that nothing of it stays."""
    os.setpgid(0, 0)
    body()


SETTLED_S = 0.3
"""How long the others may take until they are at it."""


def beside(load: str, seconds: float) -> list[tuple[float, float]]:
    """CPU time and longest wait of each hog."""
    body, count = LOADS[load]
    others = [start(functools.partial(leading, body)) for _ in range(count)]
    time.sleep(SETTLED_S)
    read_fd, write_fd = os.pipe()
    hogs = [start(body) for body in judged(load, write_fd, seconds)]
    for pid in hogs:
        os.waitpid(pid, 0)
    for pid in others:  # all of them before the first is waited for: the rest would keep that from dying
        os.killpg(pid, signal.SIGKILL)
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
