# SPDX-License-Identifier: MIT
"""Runs inside the VM: one `autotune cc --machine host`, as root or as another user; prints what came of it as JSON.

usage: host_mode.py USER [autotune arguments...]

USER: root, without-sudo, through-sudo (as root, by the sudo of an ordinary user), or what the sudo of an ordinary user
allows: with-sudo (everything, without a password), with-holder (only the holder, without a password), with-ticket
(everything, with a password, which the user just gave to `sudo -v` at the same terminal).
"""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

UID = 4242
HOME = Path("/run/tester")
PASSWORD = b"secret"
HASH = "$6$autotune$d2an7/S4/S6TA6U9ePcNWq1vL2yVeBfZXynEncRicvH0XPvoc8tpWxkyIQmxSS5CXH0RlSKJeXiyl7R3gJ18G0"
"""Of the password, as crypt(5) has it."""
ACCOUNT = {
    "passwd": f"tester:x:{UID}:{UID}::{HOME}:/bin/sh",
    "group": f"tester:x:{UID}:",
    "shadow": f"tester:{HASH}:19000:0:99999:7:::",
}
HOLDER = Path(__file__).parents[3] / "autotune/schedext/holding/holder.py"
RULES = {
    "through-sudo": "NOPASSWD: ALL",
    "with-sudo": "NOPASSWD: ALL",
    "with-holder": f"NOPASSWD: {os.path.realpath(sys.executable)} -S -E -I {HOLDER} *",
    "with-ticket": "ALL",
}


def become(user: str) -> list[str]:
    """Make an ordinary account, and the rule that lets it use sudo; the words that run a command as it."""
    if user == "root":
        return []
    for name, line in ACCOUNT.items():
        with open(f"/etc/{name}", "a+") as file:
            file.seek(0)
            if line not in file.read():
                file.write(line + "\n")
    HOME.mkdir(exist_ok=True)
    os.chown(HOME, UID, UID)
    os.chmod("/root", 0o755)  # inside the VM only: Python and its packages may live there
    rule = Path("/etc/sudoers.d/tester")
    rule.write_text(f"tester ALL=(ALL) {RULES[user]}\n" if user in RULES else "# nothing\n")
    rule.chmod(0o440)
    as_user = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--"]
    if user != "through-sudo":
        return as_user
    return [*as_user, "sudo", "-n", "env", f"PYTHONPATH={os.environ['PYTHONPATH']}", f"PATH={os.environ['PATH']}"]


def run_with_ticket(argv: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Run the command at a terminal where `sudo -v` was given the password, and `sudo` does not ask any more. Exit code
    99 when that is not so."""
    out, err = HOME / "out", HOME / "err"
    script = f"sudo -v && sudo -n true || exit 99; exec {shlex.join(argv[argv.index('--') + 1 :])} >{out} 2>{err}"
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir("/tmp")
        os.execvpe(argv[0], [*argv[: argv.index("--") + 1], "sh", "-c", script], env)
    said = b""
    while b"assword" not in said:
        said += os.read(terminal, 4096)
    os.write(terminal, PASSWORD + b"\n")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return subprocess.CompletedProcess(
        argv, code, *(path.read_bytes() if path.exists() else said for path in (out, err))
    )


def main() -> None:
    user, *arguments = sys.argv[1:]
    prefix = become(user)
    env = dict(os.environ)
    if prefix:
        env.update(HOME=str(HOME), XDG_CACHE_HOME=os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")))
    argv = [*prefix, sys.executable, "-m", "autotune", "cc", "--machine", "host", *arguments]
    if user == "with-ticket":
        done = run_with_ticket(argv, env)
    else:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, env=env, check=False, cwd="/tmp")
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
