# SPDX-License-Identifier: MIT
"""The planner that uses a model: one conversation per session, with a bounded number of tool calls.

A planning turn ends with `submit_candidates`, and the measurements become the result of that very call. So the
conversation only grows at its end, and everything before is read from the service's cache. Planning ends, and the
session goes on, after an empty submission, a limit on cost or calls, too many calls or mistakes in one turn, a refusal,
or a full context. PlannerError is raised when the service fails or there is no time left for it.

This module does not use the service's library: `claude.ClaudeService` speaks to the real service, `replay` plays a
transcript back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from autotune import frozen, prompt, resources
from autotune.errors import AutotuneError, PlannerError
from autotune.events import Listener, PlannerActed
from autotune.observe.profile import brief
from autotune.planner.base import Situation
from autotune.planner.claude.cost import Bill, Usage
from autotune.planner.claude.transcript import Transcript
from autotune.records import Profile, Proposal, Spending
from autotune.tools.toolbox import SLOW, SUBMIT, Result, definitions
from autotune.wire import to_json

MAX_OUTPUT_TOKENS = 16000
CALLS_A_TURN = 24
TOOLS_A_REPLY = 16
"""Tools that one reply may call; the others get errors. Eight megabytes of a reply have room for 15,000 calls."""
MISTAKES_A_TURN = 8
"""Error results allowed in one planning turn."""
NUDGES_A_TURN = 3
"""Replies without a tool call, or cut off, allowed in one turn."""
LONG_SESSION_S = 1200.0
"""In longer budgets the pause between two turns may outlast a cache entry of five minutes, so an hour is requested."""

SHARE_A_TURN = 0.5
"""Share of the remaining budget that one turn may take; the rest is for measuring its proposals."""
LEAST_TURN_S = 1.0

NUDGE = f"Nothing was submitted. Call {SUBMIT} now (an empty list if nothing better is in sight)."
CUT = f"Your reply was cut off at its length limit. Be brief: call {SUBMIT} now."


@frozen.dataclass(frozen=True)
class Reply:
    """A reply of the service: content blocks as they are sent back, the stop reason, and the token counts."""

    content: list[dict[str, Any]]
    stop_reason: str
    usage: Usage
    detail: str = ""


class Service(Protocol):
    """Sends one request of the Messages API and waits for the whole reply, at most `within_s`. Raises PlannerError when
    that finally fails."""

    def send(self, request: dict[str, Any], within_s: float) -> Reply: ...


class Tools(Protocol):
    """The part of `toolbox.Toolbox` that a conversation uses."""

    @property
    def standings(self) -> Mapping[str, str]:
        """What generated schedulers have shown here, by name."""

    @property
    def unusable(self) -> Mapping[str, str]:
        """Schedulers that cannot help on this machine, with the reason."""

    def begin_turn(self, tried: Sequence[str], affordable: int, watched: Profile | None = None) -> None: ...

    def call(self, name: str, given: object) -> Result: ...


@frozen.dataclass(frozen=True)
class PlanningLimits:
    """Limits on planning; None is no limit."""

    max_cost_usd: float | None = None
    max_calls: int | None = None


@dataclass
class _PlanningTurn:
    """Counters of one planning turn, and its deadline (monotonic)."""

    end: float
    calls: int = 0
    mistakes: int = 0
    nudges: int = 0


@dataclass
class Conversation:
    """Implements the Planner protocol. `learned` returns what past sessions found, one sentence each; `release`
    detaches whatever a tool attached; `away_s` is the time that tools have used the machine so far."""

    service: Service
    tools: Tools
    account: Bill
    transcript_file: Transcript
    redact: Callable[[str], str]
    listener: Listener
    model: str
    budget_s: float
    limits: PlanningLimits = field(default_factory=PlanningLimits)
    show_output: bool = True
    learned: Callable[[], Sequence[str]] = lambda: ()
    release: Callable[[], None] = lambda: None
    away_s: Callable[[], float] = lambda: 0.0
    name: str = "claude"
    _messages: list[dict[str, Any]] = field(default_factory=list)
    _logged: int = 0
    _pending: list[dict[str, Any]] = field(default_factory=list)
    """Results of the last turn's tools; the result of `submit_candidates` waits for the measurements."""
    _over: bool = False
    _remarks: list[str] = field(default_factory=list)
    _has_complained: bool = False
    """The transcript's problem was remarked."""

    # --- the Planner protocol ---

    @property
    def spending(self) -> Spending:
        return self.account.spent

    @property
    def transcript(self) -> str | None:
        return str(self.transcript_file.path) if self.transcript_file.path else None

    def remarks(self) -> Sequence[str]:
        if self.transcript_file.problem and not self._has_complained:
            self._has_complained = True
            self._remarks.append(self.transcript_file.problem)
        remarks, self._remarks = self._remarks, []
        return remarks

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        if self._over or situation.candidates_affordable < 1:
            return ()
        started, service_s, away_s = time.monotonic(), self.account.spent.service_s, self.away_s()
        tried = [result.candidate.key for result in situation.results]
        self.tools.begin_turn(tried, situation.candidates_affordable, situation.profile)
        seen = {"unusable": dict(self.tools.unusable), "standings": dict(self.tools.standings)}
        self.transcript_file.write("turn", situation=_situation_json(situation), **seen)
        self._messages.append(self._opening(situation))
        try:
            proposals = self._turn(time.monotonic() + _turn_s(situation.budget_left_s))
        except AutotuneError as error:
            self.transcript_file.write("failure", error=error.to_wire())
            raise
        finally:
            self.release()
            elsewhere_s = (self.account.spent.service_s - service_s) + (self.away_s() - away_s)
            self.account.add_own(max(0.0, time.monotonic() - started - elsewhere_s))
        self.transcript_file.write("proposals", proposals=[to_json(one) for one in proposals], over=self._over)
        return proposals

    # --- what is sent ---

    def first_request(self, situation: Situation | None, brief: prompt.Brief | None = None) -> dict[str, Any]:
        """Build the first request without sending or recording it."""
        brief = brief or self._brief(situation)
        return self._request([_user([_text(prompt.first_message(brief, self.redact))])])

    def _brief(self, situation: Situation | None) -> prompt.Brief:
        assert situation is not None
        return prompt.Brief(
            machine=situation.machine,
            workload=situation.workload,
            measured=(situation.baseline, situation.observation, situation.run),
            learned=tuple(self.learned()),
            budget_left_s=situation.budget_left_s,
            candidates_affordable=situation.candidates_affordable,
            show_output=self.show_output,
            watched=situation.profile,
        )

    def _request(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Build a request. Tools and rules come first and never change: the marker behind them caches them across
        sessions. The marker at the top level moves with the end of the conversation."""
        keep: dict[str, Any] = {"type": "ephemeral"}
        if self.budget_s > LONG_SESSION_S:
            keep["ttl"] = "1h"
        return {
            "model": self.model,
            "max_tokens": MAX_OUTPUT_TOKENS,
            "system": [{"type": "text", "text": prompt.system(resources.writing_guide()), "cache_control": keep}],
            "tools": definitions(),
            "messages": messages,
            "thinking": {"type": "adaptive"},
            "cache_control": keep,
        }

    def _opening(self, situation: Situation) -> dict[str, Any]:
        """Build the message that begins a turn: the facts in the first turn, the results in later ones."""
        if not self._pending:
            text = prompt.first_message(self._brief(situation), self.redact)
            if self._messages:  # the turn before ended without a submission
                text = self._results(situation)
            return _user([_text(text)])
        results, self._pending = self._pending, []
        for result in results:
            if result["content"] == "":
                result["content"] = self._results(situation)
        return _user(results)

    def _results(self, situation: Situation) -> str:
        return self.redact(
            prompt.results_message(
                situation.results,
                situation.baseline,
                is_time=situation.workload.metric_regex is None,
                refused=situation.refused,
                left_s=situation.budget_left_s,
                affordable=situation.candidates_affordable,
            )
        )

    # --- one turn ---

    def _turn(self, end: float) -> tuple[Proposal, ...]:
        turn = _PlanningTurn(end)
        while True:
            limit = self._limit(turn)
            if limit is not None:
                return self._end(limit)
            reply = self._ask(turn)
            calls = [block for block in reply.content if block.get("type") == "tool_use"]
            if reply.stop_reason == "refusal":
                return self._end(f"the model declined to plan{f' ({reply.detail})' if reply.detail else ''}")
            if reply.stop_reason == "model_context_window_exceeded":
                return self._end("the conversation has become too long for the model")
            if reply.stop_reason == "max_tokens":
                self._cut(reply, turn)
            elif calls:
                self._messages.append({"role": "assistant", "content": reply.content})
                proposals = self._call(calls, turn)
                if proposals is not None:
                    self._over = self._over or not proposals
                    return proposals
            elif reply.stop_reason == "pause_turn":
                turn.nudges += 1
                self._messages.append({"role": "assistant", "content": reply.content})
            else:
                turn.nudges += 1
                self._messages.append({"role": "assistant", "content": reply.content or [_text("(nothing)")]})
                self._messages.append(_user([_text(NUDGE)]))

    def _limit(self, turn: _PlanningTurn) -> str | None:
        """Return why no further call may be made; None when one may."""
        spent, limits = self.account.spent, self.limits
        if limits.max_calls is not None and spent.calls >= limits.max_calls:
            return f"the limit of {limits.max_calls} calls (--max-calls) is reached"
        if limits.max_cost_usd is not None and (spent.cost_usd or 0.0) >= limits.max_cost_usd:
            return f"the limit of {limits.max_cost_usd:g} USD (--max-cost) is reached"
        if turn.calls >= CALLS_A_TURN:
            return f"the model submitted nothing within {CALLS_A_TURN} calls"
        if turn.mistakes >= MISTAKES_A_TURN:
            return f"the model made {turn.mistakes} mistakes in one turn"
        if turn.nudges >= NUDGES_A_TURN:
            return "the model submitted nothing"
        return None

    def _end(self, why: str) -> tuple[Proposal, ...]:
        self._over = True
        self._remarks.append(f"planning has ended: {why}")
        return ()

    def _ask(self, turn: _PlanningTurn) -> Reply:
        self.transcript_file.write("request", model=self.model, messages=self._messages[self._logged :])
        self._logged = len(self._messages)
        started = time.monotonic()
        try:
            reply = self._send(turn)
        except AutotuneError:
            self.account.waited(time.monotonic() - started)
            raise
        took_s = time.monotonic() - started
        turn.calls += 1
        self.account.add(reply.usage, took_s)
        self.transcript_file.write(
            "reply", content=reply.content, stop_reason=reply.stop_reason, usage=to_json(reply.usage), service_s=took_s
        )
        self._report("answered")
        return reply

    def _send(self, turn: _PlanningTurn) -> Reply:
        left_s = turn.end - time.monotonic()
        if left_s <= 0:
            raise PlannerError(
                f"{self.model} did not finish planning in time",
                hint="give a larger --budget, or use --planner offline",
            )
        return self.service.send(self._request(self._messages), left_s)

    def _cut(self, reply: Reply, turn: _PlanningTurn) -> None:
        """Answer a reply that was cut off. A tool call in it may be incomplete, so none is executed."""
        turn.nudges += 1
        kept = [block for block in reply.content if block.get("type") == "text" and block.get("text")]
        self._messages.append({"role": "assistant", "content": kept or [_text("(cut off)")]})
        self._messages.append(_user([_text(CUT)]))

    def _call(self, calls: list[dict[str, Any]], turn: _PlanningTurn) -> tuple[Proposal, ...] | None:
        """Execute the requested calls in order and return the proposals if one of them submitted any. Every call gets a
        result, also those beside a submission; a second submission in one reply is refused, and so are more calls than
        anybody needs, and a slow call when the turn's time is over."""
        proposals: tuple[Proposal, ...] | None = None
        results = []
        for number, call in enumerate(calls):
            name, given = str(call.get("name")), call.get("input")
            kind = "tool"
            if name == SUBMIT and proposals is not None:
                kind = "refused"  # a replay refuses it again, and takes no result for it
                result = Result('{"error": "candidates were submitted already"}', is_error=True)
            elif name != SUBMIT and number >= TOOLS_A_REPLY:
                kind = "refused"
                result = Result(f'{{"error": "one reply may call {TOOLS_A_REPLY} tools"}}', is_error=True)
                turn.mistakes += 1
            elif name in SLOW and time.monotonic() >= turn.end:
                result = Result(f'{{"error": "the time of this turn is over; call {SUBMIT}"}}', is_error=True)
            else:
                self._report(name)
                result = self.tools.call(name, given)
                turn.mistakes += result.is_error
            self.transcript_file.write(kind, name=name, input=given, result=result.text, is_error=result.is_error)
            proposals = result.proposals if result.proposals is not None else proposals
            results.append(_tool_result(call, result))
        if proposals is None:
            self._messages.append(_user(results))
        else:
            self._pending = results
        return proposals

    def _report(self, what: str) -> None:
        self.listener(PlannerActed(what, self.account.spent))


def _turn_s(left_s: float) -> float:
    """Seconds that a turn may take: a share of what is left of the budget, or all of it where a share is too little."""
    return min(left_s, max(LEAST_TURN_S, left_s * SHARE_A_TURN))


def _situation_json(situation: Situation) -> Any:
    """Encode the situation for a replay, without the environment: it holds secrets and is never sent."""
    seen = situation.profile
    document = to_json(situation if seen is None else replace(situation, profile=brief(seen)))
    document["workload"]["env"] = {}
    return document


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _user(content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _tool_result(call: dict[str, Any], result: Result) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": call.get("id"), "content": result.text}
    return {**block, "is_error": True} if result.is_error else block
