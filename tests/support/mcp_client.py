# SPDX-License-Identifier: MIT
"""The package's own client of the MCP server, in memory or at a process, with what a person at it would answer."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
from mcp import Client

from autotune.mcp.bench import ClientBench
from autotune.mcp.desk import Desk
from autotune.mcp.jobs import Allowance, Works
from autotune.mcp.questions import Effect
from autotune.mcp.server import Consents, Door
from tests.support.scripted_engine import ScriptedEngine

ROOT = Path(__file__).parents[2]
SCRIPTED = """
from autotune.mcp import worker
from tests.support.scripted_engine import ScriptedEngine
from tests.support.scripted_machine import ScriptedMachine
from tests.support.watched_tasks import a_task, a_turn, raw

tasks = raw([a_task(1, end_s=1.02, arguments=("sort", "x"))], [a_turn(1, 0.0, 1.02)])
worker.main(ScriptedEngine(ScriptedMachine({"eevdf": 1.0, "at_fifo": 0.8}, tasks=tasks)))
"""
SCRIPTED_WORKER = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{SCRIPTED}"]
"""A worker whose sessions run on a scripted machine."""
MODES = ("legacy", "2026-07-28")
"""The handshake of older clients, and the newest protocol."""


class AtTheClient:
    """Answers questions, and keeps them."""

    def __init__(self, action: str = "accept") -> None:
        self.action = action
        self.questions: list[str] = []

    async def answer(self, context: Any, params: Any) -> types.ElicitResult:
        del context
        self.questions.append(params.message)
        return types.ElicitResult(action=self.action, content={})  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def connected(
    directory: Path,
    *,
    mode: str = "2026-07-28",
    asked: AtTheClient | None = None,
    allowed: Sequence[Effect] = (),
    allowance: Allowance | None = None,
    worker: Sequence[str] = SCRIPTED_WORKER,
    engine: ScriptedEngine | None = None,
) -> AsyncIterator[Client]:
    """A client in memory of a server whose machine is scripted; the server ends with it."""
    desk = Desk(ClientBench(directory, engine or ScriptedEngine()), Works(allowance or Allowance(), worker))
    door = Door(desk, Consents(frozenset(allowed)))
    try:
        async with Client(door.server(), mode=mode, elicitation_callback=asked.answer if asked else None) as client:
            yield client
    finally:
        await anyio.to_thread.run_sync(desk.close)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    anyio.run(work)


def data(result: types.CallToolResult) -> Any:
    """The structured answer of a call that went well."""
    assert not result.is_error, result.content
    return result.structured_content


def refusal(result: types.CallToolResult) -> str:
    """The text of a call that was refused."""
    assert result.is_error
    (content,) = result.content
    assert isinstance(content, types.TextContent)
    return content.text


PATIENT = """
import os, sys
job = sys.stdin.buffer.readline()
try:
    os.write(1, b'{"step": "Measuring", "line": "a line"}\\n')
except BrokenPipeError:
    pass  # the server was killed before
while os.read(0, 4096):
    pass
open(sys.argv[1], "w").write("ended in order")
"""
"""A worker that works until its pipe closes."""
SERVER = """
import sys; sys.path.insert(0, {root!r})
from pathlib import Path
from autotune.mcp import serving, web
from autotune.mcp.jobs import Allowance, Works
allowance = Allowance()
address = web.address_of({http!r}, {token!r}) if {http!r} else None
options = serving.ServerOptions(Path({directory!r}), allowance, frozenset(["run"]), address)
serving.run(options, Works(allowance, [sys.executable, "-c", {patient!r}, {ended!r}]))
serving.leave()
"""


def server_program(directory: Path, http: str = "", token: str | None = None) -> list[str]:
    """A server whose tunings only wait; each writes `ended` into the directory when it ended in order."""
    given = {"root": str(ROOT), "directory": str(directory), "http": http, "token": token}
    return [sys.executable, "-c", SERVER.format(**given, patient=PATIENT, ended=str(directory / "ended"))]
