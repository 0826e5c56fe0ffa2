# SPDX-License-Identifier: MIT
"""Runs inside the VM that plays a host: keeps objects as generated schedulers that have passed the gates, then runs
`autotune cc --machine host` once for each list of arguments, and prints as JSON how it went.

usage: generated_on_host.py JSON
The JSON object: `objects` ({name: path}), `sessions` (lists of arguments), optionally `flip` (a name whose object gets
one byte changed), `strikes` ({name: how many it has had}), `passed` (names whose canary was passed before).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp()

from autotune.canary.strikes import Strikes
from autotune.records import Seal
from autotune.schedext import seal
from autotune.schedext.catalogue import custom
from autotune.schedext.kernel import read_state
from autotune.verify.submission import ends, entry, knobs_of, submission

SOURCE = "/* kept by a test */\n"


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
    argv = [
        sys.executable,
        "-m",
        "autotune",
        "cc",
        "--machine",
        "host",
        "--planner",
        "offline",
        "--json",
        "-",
        *arguments,
    ]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=400, check=False)
    report = json.loads(done.stdout) if done.stdout.startswith(b"{") else None
    return {"exit_code": done.returncode, "said": done.stderr.decode(), "report": report, "state": read_state().state}


def main() -> None:
    asked = json.loads(sys.argv[1])
    digests = {name: keep(name, path) for name, path in asked["objects"].items()}
    for name, count in asked.get("strikes", {}).items():
        for number in range(count):
            Strikes().strike(digests[name], f"strike {number + 1}", os.uname().release)
    for name in asked.get("passed", []):
        Strikes().remember_passed(digests[name], os.uname().release)
    if "flip" in asked:
        flip(asked["flip"])
    seen = {"sessions": [session(arguments) for arguments in asked["sessions"]]}
    strikes = {name: len(Strikes().reasons(digest)) for name, digest in digests.items()}
    print(json.dumps({**seen, "strikes": strikes}))


main()
