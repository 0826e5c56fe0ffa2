# SPDX-License-Identifier: MIT
"""Runs inside the VM: one `autotune cc --machine host`, as root or as another user; prints what came of it as JSON.

usage: host_mode.py USER [autotune arguments...]   USER: root, with-sudo (may use sudo -n), without-sudo
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

UID = 4242
HOME = Path("/run/tester")
ACCOUNT = {
    "passwd": f"tester:x:{UID}:{UID}::{HOME}:/bin/sh",
    "group": f"tester:x:{UID}:",
    "shadow": "tester:*:19000:0:99999:7:::",  # without it sudo takes the account for a locked one
}


def become(user: str) -> list[str]:
    """Make an ordinary account, and the rule that lets it use sudo; the words that run a command as it."""
    if user == "root":
        return []
    for name, line in ACCOUNT.items():
        with open(f"/etc/{name}", "a") as file:
            file.write(line + "\n")
    HOME.mkdir(exist_ok=True)
    os.chown(HOME, UID, UID)
    os.chmod("/root", 0o755)  # inside the VM only: Python and its packages may live there
    rule = Path("/etc/sudoers.d/tester")
    rule.write_text("tester ALL=(ALL) NOPASSWD: ALL\n" if user == "with-sudo" else "# nothing\n")
    rule.chmod(0o440)
    return ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--"]


def main() -> None:
    user, *arguments = sys.argv[1:]
    prefix = become(user)
    env = dict(os.environ)
    if prefix:
        env.update(HOME=str(HOME), XDG_CACHE_HOME=os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")))
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "autotune", "cc", "--machine", "host", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=env,
        check=False,
        cwd="/tmp",
    )
    state = Path("/sys/kernel/sched_ext/state").read_text().strip()
    print(
        json.dumps(
            {
                "exit_code": done.returncode,
                "stdout": done.stdout.decode(errors="replace")[-8000:],
                "stderr": done.stderr.decode(errors="replace")[-4000:],
                "state": state,
            }
        )
    )


main()
