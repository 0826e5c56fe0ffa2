# SPDX-License-Identifier: MIT
"""Sentences on chains of sessions: how to continue one, and what a continuation rests on. Pure."""

from __future__ import annotations

from autotune.quantities import duration_flag
from autotune.records import Session
from autotune.report import program
from autotune.report.text import printable


def continue_command(session: Session) -> str | None:
    """Return the command line that continues an undecided session; None when there is nothing to continue."""
    chain = session.chain
    if chain is None or session.winner is not None or session.workload.parameters:
        return None
    keys = {one.key for one in chain.contenders}
    if not any(one.verdict == "undecided" and one.candidate.key in keys for one in session.results):
        return None  # what is the same as EEVDF may be continued, and nobody should
    bound = [] if chain.budget_s is None else ["--budget", duration_flag(chain.budget_s)]
    return " ".join((program.called(), "cc", "--continue", session.id, *bound))


def continue_step(session: Session) -> list[str]:
    """Return the sentence and the command that continue an undecided session; empty when there is nothing to
    continue."""
    command = continue_command(session)
    if command is None or session.chain is None:
        return []
    first = session.chain.contenders[0].key
    leader = next((one.candidate.short for one in session.results if one.candidate.key == first), first)
    return [f"Next: {printable(leader)} is undecided; to continue with fresh pairs of it:", command]


def continues_sentence(session: Session) -> list[str]:
    """Return what a continuation rests on; empty for a session that continues none."""
    if session.continues is None:
        return []
    confirmed_here = {trial.candidate for trial in session.trials if trial.phase == "confirm"}
    fresh = [one for one in session.results if one.fresh_pairs and one.candidate.key in confirmed_here]
    judged = ", ".join(f"{printable(one.candidate.short)} by {one.fresh_pairs} fresh pairs" for one in fresh)
    known = f"This session (ID {session.id}) continues {session.continues}"
    if not judged:
        return [f"{known}; all rows are that one's."]
    return [f"{known}. Judged here: {judged}. The other rows are from before."]
