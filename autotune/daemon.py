# SPDX-License-Identifier: MIT
"""The service as a program: `autotune daemon`, or what systemd starts (docs/DAEMON.md).

    daemon.py [--socket PATH] [--group NAME] [--state DIRECTORY]

It takes its socket from systemd, or makes one. Standard library only: it runs as root, and many speak to it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from autotune import durable, resources, trust
from autotune.errors import AutotuneError, BusyError
from autotune.service import places
from autotune.service.jobs import JobQueue
from autotune.service.peers import Gate, group_id
from autotune.service.server import Server, ignore_signals, obey_signals, say

READY = "ready"
"""What it prints once it accepts connections."""


def main(words: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Returns the exit code."""
    given = _parser().parse_args(words)
    try:
        _serve(given.socket, given.group, given.state or resources.state_dir() / "daemon")
    except AutotuneError as error:
        say(str(error))
        return error.exit_code
    finally:
        ignore_signals()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("autotune daemon", description="Queue sessions and grant leases on schedulers.")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="where to listen, unless systemd passes a socket")
    parser.add_argument("--group", metavar="NAME", help="whose members may use it; default: only you and root")
    parser.add_argument("--state", type=Path, metavar="DIR", help="directory of the queue")
    return parser


def _serve(path: Path | None, group: str | None, state: Path) -> None:
    gate = Gate(None if group is None else group_id(group))
    if os.geteuid() == 0:
        trust.refuse_foreign(Path(__file__).resolve())
    with _listening(path, gate) as socket, _only_one(state):
        with durable.explained(f"the queue in {state} cannot be used", state, stage="daemon"):
            jobs = JobQueue(state / "queue")
        for damaged in jobs.damaged:
            say(f"a job is left out: {damaged}")
        server = Server(socket, jobs, gate)
        obey_signals(server)
        say(READY)
        server.run()


@contextlib.contextmanager
def _listening(path: Path | None, gate: Gate) -> Iterator[places.Listener]:
    passed = places.inherited(os.environ)
    if passed is not None:
        with passed:
            yield passed
        return
    default = places.SYSTEM if os.geteuid() == 0 else places.own()
    with places.listening(path or default, gate.gid) as made:
        yield made


@contextlib.contextmanager
def _only_one(state: Path) -> Iterator[None]:
    with durable.explained(f"the queue in {state} cannot be used", state, stage="daemon"):
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    busy = BusyError(f"a daemon has the queue in {state} already", hint="stop it first", stage="daemon")
    with durable.locked(state / "lock", lambda: busy, wait_s=2.0):
        yield


if __name__ == "__main__":
    sys.exit(main())
