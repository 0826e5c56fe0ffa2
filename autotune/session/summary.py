# SPDX-License-Identifier: MIT
"""The Session at the end: everything that is known, and what is warned of once all runs are over."""

from __future__ import annotations

import autotune
from autotune.records import Outlook, Session, Trial
from autotune.report import json_document, session_table
from autotune.session import disturbed
from autotune.session.insight import Insight
from autotune.session.racing import Racing
from autotune.session.state import SessionState
from autotune.verdict import budget, ranking, stats


def warn_of_all_runs(state: SessionState) -> None:
    """Warn of what only all runs of a session show: drift and outliers of EEVDF's, and runs that were disturbed."""
    best = state.baselines.best
    trials = [one for one in state.measured.trials if one.candidate == best and one.phase != "warmup"]
    wall_s = [one.run.wall_s for one in trials if one.value is not None]
    for caution in stats.cautions(wall_s, prepared=False):
        if caution.kind in ("drift", "outliers"):
            state.reporter.warn(caution.text)
    said = disturbed.warning(_marked(state))
    if said is not None:
        state.reporter.warn(said)


def summed_up(state: SessionState, insight: Insight, racing: Racing, *, ended_early: str, interrupted: bool) -> Session:
    """Return the session. `ended_early` is the finding that nothing can be won; empty where candidates were tried."""
    options, workload = state.options, state.workload
    winner = state.race.winner if state.race is not None else None
    trials = _marked(state)
    results = disturbed.counts(state.results.ranked(state.race), trials)
    baseline = state.measured.baseline
    outlook = _outlook(state) if winner is None else None
    chain = racing.left()
    return Session(
        schema=json_document.SCHEMA_VERSION,
        autotune_version=autotune.__version__,
        started_at=state.started_at,
        elapsed_s=state.clock.spent_s(),
        machine=state.machine.info,
        workload=workload,
        seed=options.seed,
        planner=state.planner_name,
        metric=workload.metric_regex or session_table.WALL_METRIC,
        baseline=baseline,
        observation=state.measured.observation,
        results=results,
        winner=winner,
        recommendation=ended_early
        or ranking.recommend(
            results,
            winner,
            baseline,
            outlook,
            is_time=workload.metric_regex is None,
            min_effect=options.min_effect,
            statistic=options.statistic,
        ),
        trials=trials,
        outlook=outlook,
        warnings=tuple(state.reporter.warnings),
        versions={"autotune": autotune.__version__, "kernel": state.machine.info.kernel},
        interrupted=interrupted,
        spending=state.planner.spending,
        transcript=state.planner.transcript,
        failure=state.failure,
        min_effect=options.min_effect,
        statistic=options.statistic,
        watched=insight.watched,
        watched_winner=insight.watched_winner,
        not_watched=insight.not_watched,
        ended_early=ended_early,
        id=options.id,
        continues=options.taken_up.session.id if options.taken_up is not None else None,
        chain=state.budgeting.for_continuation(chain, baseline, state.race) if chain is not None else None,
    )


def _marked(state: SessionState) -> tuple[Trial, ...]:
    return disturbed.marked(state.measured.trials, state.options.others_before)


def _outlook(state: SessionState) -> Outlook | None:
    """Return what would show the leader's gain; None when no leader was confirmed."""
    race, least = state.race, state.options.min_effect
    leader = race.shown_leader if race is not None else None
    if race is None or leader is None or leader.interval is None:
        return None
    if leader.dropped is not None:  # more runs would not undo stalls
        return Outlook(leader.key, None, None, None, least)
    pairs = ranking.more_pairs(leader.interval, race.pair_deviation, leader.fresh_pairs, least)
    more_s = None if pairs is None else state.clock.cost_s(state.baselines.runs_of_a_pair * pairs)
    wanted_s = None if more_s is None else budget.rounded_up(state.clock.spent_s() + more_s)
    return Outlook(leader.key, pairs, more_s, wanted_s, least)
