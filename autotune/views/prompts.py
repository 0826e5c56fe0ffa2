# SPDX-License-Identifier: MIT
"""The questions of `-i`: before each switch of the scheduler the user says yes, no, all from here on, or quit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from autotune.errors import Interrupted
from autotune.records import Candidate, Proposal
from autotune.report import printable

CHOICES = "[y]es, [n]o, [a]ll from here on, [q]uit"


class Approver:
    """Asks before each switch. `ask` shows a text and returns the answer, raising EOFError when there can be none;
    `paused` gives the terminal to the question."""

    def __init__(self, ask: Callable[[str], str], paused: Callable[[], AbstractContextManager[None]]) -> None:
        self._ask = ask
        self._paused = paused
        self._all = False

    def __call__(self, candidate: Candidate, proposal: Proposal | None) -> bool:
        """True when the scheduler may be attached. Raises Interrupted when the user quits."""
        if self._all:
            return True
        with self._paused():
            answer = self._answer(question(candidate, proposal))
        if answer == "q":
            raise Interrupted("you chose to quit")
        self._all = answer == "a"
        return answer != "n"

    def _answer(self, text: str) -> str:
        """One of y, n, a, q; asks again until it is one. The end of the input means quit."""
        while True:
            try:
                answer = self._ask(text).strip().lower()
            except EOFError:
                return "q"
            if answer in ("y", "yes", "n", "no", "a", "all", "q", "quit"):
                return answer[0]


def question(candidate: Candidate, proposal: Proposal | None) -> str:
    """The text of the question, ending where the answer goes."""
    why = f"\n  {printable(proposal.reason)}" if proposal is not None and proposal.reason else ""
    return f"Attach {printable(candidate.key)}?{why}\n  {CHOICES}: "
