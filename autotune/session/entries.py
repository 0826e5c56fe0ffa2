# SPDX-License-Identifier: MIT
"""The candidates of a session, with all that is known of each besides its place in the race."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from autotune.errors import AttachError, BuildError, UsageError
from autotune.events import Step
from autotune.records import AttachSpec, Candidate, Phase, Proposal
from autotune.session.reporter import Reporter

RoundOf: TypeAlias = tuple[Phase, int]
"""Phase and number of a round."""


@dataclass
class Entry:
    """A candidate, how to attach it, and the values of its runs."""

    proposal: Proposal
    spec: AttachSpec
    values: dict[RoundOf, float] = field(default_factory=dict)
    others: dict[RoundOf, dict[str, float]] = field(default_factory=dict)
    """Values of guards and of further metrics, by name."""
    last_problem: str = ""

    @property
    def key(self) -> str:
        return self.proposal.candidate.key


class Entries:
    """All entries by key. A candidate is admitted at most once."""

    def __init__(self, resolve: Callable[[Candidate], AttachSpec], reporter: Reporter) -> None:
        self._resolve = resolve
        self._reporter = reporter
        self._entries: dict[str, Entry] = {}
        self._specs: dict[str, AttachSpec | None] = {}
        """How to attach each scheduler with its knobs; None for one that cannot be built."""
        self._refused: list[str] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, key: str) -> Entry:
        return self._entries[key]

    def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def admit(self, proposals: Sequence[Proposal], at_most: int) -> tuple[list[Entry], list[str]]:
        """Admit the first `at_most` proposals that are new and can be built; warn of those that cannot. Return the new
        entries, and the keys that there was no room for."""
        fresh: list[Entry] = []
        untried: list[str] = []
        for proposal in proposals:
            key = proposal.candidate.key
            if key in self._entries:
                continue
            if len(fresh) == at_most:
                untried.append(key)
            elif (entry := self._built(proposal)) is not None:
                self._entries[key] = entry
                fresh.append(entry)
        return fresh, untried

    def _built(self, proposal: Proposal) -> Entry | None:
        """Return an entry; None when it cannot be built. A scheduler is built once for all values of parameters."""
        alone = proposal.candidate.alone
        if alone.key not in self._specs:
            self._specs[alone.key] = self._resolved(alone)
        spec = self._specs[alone.key]
        return Entry(proposal, spec) if spec is not None else None

    def _resolved(self, alone: Candidate) -> AttachSpec | None:
        self._reporter.report(Step("build", alone.key))
        try:
            return self._resolve(alone)
        except (AttachError, BuildError, UsageError) as error:
            self.refuse(alone.key, str(error))
            self._reporter.warn(f"{alone.key} is left out: {error}")
            return None

    def refuse(self, key: str, reason: str) -> None:
        """Keep the reason of a refusal, for the planner."""
        self._refused.append(f"{key}: {reason}")

    def take_refused(self) -> tuple[str, ...]:
        """Return the refusals since the last call."""
        refused, self._refused = tuple(self._refused), []
        return refused

    def replace(self, key: str, chosen: Candidate) -> str | None:
        """Replace a candidate by the one that the user edited. Return its key; None when it cannot run."""
        if chosen.key in self._entries:
            self._reporter.warn(f"{chosen.key} is in the race already; {key} is left out")
            return None
        proposal = self._entries[key].proposal
        reason = f"{proposal.reason} (knobs changed by the user, from {key})"
        try:
            spec = self._resolve(chosen.alone)
        except (AttachError, BuildError, UsageError) as error:
            self._reporter.warn(f"{chosen.key} is left out: {error}")
            return None
        self._entries[chosen.key] = Entry(Proposal(chosen, reason, proposal.expected), spec)
        del self._entries[key]
        return chosen.key
