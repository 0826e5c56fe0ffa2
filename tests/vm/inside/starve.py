# SPDX-License-Identifier: MIT
"""Runs inside the VM: two hogs beside many others that keep coming, under a scheduler or (OPS `none`) EEVDF; prints as
JSON what CPU time the hogs got and how long one of them was kept waiting.

usage: starve.py OPS OBJECT LIBBPF LOAD SECONDS [knob=value...]
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable

from autotune.records import AttachSpec, KnobValue
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


def value(text: str) -> bool | int:
    return {"true": True, "false": False}[text] if text in ("true", "false") else int(text)


def start(body: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os._exit(0)
    return pid


def main() -> None:
    ops, path, libbpf, load, seconds, *settings = sys.argv[1:]
    knobs: dict[str, KnobValue] = {
        name: value(text) for name, _, text in (setting.partition("=") for setting in settings)
    }
    holder = None
    if ops != "none":
        holder = HolderClient(libbpf=libbpf)
        holder.attach(AttachSpec(ops, path, knobs))
    body, count = LOADS[load]
    others = [start(body) for _ in range(count)]
    read_fd, write_fd = os.pipe()
    began = time.monotonic()
    hogs = [start(lambda: hog(write_fd, float(seconds))) for _ in range(2)]
    for pid in hogs:
        os.waitpid(pid, 0)
    took_s = time.monotonic() - began
    for pid in others:
        os.kill(pid, signal.SIGKILL)
    reports = [json.loads(line) for line in os.read(read_fd, 4096).splitlines()]
    detachment = holder.detach() if holder is not None else None
    if holder is not None:
        holder.close()
    reason = detachment.exit.reason if detachment is not None and detachment.exit is not None else None
    print(
        json.dumps(
            {
                "took_s": took_s,
                "cpu_s": [cpu_s for cpu_s, _ in reports],
                "longest_wait_s": max(wait_s for _, wait_s in reports),
                "reason": reason,
            }
        ),
        flush=True,
    )


main()
