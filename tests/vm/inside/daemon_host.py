# SPDX-License-Identifier: MIT
"""Runs inside the VM, as root: the service with real schedulers, its users, and a hostile one. Prints what was seen as
JSON: a fact by its name.

All clients are ordinary users without any rule for sudo. tester is in the group of the service, stranger is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autotune.errors import AutotuneError, BusyError
from autotune.machine import ways
from autotune.service.client import NoDaemon, ServiceClient
from autotune.service.places import SYSTEM
from tests.support import tuned

TESTER, STRANGER, GROUP = 4242, 4343, 4250
HOME = Path("/run/tester")
TOP = Path(__file__).resolve().parents[3]
SCHED_EXT = Path("/sys/kernel/sched_ext")
ATTACH_S = 240.0
NOT_NEEDED = (
    *("anthropic", "openai", "mcp", "mypy", "mypyc", "hypothesis", "pip", "setuptools"),
    *("numpy", "optuna", "sqlalchemy", "huggingface_hub", "plotext"),
)
"""Packages that nothing here imports. The installation looks at each file that root would run, and these have most:
half a minute under emulation."""
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
    for name in NOT_NEEDED:
        for place in (TOP / ".venv/lib").glob(f"python3*/site-packages/{name}"):
            subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "none", str(place)], check=True)


def said(argv: list[str]) -> tuple[int, str]:
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout.strip()


def installed() -> list[str]:
    """What scripts/install-daemon would have systemd start."""
    image = Path("/run/image")
    done = subprocess.run(
        [str(TOP / "scripts/install-daemon"), "--root", str(image)], capture_output=True, text=True, check=False
    )
    unit = (image / "etc/systemd/system/autotune.service").read_text() if done.returncode == 0 else done.stderr
    seen["installed"] = [done.returncode, unit]
    units = [str(image / "etc/systemd/system" / name) for name in ("autotune.socket", "autotune.service")]
    seen["verified"] = said(["systemd-analyze", "verify", "--man=no", *units])
    enabled = [said(["systemctl", f"--root={image}", word, "autotune.socket"])[1] for word in ("enable", "is-enabled")]
    removed = said([str(TOP / "scripts/install-daemon"), "--remove", "--root", str(image)])
    seen["enabled"] = [enabled[-1], removed[0], [path for path in units if os.path.exists(path)]]
    return shlex.split(next(line for line in unit.splitlines() if line.startswith("ExecStart="))[len("ExecStart=") :])


def daemon(argv: list[str]) -> subprocess.Popen[bytes]:
    """Start the service as systemd would, by its socket, and wait until it answers: there is a moment between the name
    of the socket and somebody who listens there."""
    SYSTEM.parent.mkdir(exist_ok=True)
    SYSTEM.unlink(missing_ok=True)
    by_socket = ["systemd-socket-activate", "-l", str(SYSTEM), "-E", "PATH", "-E", "HOME", "-E", "XDG_CACHE_HOME"]
    started = subprocess.Popen([*by_socket, *argv], stderr=subprocess.DEVNULL)
    while not SYSTEM.exists():
        time.sleep(0.05)
    os.chown(SYSTEM, 0, GROUP)  # as the unit of the socket has it
    os.chmod(SYSTEM, 0o660)
    while True:
        try:
            ServiceClient(SYSTEM).close()
            return started
        except NoDaemon:
            assert started.poll() is None, "the daemon ended"
            time.sleep(0.05)


def state() -> str:
    return (SCHED_EXT / "state").read_text().strip()


def settled(wanted: str, limit_s: float = 15.0) -> str:
    """The state once it is the wanted one, or the last one seen."""
    end = time.monotonic() + limit_s
    while state() != wanted and time.monotonic() < end:
        time.sleep(0.1)
    return state()


def autotune(*words: str) -> list[str]:
    """The words that run autotune as tester."""
    become = ["setpriv", f"--reuid={TESTER}", f"--regid={TESTER}", f"--groups={GROUP}", "--"]
    return [*become, sys.executable, "-m", "autotune", *words]


def env() -> dict[str, str]:
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    return {**os.environ, "HOME": str(HOME), "XDG_CACHE_HOME": cache}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        autotune(*words), capture_output=True, text=True, check=False, env=env(), cwd=HOME, timeout=400
    )


@contextlib.contextmanager
def being(uid: int, groups: list[int]) -> Iterator[None]:
    """Be somebody for a while, in this process: the kernel says so to whoever we connect to."""
    os.setgroups(groups)
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])


def client() -> ServiceClient:
    with being(TESTER, [GROUP]):
        return ServiceClient(SYSTEM)


def attached(who: ServiceClient, scheduler: Any, **more: Any) -> str:
    """What came of attaching: the ops name, or the class and message of the error."""
    try:
        who.request("lease")
        return str(who.request("attach", scheduler=scheduler, timeout_s=ATTACH_S, **more)["ops"])
    except AutotuneError as error:
        return f"{type(error).__name__}: {error.message}"


# --- what is looked at ------------------------------------------------------------------------------------

WRONG = (
    "/tmp/mine.o", "../../tmp/mine", "at_fifo:slice_us=1", "at_fifo:slice_us=99999999999", "at_fifo:no_such=1",
    "custom:no_such", "at_fifo:slice_us=--help", "at_fifo\n", "", "scx_rusty:--verbose=1", "eevdf",
    None, 7, ["at_fifo"], {"scheduler": "at_fifo"},
)  # fmt: skip
BYTES = (
    b"\x00\xff garbage\n", b"{" * 100_000 + b"\n", b"[]\n", b'{"id":1,"v":1}\n', b"x" * (1 << 20),
    b'{"id":-1,"op":"hello","v":1}\n', b'{"id":1,"op":"hello","v":99}\n', b'{"id":1,"op":["hello"],"v":1}\n',
)  # fmt: skip


def who_may() -> None:
    with being(TESTER, [GROUP]):
        seen["way"] = ways.way().name
    with being(STRANGER, []):
        try:
            ServiceClient(SYSTEM)
            seen["stranger"] = "is let in"
        except AutotuneError as error:
            seen["stranger"] = type(error).__name__


def one_lease() -> None:
    """What one client may have while it keeps its connection, beside others and hostile ones."""
    first, second = client(), client()
    seen["attached"] = [attached(first, "at_fifo:slice_us=5000"), state()]
    seen["another"] = attached(second, "at_vtime")
    seen["wrong"] = {str(text): attached(first, text) for text in WRONG}
    seen["a path"] = attached(first, "at_nothing", spec={"ops": "x", "object_path": "/tmp/mine.o"}, libbpf="/tmp/x.so")
    seen["still attached"] = state()
    kept = hostile(first)
    seen["beside 200"] = [len(kept), first.request("detach", timeout_s=ATTACH_S)["state"]["state"]]
    for one in kept:
        one.close()
    attached(first, "at_fifo", lease_s=2)
    before = state()
    seen["silent"] = [before, settled("disabled")]
    try:
        first.request("detach")
    except AutotuneError as error:
        seen["silent"].append(type(error).__name__)
    attached(first, "at_fifo")
    before = state()
    first.close()
    seen["gone"] = [before, settled("disabled")]
    second.close()


def hostile(beside: ServiceClient) -> list[socket.socket]:
    """200 connections that say what nobody should, most of them left open in the middle of a line. The client beside
    them says that it is there, as autotune does."""
    kept = []
    for piece in BYTES * 25:
        one = socket.socket(socket.AF_UNIX)
        with being(TESTER, [GROUP]):
            one.connect(str(SYSTEM))
        one.settimeout(5)
        with contextlib.suppress(OSError):
            one.sendall(piece)
            one.sendall(b'{"id":1,"op":"attach"')
        kept.append(one)
        beside.beat()
    return kept


def applied_and_killed(service: subprocess.Popen[bytes]) -> None:
    """'autotune apply' of a user without sudo; a job is queued behind it, and the service is killed."""
    applied = subprocess.Popen(
        autotune("apply", "at_fifo"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env(), cwd=HOME
    )
    assert applied.stdout is not None
    seen["apply"] = [applied.stdout.readline().decode().strip(), state()]
    told = run(
        "submit", "--machine", "host", "--scheduler", "at_fifo", "--runs", "2", "--warmup", "0", "--no-observe",
        "--json", "report.json", "--", "sh", "-c", "id -u > ran_as; sleep 0.1",
    )  # fmt: skip
    seen["submit"] = told.stdout + told.stderr
    waiting = client()
    seen["waits"] = waiting.request("status")["waits_for"]
    waiting.close()
    service.send_signal(signal.SIGKILL)
    service.wait()
    seen["killed"] = settled("disabled")
    seen["apply then"] = [applied.communicate()[1].decode()[-500:], applied.returncode]


def queued_job_runs() -> None:
    """After the restart its turn comes, and it has the lease of the service."""
    watched = run("watch", "1")
    seen["watch"] = [watched.returncode, watched.stdout[-3000:] + watched.stderr]
    ran_as, report = HOME / "ran_as", HOME / "report.json"
    seen["ran as"] = [ran_as.read_text().strip(), ran_as.stat().st_uid] if ran_as.exists() else []
    found = json.loads(report.read_text()) if report.exists() else {"results": []}
    seen["runs"] = {one["candidate"]["scheduler"]: one["runs"] for one in found["results"]}
    seen["owner of the report"] = report.stat().st_uid if report.exists() else None
    seen["at the end"] = settled("disabled")


def leased() -> ServiceClient:
    """A client with the lease, which the run before may still be giving back."""
    other, end = client(), time.monotonic() + 60
    while True:
        try:
            other.request("lease")
            return other
        except BusyError:
            assert time.monotonic() < end, "the lease was not given back"
            time.sleep(0.1)


def an_everyday_run() -> None:
    """`autotune run` of the user, while it lasts and after it; then under the lease of somebody else."""
    words = ["sleep", "60"]
    tuned.keep(HOME / ".local/state", tuned.session(words, HOME))
    for path in (HOME / ".local").rglob("*"):
        os.chown(path, TESTER, TESTER)
    errors = HOME / "said"

    def started() -> subprocess.Popen[bytes]:
        with open(errors, "wb") as file:
            return subprocess.Popen(autotune("run", "-v", "--", *words), env=env(), cwd=HOME, stderr=file)

    def heard(what: str) -> str:
        end = time.monotonic() + 60
        while what not in errors.read_text() and time.monotonic() < end:
            time.sleep(0.1)
        return errors.read_text()

    command = started()
    seen["run"] = [heard(" is attached"), state()]
    command.send_signal(signal.SIGKILL)
    seen["run then"] = [command.wait(), settled("disabled"), heard("signal 9")]
    other = leased()
    command = started()
    seen["run beside"] = [heard("just runs"), state()]
    command.kill()
    command.wait()
    other.close()


def main() -> None:
    started_s = time.monotonic()

    def done(what: str) -> None:
        print(what, round(time.monotonic() - started_s, 1), file=sys.stderr, flush=True)

    prepare()
    argv = installed()
    done("installed")
    service = daemon(argv)
    who_may()
    done("who may")
    one_lease()
    done("one lease")
    applied_and_killed(service)
    done("applied and killed")
    service = daemon(argv)
    queued_job_runs()
    done("the job")
    an_everyday_run()
    done("the run")
    service.terminate()
    seen["ended"] = service.wait(60)
    print(json.dumps(seen))


main()
