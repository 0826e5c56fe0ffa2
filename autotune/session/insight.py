# SPDX-License-Identifier: MIT
"""What a session learns by watching: what the command does, whether anything can be won, and why the winner won.

No watched run is measured, and nothing measured is lost when watching fails.
"""

from __future__ import annotations

from autotune.errors import MachineLost
from autotune.events import Step
from autotune.observe.profile import brief
from autotune.records import Expectations, Profile
from autotune.session import early, observing
from autotune.session.guiding import Guiding
from autotune.session.observing import Observed, Probe, Watching
from autotune.session.state import SessionState


class Insight:
    """What one session knows of the command beyond its times."""

    def __init__(self, state: SessionState, probe: Probe | None, guiding: Guiding | None) -> None:
        self._state = state
        self._probe = probe
        self._guiding = guiding
        self._observed: Observed | None = None
        """What the run that was watched showed; None when none was."""
        self._under_winner: Profile | None = None
        self.not_watched = state.options.not_watched
        """Reason why no run was watched; empty when one was."""

    @property
    def profile(self) -> Profile | None:
        """What the command does, as this session saw it or else an earlier one."""
        return self._state.options.known if self._observed is None else self._observed.profile

    @property
    def expectations(self) -> Expectations | None:
        """What schedulers are told to expect of tasks."""
        return self._guiding.expectations if self._guiding is not None else None

    @property
    def watched(self) -> Profile | None:
        """The profile, for the record."""
        return brief(self.profile) if self.profile is not None else None

    @property
    def watched_winner(self) -> Profile | None:
        """The profile under the winner, for the record."""
        return brief(self._under_winner) if self._under_winner is not None else None

    def shall_watch(self) -> bool:
        """Return whether one run is watched; why not is noted."""
        if self.not_watched or self._probe is None:
            return False
        if not self._state.budgeting.has_room_to_watch():
            self.not_watched = "a run is too large a share of the budget"
            return False
        return True

    def watch(self) -> None:
        """Watch one run: what the command does bounds what can be won, and tells planners and schedulers."""
        state = self._state
        assert self._probe is not None
        state.reporter.report(Step("observe", state.workload.title))
        found = self._attempt(state.trials.at(state.baselines.best), self._probe)
        if isinstance(found, str):
            self.not_watched = found
            return
        self._observed = found
        refused = self._guiding.learn(found.seen) if self._guiding is not None else None
        if refused is not None:
            state.reporter.warn(f"schedulers cannot be told what to expect of tasks: {refused}")

    def nothing_to_win(self) -> str | None:
        """Return the finding that nothing can be won; None where candidates are tried."""
        state, seen = self._state, self._observed
        if not state.options.early_end or seen is None or state.measured.baseline is None:
            return None
        if state.workload.metric_regex is not None or state.baselines.are_several:
            return None  # the bound is one of wall time, and at these values only
        return early.nothing_to_win(seen.profile, state.measured.baseline, state.machine.info, state.options.min_effect)

    def explain(self) -> None:
        """Watch one run under the winner, too: what differs from the one under EEVDF says why it won."""
        state, race = self._state, self._state.race
        entry = state.entries.get(race.winner) if race is not None and race.winner is not None else None
        if entry is None or self._probe is None or self._observed is None or not state.options.explain:
            return
        candidate = entry.proposal.candidate
        is_same_point = state.measured.points[state.baselines.best] == candidate.params
        asks_first = state.options.approve is not None  # and each switch is one more question
        if asks_first or not is_same_point or not state.budgeting.has_room_to_explain():
            return
        state.reporter.report(Step("observe", f"{state.workload.title}, under {candidate.key}"))
        found: Observed | str
        try:
            found = self._attempt(state.trials.under(candidate, entry.spec), self._probe)
        except MachineLost as error:  # all that counts is known
            found = str(error)
        if isinstance(found, str):
            state.reporter.warn(f"it is not known why {candidate.key} won: {found}")
        else:
            self._under_winner = found.profile

    def _attempt(self, trials: Watching, probe: Probe) -> Observed | str:
        return observing.attempt(trials, probe, self._state.machine.info.cpus)
