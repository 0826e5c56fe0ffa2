# SPDX-License-Identifier: MIT
"""What earlier sessions of a command say about candidates: which is the best known, which are known to be bad, and what
is worth a check. Pure.

What always holds here:
- only what was measured under the conditions of now counts against a candidate: the same machine, kernel and build;
- the newest verdict on a candidate counts; `undecided` is none;
- what is said of a candidate names the session it comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from autotune.frozen import dataclass
from autotune.knowledge import best
from autotune.knowledge.archive import title
from autotune.knowledge.best import Whereabouts
from autotune.knowledge.past import PastResult, PastSession
from autotune.records import BASELINE, Candidate, MachineInfo, is_baseline

MOST_CHECKED = 1
"""Most candidates of a session without a winner that are checked again: a confirmation of one that is as good as EEVDF
takes many pairs."""


@dataclass(frozen=True)
class KnownCandidate:
    """A candidate with what is known of it, in a sentence without its end. `stale` says what has changed since."""

    candidate: Candidate
    why: str
    stale: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experience:
    """What is known before the first proposal."""

    good: tuple[KnownCandidate, ...] = ()
    """Winners that no later session refuted, those without anything stale first, then the newest."""
    bad: tuple[KnownCandidate, ...] = ()
    """Candidates that were slower, or could not run: the kernel ejected them, or the command failed under them."""
    contenders: tuple[KnownCandidate, ...] = ()
    """Where the last whole session under the conditions of now found no winner: those that came closest."""

    @property
    def known_best(self) -> KnownCandidate | None:
        """The best known candidate, if nothing has changed since it won."""
        return next((one for one in self.good if not one.stale), None)


def of_sessions(sessions: Sequence[PastSession], here: Whereabouts) -> Experience:
    """Return what the sessions of one command, newest first, say where sessions run `here`."""
    fresh = [one for one in sessions if not best.differences(place_of(one), here)]
    answer = next((one for one in fresh if is_whole(one)), None)
    open_now = answer is not None and answer.winner is None
    return Experience(
        good=_each_once(sorted(_good(sessions, here), key=lambda one: len(one.stale))),
        bad=tuple(_bad(fresh)),
        contenders=tuple(_contenders(answer)) if answer is not None and open_now else (),
    )


def place_of(session: PastSession) -> Whereabouts:
    """Return where a session ran."""
    return Whereabouts(
        where=session.machine,
        acceleration=session.acceleration,
        kernel=session.kernel,
        cpus=session.cpus,
        cpu_model=session.cpu_model,
        memory_bytes=session.memory_bytes or 0,
        topology=session.topology or "",
    )


def here_of(info: MachineInfo) -> Whereabouts:
    """Return where a session runs on this machine."""
    return Whereabouts(
        where=info.kind,
        acceleration=info.acceleration,
        kernel=info.kernel,
        cpus=info.cpus,
        cpu_model=info.cpu_model,
        memory_bytes=info.memory_bytes,
        topology=info.topology,
    )


def is_whole(session: PastSession) -> bool:
    """Return whether a session came to an end of its own, with candidates that it compared."""
    ended = session.state == "ended" and not session.interrupted and session.failure is None
    return ended and session.baseline_median is not None and any(_compared(session))


def _compared(session: PastSession) -> Iterator[PastResult]:
    return (one for one in session.results if not is_baseline(one.key) and one.speedup is not None)


def _good(sessions: Sequence[PastSession], here: Whereabouts) -> Iterator[KnownCandidate]:
    refuted: list[tuple[Whereabouts, set[str]]] = []
    for session in sessions:
        place = place_of(session)
        won = next((one for one in session.results if one.key == session.winner), None)
        if won is not None and not best.is_refuted(won.key, place, refuted, here):
            changes = (*best.differences(place, here), *_changes(won))
            yield KnownCandidate(
                won.candidate.alone, f"it was the best in session {title(session)}{_gain(won)}", changes
            )
        if session.state == "ended" and session.baseline_median is not None:
            refuted.append((place, {one.key for one in session.results if one.verdict in best.REFUTES}))


def _each_once(ranked: Iterable[KnownCandidate]) -> tuple[KnownCandidate, ...]:
    """Return each candidate where it stands first: a fresh win counts, though a newer one is stale."""
    first: dict[Candidate, KnownCandidate] = {}
    for one in ranked:
        first.setdefault(one.candidate, one)
    return tuple(first.values())


def _changes(result: PastResult) -> tuple[str, ...]:
    return best.scheduler_changes(result.candidate.scheduler, dict(result.attached or {}))


def _gain(result: PastResult) -> str:
    return f", with a speedup of {result.speedup.estimate:.3f}" if result.speedup is not None else ""


def _bad(sessions: Sequence[PastSession]) -> Iterator[KnownCandidate]:
    """Yield the candidates whose newest verdict is against them, as long as they are the ones that were measured."""
    judged: set[str] = set()
    for session in sessions:
        for result in session.results if session.state == "ended" else ():
            if is_baseline(result.key) or result.verdict in (None, "undecided") or result.key in judged:
                continue
            judged.add(result.key)
            if result.verdict in ("slower", "invalid") and not _may_be_another(result):
                yield KnownCandidate(result.candidate.alone, _against(result, sessions))


def _may_be_another(result: PastResult) -> bool:
    """Return whether the scheduler has changed since, or was measured by an autotune that did not keep which it was."""
    return result.attached is None or bool(_changes(result))


def _against(result: PastResult, sessions: Sequence[PastSession]) -> str:
    same = [
        title(session)
        for session in sessions
        for one in session.results
        if one.key == result.key and one.verdict == result.verdict
    ]
    times = {1: "", 2: "twice "}.get(len(same), f"{len(same)} times ")
    where = f"session {same[0]}" if len(same) == 1 else f"sessions {', '.join(same[:3])}"
    if result.verdict == "slower":
        return f"it was shown slower {times}here ({where}){_gain(result)}"
    note = result.note or "it could not run"
    return f"it could not be used {times}here ({where}): {note}"


def _contenders(session: PastSession) -> Iterator[KnownCandidate]:
    """Yield those that came closest to a win, or closest to EEVDF where none did."""
    able = [one for one in _compared(session) if one.verdict in ("undecided", "same", "faster")]
    able.sort(key=lambda one: -(one.speedup.estimate if one.speedup is not None else 0.0))
    for one in able[:MOST_CHECKED]:
        yield KnownCandidate(
            one.candidate.alone,
            f"it came closest to beating {BASELINE.upper()} in session {title(session)}{_gain(one)}",
        )
