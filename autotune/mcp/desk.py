# SPDX-License-Identifier: MIT
"""Answers each tool call of a client, once its arguments are checked and consent is given. Calls may take seconds and
come from several threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from autotune import homes
from autotune.errors import AutotuneError, UsageError
from autotune.knowledge import experience
from autotune.knowledge.archive import History
from autotune.knowledge.best import KnownBest, StoreProblem, known_best
from autotune.knowledge.store import Knowledge
from autotune.machine import select
from autotune.mcp import offers, shelf
from autotune.mcp.answers import page
from autotune.mcp.bench import ClientBench
from autotune.mcp.jobs import Work, Works
from autotune.mcp.questions import Effect
from autotune.mcp.requests import TuningStart, directory_of, facts, session_request
from autotune.records import Profile
from autotune.report import activity
from autotune.schedext.catalogue import custom
from autotune.session import start

SCHEDULERS_A_PAGE = 40
SESSIONS_A_PAGE = 25
LINES_SHOWN = 12
APPLIED_WITHIN_S = 25.0
TUNE, VERIFY, APPLY = ("tune",), ("verify",), ("apply",)


class Desk:
    """The tools over one bench and one set of long works."""

    def __init__(self, bench: ClientBench, works: Works) -> None:
        self.bench = bench
        self.works = works
        self._closed = False
        self._own: dict[str, Callable[[Any], Any]] = {
            "list_schedulers": self._list_schedulers,
            "get_execution_status": self._execution_status,
            "create_and_verify_scheduler": self._create,
            "read_workload_file": self._read_file,
            "observe_workload": self._observe,
            "tuning_start": self._tuning_start,
            "tuning_status": lambda given: self.shown(self.tuning(given.id)),
            "tuning_stop": self._tuning_stop,
            "history_search": self._history_search,
            "best_known": self._best_known,
            "apply": self._apply,
            "release": lambda _given: self._release(),
        }

    def answer(self, name: str, arguments: BaseModel) -> Any:
        """Return the answer as data. Raises AutotuneError."""
        self.works.heard()
        own = self._own.get(name)
        return own(arguments) if own is not None else self.bench.call(name, arguments)

    # --- consent ---

    def settled(self, arguments: BaseModel) -> BaseModel:
        """Return the arguments of a call with what files would still decide, where a person must agree to it: those may
        change between the question and what is done. Raises AutotuneError for a call that cannot work."""
        if not isinstance(arguments, TuningStart):
            return arguments
        request = session_request(arguments, self.bench.directory)
        machine = select.decide(request.settings.machine).kind
        return arguments.model_copy(update={"settings": arguments.settings.model_copy(update={"machine": machine})})

    def effects(self, name: str, arguments: BaseModel) -> tuple[Effect, ...]:
        """Return what a call with settled arguments does that a person must agree to. Raises AutotuneError."""
        if isinstance(arguments, TuningStart):
            problems = start.problems(session_request(arguments, self.bench.directory), self.bench.engine)
            if problems:  # nobody is asked about what cannot start
                raise UsageError("; ".join(map(str, problems)))
            return ("run", "switch") if arguments.settings.machine == "host" else ("run",)
        if name == "apply":
            return ("switch",)
        if name == "run_scheduler":
            return ("switch",) if self.bench.where() == "host" else ()
        return ()

    def facts(self, name: str, arguments: BaseModel) -> dict[str, Any]:
        """Return what the question shows: all of the arguments."""
        if isinstance(arguments, TuningStart):
            return facts(arguments, self.bench.directory)
        return {"tool": name, **arguments.model_dump()}

    # --- the catalogue, and schedulers that clients write ---

    def _list_schedulers(self, given: offers.ListSchedulersHere) -> Any:
        listed = self.bench.call("list_schedulers", given)
        return page("schedulers", listed["schedulers"], given.offset, SCHEDULERS_A_PAGE)

    def _create(self, given: offers.CreateSchedulerHere) -> Any:
        arguments = given.model_dump()
        work = self.works.start("verify", lambda left_s: self._job(arguments, left_s))
        return self._verification(work)

    def _execution_status(self, given: Any) -> Any:
        work = self.works.get(given.execution_id, VERIFY)
        return self.bench.call("get_execution_status", given) if work is None else self._verification(work)

    def _verification(self, work: Work) -> dict[str, Any]:
        found = work.result or {}
        status = "failed" if work.is_over and not found.get("passed") else work.status
        output = [*work.lines][-LINES_SHOWN:] + ([work.error] if work.error else [])
        shown = {"execution_id": work.name, "status": status, "output": output, "duration_s": round(work.took_s(), 1)}
        return {**shown, **({"verification": found["verification"]} if found else {})}

    def _job(self, arguments: dict[str, Any], left_s: float, directory: Path | None = None) -> dict[str, Any]:
        return {"directory": str(directory or self.bench.directory), "arguments": arguments, "limit_s": left_s}

    # --- tunings ---

    def _tuning_start(self, given: TuningStart) -> Any:
        session_request(given, self.bench.directory)
        directory = directory_of(given.workload.cwd, self.bench.directory)
        self.bench.release()
        work = self.works.start("tune", lambda left_s: self._job(given.model_dump(), left_s, directory))
        return self.shown(work)

    def tuning(self, name: str) -> Work:
        """Return a tuning. Raises UsageError."""
        work = self.works.get(name, TUNE)
        if work is None:
            known = ", ".join(self.works.names(TUNE)) or "none yet"
            raise UsageError(f"there is no tuning '{name[:100]}'; there are: {known}")
        return work

    def _tuning_stop(self, given: offers.TuningId) -> Any:
        work = self.tuning(given.id)
        work.stop()
        return self.shown(work)

    def shown(self, work: Work) -> dict[str, Any]:
        """Return how far a tuning is, and its result."""
        state = {
            "id": work.name,
            "status": work.status,
            "step": "" if work.is_over else work.step,
            "elapsed_s": round(work.took_s(), 1),
            "runs": work.runs,
            "output": [*work.lines][-LINES_SHOWN:],
        }
        return {**state, **(work.result or {}), **({"error": work.error} if work.error else {})}

    # --- what is known ---

    def _history_search(self, given: offers.HistorySearch) -> Any:
        most = given.offset + 4 * SESSIONS_A_PAGE
        with Knowledge() as knowledge:
            archive = History(knowledge)
            words = given.query.split()
            found = archive.search(words, most) if words else archive.newest(None, most)
            nearest = archive.nearest(given.query, most) if words and not found else []
        shown = [shelf.session_line(one) for one in found or nearest]
        return {**page("sessions", shown, given.offset, SESSIONS_A_PAGE), "has_all_words": bool(found) or not words}

    def _best_known(self, given: offers.CommandAsked) -> Any:
        directory, here = str(directory_of(given.cwd, self.bench.directory)), select.whereabouts()
        with Knowledge() as knowledge:
            bad = experience.of_sessions(History(knowledge).of_command(given.command, directory), here).bad
        try:
            found = known_best(given.command, directory, here=here)
        except StoreProblem as error:
            raise AutotuneError(str(error), stage="history") from error
        return {"best": _best(found), "bad": [{"scheduler": one.candidate.key, "why": one.why} for one in bad]}

    def _read_file(self, given: Any) -> Any:
        home = Path(homes.home()).resolve()
        if self.bench.directory.resolve() in (home, *home.parents):
            raise UsageError(
                "this server was started in the home directory or above it, where no files are read",
                hint="the person may start it in a project's directory",
            )
        return self.bench.call("read_workload_file", given)

    def _observe(self, given: offers.ObserveCommand) -> Any:
        directory = str(directory_of(given.cwd, self.bench.directory))
        return activity.view(self._watched(given.command, directory), given.view, given.offset)

    def _watched(self, command: str | list[str], directory: str) -> Profile:
        with Knowledge() as knowledge:
            archive = History(knowledge)
            for one in archive.of_command(command, directory)[:5]:
                watched = archive.whole(one).watched
                if watched is not None:
                    return watched
        raise UsageError("no run of this command was watched yet", hint="tuning_start watches one")

    # --- a scheduler that stays attached ---

    def _apply(self, given: offers.ApplyScheduler) -> Any:
        candidate = custom.catalog().parse_candidate(given.scheduler)
        problem = select.host_problem()
        if problem is not None:
            raise UsageError(f"a scheduler can only be kept on the host: {problem}")
        self.bench.release()
        work = self.works.start("apply", lambda left_s: self._job({"scheduler": candidate.key}, left_s))
        deadline = time.monotonic() + APPLIED_WITHIN_S
        while not work.lines and not work.is_over and time.monotonic() < deadline:
            work.wait(0.1)
        return self._kept(work)

    def _release(self) -> Any:
        work = self.works.running("apply")
        if work is None:
            raise UsageError("this server has applied no scheduler", hint="'autotune status' shows who has")
        work.stop()
        work.wait(APPLIED_WITHIN_S)
        return self._kept(work)

    def _kept(self, work: Work) -> dict[str, Any]:
        status = "released" if work.is_over and work.status == "stopped" else work.status
        return {"scheduler": None if work.is_over else work.name, "status": status, "output": list(work.lines)}

    def close(self) -> None:
        """End all work, detach, and close the machine. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            self.works.close()
        finally:
            self.bench.close()


_NOT_TOLD = {"where", "settings", "object_path", "digest_of", "argv", "mtime_ns", "size_bytes"}
"""Of a known best: what is about files of this machine."""


def _best(found: KnownBest | None) -> dict[str, Any] | None:
    if found is None:
        return None
    fields = {name: getattr(found, name) for name in found.__slots__ if name not in _NOT_TOLD}
    return {**fields, "settings": dict(found.settings), "age_s": max(0.0, time.time() - found.measured_at)}
