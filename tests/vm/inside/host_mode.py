# SPDX-License-Identifier: MIT
"""Runs inside the VM: `autotune cc --machine host`, as root or as other users; prints what came of each as JSON.

usage: host_mode.py JSON
A list of objects: `user` and `argv`, the arguments. One process for all, which has imported autotune: see
forked_program. What goes through sudo is really started.

USER: root, without-sudo, through-sudo (as root, by the sudo of an ordinary user), or what the sudo of an ordinary user
allows: with-sudo (everything, without a password), with-holder (only the holder, without a password), with-ticket
(everything, with a password, which the user just gave to `sudo -v` at the same terminal).
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from tests.support import forked_program

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


def prepare(user: str) -> None:
    """Make an ordinary account, and the rule that lets it use sudo."""
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


def env_of_user() -> dict[str, str]:
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return {**os.environ, "HOME": str(HOME), "XDG_CACHE_HOME": cache}


def become() -> None:
    """Be the ordinary user, in a child that was forked."""
    forked_program.become(UID, UID, ())


def forked(user: str, argv: list[str]) -> subprocess.CompletedProcess[bytes]:
    if user == "root":
        return forked_program.run(*argv, cwd="/tmp")
    return forked_program.run(*argv, cwd="/tmp", env=env_of_user(), first=become)


def through_sudo(argv: list[str]) -> subprocess.CompletedProcess[bytes]:
    as_user = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--"]
    as_root = ["sudo", "-n", "env", f"PYTHONPATH={os.environ['PYTHONPATH']}", f"PATH={os.environ['PATH']}"]
    words = [*as_user, *as_root, sys.executable, "-m", "autotune", *argv]
    return subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, env=env_of_user(), check=False, cwd="/tmp"
    )


def with_ticket(argv: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Run it at a terminal where `sudo -v` was given the password, and `sudo` does not ask any more. Exit code 99 when
    that is not so."""
    out, err = HOME / "out", HOME / "err"
    forked_program.prepare()
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.chdir("/tmp")
            become()
            ticket = subprocess.run("sudo -v && sudo -n true", shell=True, check=False).returncode
            for path, fd in ((out, 1), (err, 2)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), fd)
        except BaseException:
            traceback.print_exc()
            os._exit(98)
        if ticket != 0:
            os._exit(99)
        forked_program.execute(argv, env_of_user())
    said = b""
    while b"assword" not in said:
        said += os.read(terminal, 4096)
    os.write(terminal, PASSWORD + b"\n")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return subprocess.CompletedProcess(
        argv, code, *(path.read_bytes() if path.exists() else said for path in (out, err))
    )


def one(user: str, argv: list[str]) -> dict[str, Any]:
    argv = ["cc", "--machine", "host", *argv]
    if user != "root":
        prepare(user)
    if user == "with-ticket":
        done = with_ticket(argv)
    elif user == "through-sudo":
        done = through_sudo(argv)
    else:
        done = forked(user, argv)
    return {
        "exit_code": done.returncode,
        "stdout": done.stdout.decode(errors="replace")[-8000:],
        "stderr": done.stderr.decode(errors="replace")[-4000:],
        "state": Path("/sys/kernel/sched_ext/state").read_text().strip(),
    }


def main() -> None:
    print(json.dumps([one(**asked) for asked in json.loads(sys.argv[1])]))


main()
