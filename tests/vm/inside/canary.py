# SPDX-License-Identifier: MIT
"""Runs inside the VM that plays the host: the canary of one object, by the host's own holder; prints as JSON how it
went. A program called "trigger" begins to run `trigger_s` into the whole-system stage (none: never; below 0: before the
scheduler is attached). With `tries` the canary is repeated, a strike for each fault, until it is barred.

usage: canary.py OPS OBJECT LIBBPF WATCH_S PARTIAL(yes|no) TRIGGER_S(none|s) TRIES [knob=value...]
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from autotune import canary
from autotune.canary.strikes import Strikes
from autotune.records import Attachment, AttachSpec, KnobValue
from autotune.schedext.holding.client import HolderClient
from autotune.wire import to_json

STATE = "/sys/kernel/sched_ext/state"
TRIGGER = "open('/proc/self/comm', 'w').write('trigger')\nwhile True: pass"


class Observer:
    """A real-time process of its own that notes when the kernel's state changed: what the breaker says is not
    believed."""

    def __init__(self) -> None:
        self._path = tempfile.mktemp()
        self._pid = os.fork()
        if self._pid == 0:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(3))
            self._note()

    def _note(self) -> None:
        last = ""
        with open(self._path, "a", buffering=1) as out:
            while True:
                state = Path(STATE).read_text().strip()
                if state != last:
                    out.write(json.dumps([time.monotonic(), state]) + "\n")
                last = state
                time.sleep(0.02)

    def changes(self) -> list[tuple[float, str]]:
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)
        return [tuple(json.loads(line)) for line in Path(self._path).read_text().splitlines()]


class Trigger:
    """The load that the gates lacked."""

    def __init__(self, after_s: float) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.started_s = 0.0
        self._timer = threading.Timer(max(0.0, after_s), self._start)
        self._timer.start()
        if after_s < 0:
            time.sleep(-after_s)

    def _start(self) -> None:
        self.started_s = time.monotonic()
        self._process = subprocess.Popen([sys.executable, "-S", "-E", "-I", "-c", TRIGGER])

    def end(self) -> None:
        self._timer.cancel()
        self._timer.join()
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def value(text: str) -> bool | int:
    return {"true": True, "false": False}[text] if text in ("true", "false") else int(text)


def one(spec: AttachSpec, libbpf: str, watch_s: float, can_be_partial: bool, trigger_s: float | None) -> Any:
    holder = HolderClient(libbpf=libbpf)
    canary.lift(holder._worker.process.pid, canary.HOLDER_PRIORITY)
    triggers: list[Trigger] = []

    def attach(partial: bool) -> Attachment:
        if trigger_s is not None and trigger_s < 0:
            triggers.append(Trigger(trigger_s))
        attachment = holder.attach(AttachSpec(spec.ops, spec.object_path, spec.rodata, partial))
        if trigger_s is not None and trigger_s >= 0 and not partial:
            triggers.append(Trigger(trigger_s))
        return attachment

    observer = Observer()
    try:
        outcome = canary.run(attach, holder.detach, canary.CanaryPlan(spec.ops, can_be_partial, watch_s=watch_s))
    finally:
        for trigger in triggers:
            trigger.end()
        holder.close()
    changes = observer.changes()
    return {
        **to_json(outcome),
        "triggered_s": triggers[0].started_s if triggers else None,
        "changes": changes,
        "state": Path(STATE).read_text().strip(),
    }


def main() -> None:
    ops, path, libbpf, watch_s, partial, trigger_s, tries, *settings = sys.argv[1:]
    knobs: dict[str, KnobValue] = {
        name: value(text) for name, _, text in (setting.partition("=") for setting in settings)
    }
    content_hash, kernel = hashlib.sha256(Path(path).read_bytes()).hexdigest(), os.uname().release
    strikes = Strikes(Path(tempfile.mkdtemp()) / "state" / "canary.json")
    seen: list[Any] = []
    while len(seen) < int(tries) and not strikes.is_barred(content_hash):
        found = one(
            AttachSpec(ops, path, knobs),
            libbpf,
            float(watch_s),
            partial == "yes",
            None if trigger_s == "none" else float(trigger_s),
        )
        if found["passed"]:
            strikes.remember_passed(content_hash, kernel)
        elif found["fault"]:
            strikes.strike(content_hash, found["reason"], kernel)
        seen.append(found)
    print(
        json.dumps(
            {
                "tries": seen,
                "barred": strikes.is_barred(content_hash),
                "passed": strikes.passed(content_hash, kernel),
                "reasons": [strike.reason for strike in strikes.reasons(content_hash)],
                "mode": oct(strikes.path.stat().st_mode & 0o777) if strikes.path.exists() else None,
            }
        )
    )


main()
