# SPDX-License-Identifier: MIT
"""The questions of `-i`: before each switch of the scheduler, the user answers yes, no, edit the knobs, all from here
on, or quit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from autotune.errors import Interrupted, UsageError
from autotune.records import Candidate, Proposal, knob_text
from autotune.report.text import printable

Parse = Callable[[str], Candidate]
"""Parses `NAME[:knob=value,...]`. Raises UsageError."""


class Approver:
    """Asks before each switch. `ask` shows a question and returns the answer, or raises EOFError without one; `paused`
    hides the moving view meanwhile; `parse` reads the knobs that the user changed."""

    def __init__(
        self, ask: Callable[[str], str], paused: Callable[[], AbstractContextManager[None]], parse: Parse
    ) -> None:
        self._ask = ask
        self._paused = paused
        self._parse = parse
        self._all = False

    def __call__(self, candidate: Candidate, proposal: Proposal, *, editable: bool) -> Candidate | None:
        """Return the candidate to attach; None to leave it out. Raises Interrupted when the user quits."""
        if self._all:
            return candidate
        with self._paused():
            answer = self._answer(question(candidate, proposal, editable=editable), editable=editable)
            if answer == "e":
                return self._edited(candidate)
        if answer == "q":
            raise Interrupted("you chose to quit")
        self._all = answer == "a"
        return None if answer == "n" else candidate

    def _answer(self, text: str, *, editable: bool) -> str:
        """Ask until the answer is one of y, n, e, a, q, and return it. End of input means quit."""
        words = ("yes", "no", "all", "quit", *(("edit",) if editable else ()))
        while True:
            try:
                answer = self._ask(text).strip().lower()
            except EOFError:
                return "q"
            if answer in {word[0] for word in words} or answer in words:
                return answer[0]

    def _edited(self, candidate: Candidate) -> Candidate:
        """Ask for knobs until they are valid, and return the candidate with them; an empty answer changes nothing."""
        now = ",".join(f"{name}={knob_text(value)}" for name, value in candidate.knobs) or "all at their defaults"
        text = f"  Knobs as knob=value,... (now: {printable(now)}): "
        while True:
            try:
                answer = self._ask(text).strip()
                return self._parse(f"{candidate.scheduler}:{answer}") if answer else candidate
            except UsageError as error:
                text = f"  {printable(str(error))}\n  Knobs: "
            except EOFError:
                raise Interrupted("you chose to quit") from None


def question(candidate: Candidate, proposal: Proposal, *, editable: bool) -> str:
    """Return the question, ending where the answer goes."""
    why = f"\n  {printable(proposal.reason)}" if proposal.reason else ""
    edit = "[e]dit the knobs, " if editable else ""
    return f"Attach {printable(candidate.short)}?{why}\n  [y]es, [n]o, {edit}[a]ll from here on, [q]uit: "
