# SPDX-License-Identifier: MIT
"""The best known scheduler for a command, for what must start within milliseconds.

What always holds here:
- the store is only read: it is never made, migrated or moved aside;
- a store that cannot be read raises `StoreProblem`, and nothing else, after at most WAIT_S of waiting for others;
- what is returned was confirmed by a session, and no later one there refuted it; what has changed since is in `stale`.

Nothing is imported here that takes time: no `typing` and no `dataclasses`, and the rest where it is used.
"""

from __future__ import annotations

import os

from autotune import homes
from autotune.knowledge import commands, matching, versions
from autotune.knowledge.matching import Match

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from typing import Any

FILE = "history.sqlite3"
"""The store's name in the user's state directory."""
STORE_VERSION = 9
"""Version of the store that this reads: the newest one, as `knowledge.sqlite` makes it."""
WAIT_S = 0.02
"""Longest wait for another process that has the store locked."""
MOST_SESSIONS = 100
"""Newest sessions of a command that are looked at."""
KINDS = ("bpf", "binary", "generated")
MEMORY_CHANGED = 0.1
"""Share by which the memory must differ: kernels keep more or less of it for themselves."""


class StoreProblem(Exception):
    """The store cannot be read: it is broken, locked, or of another version. The text says which, in a clause."""


class _NewerStore(StoreProblem):
    """The store is of a newer autotune: then this one uses another beside it."""


class _Frozen:
    """A record that does not change. `dataclasses` would take as long to import as the whole look-up."""

    __slots__: tuple[str, ...] = ()

    def __init__(self, **values: object) -> None:
        for name in self.__slots__:
            object.__setattr__(self, name, values.pop(name))
        if values:
            raise TypeError(f"no such fields: {', '.join(values)}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} does not change")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(getattr(self, one) == getattr(other, one) for one in self.__slots__)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, one) for one in self.__slots__))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{one}={getattr(self, one)!r}' for one in self.__slots__)})"


class Whereabouts(_Frozen):
    """Where a command ran, or would run now. What is not known is empty, or 0, and is not compared."""

    __slots__ = ("acceleration", "cpu_model", "cpus", "kernel", "memory_bytes", "topology", "where")
    where: str
    """`host` or `vm`."""
    acceleration: str
    """`none` on a host; `kvm` or `tcg` (emulation) in a micro-VM."""
    kernel: str
    cpus: int
    cpu_model: str
    memory_bytes: int
    topology: str


class KnownBest(_Frozen):
    """The best known scheduler for a command, with what it takes to attach it again."""

    __slots__ = (
        "argv", "confidence", "digest_of", "directory", "high", "is_elsewhere", "kind", "low", "measured_at",
        "mtime_ns", "object_path", "ops", "params", "scheduler", "session", "settings", "size_bytes", "spec", "speedup",
        "stale", "version", "where",
    )  # fmt: skip
    spec: str
    """As `--scheduler` takes it: `at_fifo:slice_us=5000`."""
    scheduler: str
    settings: tuple[tuple[str, bool | int | float | str], ...]
    """The knobs that do not have their defaults."""
    kind: str
    """`bpf` for one of ours, `binary` for a program, `generated`; empty when an older autotune measured it, which kept
    none of the fields from here to `argv`."""
    version: str
    ops: str
    """Name that the kernel shows when it is attached."""
    digest_of: str
    """The source of one of ours, a program, or a generated object, of this size and time when it was measured."""
    size_bytes: int
    mtime_ns: int
    object_path: str
    """Object that was attached; empty for a program."""
    argv: tuple[str, ...]
    """Command of a program; empty for an object."""
    speedup: float
    """EEVDF's time over its own, so above 1 is better; `low` to `high` at `confidence` (0.95 for 95 %)."""
    low: float
    high: float
    confidence: float
    session: str
    """Name of the session that confirmed it; empty for an older autotune's."""
    measured_at: float
    """Unix time."""
    directory: str
    """Where it was measured."""
    is_elsewhere: bool
    """Whether that is not the command's own directory, but the same place in another clone of the project."""
    params: str
    """Values of the parameters with which it was measured (`jobs=4`), for a command that a session with parameters ran
    among others: then `speedup` compares with EEVDF at its best values. Empty for most."""
    where: Whereabouts
    stale: tuple[str, ...]
    """What has changed since, in clauses; empty when it is fresh."""

    @property
    def key(self) -> str:
        """Its name in the store, with the parameters' values."""
        return f"{self.spec} {self.params}" if self.params else self.spec


def path() -> str:
    """Return the path of this user's store."""
    return os.path.join(homes.state(), FILE)


def known_best(
    command: str | Sequence[str], directory: str, *, here: Whereabouts, store: str | None = None
) -> KnownBest | None:
    """Return the best known scheduler for a command (a text for sh, or words) in a directory, the one with the fewest
    reasons to be stale `here`, then the newest; None when nothing beat EEVDF, or nothing is known. Where no session
    there says anything of now, those in other clones of the same project do. Raises StoreProblem."""
    file = path() if store is None else store
    if not os.path.lexists(file):
        return None
    import sqlite3

    try:
        try:
            db = _opened(file)
        except _NewerStore:
            file = own_beside(file)
            db = _opened(file)
        try:
            return _best(db, commands.words_of(command), directory, here)
        finally:
            db.close()
    except (
        sqlite3.Error,
        OSError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise StoreProblem(f"{file} cannot be read: {error}") from error


_OF_ODD_CONTENT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What a store raises whose values are none that are written there."""


def _opened(file: str) -> sqlite3.Connection:
    """Open the store for reading. Raises StoreProblem for one of another version."""
    import sqlite3

    if not os.path.isfile(file):  # SQLite would wait for a pipe for ever
        raise StoreProblem(f"{file} is no file")
    name = "".join(chr(one) if chr(one) in _SAFE else f"%{one:02X}" for one in os.fsencode(os.path.abspath(file)))
    try:
        return _checked(sqlite3.connect(f"file:{name}?mode=ro", uri=True, timeout=WAIT_S), file)
    except sqlite3.OperationalError:
        if _is_written(file) or os.access(os.path.dirname(file) or ".", os.W_OK):
            raise
        # A directory that cannot be written takes no shared memory; nobody writes there, so none is needed.
        return _checked(sqlite3.connect(f"file:{name}?immutable=1", uri=True, timeout=WAIT_S), file)


def own_beside(file: str) -> str:
    """Return what this version uses where the store is of a newer one (`store.Knowledge`). Raises StoreProblem."""
    stem, dot, suffix = file.rpartition(".")
    own = f"{stem}-version-{STORE_VERSION}{dot}{suffix}"
    if not os.path.exists(own):
        raise StoreProblem(f"{file} is of a newer autotune, and this one has none of its own yet")
    return own


_SAFE = "/-._~abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def _is_written(file: str) -> bool:
    """Return whether the store has a log, without which it would be read as it was before."""
    return os.path.exists(f"{file}-wal") and os.path.getsize(f"{file}-wal") > 0


def _checked(db: sqlite3.Connection, file: str) -> sqlite3.Connection:
    try:
        db.text_factory = _text
        found = int(db.execute("PRAGMA user_version").fetchone()[0])
        if found > STORE_VERSION:
            raise _NewerStore(f"{file} is of a newer autotune (version {found}, not {STORE_VERSION})")
        if found < STORE_VERSION:
            raise StoreProblem(f"{file} is of an older autotune (version {found}, not {STORE_VERSION})")
    except BaseException:
        db.close()
        raise
    return db


def _text(content: bytes) -> str:
    """Return a text; words that are not UTF-8 come from JSON as lone surrogates."""
    return content.decode("utf-8", "surrogatepass")


# --- choosing --------------------------------------------------------------------------------------------

_SESSIONS = """
    SELECT s.id, s.name, s.started_at, s.machine, s.acceleration, s.kernel, s.cpus, s.cpu_model,
        coalesce(s.memory_bytes, 0), coalesce(s.topology, ''), s.winner, s.workload
    FROM sessions s WHERE s.workload IN ({}) AND s.state = 'ended' AND s.baseline_median IS NOT NULL
    ORDER BY s.started_at DESC, s.id DESC LIMIT ?
"""
_WON = """
    SELECT key, scheduler, knobs, speedup, low, high, confidence, attached FROM results
    WHERE session = ? AND key = ? AND speedup IS NOT NULL AND confidence IS NOT NULL
"""
REFUTES = ("slower", "same", "invalid")
"""Verdicts of a later session that an earlier win does not survive."""
_REFUTED = f"SELECT key FROM results WHERE session = ? AND verdict IN {REFUTES}"


class _Judged:
    """What the sessions of some workloads say of one command. `refuted` is what each of them refuted, and where;
    `is_answered` whether one of them ran in the surroundings of now."""

    def __init__(self) -> None:
        self.known: KnownBest | None = None
        self.refuted: list[tuple[Whereabouts, set[str]]] = []
        self.is_answered = False


def _best(db: sqlite3.Connection, words: tuple[str, ...], directory: str, here: Whereabouts) -> KnownBest | None:
    own = _judged(db, matching.in_directory(db, words, directory), here, [])
    if own.is_answered or (own.known is not None and not own.known.stale):
        return own.known
    other = _judged(db, matching.in_clones(db, words, directory), here, own.refuted).known
    if other is not None and other.kind == "generated":  # it is for the directory where it was made
        other = None
    if own.known is None or (other is not None and len(other.stale) < len(own.known.stale)):
        return other
    return own.known


def _judged(
    db: sqlite3.Connection, matches: list[Match], here: Whereabouts, refuted: list[tuple[Whereabouts, set[str]]]
) -> _Judged:
    """Return what sessions of these workloads say; `refuted` is what others refuted before. Of a workload with
    parameters those results count that have the values of the command. What such a session refutes counts for its like
    alone: it compares with EEVDF at its best values, and not at these."""
    judged = _Judged()
    by_workload = {one.workload: one for one in matches}
    numbers = ", ".join(map(str, by_workload))
    chosen: tuple[int, str, Any, Whereabouts] | None = None
    swept: list[tuple[Whereabouts, set[str]]] = []
    for row in db.execute(_SESSIONS.format(numbers), (MOST_SESSIONS,)).fetchall() if matches else ():
        place, params = _place(row), by_workload[row[11]].params
        judged.is_answered = judged.is_answered or not differences(place, here)
        spec = _spec(row[10], params)
        later = [*refuted, *judged.refuted, *(swept if params else ())]
        if spec is not None and not is_refuted(spec, place, later, here):
            reasons = len(differences(place, here))
            if chosen is None or reasons < chosen[0]:
                chosen = (reasons, spec, row, place)
        specs = {_spec(key, params) for (key,) in db.execute(_REFUTED, (row[0],))}
        (swept if params else judged.refuted).append((place, {one for one in specs if one is not None}))
    if chosen is not None:
        _, spec, row, place = chosen
        judged.known = _known(db, spec, row, place, by_workload[row[11]], here)
    return judged


def _spec(key: str | None, params: str) -> str | None:
    """Return the scheduler of a result's key, without the parameters' values; None where these are others."""
    if key is None or not key.endswith(params):
        return None
    return key[: len(key) - len(params)]


def _value(value: Any, kind: str) -> Any:
    """Return a value of JSON as Python would: SQLite has no truth values."""
    return kind == "true" if kind in ("true", "false") else value


def _place(row: Any) -> Whereabouts:
    return Whereabouts(
        where=str(row[3]),
        acceleration=str(row[4]),
        kernel=str(row[5]),
        cpus=int(row[6]),
        cpu_model=str(row[7]),
        memory_bytes=int(row[8]),
        topology=str(row[9]),
    )


def is_refuted(key: str, place: Whereabouts, later: Sequence[tuple[Whereabouts, set[str]]], here: Whereabouts) -> bool:
    """Return whether a later session found that it is not faster, in the same surroundings or in those of now."""
    return any(key in keys and not (differences(there, place) and differences(there, here)) for there, keys in later)


def _known(
    db: sqlite3.Connection, spec: str, session: Any, place: Whereabouts, match: Match, here: Whereabouts
) -> KnownBest | None:
    row = db.execute(_WON, (session[0], session[10])).fetchone()
    if row is None:
        return None
    knobs = tuple((str(name), _value(value, kind)) for name, value, kind in _object(db, row[2]))
    attached = {name: value for name, value, _ in _object(db, row[7])} if row[7] is not None else {}
    if attached and attached["kind"] not in KINDS:
        raise ValueError("a part of it is no scheduler")
    argv = attached.get("argv")
    return KnownBest(
        spec=spec,
        params=match.params.strip(),
        scheduler=str(row[1]),
        settings=knobs,
        kind=str(attached.get("kind", "")),
        version=str(attached.get("version", "")),
        ops=str(attached.get("ops", "")),
        digest_of=str(attached.get("digest_of", "")),
        size_bytes=int(attached.get("size_bytes", 0)),
        mtime_ns=int(attached.get("mtime_ns", 0)),
        object_path=str(attached.get("object_path", "")),
        argv=tuple(str(word) for _, word, _ in matching.parsed(db, argv)) if argv is not None else (),
        speedup=float(row[3]),
        low=float(row[4]),
        high=float(row[5]),
        confidence=float(row[6]),
        session=str(session[1] or ""),
        measured_at=float(session[2]),
        directory=match.directory,
        is_elsewhere=match.is_elsewhere,
        where=place,
        stale=(*differences(place, here), *scheduler_changes(str(row[1]), attached)),
    )


def _object(db: sqlite3.Connection, document: str) -> list[tuple[Any, Any, str]]:
    found = matching.parsed(db, document)
    if document.lstrip()[:1] != "{":
        raise ValueError("a part of it is no object")
    return found


# --- what has changed ------------------------------------------------------------------------------------


def differences(then: Whereabouts, now: Whereabouts) -> tuple[str, ...]:
    """Return what differs between two surroundings, in clauses; empty where a result of one holds in the other."""
    found = []
    accelerations = {then.acceleration, now.acceleration} - {""}
    if then.where != now.where or len(accelerations) > 1:
        found.append(f"it was measured {place_of(then)}, and this is {_article(place_of(now))}")
    if then.kernel and now.kernel and then.kernel != now.kernel:
        found.append(f"the kernel was {then.kernel} and is {now.kernel}")
    if then.cpu_model and now.cpu_model and then.cpu_model != now.cpu_model:
        found.append(f"the CPU was {then.cpu_model} and is {now.cpu_model}")
    if then.cpus and now.cpus and then.cpus != now.cpus:
        found.append(f"there were {then.cpus} CPUs and are {now.cpus}")
    most = max(then.memory_bytes, now.memory_bytes)
    if then.memory_bytes and now.memory_bytes and abs(then.memory_bytes - now.memory_bytes) > most * MEMORY_CHANGED:
        found.append(f"there were {_gib(then.memory_bytes)} of memory and are {_gib(now.memory_bytes)}")
    if then.topology and now.topology and then.topology != now.topology:
        found.append(f"the CPUs were {then.topology} and are {now.topology}")
    return tuple(found)


def place_of(one: Whereabouts) -> str:
    """Say where something was measured: `on the host`, `in an emulated micro-VM`."""
    if one.where == "host":
        return "on the host"
    return "in a micro-VM" if one.acceleration == "kvm" else "in an emulated micro-VM"


def _article(place: str) -> str:
    """Return a place without its preposition: `the host`."""
    return place.partition(" ")[2]


def _gib(number: int) -> str:
    return f"{number / 2**30:.1f} GiB"


def scheduler_changes(scheduler: str, attached: dict[str, Any]) -> tuple[str, ...]:
    """Return how a scheduler differs from the one that was measured, in clauses. A file of the same size and time is
    not read again, unless it is one of ours, which is small. Empty where it is the same."""
    if not attached:
        return (f"it is not known which build of {scheduler} was measured",)
    file, kind = str(attached["digest_of"]), attached["kind"]
    try:
        status = os.stat(file)
    except OSError:
        return (f"{file}, which was measured, is not there any more",)
    if kind == "bpf":
        return () if versions.of_source(file) == attached["digest"] else (f"the source of {scheduler} has changed",)
    if (status.st_size, status.st_mtime_ns) == (attached["size_bytes"], attached["mtime_ns"]):
        return ()
    return () if versions.of_file(file) == attached["digest"] else (f"{file} has been replaced by another build",)
