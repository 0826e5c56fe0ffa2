# SPDX-License-Identifier: MIT
"""Runs inside the VM, which plays a host: `autotune run` of commands that were tuned here; prints what was seen.

usage: running.py [SCENE...]
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autotune.lease.hosting import SharedHost
from autotune.records import Candidate
from autotune.schedext.kernel import read_state, wait_for
from tests.support import tuned

LONG = ["sleep", "60"]
LONGER = ["sleep", "600"]
"""Lasts until it is ended, however slow everything else is."""
LEAVES = ["sh", "-c", "setsid sleep 600 & read line"]
PARTIAL = ["sh", "-c", "read line; exit 7"]
READS = ["sh", "-c", "read line; exit 5"]
AUTOTUNE = [sys.executable, "-m", "autotune"]
UID = 4242
HOLDER = Path(__file__).parents[3] / "autotune/schedext/holding/holder.py"
TOP = Path("/run/tuned")
STATE, WORK = TOP / "state", TOP / "work"
TESTER = TOP / "tester"
"""Home of an ordinary user, and where its state is."""
RULE = Path("/etc/sudoers.d/tester")
SETTLE_S = 120.0


def start(
    words: list[str], *options: str, stdin: int = subprocess.DEVNULL, become: Sequence[str] = (), **environ: str
) -> subprocess.Popen[str]:
    errors = TOP / f"errors-{time.monotonic_ns()}"
    with open(errors, "w") as file:
        child = subprocess.Popen(
            [*become, *AUTOTUNE, "run", *options, "--", *words],
            cwd=WORK,
            env=tuned.environ(STATE, **environ),
            stdin=stdin,
            stderr=file,
            text=True,
        )
    child.errors = errors  # type: ignore[attr-defined]
    return child


def said(child: subprocess.Popen[str], what: str) -> str:
    """What a run has said, once that is part of it, or when it does not come."""
    until_s = time.monotonic() + SETTLE_S
    while time.monotonic() < until_s:
        text = str(child.errors.read_text())  # type: ignore[attr-defined]
        if what in text:
            break
        time.sleep(0.1)
    return text


def state() -> str:
    """The name of what is attached; empty when nothing is."""
    wait_for(lambda seen: seen.state in ("enabled", "disabled"), SETTLE_S)
    return read_state().ops or ""


def is_detached() -> bool:
    return wait_for(lambda seen: seen.state == "disabled", SETTLE_S)[0]


def end(child: subprocess.Popen[str], number: int = signal.SIGKILL) -> int:
    child.send_signal(number)
    return child.wait()


def pids(of: str) -> list[int]:
    found = subprocess.run(["pgrep", "-f", of], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def keepers() -> list[int]:
    return pids("lease/shared.py")


def two_share_and_the_last_one_detaches() -> dict[str, Any]:
    first = start(LONG, "-v")
    seen: dict[str, Any] = {"first": said(first, "is attached"), "attached": state()}
    seq = read_state().enable_seq
    second = start(LONG, "-v")
    seen["second"] = said(second, "is attached")
    seen["keepers"] = len(keepers())
    end(first)
    time.sleep(1.0)
    seen.update(after_first=state(), is_the_same=read_state().enable_seq == seq)
    end(second, signal.SIGTERM)
    seen.update(detached=is_detached(), end=said(second, "signal 15"))
    return seen


def the_keeper_is_killed() -> dict[str, Any]:
    child = start(READS, "-v", stdin=subprocess.PIPE)
    seen: dict[str, Any] = {"attached": bool(said(child, "is attached")) and state()}
    for pid in keepers():
        os.kill(pid, signal.SIGKILL)
    seen["detached"] = is_detached()
    child.communicate("go on\n")
    seen.update(exit_code=child.returncode, said=said(child, "before the end"))
    return seen


def what_the_command_leaves_does_not_keep_it() -> dict[str, Any]:
    child = start(LEAVES, "-v", stdin=subprocess.PIPE)
    seen: dict[str, Any] = {"attached": bool(said(child, "is attached")) and state()}
    child.communicate("go on\n")
    seen.update(exit_code=child.returncode, left=len(pids("^sleep 600")), detached=is_detached())
    subprocess.run(["pkill", "-f", "^sleep 600"], check=False)
    return seen


def partial() -> dict[str, Any]:
    child = start(PARTIAL, "--require", stdin=subprocess.PIPE)
    wait_for(lambda seen: seen.state == "enabled", SETTLE_S)
    switch_all = Path("/sys/kernel/sched_ext/switch_all").read_text().strip()
    seen: dict[str, Any] = {"attached": state(), "switch_all": switch_all, "policy": os.sched_getscheduler(child.pid)}
    beside = [pid for pid in [*pids("autotune run"), *keepers(), os.getpid()] if pid != child.pid]
    seen["others"] = sorted({os.sched_getscheduler(pid) for pid in beside if os.path.exists(f"/proc/{pid}")})
    child.communicate("go on\n")
    return {**seen, "exit_code": child.returncode, "detached": is_detached()}


def stopped_and_continued() -> dict[str, Any]:
    child = start(LONG, "-v")
    seen: dict[str, Any] = {"attached": bool(said(child, "is attached")) and state()}
    child.send_signal(signal.SIGSTOP)
    seen["detached"] = is_detached()
    child.send_signal(signal.SIGCONT)
    wait_for(lambda now: now.state == "enabled", SETTLE_S)
    seen["again"] = state()
    end(child)
    return {**seen, "detached_at_the_end": is_detached()}


def another_lease() -> dict[str, Any]:
    other = SharedHost(str(TOP / "other"))
    other.attach("at_vtime")
    child = start(LONG, "-v")
    seen: dict[str, Any] = {"said": said(child, "just runs"), "attached": state()}
    required = start(LONG, "--require")
    seen.update(required=required.wait(timeout=SETTLE_S), why=said(required, "autotune"), still=state())
    end(child)
    other.detach()
    return seen


def an_ordinary_user() -> list[str]:
    """Make an account whose sudo starts the holder without a password, and nothing else; the words that become it."""
    account = {"passwd": f"tester:x:{UID}:{UID}::{TESTER}:/bin/sh", "group": f"tester:x:{UID}:"}
    account["shadow"] = "tester:*:19000:0:99999:7:::"  # sudo refuses whom it has no account of
    for name, line in account.items():
        with open(f"/etc/{name}", "a+") as file:
            file.seek(0)
            if line.split(":")[0] + ":" not in file.read():
                file.write(line + "\n")
    RULE.write_text(f"tester ALL=(ALL) NOPASSWD: {os.path.realpath(sys.executable)} -S -E -I {HOLDER} *\n")
    RULE.chmod(0o440)
    os.chmod("/root", 0o755)  # inside the VM only: Python and its packages may live there
    tuned.keep(TESTER, tuned.session(LONGER, WORK, id="0000caf8"))
    for path in (TESTER, *TESTER.rglob("*")):
        os.chown(path, UID, UID)
    return ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--"]


def by_sudo() -> dict[str, Any]:
    """A user's run whose holder `sudo -n` starts; then without the rule."""
    become = an_ordinary_user()
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))

    def as_user() -> subprocess.Popen[str]:
        return start(LONGER, "-v", become=become, HOME=str(TESTER), XDG_STATE_HOME=str(TESTER),
                     XDG_RUNTIME_DIR=str(TESTER), XDG_CACHE_HOME=cache)  # fmt: skip

    child = as_user()
    seen: dict[str, Any] = {"said": said(child, "is attached"), "attached": state()}
    owners = {path: os.stat(f"/proc/{pid}").st_uid for path in ("lease/shared.py", "holding/holder.py")
              for pid in pids(path)[-1:]}  # fmt: skip
    seen.update(command=os.stat(f"/proc/{child.pid}").st_uid, owners=owners)
    end(child)
    seen["detached"] = is_detached()
    RULE.unlink()
    refused = as_user()
    seen.update(refused=said(refused, "just runs"), still=read_state().state)
    seen["exit_code"] = end(refused, signal.SIGTERM)
    time.sleep(1.0)
    return {**seen, "uses": tuned.uses(TESTER / "autotune/history.sqlite3")}


SCENES: dict[str, Callable[[], dict[str, Any]]] = {
    "shared": two_share_and_the_last_one_detaches,
    "keeper_killed": the_keeper_is_killed,
    "left": what_the_command_leaves_does_not_keep_it,
    "partial": partial,
    "stopped": stopped_and_continued,
    "another": another_lease,
    "by_sudo": by_sudo,
}


def main() -> None:
    shutil.rmtree(TOP, ignore_errors=True)
    WORK.mkdir(parents=True)
    (TOP / "other").mkdir()
    sessions = [tuned.session(words, WORK, id=f"0000caf{at}") for at, words in enumerate((LONG, LEAVES, READS))]
    alone = Candidate("at_fifo", (("partial", True),))
    store = tuned.keep(STATE, *sessions, tuned.session(PARTIAL, WORK, won=alone, id="0000cafe"))
    chosen = sys.argv[1:] or list(SCENES)
    seen: dict[str, Any] = {}
    for name in chosen:
        began_s = time.monotonic()
        seen[name] = SCENES[name]()
        print(f"{name}: {time.monotonic() - began_s:.1f} s, {seen[name]}", file=sys.stderr, flush=True)
    time.sleep(1.0)
    seen["uses"] = tuned.uses(store)
    print(json.dumps(seen))


main()
