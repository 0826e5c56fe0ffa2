# SPDX-License-Identifier: MIT
"""The known best of a command: what is found, what is stale, and that no store can do harm."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune.knowledge import best, versions
from autotune.knowledge import sqlite as store_file
from autotune.knowledge.best import KnownBest, StoreProblem, Whereabouts
from autotune.knowledge.store import Knowledge
from autotune.records import Candidate, MachineInfo, MeasuredScheduler, Parameter, Session
from tests.support import sessions

CWD = "/home/me/project"
FASTER = Candidate("at_fifo", (("slice_us", 5000),))
HOST = sessions.machine(kind="host", acceleration="none", kernel="6.18.1", cpu_model="EPYC", topology="1 socket")
Look = Callable[..., "KnownBest | None"]


def whereabouts(info: MachineInfo, **changed: Any) -> Whereabouts:
    fields: dict[str, Any] = {
        "where": info.kind,
        "acceleration": info.acceleration,
        "kernel": info.kernel,
        "cpus": info.cpus,
        "cpu_model": info.cpu_model,
        "memory_bytes": info.memory_bytes,
        "topology": info.topology,
    }
    return Whereabouts(**{**fields, **changed})


def session(
    *, at: float = 1000.0, won: Candidate | None = FASTER, attached: MeasuredScheduler | None = None, **changed: Any
) -> Session:
    """A session on the host, in which one candidate won, or nothing did."""
    results = [sessions.result(Candidate("eevdf"), None)]
    if won is not None:
        speedup = sessions.interval(1.2, 1.1, 1.3)
        results.insert(0, sessions.result(won, "faster", speedup=speedup, confirmed=True, attached=attached))
    basis = sessions.session(
        started_at=at, machine=HOST, winner=won.key if won else None, results=tuple(results), id=f"{int(at):08x}"
    )
    return replace(basis, **changed)


def refuting(candidate: Candidate, verdict: Any, **changed: Any) -> Session:
    """A later session without a winner, in which this candidate was not faster."""
    one = session(at=2000.0, won=None, **changed)
    return replace(one, results=(*one.results, sessions.result(candidate, verdict)))


@pytest.fixture
def look(knowledge: Knowledge, path: Path) -> Look:
    """Keep sessions, and look a command up."""

    def looked(
        *kept: Session,
        command: str | Sequence[str] = "make -j8",
        directory: str = CWD,
        here: Whereabouts | None = None,
    ) -> KnownBest | None:
        for one in kept:
            knowledge.record(one)
        now = whereabouts(HOST) if here is None else here
        return best.known_best(command, directory, here=now, store=str(path))

    return looked


# --- what is found ---------------------------------------------------------------------------------------


def test_a_confirmed_winner_is_found_with_its_evidence(look: Look) -> None:
    found = look(session())
    assert found is not None
    assert (found.spec, found.scheduler, found.settings) == ("at_fifo:slice_us=5000", "at_fifo", (("slice_us", 5000),))
    assert (found.speedup, found.low, found.high, found.confidence) == (1.2, 1.1, 1.3, 0.95)
    assert (found.session, found.measured_at, found.directory) == ("000003e8", 1000.0, CWD)
    assert found.where == whereabouts(HOST)


def test_nothing_is_known_without_a_store_elsewhere_and_of_other_commands(look: Look, path: Path) -> None:
    assert best.known_best("make -j8", CWD, here=whereabouts(HOST), store=str(path)) is None
    assert not path.parent.exists() or not path.exists()
    assert look(session()) is not None
    assert look(command="make -j9") is None
    assert look(directory="/home/me/other") is None


@pytest.mark.parametrize("command", ["make -j8", "make  -j8 ", ["make", "-j8"], ["sh", "-c", "make -j8"]])
@pytest.mark.parametrize(
    "argv", [("sh", "-c", "make -j8"), ("make", "-j8"), ("sh", "-c", "make\t-j8")], ids=["text", "words", "tab"]
)
def test_a_command_is_the_same_however_it_is_typed(look: Look, argv: tuple[str, ...], command: Any) -> None:
    text = argv[-1] if argv[0] == "sh" else " ".join(argv)
    work = sessions.workload(command=text, argv=argv, prepare="make clean", metric_regex="x=([0-9]+)")
    assert look(session(workload=work), command=command) is not None


def test_a_text_for_another_shell_is_another_command(look: Look) -> None:
    work = sessions.workload(command="echo {1..3}", argv=("bash", "-c", "echo {1..3}"))
    look(session(workload=work))
    assert look(command="echo {1..3}") is None
    assert look(command=["bash", "-c", "echo {1..3}"]) is not None


def test_odd_bytes_in_command_and_directory_are_found(look: Look) -> None:
    work = sessions.workload(command="run \udcff", argv=("run", "\udcff"), cwd="/x\udcfe")
    assert look(session(workload=work), command=["run", "\udcff"], directory="/x\udcfe") is not None


def test_a_session_of_an_older_autotune_is_found_by_its_text(look: Look, path: Path) -> None:
    look(session())
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE workloads SET argv = NULL")
        db.commit()
    found = look(command=["make", "-j8"])
    assert found is not None
    assert found.stale == ("it is not known which build of at_fifo was measured",)


# --- which one -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["slower", "same", "invalid"])
def test_a_later_session_there_refutes_it(look: Look, verdict: str) -> None:
    assert look(session(), refuting(FASTER, verdict)) is None


@pytest.mark.parametrize(
    "later",
    [
        refuting(FASTER, "undecided"),
        refuting(Candidate("at_vtime"), "slower"),
        refuting(FASTER, "slower", baseline=None),
        refuting(FASTER, "slower", machine=replace(HOST, kernel="6.12.1")),
    ],
    ids=["undecided", "another candidate", "no baseline", "another kernel"],
)
def test_a_later_session_that_says_nothing_of_it_does_not(look: Look, later: Session) -> None:
    found = look(session(), later)
    assert found is not None
    assert found.spec == FASTER.key


def test_what_was_refuted_on_the_kernel_of_now_is_not_taken_from_the_one_before(look: Look) -> None:
    newer = replace(HOST, kernel="6.19.0")
    assert look(session(), refuting(FASTER, "slower", machine=newer), here=whereabouts(newer)) is None


def test_the_one_measured_in_these_surroundings_goes_before_a_newer_one_elsewhere(look: Look) -> None:
    other = session(at=2000.0, won=Candidate("at_vtime"), machine=sessions.machine())
    here, there = look(session(), other), look(here=whereabouts(sessions.machine()))
    assert here is not None
    assert there is not None
    assert (here.spec, there.spec) == (FASTER.key, "at_vtime")


def test_the_newest_of_several_is_taken(look: Look) -> None:
    found = look(session(), session(at=2000.0, won=Candidate("at_vtime")))
    assert found is not None
    assert found.spec == "at_vtime"


def test_a_session_that_is_running_or_lost_has_no_verdicts_yet(look: Look, knowledge: Knowledge) -> None:
    look(session())
    with contextlib.closing(knowledge.claim()) as claim:
        knowledge.keep(refuting(FASTER, "slower"), None, claim)
        assert look() is not None
    assert look() is not None


# --- what is stale ---------------------------------------------------------------------------------------


# --- other clones, and parameters ------------------------------------------------------------------------


def clones(tmp_path: Path) -> tuple[str, str]:
    """Two clones of one project."""
    found = []
    for name in ("mine", "other"):
        (tmp_path / name / ".git").mkdir(parents=True)
        (tmp_path / name / ".git/config").write_text('[remote "origin"]\nurl = https://example.org/me/thing\n')
        found.append(str(tmp_path / name))
    return found[0], found[1]


def in_directory(cwd: str, one: Session, **changed: Any) -> Session:
    return replace(one, workload=sessions.workload(cwd=cwd, **changed))


def fresh(**changed: Any) -> MeasuredScheduler:
    return replace(measured("binary", Path(__file__)), **changed)


def test_what_another_clone_found_holds_where_nothing_was_measured(look: Look, tmp_path: Path) -> None:
    mine, other = clones(tmp_path)
    found = look(in_directory(other, session(attached=fresh())), directory=mine)
    assert found is not None
    assert (found.spec, found.directory, found.is_elsewhere, found.stale) == (FASTER.key, other, True, ())


def test_a_generated_scheduler_is_for_the_clone_where_it_was_made(look: Look, tmp_path: Path) -> None:
    mine, other = clones(tmp_path)
    kept = in_directory(other, session(attached=measured("generated", Path(__file__))))
    assert look(kept, directory=mine) is None
    assert look(directory=other) is not None


def test_a_clones_own_answer_goes_before_that_of_another(look: Look, tmp_path: Path) -> None:
    mine, other = clones(tmp_path)
    kept = [in_directory(other, session(at=3000.0)), in_directory(mine, session(at=1000.0, won=None))]
    assert look(*kept, directory=mine) is None


def test_a_fresh_one_of_another_clone_goes_before_a_stale_one_of_ones_own(look: Look, tmp_path: Path) -> None:
    mine, other = clones(tmp_path)
    old = in_directory(mine, session(machine=replace(HOST, kernel="6.12"), attached=fresh()))
    won = Candidate("at_vtime")
    found = look(old, in_directory(other, session(won=won, attached=fresh())), directory=mine)
    assert found is not None
    assert (found.spec, found.is_elsewhere) == ("at_vtime", True)
    found = look(directory=other)
    assert found is not None
    assert not found.is_elsewhere


def test_what_was_refuted_here_is_not_taken_from_another_clone(look: Look, tmp_path: Path) -> None:
    mine, other = clones(tmp_path)
    old = replace(HOST, kernel="6.12")
    here = in_directory(mine, replace(refuting(FASTER, "slower"), machine=old))
    assert look(here, in_directory(other, session(at=3000.0)), directory=mine) is not None, "on another kernel"
    there = in_directory(other, session(at=1000.0, machine=old))
    assert look(there, in_directory(other, session(at=500.0, won=None)), directory=mine) is not None


def swept(won: Candidate, **changed: Any) -> Session:
    """A session that tried make -j4 and make -j8."""
    points = [(("jobs", value),) for value in ("4", "8")]
    basis = session(won=won, attached=fresh(), **changed)
    results = (basis.results[0], *(sessions.result(Candidate("eevdf", params=one), None) for one in points))
    text = ("sh", "-c", "make -j{jobs}")
    return in_directory(CWD, replace(basis, results=results), command=text[-1], argv=text,
                        parameters=(Parameter("jobs", ("4", "8")),))  # fmt: skip


def test_a_result_with_parameters_is_that_of_the_command_with_its_values_alone(look: Look) -> None:
    won = replace(FASTER, params=(("jobs", "4"),))
    found = look(swept(won), command="make -j4")
    assert found is not None
    assert (found.spec, found.params, found.key) == (FASTER.key, "jobs=4", won.key)
    assert look(command="make -j8") is None
    assert look(command="make -j5") is None


def test_a_session_of_the_command_alone_refutes_it_and_not_the_other_way_round(look: Look) -> None:
    won = replace(FASTER, params=(("jobs", "4"),))
    alone = {"command": "make -j4", "argv": ("make", "-j4")}
    assert look(swept(won), in_directory(CWD, refuting(FASTER, "same"), **alone), command="make -j4") is None
    slower = replace(swept(won, at=4000.0), winner=None)
    slower = replace(slower, results=(replace(slower.results[0], verdict="slower"), *slower.results[1:]))
    found = look(in_directory(CWD, session(at=3000.0), **alone), slower, command="make -j4")
    assert found is not None
    assert found.params == "", "it compares with EEVDF at its best values"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"kernel": "6.19.0"}, "the kernel was 6.18.1 and is 6.19.0"),
        ({"cpus": 8}, "there were 2 CPUs and are 8"),
        ({"cpu_model": "Xeon"}, "the CPU was EPYC and is Xeon"),
        ({"memory_bytes": 8 << 30}, "there were 4.0 GiB of memory and are 8.0 GiB"),
        ({"topology": "2 sockets"}, "the CPUs were 1 socket and are 2 sockets"),
        (
            {"where": "vm", "acceleration": "tcg"},
            "it was measured on the host, and this is an emulated micro-VM",
        ),
    ],
)
def test_what_changed_around_it_is_said(look: Look, changed: dict[str, Any], reason: str) -> None:
    found = look(session(), here=whereabouts(HOST, **changed))
    assert found is not None
    assert found.stale[0] == reason


def test_what_is_not_known_of_these_surroundings_is_not_compared(look: Look) -> None:
    unknown = {"kernel": "", "cpus": 0, "cpu_model": "", "memory_bytes": 0, "topology": ""}
    found = look(session(), here=whereabouts(HOST, **unknown))
    assert found is not None
    assert len(found.stale) == 1  # the build


def measured(kind: Any, file: Path) -> MeasuredScheduler:
    digest = versions.of_source(str(file)) if kind == "bpf" else versions.of_file(str(file))
    status = file.stat()
    return MeasuredScheduler(
        kind, "at_fifo", "1.0", digest, str(file), status.st_size, status.st_mtime_ns, argv=("x", "-v")
    )


@pytest.mark.parametrize("kind", ["bpf", "binary", "generated"])
def test_a_scheduler_is_fresh_as_long_as_it_is_the_same(look: Look, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "scheduler"
    file.write_text("one")
    found = look(session(attached=measured(kind, file)))
    assert found is not None
    assert found.stale == ()
    assert (found.kind, found.version, found.ops, found.argv) == (kind, "1.0", "at_fifo", ("x", "-v"))
    os.utime(file, ns=(1, 1))
    assert look() == replaced(found)
    file.write_text("two")
    changed = look()
    assert changed is not None
    assert len(changed.stale) == 1
    file.unlink()
    gone = look()
    assert gone is not None
    assert gone.stale == (f"{file}, which was measured, is not there any more",)


def replaced(found: KnownBest) -> KnownBest:
    """The same record, made anew."""
    return KnownBest(**{name: getattr(found, name) for name in found.__slots__})


def test_a_header_of_ours_is_part_of_the_scheduler(look: Look, tmp_path: Path) -> None:
    source, header = tmp_path / "at_fifo.bpf.c", tmp_path / "include" / "at.h"
    header.parent.mkdir()
    source.write_text("one")
    header.write_text("one")
    fresh = look(session(attached=measured("bpf", source)))
    header.write_text("two")
    stale = look()
    assert fresh is not None
    assert stale is not None
    assert (fresh.stale, stale.stale) == ((), ("the source of at_fifo has changed",))


# --- the store -------------------------------------------------------------------------------------------


def files(path: Path) -> dict[str, bytes]:
    """The store's files, without the shared memory that readers use."""
    return {one.name: one.read_bytes() for one in path.parent.iterdir() if not one.name.endswith(("-shm", "-wal"))}


def test_it_reads_the_version_that_is_written() -> None:
    assert len(store_file.MIGRATIONS) == best.STORE_VERSION


def test_the_store_is_this_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with Knowledge() as knowledge:
        knowledge.record(session())
    assert best.known_best("make -j8", CWD, here=whereabouts(HOST)) is not None


@pytest.mark.parametrize(
    "content", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 4096], ids=["empty", "text", "garbage"]
)
def test_a_file_that_is_no_store_is_a_problem_and_stays_as_it_is(look: Look, path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    before = files(path)
    with pytest.raises(StoreProblem):
        look()
    assert files(path) == before


def test_damage_in_the_middle_is_a_problem(look: Look, path: Path, knowledge: Knowledge) -> None:
    look(session())
    knowledge.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    with pytest.raises(StoreProblem):
        look()


@pytest.mark.parametrize("version", [3, 99])
def test_one_of_another_version_is_a_problem_and_is_not_migrated(look: Look, path: Path, version: int) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")
    before = files(path)
    with pytest.raises(StoreProblem, match="autotune"):
        look()
    assert files(path) == before


def test_beside_a_newer_one_this_versions_own_is_read(look: Look, path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    assert look(session()) is not None


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "directory"])
def test_what_is_no_file_is_a_problem_at_once(look: Look, path: Path, make: Callable[[Path], None]) -> None:
    path.parent.mkdir()
    make(path)
    with pytest.raises(StoreProblem):
        look()


def test_a_locked_store_is_a_problem_after_a_moment(look: Look, path: Path, knowledge: Knowledge) -> None:
    look(session())
    knowledge.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE sessions SET seed = 8")
        started = time.monotonic()
        with pytest.raises(StoreProblem):
            look()
        assert time.monotonic() - started < 1.0


def test_a_writer_does_not_lock_it(look: Look, path: Path) -> None:
    look(session())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE sessions SET winner = NULL")
        assert look() is not None


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE results SET knobs = '{'",
        "UPDATE results SET knobs = '[]'",
        "UPDATE results SET attached = '{\"kind\": 1}'",
        "UPDATE results SET attached = '[1]'",
        "UPDATE results SET speedup = 'fast'",
        "UPDATE sessions SET cpus = 'two'",
        "UPDATE workloads SET argv = '7'",
        "UPDATE workloads SET argv = '" + "[" * 5000 + "'",
        "DROP TABLE results",
    ],
)
def test_odd_content_is_a_problem(look: Look, path: Path, damage: str) -> None:
    look(session(attached=measured("binary", Path(sys.executable))))
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(damage)
        db.commit()
    with pytest.raises(StoreProblem):
        look()


def test_a_strange_path_is_read(tmp_path: Path) -> None:
    odd = tmp_path / "a?b#c%41 \udcff" / "history.sqlite3"
    plain = tmp_path / "plain.sqlite3"
    with Knowledge(plain) as knowledge:
        knowledge.record(session())
    odd.parent.mkdir()
    plain.rename(odd)
    assert best.known_best("make -j8", CWD, here=whereabouts(HOST), store=str(odd)) is not None


# --- light -----------------------------------------------------------------------------------------------

HEAVY = {"typing", "dataclasses", "re", "json", "pathlib", "typer", "rich", "pydantic", "inspect", "autotune.records"}


def test_importing_it_imports_nothing_that_takes_time(tmp_path: Path) -> None:
    names = "sys, sqlite3, autotune.machine.here, autotune.knowledge.best, autotune.knowledge.projects"
    program = f"import {names}; print(*sys.modules)"
    top = Path(best.__file__).parents[2]
    argv = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(top)!r}); {program}"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "autotune.knowledge.best" in done.stdout.split()
    assert HEAVY & set(done.stdout.split()) == set()


def test_a_record_does_not_change_and_has_all_of_its_fields() -> None:
    here = whereabouts(HOST)
    with pytest.raises(AttributeError):
        here.kernel = "other"
    with pytest.raises(KeyError):
        Whereabouts(where="host")
    with pytest.raises(TypeError):
        whereabouts(HOST, size=1)
    assert here == whereabouts(HOST)
    assert hash(here) == hash(whereabouts(HOST))
    assert here != whereabouts(HOST, cpus=9)
    assert "kernel='6.18.1'" in repr(here)
