# SPDX-License-Identifier: MIT
"""Runs inside the VM, as root: the service with real schedulers, its users, and a hostile one. Prints what was seen as
JSON: a fact by its name.

All clients are ordinary users without any rule for sudo. tester is in the group of the service, stranger is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autotune.errors import AutotuneError
from autotune.service.client import ServiceClient
from autotune.service.places import SYSTEM

TESTER, STRANGER, GROUP = 4242, 4343, 4250
HOME = Path("/run/tester")
STATE = Path("/run/daemon-state")
SCHED_EXT = Path("/sys/kernel/sched_ext")
ATTACH_S = 240.0
seen: dict[str, Any] = {}


def prepare() -> None:
    """Make the accounts, and let them read Python and its packages (inside the VM only)."""
    with open("/etc/passwd", "a") as file:
        file.write(f"tester:x:{TESTER}:{TESTER}::{HOME}:/bin/sh\nstranger:x:{STRANGER}:{STRANGER}::/run:/bin/sh\n")
    with open("/etc/group", "a") as file:
        file.write(f"tester:x:{TESTER}:\nstranger:x:{STRANGER}:\nautotune:x:{GROUP}:tester\n")
    HOME.mkdir()
    os.chown(HOME, TESTER, TESTER)
    os.chmod("/root", 0o755)


def daemon() -> subprocess.Popen[bytes]:
    """Start the service and wait until it answers."""
    argv = [sys.executable, "-m", "autotune", "daemon", "--group", "autotune", "--state", str(STATE)]
    started = subprocess.Popen(argv, stderr=subprocess.PIPE)
    assert started.stderr is not None
    while b"ready" not in (line := started.stderr.readline()):
        assert line, "the daemon ended"
    return started


def state() -> str:
    return (SCHED_EXT / "state").read_text().strip()


def settled(wanted: str, limit_s: float = 15.0) -> str:
    """The state once it is the wanted one, or the last one seen."""
    end = time.monotonic() + limit_s
    while state() != wanted and time.monotonic() < end:
        time.sleep(0.1)
    return state()


def as_user(uid: int, *words: str) -> list[str]:
    groups = f"--groups={GROUP}" if uid == TESTER else "--clear-groups"
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", groups, "--", *words]


def autotune(*words: str) -> list[str]:
    return as_user(TESTER, sys.executable, "-m", "autotune", *words)


def env() -> dict[str, str]:
    return {**os.environ, "HOME": str(HOME), "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", "/root/.cache")}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        autotune(*words), capture_output=True, text=True, check=False, env=env(), cwd="/run/tester", timeout=400
    )


@contextlib.contextmanager
def as_tester() -> Iterator[None]:
    """Be tester for a while, in this process: the kernel says so to whoever we connect to."""
    os.setgroups([GROUP])
    os.setegid(TESTER)
    os.seteuid(TESTER)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])


def client() -> ServiceClient:
    with as_tester():
        return ServiceClient(SYSTEM)


def attached(who: ServiceClient, scheduler: str, **more: Any) -> str:
    """What came of attaching: the ops name, or the class and message of the error."""
    try:
        who.request("lease")
        return str(who.request("attach", scheduler=scheduler, timeout_s=ATTACH_S, **more)["ops"])
    except AutotuneError as error:
        return f"{type(error).__name__}: {error.message}"


# --- what is looked at ------------------------------------------------------------------------------------


def a_lease_ends_with_its_connection() -> None:
    first, second = client(), client()
    seen["attached"] = [attached(first, "at_fifo:slice_us=5000"), state()]
    seen["refused"] = attached(second, "at_vtime")
    first.close()
    seen["after the connection"] = settled("disabled")
    second.close()


def a_silent_client_loses_it() -> None:
    who = client()
    attached(who, "at_fifo", lease_s=2)
    before = state()
    seen["silent"] = [before, settled("disabled")]
    try:
        who.request("detach")
    except AutotuneError as error:
        seen["silent, then"] = type(error).__name__
    who.close()


def nothing_else_is_attached() -> None:
    who = client()
    wrong = [
        "/tmp/mine.o", "../../tmp/mine", "at_fifo:slice_us=1", "at_fifo:slice_us=99999999999", "at_fifo:no_such=1",
        "custom:no_such", "at_fifo:slice_us=--help", "at_fifo\n", "", "scx_rusty:--verbose=1", "eevdf",
    ]  # fmt: skip
    seen["wrong"] = {text: attached(who, text) for text in wrong}
    seen["wrong type"] = [attached(who, text) for text in (None, 7, ["at_fifo"], {"scheduler": "at_fifo"})]  # type: ignore[arg-type]
    seen["spec"] = attached(who, "at_nothing", spec={"ops": "x", "object_path": "/tmp/mine.o"}, libbpf="/tmp/lib.so")
    who.close()
    seen["after wrong ones"] = settled("disabled")


def hostile_bytes() -> None:
    pieces = [
        b"\x00\xff garbage\n", b"{" * 100_000 + b"\n", b"[]\n", b'{"id":1,"v":1}\n', b"x" * (1 << 20),
        b'{"id":-1,"op":"hello","v":1}\n', b'{"id":1,"op":"hello","v":99}\n', b'{"id":1,"op":["hello"],"v":1}\n',
    ]  # fmt: skip
    kept = []
    for piece in pieces * 25:  # 200 connections, half of them left open in the middle of a line
        one = socket.socket(socket.AF_UNIX)
        with as_tester():
            one.connect(str(SYSTEM))
        with contextlib.suppress(OSError):
            one.settimeout(5)
            one.sendall(piece)
            one.sendall(b'{"id":1,"op":"attach"')
        kept.append(one)
    who = client()
    seen["beside 200 connections"] = [len(kept), attached(who, "at_fifo"), who.request("detach")["state"]["state"]]
    who.close()
    for one in kept:
        one.close()


def a_stranger_is_refused() -> None:
    code = f"from autotune.service.client import *; ServiceClient({str(SYSTEM)!r})"
    code = f"from pathlib import Path; {code.replace(repr(str(SYSTEM)), f'Path({str(SYSTEM)!r})')}"
    done = subprocess.run(
        as_user(STRANGER, sys.executable, "-c", code), capture_output=True, text=True, check=False, env=env(), cwd="/"
    )
    seen["stranger"] = done.stderr.strip().splitlines()[-1:]


def apply_without_sudo() -> None:
    applied = subprocess.Popen(autotune("apply", "at_fifo"), stdout=subprocess.PIPE, env=env(), cwd="/run/tester")
    assert applied.stdout is not None
    line = applied.stdout.readline().decode()
    seen["apply"] = [line.strip(), state()]
    killed = subprocess.run(["pkill", "-KILL", "-u", str(TESTER)], check=False)
    applied.wait()
    seen["apply killed"] = [killed.returncode, settled("disabled")]


def a_session_of_the_queue_uses_the_lease(service: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """It is submitted, the service is killed and started again before its turn comes, and then it runs."""
    blocker = client()
    blocker.request("lease")  # so that the queue waits
    told = run(
        "submit", "--machine", "host", "--scheduler", "at_fifo", "--runs", "2", "--warmup", "0", "--no-observe",
        "--json", "report.json", "--", "sh", "-c", "id -u > ran_as; sleep 0.1",
    )  # fmt: skip
    seen["submit"] = told.stdout + told.stderr
    seen["waits"] = blocker.request("status")["waits_for"]
    attached(blocker, "at_fifo")
    before = state()
    service.send_signal(signal.SIGKILL)
    service.wait()
    seen["daemon killed"] = [before, settled("disabled")]
    blocker.close()
    again = daemon()
    watched = run("watch", "1")
    seen["watch"] = [watched.returncode, watched.stdout[-3000:] + watched.stderr]
    owner = (HOME / "ran_as").stat().st_uid if (HOME / "ran_as").exists() else None
    seen["ran as"] = [(HOME / "ran_as").read_text().strip() if owner is not None else "", owner]
    report = HOME / "report.json"
    found = json.loads(report.read_text()) if report.exists() else {}
    seen["report"] = [report.stat().st_uid if found else None, [one["candidate"] for one in found.get("results", [])]]
    seen["valid runs"] = [one["runs"] for one in found.get("results", [])]
    seen["after the session"] = settled("disabled")
    return again


def main() -> None:
    prepare()
    service = daemon()
    started_s = time.monotonic()
    for step in (
        a_lease_ends_with_its_connection,
        a_silent_client_loses_it,
        nothing_else_is_attached,
        hostile_bytes,
        a_stranger_is_refused,
        apply_without_sudo,
    ):
        step()
        print(step.__name__, round(time.monotonic() - started_s, 1), file=sys.stderr)
    service = a_session_of_the_queue_uses_the_lease(service)
    seen["doctor"] = next((line for line in run("doctor").stdout.splitlines() if line.strip().find("root") >= 0), "")
    print("doctor", round(time.monotonic() - started_s, 1), file=sys.stderr)
    service.terminate()
    seen["ended"] = service.wait(30)
    print(json.dumps(seen))


main()
