# SPDX-License-Identifier: MIT
"""The process of one long piece of work: a tuning, the verification of a scheduler, or a scheduler that stays attached.

    worker.py    (a job as one line of JSON on standard input; then lines of JSON on standard output)

What always holds here:
- it lives on its standard input: when that ends, because the server ends it or was killed, it ends as by Ctrl-C, and
  the machine is given back;
- nothing that a library prints can be taken for a line of ours: descriptor 1 becomes that of standard error;
- the last line is `done` with the result, or `error`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autotune.events import Event
    from autotune.records import Session
    from autotune.session.start import Engine
    from autotune.verify.submission import Submission

MOST_JOB_BYTES = 4 << 20
Say = Callable[[dict[str, Any]], None]


def main(engine: Engine | None = None) -> None:
    """Do the job on standard input. `engine` is for tests."""
    out = os.dup(1)
    os.dup2(2, 1)
    job = json.loads(sys.stdin.buffer.readline(MOST_JOB_BYTES))
    threading.Thread(target=_end_with_input, name="autotune-input", daemon=True).start()

    def say(line: dict[str, Any]) -> None:
        data = json.dumps(line, ensure_ascii=True).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):  # the server was killed: our input ends too, and ends us in order
            while data:
                data = data[os.write(out, data) :]

    _run(job, say, engine)


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGINT)


def _run(job: dict[str, Any], say: Say, engine: Engine | None) -> None:
    from autotune import signals
    from autotune.errors import as_ours
    from autotune.secrecy import redact_python, redacted

    redact_python()
    try:
        os.chdir(job["directory"])
    except OSError as error:
        say({"error": f"the directory cannot be used: {error.strerror}"})
        return
    if job["kind"] == "apply":
        _apply(job, out=say)
        return
    with signals.program():
        try:
            with signals.interruptible(), signals.as_interrupts():
                found = _tune(job, say, engine) if job["kind"] == "tune" else _verify(job, say)
        except (KeyboardInterrupt, Exception) as error:
            say({"error": redacted(str(as_ours(error)))})
        else:
            say({"done": found})


# --- a tuning --------------------------------------------------------------------------------------------


def _tune(job: dict[str, Any], say: Say, engine: Engine | None) -> dict[str, Any]:
    from autotune.mcp.requests import TuningStart, session_request
    from autotune.session import start
    from autotune.tools.toolbox import checked

    request = session_request(checked(TuningStart, job["arguments"]), Path(job["directory"]))
    session = start.run(request, Told(say), engine)
    return session_summary(session)


class Told:
    """Tells the server what happens in a session: each line that `autotune cc` would print, and how far it is."""

    def __init__(self, say: Say) -> None:
        from autotune.views.plain import PlainView
        from autotune.views.progress import SessionProgress

        self._say = say
        self._view = PlainView(_Lines(lambda line: say({"line": line})))
        self._progress = SessionProgress(time.monotonic())

    def __call__(self, event: Event) -> None:
        from autotune import events
        from autotune.views.progress import advance

        if not isinstance(event, events.Finished):  # its report is in the result
            self._view(event)
        self._progress = seen = advance(self._progress, event, time.monotonic())
        step = seen.step or f"{seen.phase}, round {seen.round}" + (f": {seen.running}" if seen.running else "")
        self._say({"step": step, "attached": seen.attached, "runs": len(seen.values)})


class _Lines(io.StringIO):
    """A stream that passes whole lines on."""

    def __init__(self, take: Callable[[str], None]) -> None:
        super().__init__()
        self._take = take

    def write(self, text: str) -> int:
        for line in text.splitlines():
            self._take(line[:2000])
        return len(text)


def session_summary(session: Session) -> dict[str, Any]:
    """Return what a client is told of a session; all of it is in the knowledge store."""
    from autotune.report.plain_text import plain_text

    return {
        "session": session.id,
        "winner": session.winner,
        "recommendation": session.recommendation,
        "results": [_row(one) for one in session.results],
        "report": plain_text(session),
        "interrupted": session.interrupted,
        "failure": session.failure,
    }


def _row(one: Any) -> dict[str, Any]:
    speedup = one.speedup
    interval = None if speedup is None else {"low": speedup.low, "high": speedup.high, "confidence": speedup.confidence}
    return {
        "scheduler": one.candidate.key,
        "verdict": one.verdict,
        "speedup": None if speedup is None else speedup.estimate,
        "interval": interval,
        "median": one.median,
        "runs": one.runs,
        "confirmed": one.confirmed,
        "note": one.note,
    }


# --- a verification --------------------------------------------------------------------------------------


def _verify(job: dict[str, Any], say: Say) -> dict[str, Any]:
    from autotune.mcp.offers import CreateSchedulerHere
    from autotune.schedext.catalogue import custom
    from autotune.tools.toolbox import checked, submitted
    from autotune.tools.workshop import Workshop

    arguments = checked(CreateSchedulerHere, job["arguments"])
    shop = Workshop(custom.catalog(), lambda submission: _verified(submission, job, say))
    passed, said = shop.create(submitted(arguments))
    return {"passed": passed, "verification": said}


def _verified(submission: Submission, job: dict[str, Any], say: Say) -> Any:
    from autotune import config
    from autotune.deadline import Deadline
    from autotune.machine.vm import healing
    from autotune.schedext.catalogue.origin import Maker
    from autotune.verify.gates import verify

    directory = Path(job["directory"])
    settings = config.load({}, cwd=directory, environ=os.environ, only=("kernel",))
    kernel = healing.sound(settings.kernel, lambda text: say({"line": text}))
    told = lambda text: say({"line": text.strip(), "step": text.strip()})  # noqa: E731
    return verify(submission, kernel, told, Deadline(float(job["limit_s"])), made_in=directory, maker=Maker("model"))


# --- a scheduler that stays attached ---------------------------------------------------------------------


def _apply(job: dict[str, Any], out: Say) -> None:
    """Become `autotune apply`, whose lines are told."""
    reads, writes = os.pipe()
    for number in (1, 2):
        os.dup2(writes, number)
    os.close(writes)
    told = threading.Thread(target=_tell_lines, args=(reads, out), name="autotune-lines", daemon=True)
    told.start()
    sys.argv = ["autotune", "apply", job["arguments"]["scheduler"]]
    try:
        runpy.run_module("autotune", run_name="__main__")
    finally:
        os.close(1)
        os.close(2)
        told.join(2.0)


def _tell_lines(reads: int, out: Say) -> None:
    with open(reads, errors="replace") as lines:
        for line in lines:
            out({"line": line.rstrip("\n")[:2000]})


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
