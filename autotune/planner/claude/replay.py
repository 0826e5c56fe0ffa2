# SPDX-License-Identifier: MIT
"""Replay of a transcript through the real loop, without the network.

The model's replies come from the file; everything else runs again. Tools that depend on the machine, its files or its
knowledge return the recorded result; the others are called and compared with the record. So a bug report can be
reproduced, and a change in the tools shows up.
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
from autotune.records import Profile
from autotune.redact import Redactor
from autotune.schedext.catalogue.catalog import Catalog
from autotune.tools.toolbox import TOOLS, Result, Toolbox
from autotune.wire import from_json, to_json

Show = Callable[[str], None]


@dataclass
class _Tape:
    """The entries of a transcript. Each kind is read in order, independently of the others."""

    entries: list[dict[str, Any]]
    show: Show
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
            self.show(f"  differs: {what}")
            self.show(f"    then: {json.dumps(then)[:400]}")
            self.show(f"    now:  {json.dumps(now)[:400]}")


class _Recorded:
    """A service that returns the recorded answers."""

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
            self._tape.show(f"  {request['model']} failed: {error.message}")
            raise error
        self._tape.show(f"  {request['model']} answered ({entry['stop_reason']})")
        return Reply(entry["content"], entry["stop_reason"], from_json(Usage, entry["usage"]))


class _ReplayTools:
    """Tools of a replay: replayable ones are called, the others return their recorded results."""

    def __init__(self, tape: _Tape, box: Toolbox) -> None:
        self._tape = tape
        self._box = box

    @property
    def unusable(self) -> dict[str, str]:
        return self._box.unusable

    @property
    def standings(self) -> dict[str, str]:
        return self._box.standings

    def begin_turn(self, tried: Sequence[str], affordable: int, watched: Profile | None = None) -> None:
        self._box.begin_turn(tried, affordable, watched)

    def call(self, name: str, given: object) -> Result:
        entry = self._tape.next("tool") or {}
        tool = next((tool for tool in TOOLS if tool.name == name), None)
        self._tape.show(f"  {name} {json.dumps(given)[:200]}")
        if tool is None or tool.replayable:
            result = self._box.call(name, given)
            self._tape.compare(f"the result of {name}", result.text, entry.get("result"))
            return result
        return Result(str(entry.get("result", "")), bool(entry.get("is_error")))


def replay(path: Path, catalog: Catalog, show: Show) -> bool:
    """Play a transcript back and print what happens. Return False when something came out differently. Raises
    UsageError for a file that is not a transcript."""
    entries = list(transcript.read(path))
    tape = _Tape(entries, show)
    box = Toolbox(catalog, None, Knowledge(path.with_name("no-knowledge")), path.parent, Redactor({}))
    talk = _conversation(tape, box)
    turns = 0
    while (entry := tape.next("turn")) is not None:
        turns += 1
        show(f"Turn {turns}")
        box.unusable = dict(entry.get("unusable") or {})  # of the recorded machine, not this one
        box.standings = dict(entry.get("standings") or {})
        _turn(talk, tape, entry)
    if not turns:
        raise UsageError(f"{path} holds no conversation", hint="give a transcript that a session has written")
    outcome = f"{tape.differences} differences" if tape.differences else "all as recorded"
    show(f"{turns} turns, {talk.spending.calls} calls: {outcome}.")
    return tape.differences == 0


def _turn(talk: Conversation, tape: _Tape, entry: dict[str, Any]) -> None:
    try:
        situation = from_json(Situation, entry["situation"])
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError("the transcript is damaged: a turn cannot be read", hint="give another file") from error
    try:
        proposals = [to_json(one) for one in talk.propose(situation)]
    except AutotuneError:
        return  # as in the session; `_Recorded.send` has shown it
    for remark in talk.remarks():
        tape.show(f"  {remark}")
    then = tape.next("proposals")
    if then is not None:
        tape.compare("the proposals", proposals, then["proposals"])
    for one in proposals:
        tape.show(f"  proposed: {one['candidate']['scheduler']} {dict(one['candidate']['knobs'])}: {one['reason']}")


def _conversation(tape: _Tape, box: Toolbox) -> Conversation:
    model = next((str(entry["model"]) for entry in tape.entries if entry["kind"] == "request"), "unknown")
    silent = Transcript(box.redactor)
    silent.problem = ""  # a replay leaves no transcript of its own
    return Conversation(
        service=_Recorded(tape),
        tools=_ReplayTools(tape, box),
        account=cost.Bill(model, cost.load(None)),
        transcript_file=silent,
        redact=box.redactor.text,
        listener=lambda _event: None,
        model=model,
        budget_s=0.0,
    )
