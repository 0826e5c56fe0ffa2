# SPDX-License-Identifier: MIT
"""Which service a session's model answers from, by the settings: Claude's, or the user's own server (`model_url`).

Under `--planner auto` an address that the user gave goes before a key for Claude; `--planner claude` and `--planner
model` name the service. Prices that travel with autotune are those of Claude's service; what another server's model
costs only `--prices` can say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from autotune.config import MODEL_ONLY, Settings
from autotune.errors import UsageError
from autotune.planner.chat import endpoint
from autotune.planner.chat.endpoint import Endpoint
from autotune.planner.claude import cost, credentials
from autotune.planner.claude.conversation import Reply
from autotune.planner.claude.cost import PriceList
from autotune.planner.claude.credentials import Credentials
from autotune.planner.remote import RemoteService

Found: TypeAlias = Credentials | Endpoint


def is_own_server(settings: Settings) -> bool:
    """Return whether the model is on the user's own server."""
    return settings.planner == "model" or (settings.planner == "auto" and settings.model_url is not None)


def must_plan(settings: Settings) -> bool:
    """Return whether only a model may plan, so that its failure is an error."""
    return settings.planner in MODEL_ONLY


def refuse_halves(settings: Settings) -> None:
    """Raise UsageError for a server without a model's name, or the reverse."""
    if not is_own_server(settings):
        return
    if settings.model_url is None:
        raise UsageError("--planner model needs the address of a server", hint="give --model-url")
    if settings.model == Settings.model:
        raise UsageError("--model-url needs the name of a model", hint="give --model, as the server calls it")


def require(settings: Settings, cwd: Path, environ: Mapping[str, str]) -> Found:
    """Find what the session's service needs. Raises PlannerError, with what to do, when it cannot be used, and
    UsageError."""
    if not is_own_server(settings):
        return credentials.require(settings.planner, cwd, environ)
    refuse_halves(settings)
    assert settings.model_url is not None
    return endpoint.require(settings.model_url, environ)


def prices(settings: Settings) -> PriceList:
    """Return the prices that hold for the session's service. Raises UsageError."""
    return cost.load(settings.prices, builtin=not is_own_server(settings))


def client(found: Found, settings: Settings) -> RemoteService[Reply]:
    """Make the client. Raises PlannerError."""
    # only here: each library takes a second to import
    if isinstance(found, Endpoint):
        from autotune.planner.chat.service import ChatService

        return ChatService(found, must_count=settings.max_cost is not None, silence_s=settings.model_timeout)
    from autotune.planner.claude.service import ClaudeService

    return ClaudeService(found, silence_s=settings.model_timeout)
