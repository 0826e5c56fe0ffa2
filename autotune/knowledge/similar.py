# SPDX-License-Identifier: MIT
"""Which other workloads are like this one, in this order: the same command, the same program in the same shape, the
same measured behaviour, the same words.

A likeness is between 0 and 1, and each kind has a range of its own, so that no match of a lower kind goes before one of
a higher: 0.9 to 1, 0.6 to 0.9, 0.3 to 0.6, below 0.3.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence

from autotune.frozen import dataclass
from autotune.knowledge.archive import ranked_by_words
from autotune.knowledge.commands import program_of, words_of
from autotune.knowledge.past import PastSession
from autotune.knowledge.projects import project_of
from autotune.records import Observation, Workload
from autotune.verdict.workload_kind import classify, likeness

MOST = 5
LEAST_SHAPE = 0.5
"""Share of options in common from which two calls of one program have the same shape."""
MOST_DISTANCE = 1.0
"""Distance of two behaviours from which they are not alike: a factor of e on average."""
LEAST_RATE = 1.0
"""Per second: below it a rate says nothing."""
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True)
class Likeness:
    """Another workload's newest session, how like it is, and why, in a clause."""

    session: PastSession
    score: float
    why: str

    @property
    def sentence(self) -> str:
        return f"It is told since it is alike: {self.why}."


def ranked(
    workload: Workload, seen: Observation | None, others: Sequence[PastSession], most: int = MOST
) -> list[Likeness]:
    """Return the sessions of other workloads that are like this one, the most alike first, the newest of each command.
    `seen` is what the system did in the baseline; None where that is not known yet."""
    newest = {(one.command, one.cwd): one for one in reversed(others)}
    sessions = [one for one in others if newest[one.command, one.cwd] is one]
    words = {one.id: place for place, one in enumerate(ranked_by_words(sessions, _plain_words(workload.command)))}
    found = [_likeness(workload, seen, one, words.get(one.id)) for one in sessions]
    alike = [one for one in found if one is not None]
    return sorted(alike, key=lambda one: -one.score)[: max(most, 0)]


def _likeness(workload: Workload, seen: Observation | None, other: PastSession, place: int | None) -> Likeness | None:
    ours, theirs = _words(workload), _words_of(other)
    named = f"{other.command[:60]!r} in {other.cwd}"
    if ours == theirs:
        score, where = _place_of_the_same(workload, other)
        return _scored(other, score, f"the same command {where}: {named}")
    if program_of(ours) and program_of(ours) == program_of(theirs):
        common, all_options = _options(ours) & _options(theirs), _options(ours) | _options(theirs)
        share = len(common) / len(all_options) if all_options else 1.0
        if share >= LEAST_SHAPE:
            options = f", with {', '.join(sorted(common))}" if common else ""
            why = f"the same program in the same shape, {program_of(ours)}{options}: {named}"
            return _scored(other, 0.6 + 0.3 * share * _nearness_of_numbers(ours, theirs), why)
    apart = None if seen is None or other.observation is None else distance(seen, other.observation)
    if apart is not None and apart < MOST_DISTANCE:
        what = f"it behaves alike (busy CPUs, forks, switches, waits, I/O; {apart:.2f} apart)"
        return _scored(other, 0.3 + 0.3 * (1.0 - apart / MOST_DISTANCE), f"{what}: {named}")
    if place is not None:
        return _scored(other, 0.29 / (1 + place), f"the same words in its command: {named}")
    return None


def _place_of_the_same(workload: Workload, other: PastSession) -> tuple[float, str]:
    if workload.cwd == other.cwd:
        return 1.0, "with another setup or metric"
    if other.project and other.project == project_of(workload.cwd):
        return 0.95, "in another clone of the project"
    return 0.9, "elsewhere"


def _scored(session: PastSession, score: float, why: str) -> Likeness:
    return Likeness(session, score, f"{why} (likeness {score:.2f} of 1)")


# --- commands --------------------------------------------------------------------------------------------


def _words(workload: Workload) -> tuple[str, ...]:
    return words_of(workload.argv)


def _words_of(session: PastSession) -> tuple[str, ...]:
    return words_of(session.argv or session.command)


def _options(words: Sequence[str]) -> set[str]:
    """Return the names of a command's options: `-C` and `-j` of `make -C a -j8`. Of a text for a shell those of all its
    programs."""
    text = words[-1].split() if tuple(words[:2]) == ("sh", "-c") else words[1:]
    return {_NUMBER.sub("", word.partition("=")[0]) for word in text if word.startswith("-") and word.strip("-")}


def _nearness_of_numbers(ours: Sequence[str], theirs: Sequence[str]) -> float:
    """Return 1 for commands with the same numbers (`-j8`), less the further they are apart."""
    first, second = _numbers(ours), _numbers(theirs)
    if len(first) != len(second) or not first:
        return 1.0 if not first and not second else 0.7
    apart = [abs(math.log((a + 1.0) / (b + 1.0))) for a, b in zip(first, second, strict=True)]
    return 1.0 / (1.0 + sum(apart) / len(apart) / 2.0)


def _numbers(words: Sequence[str]) -> list[float]:
    """Return the numbers in options, one of each."""
    text = words[-1].split() if tuple(words[:2]) == ("sh", "-c") else words
    found = (_NUMBER.search(word) for word in text if word.startswith("-"))
    return [min(float(one[0]), 1e9) for one in found if one is not None]


def _plain_words(command: str) -> list[str]:
    """Return what names something in a command: program and files without their directories, no options."""
    named = (os.path.basename(word.rstrip("/")) for word in command.split() if not word.startswith("-"))
    return [word for word in named if any(character.isalpha() for character in word)]


# --- behaviour -------------------------------------------------------------------------------------------


def distance(one: Observation, other: Observation) -> float:
    """Return how far apart two behaviours are: the mean, over what both know, of the difference of shares (twice, so
    that none and all are 2 apart), of the logarithms of rates per CPU, and of the kinds of work that only one of them
    does (twice their share)."""
    apart = [
        2.0 * abs(one.cpu_utilisation - other.cpu_utilisation),
        2.0 * abs(one.involuntary_share - other.involuntary_share),
        _of_rates(one.forks_per_s / one.cpus, other.forks_per_s / other.cpus),
        _of_rates(one.context_switches_per_s / one.cpus, other.context_switches_per_s / other.cpus),
    ]
    apart.append(2.0 * (1.0 - likeness(classify(one), classify(other))))
    for name in ("run_wait_share", "pressure_io_share"):
        values = [getattr(observation, name) for observation in (one, other)]
        if None not in values:
            apart.append(2.0 * abs(min(1.0, values[0]) - min(1.0, values[1])))
    return math.fsum(apart) / len(apart)


def _of_rates(one: float, other: float) -> float:
    return abs(math.log((one + LEAST_RATE) / (other + LEAST_RATE)))
