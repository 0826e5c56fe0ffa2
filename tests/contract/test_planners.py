# SPDX-License-Identifier: MIT
"""Every planner goes through the one suite of laws: the offline planner, the search, a model behind a local service of
each kind, Claude with the offline planner as its fallback, the replay of a transcript, and the one that only shows what
would be sent.

Below, a wrong planner for each law: it fails that law, so the suite can fail."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from autotune.config import Settings
from autotune.errors import PlannerError, UsageError
from autotune.knowledge.experience import Experience, KnownCandidate
from autotune.knowledge.store import Knowledge
from autotune.planner import assembly
from autotune.planner.assembly import Parts
from autotune.planner.base import Planner, Situation
from autotune.planner.chat.endpoint import Endpoint
from autotune.planner.chat.service import ChatService
from autotune.planner.claude import replay, transcript
from autotune.planner.claude.conversation import Conversation, Reply, Service
from autotune.planner.claude.credentials import Credentials
from autotune.planner.claude.service import ClaudeService
from autotune.planner.claude.transcript import Transcript
from autotune.planner.fallback import WithFallback
from autotune.planner.informed import Informed, Recollection
from autotune.planner.knob_search import KnobSearch
from autotune.planner.offline import OfflinePlanner
from autotune.planner.remote import RemoteService
from autotune.records import Attachment, AttachSpec, Candidate, Proposal, Spending
from autotune.redact import Redactor
from autotune.schedext.catalogue.catalog import Catalog
from autotune.schedext.programs.binaries import Places
from autotune.tools import reasons
from autotune.tools.rehearsal import Rehearsal
from autotune.tools.toolbox import Toolbox
from tests.contract.planner_suite import GENEROUS_S, SHORT_S, PlannerSuite, Rig, Story
from tests.support import scx_programs, wild_model
from tests.support.chat_server import serving_chat
from tests.support.messages_server import Answer, Hang, Script, Step, serving, submit, text, tool
from tests.support.planning_room import attach_spec
from tests.support.scripted_machine import ScriptedMachine
from tests.support.sessions import a_situation, workload

CATALOG = Catalog.load()
PROGRAMS = ("scx_bpfland", "scx_lavd", "scx_p2dq", "scx_rusty", "scx_layered", "scx_mitosis")
"""Those that are installed here; the others cannot be proposed."""
STALLING = (Answer([tool("run_scheduler", name="at_batch", args=[])]), Hang(GENEROUS_S))


def unusable(places: Places) -> dict[str, str]:
    return reasons.unusable(CATALOG, ScriptedMachine({}).info, places)


def installed(directory: Path) -> Places:
    for name in PROGRAMS:
        scx_programs.put(directory / "programs", "scx_good", called=name)
    return scx_programs.only(directory / "programs")


@pytest.fixture(scope="class")
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The planners of a class, with what they share."""
    with request.cls.set_up(tmp_path_factory.mktemp("project").resolve()) as ready:
        yield ready


# --- the offline planner ---------------------------------------------------------------------------------


class TestOfflinePlanner(PlannerSuite):
    @staticmethod
    @contextmanager
    def set_up(directory: Path) -> Iterator[Rig]:
        absent = frozenset(unusable(installed(directory)))

        def begin() -> Planner:
            return OfflinePlanner(CATALOG, absent)

        yield Rig(CATALOG, lambda _seed: begin(), begin, absent)


# --- the search ------------------------------------------------------------------------------------------


class TestKnobSearch(PlannerSuite):
    @staticmethod
    @contextmanager
    def set_up(directory: Path) -> Iterator[Rig]:
        absent = frozenset(unusable(installed(directory)))

        def begin(seed: int) -> Planner:
            return KnobSearch(CATALOG, absent, seed=seed)

        yield Rig(CATALOG, begin, lambda: begin(0), absent)


# --- beginning with what is known -------------------------------------------------------------------------


class TestInformed(PlannerSuite):
    """Whatever is known: by the seed the best, others, bad ones, candidates that are gone, or nothing."""

    @staticmethod
    @contextmanager
    def set_up(directory: Path) -> Iterator[Rig]:
        absent = frozenset(unusable(installed(directory)))
        names = ("scx_rusty", "at_batch:slice_us=1000", "at_fifo", "at_vtime", "at_interactive", "scx_lavd")
        candidates = (*map(CATALOG.parse_candidate, names), Candidate("custom:gone"), Candidate("at_fifo", (("x", 5),)))

        def recalled(seed: int) -> Recollection:
            drawn = random.Random(seed)

            def some(stale: tuple[str, ...] = ()) -> tuple[KnownCandidate, ...]:
                chosen = drawn.sample(candidates, drawn.randint(0, 3))
                return tuple(KnownCandidate(one, "it is known", stale) for one in chosen)

            own = Experience(some(("the kernel was another",)) + some(), some(), some())
            return Recollection(own, some())

        def begin(seed: int) -> Planner:
            inner = KnobSearch(CATALOG, absent, seed=seed)
            return Informed(inner, CATALOG, lambda _seen: recalled(seed), settles=bool(seed % 2), unusable=absent)

        yield Rig(CATALOG, begin, lambda: begin(0), absent)


# --- Claude ----------------------------------------------------------------------------------------------


class Room:
    """Conversations with a local service, one at a time, on a scripted machine."""

    serving: Callable[[], AbstractContextManager[Script]] = staticmethod(serving)

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.places = installed(directory)
        patched = stack.enter_context(pytest.MonkeyPatch.context())
        patched.setattr("autotune.tools.reasons.here", lambda: self.places)
        self.script: Script = stack.enter_context(self.serving())
        self.machine = ScriptedMachine({})
        self.knowledge = stack.enter_context(closing(Knowledge(directory / "history")))
        self.service = self._service()
        stack.callback(self.service.close)
        self._numbers = itertools.count()
        self.close: Callable[[], None] = lambda: None

    def _service(self) -> RemoteService[Reply]:
        credentials = Credentials("test-key", None, self.script.url, "a test")
        return ClaudeService(credentials, retries=1, pause=lambda _s: None)

    def begin(self, *steps: Step, full: bool = False) -> Conversation:
        """A conversation that is answered so; `full`: its transcript cannot be written."""
        self.close()
        self.script.steps[:] = steps
        parts = Parts(
            Settings(planner="claude"),
            workload(cwd=str(self.directory)),
            CATALOG,
            self.machine,
            attach_spec,
            lambda _event: None,
            self.knowledge,
        )
        rehearsal = Rehearsal(self.machine, attach_spec)
        talk = assembly.conversation(parts, self.service, rehearsal)
        place = self.directory / "transcripts" / str(next(self._numbers))
        if full:
            place.parent.mkdir(exist_ok=True)
            place.touch()  # where its directory would be made
        talk.transcript_file = Transcript(Redactor({}), place)

        def close() -> None:
            rehearsal.release()
            talk.transcript_file.close()

        self.close = close
        return talk

    def wild(self, seed: int) -> Conversation:
        return self.begin(*wild_model.steps(seed, CATALOG, unusable(self.places)), full=seed % 4 == 1)

    def rig(self, begin: Callable[[int], Planner], stalled: Callable[[], Planner]) -> Rig:
        return Rig(
            CATALOG,
            begin,
            stalled,
            frozenset(unusable(self.places)),
            attached=lambda: self.machine.attached is not None,
            close=lambda: self.close(),
        )


class ChatRoom(Room):
    """The same with a server of the chat completions API."""

    serving = staticmethod(serving_chat)

    def _service(self) -> RemoteService[Reply]:
        return ChatService(Endpoint(self.script.url, "test-key"), retries=1, pause=lambda _s: None)


@contextmanager
def a_room(directory: Path, kind: type[Room] = Room) -> Iterator[Room]:
    with ExitStack() as stack:
        yield kind(directory, stack)


@pytest.mark.slow
class TestClaude(PlannerSuite):
    @staticmethod
    @contextmanager
    def set_up(directory: Path) -> Iterator[Rig]:
        with a_room(directory) as room:
            yield room.rig(room.wild, lambda: room.begin(*STALLING))

    @pytest.mark.parametrize("left_s", [0.2, 1.5, 600.0])
    def test_it_waits_for_the_service_no_longer_than_the_time_that_is_left(self, tmp_path: Path, left_s: float) -> None:
        with a_room(tmp_path) as room:
            talk = room.begin(Answer([submit()]))
            talk.service = Noting(room.service)
            talk.propose(a_situation(budget_left_s=left_s))
            (within_s,) = talk.service.within_s
            assert 0 < within_s <= left_s

    def test_a_tool_that_takes_long_is_not_begun_when_the_time_is_over(self, tmp_path: Path) -> None:
        with a_room(tmp_path) as room:
            room.machine = SlowMachine({})
            names = ("at_fifo", "at_batch", "at_vtime", "at_interactive")
            calls = [tool("run_scheduler", name=name, args=[]) for name in 3 * names]
            talk = room.begin(Answer(calls), Answer([submit()]))
            with pytest.raises(PlannerError, match="in time"):
                talk.propose(a_situation(budget_left_s=2 * SlowMachine.ATTACH_S))
            assert sum(entry.startswith("attach") for entry in room.machine.log) <= 1
            assert room.machine.attached is None

    def test_the_service_may_be_closed_twice(self, tmp_path: Path) -> None:
        with a_room(tmp_path) as room:
            room.service.close()
            room.service.close()


@pytest.mark.slow
class TestChat(PlannerSuite):
    @staticmethod
    @contextmanager
    def set_up(directory: Path) -> Iterator[Rig]:
        with a_room(directory, ChatRoom) as room:
            yield room.rig(room.wild, lambda: room.begin(*STALLING))
            assert room.script.problems == []

    def test_a_session_goes_its_way_from_turn_to_turn(self, tmp_path: Path) -> None:
        with a_room(tmp_path, ChatRoom) as room:
            talk = room.begin(
                Answer([text("Let me see."), tool("run_scheduler", name="at_batch", args=[])]),
                Answer([submit("at_batch", "at_fifo")]),
                Answer([submit()]),
            )
            first = a_situation()
            proposed = talk.propose(first)
            assert [one.candidate.scheduler for one in proposed] == ["at_batch", "at_fifo"]
            assert list(talk.propose(first)) == []
            assert room.script.problems == []
            assert talk.spending.calls == 3
            assert talk.spending.output_tokens > 0


class SlowMachine(ScriptedMachine):
    """Takes a whole turn to attach a scheduler."""

    ATTACH_S = 1.5

    def attach(self, spec: AttachSpec) -> Attachment:
        time.sleep(self.ATTACH_S)
        return super().attach(spec)


@dataclass
class Noting:
    """A service that notes how long it may take."""

    service: Service
    within_s: list[float] = field(default_factory=list)

    def send(self, request: dict[str, Any], within_s: float) -> Reply:
        self.within_s.append(within_s)
        return self.service.send(request, GENEROUS_S)


@pytest.mark.slow
class TestFallback(PlannerSuite):
    """Every third seed fails in some turn; the offline planner goes on from there."""

    @staticmethod
    @contextmanager
    def set_up(directory: Path) -> Iterator[Rig]:
        with a_room(directory) as room:

            def around(talk: Conversation) -> Planner:
                return WithFallback(talk, OfflinePlanner(CATALOG, unusable(room.places)), lambda _event: None)

            yield room.rig(lambda seed: around(room.wild(seed)), lambda: around(room.begin(*STALLING)))


@pytest.mark.slow
class TestReplay(PlannerSuite):
    """Transcripts of real conversations, played back to other situations than those that they were about."""

    @staticmethod
    @contextmanager
    def set_up(directory: Path) -> Iterator[Rig]:
        with a_room(directory) as room:
            tapes = [recorded(room, seed) for seed in range(6)]
            yield room.rig(lambda seed: played_back(tapes[seed % len(tapes)]), lambda: played_back(tapes[0]))


def recorded(room: Room, seed: int) -> Path:
    """The transcript of a conversation of three turns, as far as it gets."""
    talk = room.begin(*wild_model.steps(seed, CATALOG, unusable(room.places)))
    try:
        for affordable in (6, 3, 3):
            talk.propose(a_situation(candidates_affordable=affordable))
    except PlannerError:
        pass
    assert talk.transcript is not None
    return Path(talk.transcript)


def played_back(path: Path) -> Planner:
    tape = replay._Tape(list(transcript.read(path)), lambda _line: None)
    box = Toolbox(CATALOG, None, Knowledge(path.with_name("none")), path.parent, Redactor({}))
    turn = tape.next("turn")
    assert turn is not None
    box.unusable = turn["unusable"]
    return replay._conversation(tape, box)


@pytest.mark.slow
class TestShower(PlannerSuite):
    """Shows what would be sent and proposes nothing."""

    @staticmethod
    @contextmanager
    def set_up(directory: Path) -> Iterator[Rig]:
        with a_room(directory) as room, ExitStack() as stack:
            work = workload(cwd=str(directory))
            parts = Parts(Settings(), work, CATALOG, room.machine, attach_spec, lambda _event: None, room.knowledge)

            def begin() -> Planner:
                return stack.enter_context(assembly.showing(parts, lambda _request: None))

            yield room.rig(lambda _seed: begin(), begin)


# --- wrong planners --------------------------------------------------------------------------------------

LAWS = [name for name in vars(PlannerSuite) if name.startswith("test_")]
Change = Callable[[Situation, list[Proposal]], Sequence[Proposal]]


class Changed(OfflinePlanner):
    """The offline planner, but for what it makes of its proposals."""

    def __init__(self, change: Change = lambda _situation, proposals: proposals, **attributes: object) -> None:
        super().__init__(CATALOG)
        self._change = change
        vars(self).update(attributes)

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        return self._change(situation, list(super().propose(situation)))


def with_last(candidate: Candidate) -> Change:
    """This one in place of the last proposal."""
    return lambda _situation, proposals: [*proposals[:-1], *(Proposal(candidate, "a test") for _ in proposals[-1:])]


def with_reason(reason: str) -> Change:
    return lambda _situation, proposals: [replace(one, reason=reason) for one in proposals]


def raising(error: Exception) -> Change:
    def change(_situation: Situation, _proposals: list[Proposal]) -> Sequence[Proposal]:
        raise error

    return change


class Greedy(OfflinePlanner):
    """Proposes at least so many."""

    def __init__(self, least: int) -> None:
        super().__init__(CATALOG)
        self._least = least

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        affordable = max(self._least, situation.candidates_affordable)
        return super().propose(replace(situation, candidates_affordable=affordable))


class Forgetful(OfflinePlanner):
    """Does not look at what was tried."""

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        return OfflinePlanner(CATALOG).propose(replace(situation, results=()))


class Hesitant(OfflinePlanner):
    """Has nothing to propose at first."""

    has_hesitated = False

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        if not self.has_hesitated:
            self.has_hesitated = True
            return ()
        return super().propose(situation)


class Meddling(OfflinePlanner):
    """Writes into the situation."""

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        situation.workload.env["SEEN"] = "yes"
        return super().propose(situation)


class Costly:
    """Costs one, two, three calls, or whatever `calls` says, each time that it is asked anything."""

    name = "costly"
    transcript = None

    def __init__(self, *calls: int | None) -> None:
        self._calls = iter(calls or range(1_000))
        self.spending = self._spent()

    def _spent(self) -> Spending | None:
        calls = next(self._calls, None)
        return None if calls is None else Spending("a model", calls=calls)

    def remarks(self) -> Sequence[str]:
        return ()

    def propose(self, situation: Situation) -> Sequence[Proposal]:
        self.spending = self._spent()
        return [Proposal(Candidate("at_fifo"), "a test")][: situation.candidates_affordable]


class Renamed(OfflinePlanner):
    """Has another name each time."""

    def __init__(self) -> None:
        super().__init__(CATALOG)
        self._numbers = itertools.count()

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"number {next(self._numbers)}"


class Repeating(OfflinePlanner):
    """Says the same again and again."""

    def remarks(self) -> Sequence[str]:
        return ("planning has ended",)


def of(begin: Callable[[], Planner], **more: Any) -> Rig:
    return Rig(CATALOG, lambda _seed: begin(), begin, **more)


def closing_once() -> Rig:
    closings = itertools.count()

    def close() -> None:
        if next(closings) % 2:
            raise ValueError("it is closed")

    return of(Changed, close=close)


def waiting() -> Rig:
    def wait(_situation: Situation, proposals: list[Proposal]) -> Sequence[Proposal]:
        time.sleep(SHORT_S)
        return proposals

    return of(lambda: Changed(wait), silence_s=SHORT_S)


def readable_by_all(directory: Path) -> Rig:
    path = directory / "transcript"
    path.touch(mode=0o644)
    return of(lambda: Changed(transcript=str(path)))


SLICE_US = CATALOG.get("at_fifo").knob("slice_us").default
assert SLICE_US is not None
NAMED_DEFAULT = Candidate("at_fifo", (("slice_us", SLICE_US),))
LISTED: Any = Candidate("at_fifo", [["slice_us", 5000]])  # type: ignore[arg-type]
NO_NUMBER = Candidate("at_fifo", (("slice_us", float("nan")),))


def beside_itself(_situation: Situation, proposals: list[Proposal]) -> Sequence[Proposal]:
    """at_fifo, and at_fifo with a default that is named."""
    fifo = [one for one in proposals if one.candidate == Candidate("at_fifo")]
    return [*proposals, *(replace(one, candidate=NAMED_DEFAULT) for one in fifo)]


WRONG: dict[str, Sequence[Callable[[Path], Rig]]] = {
    "test_it_proposes_what_the_catalogue_resolves_and_the_machine_can_run": (
        lambda _: of(lambda: Changed(with_last(Candidate("at_nothing")))),
        lambda _: of(lambda: Changed(with_last(Candidate("at_fifo", (("nothing", 1),))))),
        lambda _: of(lambda: Changed(with_last(Candidate("at_fifo", (("slice_us", -1),))))),
        lambda _: of(Changed, unusable=frozenset({"at_fifo", "at_batch", "at_vtime", "at_interactive"})),
    ),
    "test_it_repeats_neither_what_was_tried_nor_itself": (
        lambda _: of(lambda: Forgetful(CATALOG)),
        lambda _: of(lambda: Changed(lambda _situation, proposals: proposals + proposals[:1])),
        lambda _: of(lambda: Changed(beside_itself)),
    ),
    "test_it_proposes_no_more_than_the_situation_affords": (lambda _: of(lambda: Greedy(9)),),
    "test_where_nothing_is_affordable_it_proposes_nothing_and_that_costs_nothing": (
        lambda _: of(lambda: Greedy(1)),
        lambda _: of(Costly),
    ),
    "test_an_empty_list_ends_planning": (lambda _: of(lambda: Hesitant(CATALOG)),),
    "test_each_proposal_says_why_in_one_line": (
        lambda _: of(lambda: Changed(with_reason(" "))),
        lambda _: of(lambda: Changed(with_reason("two\nlines"))),
    ),
    "test_proposals_survive_the_way_through_a_record": (
        lambda _: of(lambda: Changed(with_last(LISTED))),
        lambda _: of(lambda: Changed(with_last(NO_NUMBER))),
        lambda _: of(lambda: Changed(with_reason("half of a pair: \ud800"))),
    ),
    "test_the_situation_is_left_as_it_was": (lambda _: of(lambda: Meddling(CATALOG)),),
    "test_nothing_is_attached_afterwards": (lambda _: of(Changed, attached=lambda: True),),
    "test_it_raises_planner_errors_only": (
        lambda _: of(lambda: Changed(raising(UsageError("no scheduler is called so")))),
        lambda _: of(lambda: Changed(raising(KeyError("at_fifo")))),
        lambda _: of(lambda: Changed(raising(PlannerError("")))),
    ),
    "test_it_ends_within_the_time_that_is_left_though_nobody_answers": (
        lambda _: waiting(),
        lambda _: of(Changed, attached=lambda: True),
    ),
    "test_what_was_opened_for_it_may_be_closed_twice": (
        lambda _: closing_once(),
        lambda _: of(Changed, attached=lambda: True),
    ),
    "test_it_always_has_a_name": (
        lambda _: of(lambda: Changed(name="")),
        lambda _: of(lambda: Changed(name="two\nlines")),
        lambda _: of(Renamed),
    ),
    "test_what_it_spent_is_a_record_that_only_grows": (
        lambda _: of(lambda: Costly(5, 4)),
        lambda _: of(lambda: Costly(5, None)),
        lambda _: of(lambda: Costly(None, 5)),
    ),
    "test_a_transcript_is_a_file_that_only_the_user_can_read": (
        lambda directory: of(lambda: Changed(transcript=str(directory / "absent"))),
        readable_by_all,
    ),
    "test_a_remark_is_one_line_and_given_once": (lambda _: of(lambda: Repeating(CATALOG)),),
}


STORY = Story(a_situation(), (4, 9, 9), seed=1)
"""One in which every wrong planner goes wrong."""


def hold(law: str, rig: Rig) -> None:
    """Hold a planner to one law, in this story."""
    test = getattr(PlannerSuite, law)
    if hasattr(test, "hypothesis"):
        test.hypothesis.inner_test(PlannerSuite(), rig=rig, story=STORY)
    else:
        test(PlannerSuite(), rig)


@pytest.mark.parametrize("law", LAWS)
def test_the_right_planner_that_the_wrong_ones_are_made_from_passes(law: str) -> None:
    hold(law, of(Changed))


def test_there_is_a_wrong_planner_for_every_law() -> None:
    assert list(WRONG) == LAWS


@pytest.mark.parametrize(("law", "wrong"), [(law, wrong) for law, every in WRONG.items() for wrong in every])
def test_a_wrong_planner_fails(law: str, wrong: Callable[[Path], Rig], tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        hold(law, wrong(tmp_path))
