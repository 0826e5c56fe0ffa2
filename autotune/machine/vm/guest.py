# SPDX-License-Identifier: MIT
"""The agent inside the micro-VM: serves an Executor as JSON lines over a virtio port.

Init starts it as root, `python -S -E -I guest.py PORT_NAME`. End of file on the port means that the host is gone: the
agent leaves and init powers the VM off. Standard library only, because starting is slow under emulation.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from binascii import b2a_base64
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))))

from autotune.errors import AutotuneError
from autotune.machine.base import Place
from autotune.machine.executor import Executor, describe_machine
from autotune.machine.vm import inherited
from autotune.process import Channel, EventHandler, Message, serve
from autotune.records import AttachSpec, Identity, ProbeSpec, RunSpec
from autotune.wire import from_json, to_json

UPPER = "/run/autotune/upper"
"""The place where init leaves the writable layer over the host's files."""

KEEP = "/run/autotune/keep"
"""The place where init mounts the host directory of `--keep-writes`, if there is one."""

SCRATCH = "/run/autotune/scratch"

READY = "/run/autotune/ready"
"""Init creates it when all is mounted; the agent starts earlier."""

READY_S = 60.0


class Agent:
    """The operations that the host may request."""

    def __init__(self) -> None:
        self._executor: Executor | None = None

    @property
    def executor(self) -> Executor:
        if self._executor is None:
            raise AutotuneError("the first operation must be 'begin'", stage="protocol")
        return self._executor

    def begin(self, request: Message, _emit: EventHandler) -> Any:
        wait_until_ready()
        os.makedirs(SCRATCH, mode=0o711, exist_ok=True)
        place = Place(request["cwd"], request["pristine"], from_json(Identity, request["identity"]))
        if not os.path.isdir(place.cwd):
            raise AutotuneError(
                f"directory {place.cwd} does not exist inside the micro-VM",
                hint="run from a directory outside /dev, /proc, /run and /sys, which the micro-VM has of its own",
                stage="machine",
            )
        inherited.take_on(request.get("inherited", {}))
        make_runtime_dir(place.identity)
        self._executor = Executor(
            place, libbpf=request.get("libbpf"), scratch=SCRATCH, guarded=False, sees_others=False
        )
        machine = to_json(describe_machine("vm", request["why"], request["acceleration"]))
        return {"machine": machine, "uptime_s": time.clock_gettime(time.CLOCK_BOOTTIME)}

    def run(self, request: Message, emit: EventHandler) -> Any:
        return to_json(self.executor.run(from_json(RunSpec, request["spec"]), _forward(emit)))

    def measure(self, request: Message, emit: EventHandler) -> Any:
        spec = from_json(RunSpec, request["spec"])
        return to_json(self.executor.measure(spec, request["ops"], _forward(emit)))

    def watch(self, request: Message, emit: EventHandler) -> Any:
        spec, probe = from_json(RunSpec, request["spec"]), from_json(ProbeSpec, request["probe"])
        return to_json(self.executor.watch(spec, probe, _forward(emit)))

    def fresh(self, _request: Message, _emit: EventHandler) -> Any:
        self.executor.fresh()

    def attach(self, request: Message, _emit: EventHandler) -> Any:
        return to_json(self.executor.attach(from_json(AttachSpec, request["spec"])))

    def detach(self, _request: Message, _emit: EventHandler) -> Any:
        return to_json(self.executor.detach())

    def release(self, _request: Message, _emit: EventHandler) -> Any:
        self.executor.release()

    def state(self, _request: Message, _emit: EventHandler) -> Any:
        return to_json(self.executor.state())

    def sample(self, _request: Message, _emit: EventHandler) -> Any:
        return to_json(self.executor.sample())

    def keep_writes(self, _request: Message, _emit: EventHandler) -> Any:
        from pathlib import Path  # seldom needed, and starting is slow under emulation

        from autotune.machine.vm import writes

        return to_json(writes.copy_writes(Path(UPPER), Path(KEEP)))

    def close(self) -> None:
        if self._executor is not None:
            self._executor.close()


def make_runtime_dir(identity: Identity, top: str = "/run/user") -> None:
    """Make the user's directory for sockets, where XDG_RUNTIME_DIR commonly points; the host's is not seen here."""
    path = f"{top}/{identity.uid}"
    with contextlib.suppress(OSError):
        os.makedirs(path, mode=0o700, exist_ok=True)
        os.chown(path, identity.uid, identity.gid)


def wait_until_ready(path: str = READY, timeout_s: float = READY_S) -> None:
    """Wait for the rest of init. Raises AutotuneError when it does not finish."""
    deadline = time.monotonic() + timeout_s
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise AutotuneError("the micro-VM's file systems were not mounted in time", stage="machine")
        time.sleep(0.005)


def _forward(emit: EventHandler) -> Any:
    return lambda stream, data: emit({"output": stream, "data": b2a_base64(data, newline=False).decode()})


def open_port(name: str) -> int:
    """Open the virtio port that QEMU named `name` and return its descriptor. Raises AutotuneError when there is
    none."""
    ports = "/sys/class/virtio-ports"
    for port in os.listdir(ports):
        with open(f"{ports}/{port}/name") as file:
            if file.read().strip() == name:
                return os.open(f"/dev/{port}", os.O_RDWR | os.O_CLOEXEC)
    raise AutotuneError(f"no virtio port is named {name}", stage="machine")


def main() -> None:
    fd = open_port(sys.argv[1])
    agent = Agent()
    operations = (
        "begin", "run", "measure", "watch", "fresh", "attach", "detach", "release", "state", "sample", "keep_writes"
    )  # fmt: skip
    try:
        serve(Channel(fd, fd), {name: getattr(agent, name) for name in operations})
    finally:
        agent.close()


if __name__ == "__main__":
    main()
