# SPDX-License-Identifier: MIT
"""Runs a command as a user would, and prints as JSON how it ended and what it left behind.

usage: left_behind.py JSON
The JSON object: `argv`; optionally `env` (added to ours), `before` (a shell command run first), and `after` (one whose
output is brought back).
What is started is known by a variable in its environment, and has a directory of its own for temporary files.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MARK = "BAD_INPUT_TEST"


def marked(mark: str) -> list[str]:
    """Command lines of the processes that inherited the mark."""
    needle = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and needle in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


def shell(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode(errors="replace")


def main() -> None:
    asked = json.loads(sys.argv[1])
    shell(asked.get("before", ":"))
    mark = f"{os.getpid()}-{time.time_ns()}"
    with tempfile.TemporaryDirectory(prefix="bad-input-") as scratch:
        os.chmod(scratch, 0o777)
        env = {**os.environ, "TMPDIR": scratch, **asked.get("env", {}), MARK: mark}
        started = time.monotonic()
        done = subprocess.run(asked["argv"], stdin=subprocess.DEVNULL, capture_output=True, env=env, check=False)
        elapsed_s = time.monotonic() - started
        seen = {
            "exit_code": done.returncode,
            "stdout": done.stdout.decode(errors="backslashreplace")[-200_000:],
            "stderr": done.stderr.decode(errors="backslashreplace")[-20_000:],
            "processes": marked(mark),
            "files": os.listdir(env["TMPDIR"]),
            "elapsed_s": elapsed_s,
            "largest_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
            "after": shell(asked.get("after", ":")),
        }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
