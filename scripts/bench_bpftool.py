# SPDX-License-Identifier: MIT
"""Inside the micro-VM: times `bpftool struct_ops register` and `unregister` of one object, each until sysfs
confirms it; prints the two times in seconds as JSON. Standard library only."""

import json
import os
import subprocess
import sys
import time

STATE = "/sys/kernel/sched_ext/state"


def wait_for(state: str) -> None:
    deadline = time.monotonic() + 20.0
    while True:
        with open(STATE) as file:
            if file.read().strip() == state:
                return
        if time.monotonic() > deadline:
            raise SystemExit(f"never {state}")
        time.sleep(0.0005)


def timed(argv: list[str], state: str) -> float:
    started = time.monotonic()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)}: {done.stderr.decode(errors='replace')}")
    wait_for(state)
    return time.monotonic() - started


def main() -> None:
    bpftool, scheduler = os.environ["BPFTOOL"], sys.argv[1]
    register_s = timed([bpftool, "struct_ops", "register", scheduler, "/sys/fs/bpf"], "enabled")
    names = subprocess.run([bpftool, "-j", "struct_ops", "list"], capture_output=True, check=True).stdout
    map_id = str(json.loads(names)[0]["id"])
    link = next((name for name in os.listdir("/sys/fs/bpf") if "ops" in name), None)
    started = time.monotonic()
    if link is not None:
        os.unlink(f"/sys/fs/bpf/{link}")
        wait_for("disabled")
        unregister_s = time.monotonic() - started
    else:
        unregister_s = timed([bpftool, "struct_ops", "unregister", "id", map_id], "disabled")
    print(json.dumps([register_s, unregister_s]))


main()
