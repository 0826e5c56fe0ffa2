# SPDX-License-Identifier: MIT
"""A real service in a process of its own, and its clients. Only what a job runs is another program: `sh` with the last
of its words in place of `autotune cc`, so that queues can be tried without micro-VMs.

Where the tests run as root the service is in a user namespace as an ordinary user: it runs no session of root.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autotune.service.client import ServiceClient
from tests.support.waiting import PATIENCE_S, wait_until

TOP = Path(__file__).resolve().parents[2]
UID = 4242
PROGRAM = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from autotune import daemon
from autotune.service import running
running.argv_of = lambda job: ["/bin/sh", "-c", f"cd {job.cwd}; exec 2>&1; {job.words[-1]}"]
running.STEPS = tuple((number, 1.0) for number, _ in running.STEPS)
sys.exit(daemon.main())
"""


def as_ordinary_user() -> list[str]:
    """The words that run a command as an ordinary user; none where the tests are one."""
    return ["unshare", "--user", f"--map-user={UID}", f"--map-group={UID}", "--"] if os.geteuid() == 0 else []


@dataclass
class Service:
    """A service at `top`. `start` returns once it answers."""

    top: Path
    options: tuple[str, ...] = ()
    as_root: bool = False
    """Not in a user namespace: jobs change the user for real."""
    here: Path | None = None
    """Directory of the jobs, where not `top`."""
    process: subprocess.Popen[bytes] | None = None
    clients: list[ServiceClient] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        return self.top / "run" / "socket"

    def start(self) -> Service:
        prefix = [] if self.as_root else as_ordinary_user()
        where = ["--socket", str(self.socket), "--state", str(self.top / "state"), *self.options]
        with open(self.top / "journal", "ab") as journal:
            argv = [*prefix, sys.executable, "-c", PROGRAM, str(TOP), *where]
            self.process = subprocess.Popen(argv, stderr=journal, start_new_session=True)
        wait_until(self._answers)
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.journal()
        with contextlib.suppress(Exception):
            ServiceClient(self.socket).close()
            return True
        return False

    def journal(self) -> str:
        return (self.top / "journal").read_text()

    def client(self) -> ServiceClient:
        made = ServiceClient(self.socket)
        self.clients.append(made)
        return made

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def stop(self) -> int:
        return self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        if self.process is not None and self.process.poll() is None:
            self.stop()

    # --- jobs ---

    def submit(self, script: str, **more: Any) -> dict[str, Any]:
        """Submit a job that runs this script."""
        with contextlib.closing(ServiceClient(self.socket)) as client:
            fields = {
                "command": script,
                "words": [script],
                "cwd": str(self.here or self.top),
                "env": {"PATH": os.environ["PATH"]},
            }
            found: dict[str, Any] = client.request("submit", **{**fields, **more})
        return found

    def job(self, number: int) -> dict[str, Any]:
        with contextlib.closing(ServiceClient(self.socket)) as client:
            found: dict[str, Any] = client.request("status", job=number)
        return found

    def wait_for(self, number: int, *states: str) -> dict[str, Any]:
        wait_until(lambda: self.job(number)["state"] in states)
        return self.job(number)


@contextlib.contextmanager
def running(top: Path, *options: str, as_root: bool = False) -> Iterator[Service]:
    service = Service(top, options, as_root)
    try:
        yield service.start()
    finally:
        service.close()
