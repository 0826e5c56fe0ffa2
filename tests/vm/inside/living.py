# SPDX-License-Identifier: MIT
"""Runs inside the VM, which plays a host where somebody else attached a scheduler; prints as JSON what was seen.

usage: living.py OPS OBJECT LIBBPF OBJECT_OF_AT_VTIME
`systemctl`, `scxctl` and `scx_loader` are played by small programs on PATH that really start and stop the scheduler.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autotune.errors import AutotuneError
from autotune.lease import others, replacing
from autotune.lease.other import Other
from autotune.schedext.kernel import read_state, wait_for

PLACE = Path("/run/stand-ins")
HERE = Path(__file__).resolve().parent
OPS, OBJECT, LIBBPF, VTIME = sys.argv[1:5]
BY_HAND = [sys.executable, "-S", str(HERE / "by_hand.py"), OPS, OBJECT, LIBBPF]

HEAD = f"""#!{os.path.realpath(sys.executable)}
import os, signal, subprocess, sys, time
PLACE, BY_HAND = {str(PLACE)!r}, {BY_HAND!r}
def pid():
    try:
        found = int(open(PLACE + "/pid").read())
        os.kill(found, 0)
        return found
    except (OSError, ValueError):
        return 0
def end(number):
    while pid():
        try:
            os.kill(pid(), number)
        except OSError:
            pass
        time.sleep(0.05)
"""
SYSTEMCTL = """
what, unit = sys.argv[1:3]
if unit != "scx.service":
    sys.exit("no such unit")
if what == "show":
    print("ActiveState=" + ("active" if pid() else "inactive"))
    print("MainPID=%d" % pid())
elif what == "start":
    started = subprocess.Popen(BY_HAND, start_new_session=True)
    open(PLACE + "/pid", "w").write(str(started.pid))
elif what == "stop":
    end(signal.SIGINT)
"""
LOADER = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    with open(PLACE + "/fifo") as fifo:
        words = fifo.read().split()
    if words[0] == "stop":
        end(signal.SIGINT)
    elif words[0] == "start":
        started = subprocess.Popen(["scx_bpfland", *BY_HAND[1:]], executable=BY_HAND[0])
        open(PLACE + "/pid", "w").write(str(started.pid))
"""
SCXCTL = """
def tell(text):
    open(PLACE + "/fifo", "w").write(text)
def said(text):
    open(PLACE + "/said", "w").write(text)
what = sys.argv[1]
open(PLACE + "/asked", "a").write(" ".join(sys.argv[1:]) + "\\n")
if what == "get":
    print(open(PLACE + "/said").read())
elif what == "start":
    options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
    said("running Bpfland in %s mode" % options["--mode"].title())
    tell("start")
elif what == "stop":
    said("no scx scheduler running")
    tell("stop")
"""


def stand_ins() -> None:
    PLACE.mkdir(exist_ok=True)
    for name, text in (("systemctl", SYSTEMCTL), ("scx_loader", LOADER), ("scxctl", SCXCTL)):
        (PLACE / name).write_text(HEAD + text)
        (PLACE / name).chmod(0o755)
    os.mkfifo(PLACE / "fifo")
    (PLACE / "said").write_text("no scx scheduler running")
    os.environ["PATH"] = f"{PLACE}:{os.environ['PATH']}"


def attached() -> None:
    good, state = wait_for(lambda seen: seen.state == "enabled", 30.0)
    assert good, state


def heard(other: Other | None) -> Any:
    if other is None:
        return None
    return {"sentence": other.sentence, "origin": other.origin, "mode": other.mode, "pid": other.pid}


def replace_and_restore(inside: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """What is seen before, while it is replaced, and afterwards."""
    before = others.look()
    said: list[str] = []
    error = None
    try:
        with replacing.replaced(before, said.append):
            while_replaced = read_state().state
            inside()
    except (AutotuneError, RuntimeError) as problem:
        error = str(problem)
    after = others.look()
    return {
        "before": heard(before),
        "while": while_replaced,
        "after": heard(after),
        "said": said,
        "error": error,
    }


@contextlib.contextmanager
def started(argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(argv, start_new_session=True, cwd="/usr", env={**os.environ, "MARK": "of the user"})
    attached()
    yield child


def end_all() -> None:
    """Whoever plays the other scheduler."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if b"by_hand.py" in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
    wait_for(lambda seen: seen.state == "disabled", 10.0)


def by_hand() -> dict[str, Any]:
    with started(BY_HAND) as child:
        seen = replace_and_restore()
        child.wait(60)
        now = seen["after"]["pid"]
        environ = Path(f"/proc/{now}/environ").read_bytes().split(b"\0")
        seen["again"] = {
            "same_argv": Path(f"/proc/{now}/cmdline").read_bytes().split(b"\0")[:-1] == [w.encode() for w in BY_HAND],
            "cwd": os.readlink(f"/proc/{now}/cwd"),
            "marked": b"MARK=of the user" in environ,
            "own_session": os.getsid(now) == now,
            "another": now != child.pid,
        }
        return seen


def after_an_error() -> dict[str, Any]:
    def fail() -> None:
        raise RuntimeError("a test")

    return replace_and_restore(fail)


def when_somebody_attaches_meanwhile() -> dict[str, Any]:
    def intrude() -> None:
        subprocess.Popen([*BY_HAND[:3], "at_vtime", VTIME, LIBBPF])
        attached()

    return replace_and_restore(intrude)


def killed() -> dict[str, Any]:
    """autotune is killed while somebody else's scheduler is replaced."""
    script = (
        "import sys, time; from autotune.lease import others, replacing\n"
        "with replacing.replaced(others.look(), print): print('replaced', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip() == "replaced":
            break
    else:
        raise AssertionError(f"it ended with {child.wait()}")
    state = read_state().state
    child.kill()
    child.wait()
    attached()
    return {"while": state, "after": heard(others.look())}


def of_the_service() -> dict[str, Any]:
    subprocess.run(["systemctl", "start", "scx.service"], check=True)
    attached()
    return replace_and_restore()


def of_the_loader() -> dict[str, Any]:
    loader = subprocess.Popen([str(PLACE / "scx_loader")])
    subprocess.run(["scxctl", "start", "--sched", "bpfland", "--mode", "gaming"], check=True)
    attached()
    seen = replace_and_restore()
    seen["asked"] = [line for line in (PLACE / "asked").read_text().splitlines() if line != "get"]
    loader.kill()
    return seen


def refusals() -> dict[str, Any]:
    """What an interactive user may answer, and what is never replaced."""
    other = others.look()
    assert other is not None
    seen: dict[str, Any] = {}
    for name, how in (
        ("flag", {"replace_current": True, "ask": None}),
        ("yes", {"replace_current": False, "ask": lambda _text: "y\n"}),
        ("no", {"replace_current": False, "ask": lambda _text: "\n"}),
        ("nobody", {"replace_current": False, "ask": None}),
    ):
        try:
            seen[name] = replacing.consent(other, **how)
        except AutotuneError as error:
            seen[name] = str(error)
    return seen


def main() -> None:
    stand_ins()
    seen: dict[str, Any] = {"nothing": heard(others.look())}
    seen["by_hand"] = by_hand()
    seen["consent"] = refusals()
    seen["error"] = after_an_error()
    seen["killed"] = killed()
    seen["meanwhile"] = when_somebody_attaches_meanwhile()
    end_all()
    seen["service"] = of_the_service()
    end_all()
    seen["loader"] = of_the_loader()
    end_all()
    time.sleep(0.2)
    seen["state"] = read_state().state
    print(json.dumps(seen))


main()
