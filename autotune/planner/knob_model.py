# SPDX-License-Identifier: MIT
"""A model of the results so far, which says what settings to try next: optuna, the extra `search`.

The model is a tree-structured Parzen estimator over all knobs together (Bergstra et al., NIPS 2011; Falkner et al.,
ICML 2018). It is made anew for each set, so it learns the latest estimate of each candidate, and no database is kept.
What it learns:
- an estimate of the race: its value;
- a failure, an ejection or a refusal: a bad result without a value (`PRUNED`), so that it keeps away; it ignores
  results marked as failed (`FAIL`), and would suggest such settings again;
- settings that break a rule between knobs: a broken constraint. The model may suggest them; they are never proposed.

optuna takes half a second to import, so that is done only here and when it is used.
"""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from autotune.errors import PlannerError
from autotune.frozen import dataclass
from autotune.planner.knob_space import Point, Space
from autotune.records import Candidate, KnobValue

if TYPE_CHECKING:
    import optuna

INSTALL = "pip install 'autotune-sched[search]'"
"""Command that installs what the model needs."""
MISSING = "optuna, which searches knobs, is not installed"
STARTUP = 4
"""Results of a scheduler before the model proposes; until then settings are random."""
ATTEMPTS = 64
"""Most suggestions that the model makes for one set; many break a rule or were tried."""


@dataclass(frozen=True)
class Learned:
    """Settings and the logarithm of their speedup; None when they failed."""

    settings: Mapping[str, KnobValue]
    value: float | None


def available() -> bool:
    """Return whether the extra `search` is installed."""
    return importlib.util.find_spec("optuna") is not None


def require() -> None:
    """Raise PlannerError when the extra is not installed, with the command that installs it."""
    if not available():
        raise PlannerError(MISSING, hint=f"run: {INSTALL}, or use --planner offline")


def suggestions(
    space: Space, learned: Sequence[Learned], seed: int, wanted: Callable[[Candidate], bool]
) -> Iterator[Candidate]:
    """Yield candidates that the model expects most of and that are `wanted`. Each keeps the rules; none comes twice.
    Raises ImportError when optuna does not work."""
    with _silence():
        study = _study(space, learned, seed)
    found: set[Candidate] = set()
    for _ in range(ATTEMPTS):
        with _silence():
            candidate = _asked(study, space, lambda one: wanted(one) and one not in found)
        if candidate is not None:
            found.add(candidate)
            yield candidate


def _study(space: Space, learned: Sequence[Learned], seed: int) -> optuna.Study:
    import optuna

    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for one in learned:
        point = space.point(one.settings)
        if point is not None:
            study.add_trial(_trial(space, point, one.value))
    return study


def _trial(space: Space, point: Point, value: float | None) -> optuna.trial.FrozenTrial:
    from optuna.trial import TrialState, create_trial

    state = TrialState.PRUNED if value is None else TrialState.COMPLETE
    return create_trial(state=state, value=value, params=dict(point), distributions=_distributions(space))


def _distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        one.name: IntDistribution(0, len(one.values) - 1)
        if one.ordered
        else CategoricalDistribution(list(range(len(one.values))))
        for one in space.dimensions
    }


def _asked(study: optuna.Study, space: Space, wanted: Callable[[Candidate], bool]) -> Candidate | None:
    """Ask for one candidate; None when it breaks a rule or is not wanted. A wanted one stays open, so that the next is
    not the same."""
    from optuna.trial import TrialState

    trial = study.ask(_distributions(space))
    settings = space.settings(trial.params)
    if not space.allows(settings):
        trial.set_constraint("rules", 1.0)
        study.tell(trial, state=TrialState.PRUNED)
        return None
    candidate = space.scheduler.candidate(settings)
    if wanted(candidate):
        return candidate
    study.tell(trial, state=TrialState.FAIL)  # it is known already
    return None


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep optuna from writing to the terminal, whatever it says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import optuna

        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)
