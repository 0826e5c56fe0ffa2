# SPDX-License-Identifier: MIT
"""The server: the requests of the protocol over a desk and a shelf.

It is the package's `Server`, below its `MCPServer`: that one makes names, schemas and descriptions from Python
functions, which would be a second copy of what `tools/toolbox.py` says of its tools.

What always holds here:
- no call can end the server: what is wrong with one is its answer;
- what needs consent has it before anything is done;
- every answer is redacted, escaped and bounded.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import mcp_types as types
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel

from autotune import __version__
from autotune.errors import AutotuneError, UsageError, as_ours
from autotune.frozen import dataclass
from autotune.mcp import offers, shelf
from autotune.mcp.answers import MOST_BYTES, safe
from autotune.mcp.desk import Desk
from autotune.mcp.jobs import CLIENT
from autotune.mcp.questions import FLAGS, Effect, Tickets, question
from autotune.tools.toolbox import checked

T = TypeVar("T")
MOST_ARGUMENT_BYTES = 512 << 10
ANSWER_WITHIN_S = 300.0
"""How long a person may think about a question."""
LOOK_EVERY_S = 0.5
CONSENT = "consent"
INSTRUCTIONS = (
    "autotune measures which Linux CPU scheduler makes a command better on this machine. Start with best_known and "
    "list_schedulers; tuning_start measures, tuning_status with wait_s follows. Only its verdicts count: a speedup "
    "whose interval includes 1 is none. Nothing beats EEVDF is a good answer."
)
Ctx = ServerRequestContext[Any, Any]


@dataclass(frozen=True)
class Consents:
    """What the person who started the server allows without being asked."""

    allowed: frozenset[Effect] = frozenset()


class Door:
    """The handlers of one server."""

    def __init__(self, desk: Desk, consents: Consents) -> None:
        self._desk = desk
        self._consents = consents
        self._tickets = Tickets()

    def server(self) -> Server[Any]:
        """Return the server of the protocol."""
        return Server(
            "autotune",
            version=__version__,
            title="autotune",
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
        )

    # --- tools ---

    async def _list_tools(self, _ctx: Ctx, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=list(_tools()))

    async def _call_tool(
        self, ctx: Ctx, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        CLIENT.set(_session_of(ctx))
        try:
            return await self._answered(ctx, params)
        except MCPError:
            raise
        except Exception as error:
            return self._result({"error": str(as_ours(error))}, is_error=True)

    async def _answered(
        self, ctx: Ctx, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        offer = offers.BY_NAME.get(params.name)
        if offer is None:
            raise UsageError(f"there is no tool '{params.name[:100]}'; there are {', '.join(offers.BY_NAME)}")
        given = params.arguments or {}
        if len(json.dumps(given, default=str)) > MOST_ARGUMENT_BYTES:
            raise UsageError(f"arguments have at most {MOST_ARGUMENT_BYTES >> 10} KiB")
        arguments = await _in_thread(lambda: self._desk.settled(checked(offer.arguments, given)))
        asked = await self._consent(ctx, params, arguments)
        if asked is not None:
            return asked
        if isinstance(arguments, offers.TuningStatus):
            await self._follow(ctx, arguments)
        return self._result(await _in_thread(lambda: self._desk.answer(offer.name, arguments)))

    def _result(self, data: Any, *, is_error: bool = False) -> types.CallToolResult:
        shown = safe(data, self._desk.bench.redactor.data)
        text = json.dumps(shown, ensure_ascii=False)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=text)],
            structured_content=None if is_error else shown,
            is_error=is_error,
        )

    async def _follow(self, ctx: Ctx, given: offers.TuningStatus) -> None:
        """Wait for the end of a tuning for as long as the client wants, and notify progress meanwhile."""
        work = self._desk.tuning(given.id)
        until_s, said = time.monotonic() + given.wait_s, ""
        while not work.is_over and time.monotonic() < until_s:
            if work.step != said:
                said = work.step
                message = str(safe(said, self._desk.bench.redactor.data))
                await ctx.session.report_progress(round(work.took_s(), 1), None, message)
            await anyio.sleep(min(LOOK_EVERY_S, max(0.0, until_s - time.monotonic())))

    # --- consent ---

    async def _consent(
        self, ctx: Ctx, params: types.CallToolRequestParams, arguments: BaseModel
    ) -> types.InputRequiredResult | None:
        """Return None once the call may go on, or the question that a newer client answers by calling again. Raises
        UsageError for a refusal."""
        effects = await _in_thread(lambda: self._desk.effects(params.name, arguments))
        lacking = tuple(one for one in effects if one not in self._consents.allowed)
        if not lacking:
            return None
        text = question(lacking, self._desk.facts(params.name, arguments))
        capabilities = ctx.session.client_capabilities
        if capabilities is None or capabilities.elicitation is None:
            flags = " ".join(FLAGS[one] for one in lacking)
            raise UsageError(
                "this needs the consent of a person, and this client cannot ask for it",
                hint=f"start the server with {flags}, or use a client that supports elicitation",
            )
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return self._by_calling_again(params, text)
        answer = None
        with anyio.move_on_after(ANSWER_WITHIN_S):
            answer = await ctx.session.elicit_form(text, _FORM, ctx.request_id)
        if answer is None:
            within = f"{ANSWER_WITHIN_S / 60:.0f} minutes"
            raise UsageError(f"the person at the client did not answer within {within}", hint="call again")
        _require_accepted(answer)
        return None

    def _by_calling_again(self, params: types.CallToolRequestParams, text: str) -> types.InputRequiredResult | None:
        given = {"arguments": params.arguments or {}, "question": text}
        answer = (params.input_responses or {}).get(CONSENT)
        if answer is None:
            form = types.ElicitRequestFormParams(message=text, requested_schema=_FORM)
            return types.InputRequiredResult(
                input_requests={CONSENT: types.ElicitRequest(params=form)},
                request_state=self._tickets.issue(params.name, given),
            )
        if not self._tickets.redeem(params.request_state, params.name, given):
            raise UsageError("this answer is not for this call, or was used before", hint="call again without it")
        _require_accepted(answer)
        return None

    # --- resources and prompts ---

    async def _list_resources(self, _ctx: Ctx, _params: Any) -> types.ListResourcesResult:
        pages = [one for one in shelf.PAGES if not one.is_template]
        return types.ListResourcesResult(
            resources=[
                types.Resource(uri=one.uri, name=one.name, description=one.description, mime_type=one.kind)
                for one in pages
            ]
        )

    async def _list_templates(self, _ctx: Ctx, _params: Any) -> types.ListResourceTemplatesResult:
        pages = [one for one in shelf.PAGES if one.is_template]
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    uri_template=one.uri, name=one.name, description=one.description, mime_type=one.kind
                )
                for one in pages
            ]
        )

    async def _read_resource(self, _ctx: Ctx, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        text, kind = await self._or_refused(functools.partial(shelf.read, self._desk.bench, params.uri))
        shown = str(safe(text, self._desk.bench.redactor.data))[:MOST_BYTES]
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=params.uri, text=shown, mime_type=kind)]
        )

    async def _list_prompts(self, _ctx: Ctx, _params: Any) -> types.ListPromptsResult:
        command = types.PromptArgument(name="command", description="As you type it in a shell.", required=True)
        return types.ListPromptsResult(
            prompts=[
                types.Prompt(name=one.name, title=one.title, description=one.title, arguments=[command])
                for one in shelf.SUGGESTIONS
            ]
        )

    async def _get_prompt(self, _ctx: Ctx, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        text = await self._or_refused(lambda: self._filled(params.name, dict(params.arguments or {})))
        return types.GetPromptResult(
            messages=[types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))]
        )

    def _filled(self, name: str, arguments: dict[str, str]) -> str:
        for one in shelf.SUGGESTIONS:
            if one.name == name:
                return str(safe(one.filled(arguments, self._desk.bench.directory), self._desk.bench.redactor.data))
        raise UsageError(f"there is no prompt '{name[:100]}'")

    async def _or_refused(self, work: Callable[[], T]) -> T:
        """Return what the work finds. Raises MCPError with what is wrong."""
        try:
            return await _in_thread(work)
        except AutotuneError as error:
            message = str(safe(str(error), self._desk.bench.redactor.data))
            raise MCPError(types.INVALID_PARAMS, message) from None


_FORM: dict[str, Any] = {"type": "object", "properties": {}}
"""Nothing is to be filled in: to accept is to agree."""


def _require_accepted(answer: Any) -> None:
    if not isinstance(answer, types.ElicitResult) or answer.action != "accept":
        raise UsageError("the person at the client did not agree", hint="do not ask for the same again")


def _session_of(ctx: Ctx) -> str | None:
    return None if ctx.request is None else ctx.request.headers.get(MCP_SESSION_ID_HEADER)


async def _in_thread(work: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


@functools.cache
def _tools() -> tuple[types.Tool, ...]:
    return tuple(
        types.Tool(
            name=one.name,
            description=one.description,
            input_schema=offers.input_schema(one),
            output_schema=offers.output_schema(one),
            annotations=types.ToolAnnotations(
                read_only_hint=one.effect == "reads",
                destructive_hint=one.effect == "changes",
                open_world_hint=False,
            ),
        )
        for one in offers.ALL
    )
