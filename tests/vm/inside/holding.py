# SPDX-License-Identifier: MIT
"""Runs inside the VM, which plays a host: programs of every shape hold a scheduler, and autotune, its holder and its
guard are killed in every combination; prints as JSON what was left.

usage: holding.py killed OBJECT LIBBPF WHOM:SHAPE...   the client of the holder alone; WHOM may be empty
       holding.py applied REAL_SCX_COSMOS SHAPE:HOW...   `autotune apply` as a user runs it, of a script around it
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autotune.errors import AutotuneError
from autotune.records import AttachSpec, ProgramSpec
from autotune.schedext.holding.client import HolderClient
from autotune.schedext.kernel import read_state, wait_for
from tests.support import forked_program

HERE = Path(__file__).resolve()
REALLY_GONE_S = 1.0
FENCES = "autotune-fence-"
"""How long it is looked whether the scheduler comes back."""


def shapes(play: str) -> dict[str, str]:
    """Shell scripts whose child holds the scheduler; `play` starts what plays it, `good` or `ignores-both`."""
    good, deaf = play.replace("PART", "good"), play.replace("PART", "ignores-both")
    return {
        "direct": f"exec {good}",
        "script": f"{good}; true",
        "script that waits": f"{good} & wait",
        "session": f"setsid {good} & wait",
        "forked twice": f"(setsid {good} &); while :; do sleep 0.2; done",
        "group": f"set -m; {good} & wait",
        "deaf": f"trap '' INT TERM HUP; (setsid {deaf} &); while :; do sleep 0.2; done",
    }


def client(path: str, libbpf: str, shape: str) -> None:
    """Attach, say so, and see what becomes of it: asked to end by a line, or not at all."""
    play = shlex.join([sys.executable, "-S", "-E", str(HERE.parent / "play.py"), "PART", path, libbpf])
    found = os.stat("/bin/sh")
    program = ProgramSpec(("/bin/sh", "-c", shapes(play)[shape]), found.st_size, found.st_mtime_ns, 60.0)
    holder = HolderClient(libbpf=libbpf)
    holder.attach(AttachSpec("at_fifo", program=program))
    print("attached", flush=True)
    while not os.path.exists("/run/holding.end"):
        try:
            holder.check()
        except AutotuneError as error:
            print(json.dumps({"error": type(error).__name__, "message": str(error)}), flush=True)
            return
        time.sleep(0.05)
    print(json.dumps({"detached": holder.detach().state.state}), flush=True)
    holder.close()


# --- who is who ---


def lines() -> dict[int, str]:
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found[int(place.name)] = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def named(*needles: str) -> list[int]:
    return [pid for pid, line in lines().items() if any(needle in line for needle in needles)]


def marked() -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"AUTOTUNE_FENCE=" in (place / "environ").read_bytes():
                found.append(int(place.name))
    return found


def kill(whom: str, autotune: int) -> None:
    """At once, as far as that can be: `autotune+holder+guard` names those who are killed."""
    pids = {"autotune": [autotune], "holder": named("schedext/holding/holder.py"), "guard": named("autotune-guard")}
    for who in whom.split("+"):
        for pid in pids[who]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _is_ours_to_wait_for(line: str) -> bool:
    return "holding.py" in line or "-m autotune" in line


def remains() -> dict[str, Any]:
    """What is there of ours now."""
    words = ("schedext/holding/holder.py", "autotune-guard", "play.py", "scx_cosmos", "schedext/holding/fence.py")
    ours = [
        line for pid, line in lines().items() if any(word in line for word in words) and not _is_ours_to_wait_for(line)
    ]
    walked = os.walk("/sys/fs/cgroup")  # unlike rglob, it does not mind what goes meanwhile
    groups = [os.path.join(top, name) for top, names, _ in walked for name in names if name.startswith(FENCES)]
    return {"left": ours, "marked": marked(), "groups": groups}


def left(started: float) -> dict[str, Any]:
    """When it was detached, and what there is a while after the last of ours is gone. None of them ends by itself, so
    that the limit only keeps a broken test from hanging."""
    gone, _ = wait_for(lambda seen: seen.state == "disabled", 60.0)
    gone_s = time.monotonic() - started if gone else None
    limit = time.monotonic() + 60.0
    while any(remains().values()) and time.monotonic() < limit:
        time.sleep(0.3)  # a look at all processes costs much of a CPU here
    time.sleep(REALLY_GONE_S)
    return {"state": read_state().state, "gone_s": gone_s, **remains()}


# --- the client alone ---


def killed(path: str, libbpf: str, *cases: str) -> dict[str, Any]:
    """One process for all: another start of Python takes seconds here."""
    return {case: one(path, libbpf, *case.split(":")) for case in cases}


def one(path: str, libbpf: str, whom: str, shape: str) -> dict[str, Any]:
    end = Path("/run/holding.end")
    end.unlink(missing_ok=True)
    child, reading = started_client(path, libbpf, shape)
    with open(reading) as file:
        if file.readline() != "attached\n" or read_state().state != "enabled":
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return {**left(time.monotonic()), "attached": False, "said": file.read()}
        started = time.monotonic()
        if whom:
            kill(whom, child)
        else:
            end.touch()
        seen = left(started)
        said = file.read().strip()
    os.waitpid(child, 0)
    return {**seen, "shape": shape, "killed": whom, "attached": True, "said": json.loads(said or "null")}


def started_client(path: str, libbpf: str, shape: str) -> tuple[int, int]:
    """A process of its own, and where it says what it sees. Forked: another start of Python takes seconds here."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        os.setsid()
        os.dup2(writing, 1)
        client(path, libbpf, shape)
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


# --- as a user runs it ---

WRAPPERS = {
    "script": '#!/bin/sh\n{real} "$@"\nexit $?\n',
    "session": '#!/bin/sh\nsetsid {real} "$@" &\nwait\n',
}


def applied(real: str, *cases: str) -> dict[str, Any]:
    """One process for all, which has imported autotune: see forked_program."""
    seen: dict[str, Any] = {}
    for case in cases:
        try:
            seen[case] = applying(real, *case.split(":"))
        except (OSError, subprocess.SubprocessError):  # the others are seen all the same
            seen[case] = {"attached": False, "stderr": traceback.format_exc()}
    return seen


def applying(real: str, shape: str, how: str) -> dict[str, Any]:
    """`autotune apply` of a script that starts the real scheduler as its child."""
    place = Path("/run/holding/bin")
    place.mkdir(parents=True, exist_ok=True)
    script = place / "scx_cosmos"
    copy = shutil.copy(real, place / "real_cosmos")  # its options are asked by nobody, who may not look into a home
    script.write_text(WRAPPERS[shape].format(real=copy))
    script.chmod(0o755)
    child = forked_program.start(
        "apply",
        "scx_cosmos",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PATH": f"{place}:{os.environ['PATH']}"},
    )
    assert child.stdout is not None
    said = child.stdout.readline()
    while said and "is applied" not in said and child.poll() is None:
        said += child.stdout.readline()
    attached = read_state().state == "enabled" and len(named(str(script))) > 0
    started = time.monotonic()
    stopped = None
    if how == "ctrl-c":
        child.send_signal(signal.SIGINT)
    elif how == "stop":
        stopped = forked_program.run("stop", text=True).stdout
    else:
        kill(how, child.pid)
    seen = left(started)
    out, err = child.communicate(timeout=120)
    return {
        **seen,
        "shape": shape,
        "killed": how,
        "attached": attached,
        "exit_code": child.returncode,
        "stdout": said + out,
        "stderr": err,
        "stopped": stopped,
    }


def main() -> None:
    what, *arguments = sys.argv[1:]
    play: dict[str, Callable[..., Any]] = {"killed": killed, "applied": applied}
    print(json.dumps(play[what](*arguments)))


main()
