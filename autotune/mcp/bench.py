# SPDX-License-Identifier: MIT
"""The tools of Claude's own loop for a client: a Toolbox for each call, over one machine for short attachments.

What always holds here:
- the machine is opened by the first attachment and closed before a tuning, or with the server;
- host or micro-VM is decided once: no file that changes later makes it the other one, unasked;
- whoever opens it is one thread that stays: a micro-VM ends with the thread that started it;
- what a scheduler does here is never measured.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from autotune import config
from autotune.canary import standing
from autotune.deadline import Deadline
from autotune.errors import AutotuneError, UsageError
from autotune.knowledge.store import Knowledge
from autotune.machine import select
from autotune.machine.base import Machine
from autotune.measure import counters
from autotune.records import Attachment, AttachSpec, Candidate, Detachment, KernelState, MachineInfo, Sample, Workload
from autotune.redact import Redactor
from autotune.schedext import kernel
from autotune.schedext.catalogue import custom
from autotune.secrecy import known_secrets
from autotune.session.request import SessionRequest
from autotune.session.start import Engine
from autotune.tools.reasons import unusable
from autotune.tools.rehearsal import Rehearsal
from autotune.tools.toolbox import Result, Toolbox

ATTACHED_S = 120.0
"""How long a scheduler may stay attached: a client takes longer between two calls than our own loop."""
OPEN_S = 240.0
MACHINE_TOOLS = frozenset({"run_scheduler", "stop_scheduler", "get_execution_status", "system_monitor"})


class ClientBench:
    """Answers calls of the loop's tools. `engine` opens machines."""

    def __init__(self, directory: Path, engine: Engine | None = None) -> None:
        self.directory = directory
        self.redactor = Redactor(known_secrets(directory, os.environ))
        self.engine = engine or Engine()
        self._thread = ThreadPoolExecutor(1, "autotune-machine")
        self._machine = OpenedLate(self._open)
        self._rehearsal = ClientRehearsal(self._machine, self._resolve, limit_s=ATTACHED_S)
        self._catalog = custom.catalog()
        self._kind: Literal["host", "vm"] | None = None

    def call(self, name: str, arguments: BaseModel) -> Any:
        """Return the answer as data. Raises AutotuneError."""
        if name in MACHINE_TOOLS:
            return self._thread.submit(self._call, name, arguments).result()
        return self._call(name, arguments)

    def _call(self, name: str, arguments: BaseModel) -> Any:
        with Knowledge() as knowledge:
            answer = self._toolbox(knowledge).answer(name, arguments)
        if isinstance(answer, Result):
            raise UsageError(answer.text)
        return answer

    def _toolbox(self, knowledge: Knowledge) -> Toolbox:
        self._catalog = custom.catalog()
        return Toolbox(
            catalog=self._catalog,
            rehearsal=self._rehearsal,
            knowledge=knowledge,
            directory=self.directory,
            redactor=self.redactor,
            unusable=unusable(self._catalog, self.machine_info(), directory=self.directory),
            standings=standing.texts(standing.standings(self._catalog.schedulers, knowledge)),
        )

    def machine_info(self) -> MachineInfo:
        """Return the machine where schedulers are attached, as far as that is known before one is opened."""
        opened = self._machine.opened
        if opened is not None:
            return opened.info
        kind, here = self.where(), select.whereabouts()
        cpus = here.cpus or select.default_cpus()
        return MachineInfo(kind, "", here.kernel, cpus, select.default_memory_bytes(), here.cpu_model, "none")

    def where(self) -> Literal["host", "vm"]:
        """Return where schedulers are attached. Raises AutotuneError."""
        if self._kind is None:
            self._kind = select.decide(config.load({}, cwd=self.directory, environ=os.environ).machine).kind
        return self._kind

    def release(self) -> None:
        """Detach, and close the machine. Raises DetachError when a scheduler is still attached."""
        self._thread.submit(self._close).result()

    def close(self) -> None:
        """Release for good."""
        try:
            self.release()
        finally:
            self._thread.shutdown()

    def _close(self) -> None:
        self._rehearsal.release()
        self._machine.close()

    def _settings(self) -> config.Settings:
        return config.load({"machine": self.where()}, cwd=self.directory, environ=os.environ)

    def _open(self) -> contextlib.AbstractContextManager[Machine]:
        request = SessionRequest(Workload("true", ("true",), str(self.directory)), self._settings())
        return self.engine.machine(request, lambda _event: None, Deadline(OPEN_S))

    def _resolve(self, candidate: Candidate) -> AttachSpec:
        machine = self._machine.use()
        return self.engine.resolver(self._catalog, machine, lambda _event: None, Deadline(OPEN_S))(candidate)


class OpenedLate:
    """The part of a Machine that a rehearsal needs, opened at its first use."""

    def __init__(self, open_: Callable[[], contextlib.AbstractContextManager[Machine]]) -> None:
        self._open = open_
        self._stack = contextlib.ExitStack()
        self.opened: Machine | None = None

    def use(self) -> Machine:
        if self.opened is None:
            self.opened = self._stack.enter_context(self._open())
        return self.opened

    def close(self) -> None:
        self.opened = None
        self._stack.close()

    def attach(self, spec: AttachSpec) -> Attachment:
        return self.use().attach(spec)

    def detach(self) -> Detachment:
        return self.use().detach()

    def state(self) -> KernelState:
        return self.use().state()

    def sample(self) -> Sample:
        """Sample the machine, or the host as long as none is opened: watching needs no micro-VM."""
        if self.opened is not None:
            return self.opened.sample()
        return Sample(**counters.sample(), state=kernel.read_state())  # type: ignore[arg-type]


class ClientRehearsal(Rehearsal):
    """Keeps only so many executions: a client may call for days."""

    MOST = 100

    def __init__(self, machine: OpenedLate, resolve: Callable[[Candidate], AttachSpec], *, limit_s: float) -> None:
        super().__init__(machine, resolve, limit_s=limit_s)

    def _refuse_more(self, kept: int, what: str) -> None:
        if kept >= self.MOST:
            raise AutotuneError(f"{self.MOST} {what} were started here", hint="start the server again")

    def start(self, candidate: Candidate) -> Any:
        self._refuse_more(len(self.ids), "schedulers")
        return super().start(candidate)

    def monitor(self) -> str:
        self._refuse_more(len(self.monitor_ids), "monitors")
        return super().monitor()
