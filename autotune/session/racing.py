# SPDX-License-Identifier: MIT
"""The rounds of a session: the race, the confirmation of its leader, and what a continuation could start from."""

from __future__ import annotations

from autotune.events import Left, RoundStarted, Standings
from autotune.records import Chain
from autotune.session import continuation
from autotune.session.state import SessionState
from autotune.verdict.race import Race


class Racing:
    """The rounds of one session, within its budget."""

    def __init__(self, state: SessionState) -> None:
        self._state = state
        self._digests: dict[str, str] = {}

    def race_on(self, race: Race) -> None:
        """Run the rounds of one set while the budget leaves room for the confirmation."""
        state = self._state
        while not race.set_finished and not race.done:
            if state.clock.runs_left() < race.racing + 1 + state.budgeting.reserved():
                state.reporter.warn(f"the budget was used up before the race finished; {state.larger_budget}")
                return
            self._one_round(race)

    def confirm(self, race: Race) -> None:
        """Run fresh pairs of the leader, and of the next best when it is given up, until the race is decided or the
        budget ends."""
        state = self._state
        if race.done:
            return
        pairs = state.budgeting.pairs_left()
        if pairs < race.least_pairs:
            state.reporter.warn(f"the budget ended before the leader could be confirmed; {state.larger_budget}")
            return
        race.begin_confirm(pairs)
        self._report_left(race)
        while not race.done:
            if state.clock.left_s() < state.clock.cost_s(1):  # half a pair of room is enough: its look was planned
                if race.confirming:
                    state.reporter.warn(f"the budget ended before the leader was confirmed; {state.larger_budget}")
                return
            self._one_round(race)

    def left(self) -> Chain | None:
        """Return what the session leaves; None with a winner, and where there is nothing that a continuation could
        take up."""
        state, race, taken_up = self._state, self._state.race, self._state.options.taken_up
        baseline = state.measured.baseline
        if taken_up is not None and race is None:
            return taken_up.chain
        if race is None or baseline is None or race.winner is not None or state.workload.parameters:
            return None
        return continuation.left_by(race, baseline, state.workload.goal, self._digest, state.options.repeats)

    def _one_round(self, race: Race) -> None:
        state = self._state
        upcoming = race.next_round()
        if upcoming is None:
            return
        place = (upcoming.phase, upcoming.number, upcoming.at_most, upcoming.order)
        state.reporter.report(RoundStarted(*place, left_s=state.budgeting.left_s(upcoming, state.sets, race.next_best)))
        race.record(dict(state.runs.of_round(race, upcoming, key) for key in upcoming.order))
        if upcoming.phase == "confirm":
            self._judge_guards(race)
        state.reporter.report_drops(race.standings(), state.results.note_of)
        if upcoming.phase == "race":  # a confirmation is reported when it is done
            state.reporter.report(Standings(tuple(state.results.ranked(race))))
        self._report_left(race)

    def _report_left(self, race: Race) -> None:
        """Report what a continuation could start from, if autotune were killed now."""
        assert self._state.race is race
        chain = self.left()
        if chain is not None:
            self._state.reporter.report(Left(chain))

    def _digest(self, key: str) -> str:
        if key not in self._digests:
            self._digests[key] = continuation.digest_of(self._state.entries[key].spec)
        return self._digests[key]

    def _judge_guards(self, race: Race) -> None:
        """Take a win away that breaks a guard; the next best is confirmed then, as after a loss. It is judged once,
        over the pairs that won."""
        won = next((one for one in race.standings() if one.confirmed), None)
        judged = self._state.results.guards_of(won) if won else ()
        broken = [one.reason for one in judged if one.outcome == "broken"]
        if won is not None and broken:
            race.refuse(won.key, "; ".join(broken))
