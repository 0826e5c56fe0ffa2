# SPDX-License-Identifier: MIT
"""The standing of generated schedulers: what was measured of each build, its strikes and its canary, put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from autotune.canary.strikes import Strike, Strikes
from autotune.errors import AutotuneError
from autotune.frozen import dataclass
from autotune.knowledge import outcomes as told
from autotune.knowledge import versions
from autotune.knowledge.outcomes import SessionOutcome
from autotune.knowledge.store import Knowledge
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.catalog import Scheduler
from autotune.schedext.catalogue.custom import Custom
from autotune.verdict.promotion import Behaviour, Promotion, promotion


@dataclass(frozen=True)
class Known:
    """All that is known of a generated scheduler here. `outcomes` are of all its builds, newest first."""

    custom: Custom
    outcomes: tuple[SessionOutcome, ...]
    strikes: tuple[Strike, ...]
    canary_passed: tuple[str, ...]
    """Kernels under which it passed its canary."""
    promotion: Promotion

    @property
    def build(self) -> str:
        """Digest of what is in the store, as outcomes have it."""
        return versions.of_content(self.custom.seal.object_sha256)

    @property
    def of_this_build(self) -> tuple[SessionOutcome, ...]:
        return tuple(one for one in self.outcomes if one.build == self.build)


def known(one: Custom, knowledge: Knowledge, strikes: Strikes | None = None) -> Known:
    """Return what is known of a generated scheduler. Raises AutotuneError when the store or the strikes cannot be
    read."""
    record = strikes or Strikes()
    digest = one.seal.object_sha256
    found = told.of_scheduler(knowledge, one.entry.name)
    against, passed = record.reasons(digest), record.kernels_passed(digest)
    behaviour = Behaviour(bool(passed), tuple(strike.at_s for strike in against))
    counted = told.of_build(found, versions.of_content(digest))
    return Known(one, tuple(found), against, passed, promotion(counted, behaviour, unsealed=_unsealed(one)))


def _unsealed(one: Custom) -> str | None:
    """Return why no host loads it; None when its seal holds."""
    try:
        custom.checked(one)
    except AutotuneError as error:
        return error.message.removeprefix("the generated scheduler is refused: ")
    return None


def standings(schedulers: Iterable[Scheduler], knowledge: Knowledge) -> dict[str, Promotion]:
    """Return the standing of the generated ones of these schedulers, by name. Those of which nothing can be read are
    left out: a session goes on without."""
    found = {}
    for one in schedulers:
        if one.is_generated:
            try:
                found[one.name] = known(custom.load(one.name), knowledge).promotion
            except AutotuneError:
                continue
    return found


def texts(found: Mapping[str, Promotion]) -> dict[str, str]:
    """Return standings in words, by name."""
    return {name: one.text for name, one in found.items()}


def all_known(names: Sequence[str], knowledge: Knowledge) -> list[Known]:
    """Return what is known of the generated schedulers of these names, the best standing first; damaged ones are left
    out. Raises AutotuneError when the store or the strikes cannot be read."""
    found = []
    for name in names:
        try:
            one = custom.load(name)
        except AutotuneError:
            continue
        found.append(known(one, knowledge))
    return sorted(found, key=lambda one: (-one.promotion.rank, one.custom.entry.name))
