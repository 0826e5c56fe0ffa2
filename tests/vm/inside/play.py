# SPDX-License-Identifier: MIT
"""A program that plays a scheduler of the scx family, well or badly: `play.py PART OBJECT LIBBPF`.

It attaches one of our objects for real and then does what its part says. Started as root, inside a VM.
"""

from __future__ import annotations

import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))))

PART, OBJECT, LIBBPF = sys.argv[1:4]


def main() -> None:
    stopped: list[int] = []
    refuse = (
        signal.SIG_IGN if PART in ("ignores-sigint", "ignores-both") else lambda number, _frame: stopped.append(number)
    )
    signal.signal(signal.SIGINT, refuse)
    if PART == "ignores-both":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if PART == "crashes":
        print("Error: no luck today\n\nCaused by:\n    0: the middle\n    1: the bottom (os error 22)", file=sys.stderr)
        sys.exit(1)
    if PART == "forks-away" and os.fork():
        os._exit(0)
    if PART == "forks-away":
        os.setsid()
    if PART == "never-attaches":
        wait_for(stopped)
        return
    attach()
    if PART == "ends-by-itself":
        time.sleep(1.0)
        sys.exit(3)
    if PART == "exits-zero-by-itself":
        time.sleep(1.0)
        sys.exit(0)
    if PART == "leaves-a-child" and not os.fork():
        os.setsid()
        time.sleep(600)
    while PART == "fills-its-log" and not stopped:
        sys.stdout.write("nothing to say, at length " * 40 + "\n")
    wait_for(stopped)
    print("EXIT: unregistered from user space", file=sys.stderr)


def attach() -> None:
    from autotune.schedext.libbpf import Libbpf

    found = Libbpf(LIBBPF).open(OBJECT, None)
    found.load()
    found.attach()
    globals()["kept"] = found
    print(f"{PART} is attached", flush=True)


def wait_for(stopped: list[int]) -> None:
    while not stopped:
        time.sleep(0.1)


main()
