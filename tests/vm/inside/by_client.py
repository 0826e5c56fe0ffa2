# SPDX-License-Identifier: MIT
"""Runs inside the VM, which plays a host: a client of the MCP server attaches, keeps and releases schedulers. Prints as
JSON what was seen: a fact by its name."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
from mcp import Client

from autotune.mcp.bench import ClientBench
from autotune.mcp.desk import Desk
from autotune.mcp.jobs import Allowance, Works
from autotune.mcp.server import Consents, Door
from autotune.schedext.kernel import read_state, wait_for
from tests.support.mcp_client import AtTheClient, data, refusal

LONG_S = 120.0
seen: dict[str, Any] = {}


@contextlib.asynccontextmanager
async def connected(asked: AtTheClient) -> AsyncIterator[Client]:
    """A client of a server with the real machine and workers; everything of the server's ends with it."""
    desk = Desk(ClientBench(Path("/tmp")), Works(Allowance()))
    try:
        async with Client(Door(desk, Consents()).server(), elicitation_callback=asked.answer) as client:
            yield client
    finally:
        await anyio.to_thread.run_sync(desk.close)


def kernel_has(state: str) -> list[str | None]:
    """What is attached, once the state is this one."""
    wait_for(lambda now: now.state == state, LONG_S)
    now = read_state()
    return [now.state, now.ops]


async def tried(client: Client) -> None:
    """Attach for a moment, as SchedCP's clients do."""
    started = data(await client.call_tool("run_scheduler", {"name": "at_fifo", "args": ["slice_us=4000"]}))
    seen["run"] = kernel_has("enabled")
    end_s = time.monotonic() + LONG_S
    while (shown := await status(client, started["execution_id"]))["status"] != "running" and time.monotonic() < end_s:
        await anyio.sleep(0.5)
    seen["running"] = shown
    seen["stopped"] = data(await client.call_tool("stop_scheduler", {"execution_id": started["execution_id"]}))
    seen["after stop"] = kernel_has("disabled")


async def status(client: Client, id: str) -> Any:
    return data(await client.call_tool("get_execution_status", {"execution_id": id}))


async def kept(client: Client) -> None:
    """Keep one, let another wait, and give the machine back."""
    seen["apply"] = data(await client.call_tool("apply", {"scheduler": "at_fifo:slice_us=4000"}))
    seen["applied"] = kernel_has("enabled")
    seen["second"] = refusal(await client.call_tool("apply", {"scheduler": "at_vtime"}))
    seen["release"] = data(await client.call_tool("release", {}))
    seen["released"] = kernel_has("disabled")
    seen["again"] = data(await client.call_tool("apply", {"scheduler": "at_fifo"}))
    seen["at the end"] = kernel_has("enabled")


async def work() -> None:
    asked, unwilling = AtTheClient(), AtTheClient("decline")
    async with connected(unwilling) as client:
        seen["declined"] = refusal(await client.call_tool("apply", {"scheduler": "at_fifo"}))
        seen["after no"] = [read_state().state, read_state().enable_seq]
    async with connected(asked) as client:
        await tried(client)
        await kept(client)
    seen["client gone"] = kernel_has("disabled")
    seen["questions"] = asked.questions


anyio.run(work)
print(json.dumps(seen))
