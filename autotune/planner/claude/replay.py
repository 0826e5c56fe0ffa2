# SPDX-License-Identifier: MIT
"""Plays a transcript back through the real loop, without the network: what the model said is read from the file, all
else happens again. Tools whose results depend on the machine, its files or its memory give what they gave then; the
others are called for real and compared. So a bug report can be reproduced, and a change of the tools shows itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autotune.errors import AutotuneError, PlannerError, UsageError, from_wire
from autotune.knowledge.store import Knowledge
from autotune.planner.base import Situation
from autotune.planner.claude import cost, transcript
from autotune.planner.claude.conversation import Conversation, Reply
from autotune.planner.claude.cost import Usage
from autotune.planner.claude.transcript import Transcript
from autotune.redact import Redactor
from autotune.schedext.catalogue.catalog import Catalog
from autotune.tools.toolbox import TOOLS, Result, Toolbox
from autotune.wire import from_json, to_json

Tell = Callable[[str], None]


@dataclass
class _Tape:
    """The entries of a transcript, taken one after another, each kind by itself."""

    entries: list[dict[str, Any]]
    tell: Tell
    differences: int = 0
    _taken: set[int] = field(default_factory=set)

    def next(self, *kinds: str) -> dict[str, Any] | None:
        for number, entry in enumerate(self.entries):
            if number not in self._taken and entry["kind"] in kinds:
                self._taken.add(number)
                return entry
        return None

    def compare(self, what: str, now: Any, then: Any) -> None:
        if now != then:
            self.differences += 1
            self.tell(f"  differs: {what}")
            self.tell(f"    then: {json.dumps(then)[:400]}")
            self.tell(f"    now:  {json.dumps(now)[:400]}")


class _Recorded:
    """Answers what the service answered then."""

    def __init__(self, tape: _Tape) -> None:
        self._tape = tape

    def send(self, request: dict[str, Any], within_s: float) -> Reply:
        del within_s
        self._tape.next("request")
        entry = self._tape.next("reply", "failure")
        if entry is None:
            raise PlannerError("the transcript ends here")
        if entry["kind"] == "failure":
            error = from_wire(entry["error"])
            self._tape.tell(f"  {request['model']} failed: {error.message}")
            raise error
        self._tape.tell(f"  {request['model']} answered ({entry['stop_reason']})")
        return Reply(entry["content"], entry["stop_reason"], from_json(Usage, entry["usage"]))


class _Tools:
    """The real tools where they can be; what was recorded where not."""

    def __init__(self, tape: _Tape, box: Toolbox) -> None:
        self._tape = tape
        self._box = box

    @property
    def unusable(self) -> dict[str, str]:
        return self._box.unusable

    def begin_turn(self, tried: Sequence[str], affordable: int) -> None:
        self._box.begin_turn(tried, affordable)

    def call(self, name: str, given: object) -> Result:
        entry = self._tape.next("tool") or {}
        tool = next((tool for tool in TOOLS if tool.name == name), None)
        self._tape.tell(f"  {name} {json.dumps(given)[:200]}")
        if tool is None or tool.replayable:
            result = self._box.call(name, given)
            self._tape.compare(f"the result of {name}", result.text, entry.get("result"))
            return result
        return Result(str(entry.get("result", "")), bool(entry.get("is_error")))


def replay(path: Path, catalog: Catalog, tell: Tell) -> bool:
    """Play it back and tell what happens; False when something came out differently. Raises UsageError for a file that
    is no transcript."""
    entries = list(transcript.read(path))
    tape = _Tape(entries, tell)
    box = Toolbox(catalog, None, Knowledge(path.with_name("no-history")), path.parent, Redactor({}))
    talk = _conversation(tape, box)
    turns = 0
    while (entry := tape.next("turn")) is not None:
        turns += 1
        tell(f"Turn {turns}")
        box.unusable = dict(entry.get("unusable") or {})  # what that machine lacked, not this one
        _turn(talk, tape, entry)
    if not turns:
        raise UsageError(f"{path} holds no conversation", hint="name a file that a session has written")
    outcome = f"{tape.differences} differences" if tape.differences else "all as it was recorded"
    tell(f"{turns} turns, {talk.spending.calls} calls: {outcome}.")
    return tape.differences == 0


def _turn(talk: Conversation, tape: _Tape, entry: dict[str, Any]) -> None:
    try:
        situation = from_json(Situation, entry["situation"])
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError("the transcript is damaged: a turn cannot be read", hint="name another file") from error
    try:
        proposals = [to_json(one) for one in talk.propose(situation)]
    except AutotuneError:
        return  # as then: it was told when it came
    for remark in talk.remarks():
        tape.tell(f"  {remark}")
    then = tape.next("proposals")
    if then is not None:
        tape.compare("the proposals", proposals, then["proposals"])
    for one in proposals:
        tape.tell(f"  proposed: {one['candidate']['scheduler']} {dict(one['candidate']['knobs'])}: {one['reason']}")


def _conversation(tape: _Tape, box: Toolbox) -> Conversation:
    model = next((str(entry["model"]) for entry in tape.entries if entry["kind"] == "request"), "unknown")
    silent = Transcript(box.redactor)
    silent.problem = ""  # a replay leaves no transcript of its own
    return Conversation(
        service=_Recorded(tape),
        tools=_Tools(tape, box),
        account=cost.Account(model, cost.load(None)),
        transcript_file=silent,
        redact=box.redactor.text,
        listener=lambda _event: None,
        model=model,
        budget_s=0.0,
    )
