# SPDX-License-Identifier: MIT
"""Streamable HTTP: who may connect, and the web server.

What always holds here:
- without a token only this machine's loopback is listened on, and only programs of the same user are answered: a
  person at the client agrees, and that must not be somebody else. A connection that was closed at once is nobody's;
- Host and Origin are checked, so that no web page in a browser can be a client;
- a token comes from a file or the environment, never from the command line, which everybody can read; nor from a file
  that others may read or change.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from mcp.server import Server
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from autotune import reading
from autotune.errors import AutotuneError, UsageError
from autotune.frozen import dataclass
from autotune.mcp import peers
from autotune.mcp.streams import MOST_LINE_BYTES

TOKEN = "AUTOTUNE_MCP_TOKEN"
TOKENS = re.compile(r"[!-~]{16,1024}")
MOST_CLIENTS = 16
IDLE_S = 1800.0


@dataclass(frozen=True)
class Address:
    """Where to listen; with `token` only who knows it is answered."""

    host: str
    port: int
    token: str | None = None

    @property
    def names(self) -> list[str]:
        """Return how a client may call this server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return sorted({f"{host}:{self.port}", f"127.0.0.1:{self.port}", f"localhost:{self.port}"})


def address_of(text: str, token: str | None) -> Address:
    """Return the address of `--http`. Raises UsageError for one that is open to others without a token."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
        number = int(port)
    except ValueError:
        raise UsageError(f"--http: {text!r} is not ADDRESS:PORT", hint="such as --http 127.0.0.1:8765") from None
    if not 0 <= number < 1 << 16:
        raise UsageError(f"--http: {number} is no port")
    if not is_loopback and token is None:
        raise UsageError(
            f"--http: {host} is open to other machines, which takes a token",
            hint=f"give --token-file FILE, or set {TOKEN}",
        )
    return Address(host, number, token)


def token_of(file: Path | None, environ: Mapping[str, str]) -> str | None:
    """Return the token of the file, else of the environment; None without one. Raises UsageError."""
    if file is None and TOKEN not in environ:
        return None
    try:
        token = (
            environ[TOKEN] if file is None else reading.data(file, check=_require_private).decode("utf-8-sig")
        ).strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"--token-file cannot be read: {getattr(error, 'strerror', error)}") from None
    if not TOKENS.fullmatch(token):
        raise UsageError(
            "the token is from 16 to 1024 letters, digits and signs, without white space",
            hint="such as what 'openssl rand -hex 16' prints",
        )
    return token


def _require_private(found: os.stat_result) -> None:
    """Raise UsageError for a file that somebody else may read or change; a group of one's own may read it."""
    if found.st_mode & 0o027 or found.st_uid not in (0, os.geteuid()):
        raise UsageError(
            "--token-file: others may read or change the file", hint="chmod 600 FILE, and make a new token"
        )


async def serve(server: Server[Any], address: Address, listener: socket.socket, closed: Callable[[str], None]) -> None:
    """Serve until cancelled. `closed` gets the session that a client has closed."""
    bound = Address(address.host, listener.getsockname()[1], address.token)
    security = TransportSecuritySettings(
        allowed_hosts=bound.names, allowed_origins=[f"http://{name}" for name in bound.names]
    )
    app = server.streamable_http_app(
        host=address.host,
        transport_security=security,
        max_request_body_size=MOST_LINE_BYTES,
        session_idle_timeout=IDLE_S,
        max_sessions=MOST_CLIENTS,
    )
    config = uvicorn.Config(
        Guarded(app, bound, closed),
        http=peers.OursOnly if address.token is None else peers.Bounded,
        log_config=None,
        access_log=False,
        lifespan="on",
        proxy_headers=False,  # who connects is what the kernel says, not X-Forwarded-For
        timeout_graceful_shutdown=1,
    )
    web = Web(config)
    _tell(f"autotune: listening on http://{bound.names[0]}/mcp\n")
    try:
        await web.serve(sockets=[listener])
    finally:
        listener.close()


def _tell(text: str) -> None:
    """Print a line, whole: nothing is left for the end of the process. Raises BrokenPipeError when nobody reads it,
    AutotuneError when it cannot be written otherwise."""
    try:
        os.write(1, text.encode())
    except BrokenPipeError:
        raise
    except OSError as error:
        raise AutotuneError(f"standard output cannot be written: {error.strerror}") from error


class Web(uvicorn.Server):
    """A web server that leaves signals to us. When it is cancelled it ends in order: connections get a second to end,
    and the application ends last."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._until_told, sockets)
            try:
                await anyio.sleep_forever()
            finally:
                self.should_exit = True

    async def _until_told(self, sockets: list[socket.socket] | None) -> None:
        with anyio.CancelScope(shield=True):
            await self._serve(sockets)


def listening(address: Address) -> socket.socket:
    """Return a socket that listens. Raises AutotuneError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise AutotuneError(
            f"{address.host}:{address.port} cannot be listened on: {error.strerror}", hint="choose another port"
        ) from None
    return listener


class Guarded:
    """Answers only who has the token, where there is one; without one, who connects was looked at by then (`peers`).
    Tells `closed` which session was closed."""

    def __init__(self, app: ASGIApp, address: Address, closed: Callable[[str], None]) -> None:
        self._app = app
        self._address = address
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._may(scope):
            await PlainTextResponse("not allowed", 401, {"connection": "close"})(scope, receive, send)
            return
        if scope["type"] == "http" and scope["method"] == "DELETE":
            await self._app(scope, receive, self._noticing(scope, send))
        elif scope["type"] != "websocket":
            await self._app(scope, receive, send)

    def _noticing(self, scope: Scope, send: Send) -> Send:
        session = dict(scope["headers"]).get(MCP_SESSION_ID_HEADER.encode(), b"").decode("latin-1")

        async def noticing(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.OK:
                self._closed(session)

        return noticing

    def _may(self, scope: Scope) -> bool:
        token = self._address.token
        if token is None:
            return True
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, f"Bearer {token}".encode())
