# SPDX-License-Identifier: MIT
"""Runs inside the VM that plays a host: keeps objects as generated schedulers that have passed the gates, then runs
`autotune cc --machine host` once for each list of arguments, and prints as JSON how it went.

usage: generated_on_host.py JSON
A list of objects: `objects` ({name: path}), `sessions` (lists of arguments), optionally `flip` (a name whose object
gets one byte changed), `strikes` ({name: how many it has had}), `passed` (names whose canary was passed before),
`behaves` (nothing of it should be detached: repeated when it is). Each has a state directory of its own. One process
for all, which has imported autotune: see forked_program.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from autotune.canary.strikes import Strikes
from autotune.records import Seal
from autotune.schedext import seal
from autotune.schedext.catalogue import custom
from autotune.schedext.kernel import read_state
from autotune.verify.submission import ends, entry, knobs_of, submission
from tests.support import forked_program

SOURCE = "/* kept by a test */\n"
LIMIT_S = 1500.0
"""Only keeps a session that hangs from doing so for ever."""
TRIES_BORNE = 3
"""An emulated machine whose CPUs others take is late under any scheduler, and canary and watch cannot tell: a scheduler
that behaves is tried again, with nothing known of it. One that does not behave is detached each time."""
DETACHED = ("did not pass its canary", "detached by the watch")


def keep(name: str, path: str) -> str:
    content = Path(path).read_bytes()
    asked = submission(name=name, source=SOURCE, description="Of a test.")
    knobs, _ = knobs_of(asked, Path(path), os.environ.get("TEST_LIBBPF"))
    digests = seal.sha256(SOURCE.encode()), seal.sha256(content)
    settings = {knob: (int(low), int(high)) for knob, (low, high) in ends(knobs).items()}
    token = seal.sign(Seal(name, *digests, "19", seal.GATES_VERSION, os.uname().release, settings=settings))
    with custom.reserved(name):
        custom.keep(name, SOURCE, content, entry(asked, knobs), token, [])
    return digests[1]


def flip(name: str) -> None:
    path = custom.load(name).object_path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def session(arguments: list[str]) -> dict[str, Any]:
    fixed = ("cc", "--machine", "host", "--planner", "offline", "--no-observe", "--json", "-")
    done = forked_program.run(*fixed, *arguments, timeout_s=LIMIT_S)
    report = json.loads(done.stdout) if done.stdout.startswith(b"{") else None
    return {"exit_code": done.returncode, "said": done.stderr.decode(), "report": report, "state": read_state().state}


def one(asked: dict[str, Any]) -> dict[str, Any]:
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp()
    digests = {name: keep(name, path) for name, path in asked["objects"].items()}
    for name, count in asked.get("strikes", {}).items():
        for number in range(count):
            Strikes().strike(digests[name], f"strike {number + 1}", os.uname().release)
    for name in asked.get("passed", []):
        Strikes().remember_passed(digests[name], os.uname().release)
    if "flip" in asked:
        flip(asked["flip"])
    sessions = [session(arguments) for arguments in asked["sessions"]]
    strikes = {name: len(Strikes().reasons(digest)) for name, digest in digests.items()}
    return {"sessions": sessions, "strikes": strikes}


def was_detached(seen: dict[str, Any]) -> bool:
    return any(words in session["said"] for session in seen["sessions"] for words in DETACHED)


def tried(asked: dict[str, Any]) -> dict[str, Any]:
    """Whatever goes wrong in one, the others are seen."""
    behaves = asked.pop("behaves", False)
    try:
        seen = one(asked)
        for _ in range(TRIES_BORNE - 1):
            if not behaves or not was_detached(seen):
                break
            seen = one(asked)
        return seen
    except Exception:
        return {"error": traceback.format_exc()}


def main() -> None:
    print(json.dumps([tried(asked) for asked in json.loads(sys.argv[1])]))


main()
