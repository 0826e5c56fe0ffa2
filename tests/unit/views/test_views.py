# SPDX-License-Identifier: MIT
"""What people see while a session runs, at a terminal and through a pipe, and what they are asked."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import pty
import re
import signal
import subprocess
import sys
import time
import typing
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from autotune import events
from autotune.config import Settings
from autotune.errors import AutotuneError, Interrupted, UsageError
from autotune.records import BASELINE, Candidate, Proposal
from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.views import exports, listing, planned
from autotune.views.checks import Check
from autotune.views.live import LiveView, final_table, moving
from autotune.views.output import LONGEST_LINE, OutputLines
from autotune.views.plain import PlainView
from autotune.views.progress import SessionProgress, advance
from autotune.views.prompts import Approver
from autotune.views.wording import Wording
from tests.support import sessions

ROOT = Path(__file__).parents[3]


def plain(*told: events.Event) -> str:
    stream = io.StringIO()
    with PlainView(stream, given=["--machine", "vm"]) as view:
        for event in told:
            view(event)
    return stream.getvalue()


def terminal(width: int, height: int = 40, **options: Any) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=True, highlight=False, **options)


def drawn(renderable: RenderableType, width: int = 80, **options: Any) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, height=40, highlight=False, **options).print(renderable)
    return stream.getvalue()


# --- plain lines ---


def test_a_session_told_in_plain_lines_says_everything_in_order() -> None:
    text = plain(*sessions.session_events())
    wanted = [
        "Booting a micro-VM under emulation",
        "Runs on a micro-VM under emulation",
        "Command: make -j8",
        "Running the setup command: make configure",
        "Baseline run 1: 2.410 s",
        "differences under 2.1 % cannot be detected here",
        "Warning: The first run took 1.4 times",
        "4 candidates from the offline planner:",
        "    The command keeps both CPUs busy and rarely sleeps, so long slices should save switches. Expected: 2 to",
        "Race, round 1 of 4: at_batch:slice_us=20000,stay=true, EEVDF",
        "at_batch:slice_us=20000,stay=true: attached in 72.0 ms",
        "at_vtime: ejected by the kernel: runnable task stall",
        "at_vtime: run of race round 1 does not count: ejected: runnable task stall",
        "speedups so far: at_batch:slice_us=20000,stay=true 1.084 [1.051, 1.118]",
        "at_vtime is dropped: 2 invalid runs",
        "Confirmation, round 1 of 5",
        "#  scheduler",
        "Use at_batch:slice_us=20000,stay=true",
        "To repeat it: autotune cc --machine vm --scheduler at_batch:slice_us=20000,stay=true --seed 7 -- 'make -j8'",
    ]
    position = 0
    for piece in wanted:
        position = text.find(piece, position)
        assert position >= 0, piece


def test_a_reason_begins_with_a_capital_unless_it_begins_with_a_name() -> None:
    told = plain(
        events.Proposed(
            "offline",
            (
                Proposal(Candidate("at_fifo"), "at_fifo leads", "better than its neighbour"),
                Proposal(Candidate("at_vtime"), "tasks wait long", ""),
            ),
        )
    )
    assert "    at_fifo leads. Expected: better than its neighbour.\n" in told
    assert "    Tasks wait long.\n" in told


def test_plain_lines_hold_no_control_characters_whatever_is_told() -> None:
    hostile = "\x1b[2J\r\x07evil\u202e\x9b31m [bold]x[/bold]"
    workload = sessions.workload(command=hostile)
    spoiled = sessions.trial("at_x", value=None, invalid=hostile)
    done = sessions.session(
        workload=workload, results=(sessions.result(Candidate("at_x"), "invalid", note=hostile),), winner=None
    )
    text = plain(
        events.MachineReady(sessions.machine(why=hostile), workload),
        events.Step("prepare", hostile),
        events.Warned(hostile),
        events.Dropped("at_x", hostile),
        events.OutputSeen("stdout", hostile.encode() + b"\n"),
        events.RunFinished(spoiled),
        sessions.detached(Candidate("at_x"), replace(sessions.STALL, reason=hostile)),
        events.Proposed("offline", (Proposal(Candidate("at_x"), hostile, hostile),)),
        events.Finished(done),
    )
    assert {c for c in text if unicodedata.category(c) in ("Cc", "Cf")} == {"\n"}
    assert "[bold]x[/bold]" in text


def test_each_plain_line_is_flushed_as_it_is_said() -> None:
    class Stream(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            self.flushed = self.getvalue()

    stream = Stream()
    view = PlainView(stream)
    view(events.Warned("soon"))
    assert stream.flushed == "Warning: soon\n"


def test_a_metric_of_the_users_own_is_shown_without_a_unit() -> None:
    workload = sessions.workload(metric_regex=r"rps: (\d+)", goal="max")
    text = plain(events.MachineReady(sessions.machine(), workload), events.RunFinished(sessions.trial(value=1234.5)))
    assert "Metric: rps: (\\d+), larger is better" in text
    assert "EEVDF: 1234.5 (" in text


def test_an_interrupted_session_without_a_baseline_still_ends_in_a_sentence() -> None:
    done = sessions.session(baseline=None, observation=None, results=(), winner=None, interrupted=True, trials=())
    assert plain(events.Finished(done)).strip().startswith("Nothing can be said")


def test_every_event_has_words_or_is_known_to_need_none() -> None:
    silent = {events.RunStarted, events.OutputSeen, events.AttachFailed, events.Finished}
    silent |= {events.Notice, events.Problem}  # the screen shows these beside every view
    spoken = {type(event) for event in sessions.session_events() if Wording().lines(event)}
    assert spoken | silent == set(typing.get_args(events.Event))


# --- the workload's output ---


def test_output_in_pieces_becomes_whole_lines() -> None:
    lines = OutputLines()
    assert lines.feed(events.OutputSeen("stdout", b"one\ntw")) == ["one"]
    assert lines.feed(events.OutputSeen("stderr", b"error\n")) == ["error"]
    assert lines.feed(events.OutputSeen("stdout", b"o\n\n")) == ["two", ""]
    assert lines.finish() == []


def test_a_character_cut_in_two_is_put_together_and_what_is_not_utf8_is_marked() -> None:
    lines = OutputLines()
    assert lines.feed(events.OutputSeen("stdout", b"caf\xc3")) == []
    assert lines.feed(events.OutputSeen("stdout", b"\xa9 \xff\n")) == ["caf\u00e9 \ufffd"]


def test_of_a_line_that_rewrites_itself_the_last_state_is_shown() -> None:
    lines = OutputLines()
    assert lines.feed(events.OutputSeen("stdout", b"10%\r50%\r100%\r\n")) == ["100%"]


def test_a_line_without_end_is_shown_in_parts_and_at_the_end() -> None:
    lines = OutputLines()
    shown = lines.feed(events.OutputSeen("stdout", b"x" * (2 * LONGEST_LINE + 5)))
    assert [len(line) for line in shown] == [LONGEST_LINE, LONGEST_LINE]
    assert lines.finish() == ["xxxxx"]
    assert lines.finish() == []


def test_output_is_set_apart_from_our_own_lines() -> None:
    text = plain(
        events.RunStarted("race", 1, BASELINE),
        events.OutputSeen("stdout", b"compiling\nlink"),
        events.RunFinished(sessions.trial()),
    )
    assert text.splitlines()[:2] == ["  | compiling", "  | link"]


# --- progress ---


def fold(*told: events.Event, second: float = 1.0) -> SessionProgress:
    """The progress after these events, one every `second`."""
    progress = SessionProgress(started_s=0.0)
    for number, event in enumerate(told, start=1):
        progress = advance(progress, event, number * second)
    return progress


ROUND = events.RoundStarted("race", 2, 4, ("a", BASELINE))


def test_progress_knows_what_runs_and_what_is_attached() -> None:
    progress = fold(ROUND, sessions.attached(sessions.FIFO), events.RunStarted("race", 2, sessions.FIFO.key))
    assert (progress.phase, progress.round, progress.at_most) == ("race", 2, 4)
    assert (progress.running, progress.run_started_s) == (sessions.FIFO.key, 3.0)
    assert progress.attached == "at_fifo"
    after = advance(progress, sessions.detached(sessions.FIFO), 4.0)
    assert after.attached is None


def test_runs_are_counted_within_the_round_and_the_phase() -> None:
    run = (events.RunStarted("race", 2, "a"), events.RunFinished(sessions.trial("a")))
    progress = fold(ROUND, *run, *run)
    assert (progress.round_runs, progress.phase_runs, progress.running) == (2, 2, None)
    progress = advance(progress, replace(ROUND, round=3), 9.0)
    assert (progress.round_runs, progress.phase_runs) == (0, 2)
    progress = advance(progress, replace(ROUND, phase="confirm", round=1), 9.0)
    assert progress.phase_runs == 0


def test_what_is_left_of_a_phase_follows_the_pace_of_its_runs() -> None:
    run = (events.RunStarted("race", 2, "a"), events.RunFinished(sessions.trial("a")))
    assert fold(ROUND).phase_left_s(5.0) is None
    progress = fold(ROUND, *run)  # one run in 2 s; 1 left of this round, 2 rounds of 2 after it
    assert progress.phase_left_s(3.0) == pytest.approx(5 * 2.0)
    running = advance(progress, events.RunStarted("race", 2, BASELINE), 3.0)
    assert running.phase_left_s(4.0) == pytest.approx(5 * 2.0 - 1.0)
    assert running.phase_left_s(99.0) == 0.0


def test_runs_of_the_baseline_are_a_phase_without_rounds() -> None:
    progress = fold(events.RunStarted("warmup", 1, BASELINE), events.RunStarted("baseline", 2, BASELINE))
    assert (progress.phase, progress.round, progress.order) == ("baseline", 2, ())
    assert progress.phase_left_s(9.0) is None


# --- the live view ---


def moving_text(progress: SessionProgress, width: int = 80, height: int = 24, **options: Any) -> str:
    part = moving(progress, now_s=65.0, budget_s=600.0, width=width, height=height, is_time=True, **options)
    return drawn(part, width)


@pytest.mark.parametrize("width", [40, 80, 140])
def test_the_moving_part_says_where_the_session_stands(width: int) -> None:
    text = moving_text(
        fold(
            events.Standings(sessions.results()),
            ROUND,
            sessions.attached(sessions.FIFO),
            events.RunStarted("race", 2, sessions.FIFO.key),
        ),
        width,
    )
    assert "Race: round 2 of 4, run 1 of 2" in text
    assert "Running under at_fifo:slice_us=5000 fo" in text
    assert "Attached: at_fifo" in text
    assert max(len(line) for line in text.splitlines()) <= width
    if width >= 80:
        assert "1:05 of 10:00" in text
        assert "1.084 [1.051, 1.118]" in text


def test_the_moving_part_is_plain_ascii_where_the_terminal_is() -> None:
    assert moving_text(fold(ROUND), ascii_only=True).isascii()
    assert not moving_text(fold(ROUND)).isascii()


def test_the_moving_part_fits_a_low_terminal() -> None:
    progress = fold(events.Standings(sessions.results() * 5), ROUND)
    text = moving_text(progress, height=24, width=140)
    assert len(text.splitlines()) <= 24
    assert "Budget" in text


@pytest.mark.parametrize("width", [80, 100, 110, 120, 140])
def test_the_final_table_fits_the_terminal_and_loses_nothing(width: int) -> None:
    text = drawn(final_table(sessions.session(), width), width)
    assert max(len(line) for line in text.splitlines()) <= width
    squeezed = re.sub(r"\s+", "", text)
    for piece in ("median[s]", "slice_us=20000", "stay=true", "confirmed", "1.084[1.051,1.118]", "undecided"):
        assert piece in squeezed, piece
    for word in ("ejected:", "runnable", "stall;"):
        assert word in text


def test_very_wide_intervals_and_many_rows_do_not_push_the_table_off_the_screen() -> None:
    wide = sessions.interval(1.796, 0.000174, 1.85e4)
    results = tuple(sessions.result(sessions.BATCH, "undecided", speedup=wide, median=0.7 + n) for n in range(12))
    text = drawn(final_table(sessions.session(results=results, winner=None), 80), 80)
    assert text.count("1.796 [0.000, >999]") == 12
    assert all(f"\n{number:>2}  at_batch" in text for number in range(1, 13))


def replay(width: int, told: Iterable[events.Event], **options: Any) -> str:
    console, stream = terminal(width, **options), io.StringIO()
    console.file = stream
    with LiveView(stream, budget_s=600, given=["--machine", "vm"], console=console) as view:
        for event in told:
            view(event)
    return stream.getvalue()


def test_the_live_view_keeps_what_lasts_and_ends_in_the_report() -> None:
    text = replay(140, sessions.session_events())
    lasting = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    for piece in ("Runs on a micro-VM", "cannot be detected here", "Warning: ", "To repeat it:"):
        assert piece in lasting
    assert "autotune cc --machine vm --scheduler at_batch:slice_us=20000,stay=true --seed 7 -- 'make -j8'" in lasting


def test_the_command_to_repeat_is_one_unbroken_line_on_a_narrow_terminal() -> None:
    text = replay(60, sessions.session_events())
    assert "autotune cc --machine vm --scheduler at_batch:slice_us=20000,stay=true --seed 7 -- 'make -j8'\n" in text


def test_markup_and_control_in_text_are_shown_not_obeyed() -> None:
    text = replay(100, [events.Warned("[red]x[/red] \x1b[2J [/nope]")], color_system=None)
    assert "Warning: [red]x[/red] [2J [/nope]" in text


def test_only_the_default_foreground_and_a_few_ansi_colours_are_used() -> None:
    text = replay(140, sessions.session_events(), color_system="truecolor")
    codes = {code for sequence in re.findall(r"\x1b\[([0-9;]*)m", text) for code in sequence.split(";")}
    assert codes <= {"", "0", "1", "31", "32", "35", "36"}


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = replay(140, sessions.session_events())
    codes = {code for sequence in re.findall(r"\x1b\[([0-9;]*)m", text) for code in sequence.split(";")}
    assert codes <= {"", "0", "1"}


DRIVER = """
import sys, time
from autotune.views.live import LiveView
from autotune import events
with LiveView(sys.stdout, budget_s=600) as view:
    view(events.Step("boot", "booting"))
    time.sleep(60)
"""


def test_the_cursor_comes_back_when_the_user_interrupts() -> None:
    master, slave = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen([sys.executable, "-c", DRIVER], stdout=slave, stderr=slave, stdin=slave, env=environ)
    os.close(slave)
    shown = read_until(master, b"Booting")
    assert b"\x1b[?25l" in shown
    child.send_signal(signal.SIGINT)
    shown = read_until(master, b"\x1b[?25h")
    child.wait(10)
    os.close(master)
    assert b"\x1b[?25h" in shown


def read_until(descriptor: int, wanted: bytes, deadline_s: float = 20.0) -> bytes:
    """What arrives up to `wanted`; all there was when it does not come."""
    seen, end = b"", time.monotonic() + deadline_s
    with contextlib.suppress(OSError):  # the other side of a terminal is gone
        while wanted not in seen and time.monotonic() < end:
            seen += os.read(descriptor, 4096)
    return seen


# --- questions ---


class Asked:
    """Answers from a list; keeps what was asked, and whether the view stood still meanwhile."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.texts: list[str] = []
        self.paused = False

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        self.paused = True
        yield
        self.paused = False

    def __call__(self, text: str) -> str:
        assert self.paused
        self.texts.append(text)
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)

    def approver(self) -> Approver:
        return Approver(self, self.pause, Catalog.load().parse_candidate)


FIFO_FOR_A_REASON = Proposal(sessions.FIFO, "a reason")


@pytest.mark.parametrize(("answer", "approved"), [("y", True), ("YES\n", True), ("n", False), (" no ", False)])
def test_yes_and_no_decide_one_switch(answer: str, approved: bool) -> None:
    asked = Asked(answer, "n")
    approve = asked.approver()
    assert approve(sessions.FIFO, FIFO_FOR_A_REASON, editable=True) == (sessions.FIFO if approved else None)
    assert approve(sessions.FIFO, FIFO_FOR_A_REASON, editable=True) is None


def test_knobs_can_be_edited_until_they_are_right() -> None:
    asked = Asked("e", "slice_us=lots", "slice_us=7000")
    chosen = asked.approver()(sessions.FIFO, FIFO_FOR_A_REASON, editable=True)
    assert chosen == Candidate("at_fifo", (("slice_us", 7000),))
    assert "now: slice_us=5000" in asked.texts[1]
    assert "a whole number" in asked.texts[2]


def test_an_empty_edit_keeps_the_candidate_as_it_is() -> None:
    assert Asked("edit", "").approver()(sessions.FIFO, FIFO_FOR_A_REASON, editable=True) == sessions.FIFO


def test_what_has_run_already_cannot_be_edited() -> None:
    asked = Asked("e", "y")
    asked.approver()(sessions.FIFO, FIFO_FOR_A_REASON, editable=False)
    assert len(asked.texts) == 2
    assert "edit" not in asked.texts[0]


def test_all_asks_no_more() -> None:
    asked = Asked("all")
    approve = asked.approver()
    answers = [approve(one, FIFO_FOR_A_REASON, editable=True) for one in (sessions.FIFO, sessions.BATCH)]
    assert answers == [sessions.FIFO, sessions.BATCH]
    assert len(asked.texts) == 1


@pytest.mark.parametrize("answers", [("q",), ("quit\n",), ()])
def test_quitting_and_the_end_of_the_input_interrupt(answers: tuple[str, ...]) -> None:
    asked = Asked(*answers)
    with pytest.raises(Interrupted):
        asked.approver()(sessions.FIFO, FIFO_FOR_A_REASON, editable=True)


def test_an_answer_that_is_none_is_asked_again() -> None:
    asked = Asked("", "maybe", "y")
    assert asked.approver()(sessions.FIFO, FIFO_FOR_A_REASON, editable=True) == sessions.FIFO
    assert len(asked.texts) == 3


def test_the_question_names_the_scheduler_the_reason_and_the_choices() -> None:
    asked = Asked("y")
    asked.approver()(sessions.FIFO, Proposal(sessions.FIFO, "short \x1b[2Jtasks"), editable=True)
    assert "Attach at_fifo:slice_us=5000?" in asked.texts[0]
    assert "short [2Jtasks" in asked.texts[0]
    assert "[y]es, [n]o, [e]dit the knobs, [a]ll from here on, [q]uit" in asked.texts[0]


# --- files ---


@pytest.mark.parametrize("name", ["missing/report.json", "file/report.json", "directory"])
def test_a_path_that_cannot_be_written_is_found_out_before(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    with pytest.raises(UsageError, match=r"^--json .* cannot be written: "):
        exports.check_writable(tmp_path / name, "--json")


def test_checking_leaves_no_file_and_changes_none(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("old")
    exports.check_writable(tmp_path / "new.json", "--json")
    exports.check_writable(tmp_path / "old.json", "--json")
    (tmp_path / "link.json").symlink_to("nowhere.json")
    exports.check_writable(tmp_path / "link.json", "--json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "old.json"]
    assert (tmp_path / "old.json").read_text() == "old"


def test_writing_replaces_the_old_content_keeps_its_mode_and_follows_links(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    exports.write(tmp_path / "link", "new\n", "--json")
    assert (tmp_path / "real").read_text() == "new\n"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_full_disk_is_one_error_that_names_the_option() -> None:
    with pytest.raises(AutotuneError) as caught:
        exports.write(Path("/dev/full"), "text", "--export-csv")
    assert caught.value.message == "--export-csv /dev/full could not be written: No space left on device"


# --- lists ---


def test_the_plan_of_a_dry_run_names_machine_command_runs_and_candidates() -> None:
    settings = Settings(warmup=0, budget=90.0)
    text = "\n".join(
        planned.lines(
            "host: why", settings, sessions.workload(prepare="make clean"), [], ["at_fifo"], claude_plans=False
        )
    )
    for piece in ("Machine: host: why", "Command: make -j8", "Prepare: make clean", "0 warm-up runs", "1m30s"):
        assert piece in text
    assert "the offline planner chooses after the baseline, among at_fifo" in text
    chosen = "\n".join(planned.lines("x", settings, sessions.workload(), [sessions.FIFO], [], claude_plans=False))
    assert chosen.endswith("Candidates:\n  at_fifo:slice_us=5000")


def test_without_a_fetched_kernel_the_list_says_how_to_get_one() -> None:
    assert list(listing.kernels([], None)) == ["No kernel was fetched yet; 'autotune vm setup' fetches one."]


CHECKS = [
    Check("clang", True, "19 (/usr/bin/clang-19)", "compiling BPF schedulers", "", ("host", "vm")),
    Check("qemu", False, "not found", "running the micro-VM", "apt-get install qemu-system-x86", ("vm",)),
    Check("KVM", False, "cannot \x1b[2J be opened", "a fast micro-VM", "adduser USER kvm", ()),
]


def test_every_requirement_says_what_it_is_for_and_what_fixes_it() -> None:
    lines = list(listing.doctor(CHECKS, {"host": True, "vm": False}, width=80, coloured=False))
    assert lines == [
        "ok       clang: 19 (/usr/bin/clang-19)",
        "         compiling BPF schedulers (needed)",
        "missing  qemu: not found",
        "         running the micro-VM (needed to run in a micro-VM)",
        "         fix: apt-get install qemu-system-x86",
        "note     KVM: cannot [2J be opened",
        "         a fast micro-VM (optional)",
        "         fix: adduser USER kvm",
        "",
        "Can run sched_ext schedulers on this host: yes",
        "Can run sched_ext schedulers in a micro-VM: no",
    ]


def test_colour_adds_nothing_but_colour_and_long_lines_wrap() -> None:
    shown = "\n".join(listing.doctor(CHECKS, {"host": True}, width=40, coloured=True))
    assert "\x1b[32mok\x1b[0m" in shown
    bare = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert bare == "\n".join(listing.doctor(CHECKS, {"host": True}, width=40, coloured=False))
    assert max(len(line) for line in bare.splitlines() if "fix:" not in line) <= 47


KNOWN = Catalog.load()
ROWS = [
    listing.ListingRow(KNOWN.get("at_fifo"), "built in"),
    listing.ListingRow(KNOWN.get("scx_rusty"), "store", "1.1.4"),
    listing.ListingRow(KNOWN.get("scx_lavd"), get="autotune schedulers install scx_lavd"),
    listing.ListingRow(KNOWN.get("scx_flash"), get="autotune schedulers install scx_flash"),
    listing.ListingRow(KNOWN.get("scx_nest"), get="install your distribution's scx-scheds"),
]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_each_scheduler_of_the_catalogue_is_in_the_table_and_nothing_is_wider_than_the_terminal(width: int) -> None:
    lines = list(listing.schedulers([listing.ListingRow(one) for one in KNOWN.schedulers], width=width))
    assert max(len(line) for line in lines) <= width
    words = " ".join(" ".join(lines).split())
    for one in KNOWN.schedulers:
        assert f" {one.name} " in words
        assert one.description in words or width == 120  # where it is in a column of its own, lines stand between


def test_the_table_says_what_is_here_in_which_version_and_who_vouches_for_it() -> None:
    header, *rows = list(listing.schedulers(ROWS, width=140))[:6]
    assert header.split() == ["NAME", "KIND", "READY", "VERSION", "FOUND", "WHAT"]
    starts = [header.index(word) for word in ("NAME", "KIND", "READY", "VERSION", "FOUND", "WHAT")]
    cells = [[row[start:end].strip() for start, end in itertools.pairwise(starts)] for row in rows]
    assert cells == [
        ["at_fifo", "ours", "no", "-", "built in"],
        ["scx_rusty", "program", "yes", "1.1.4", "store"],
        ["scx_lavd", "program", "yes", "-", "-"],
        ["scx_flash", "program", "yes", "-", "-"],
        ["scx_nest", "program", "-", "-", "-"],
    ]


def test_below_the_table_each_way_to_get_what_is_absent_stands_once_with_those_it_is_for() -> None:
    text = "\n".join(listing.schedulers(ROWS, width=80))
    assert "Not here: scx_lavd, scx_flash.\n  get one: autotune schedulers install NAME\n" in text
    assert "Not here: scx_nest.\n  get one: install your distribution's scx-scheds\n" in text


@pytest.mark.parametrize("one", KNOWN.schedulers, ids=lambda one: one.name)
def test_one_scheduler_is_explained_in_full(one: Scheduler) -> None:
    shown = "\n".join(listing.scheduler(one, width=80))
    words = " ".join(shown.split())
    assert max(len(line) for line in shown.splitlines()[:-1]) <= 80
    for text in (one.algorithm, one.characteristics, one.performance_profile, *one.limitations):
        assert " ".join(text.split()) in words
    for knob in one.knobs:
        assert " ".join(knob.description.split()) in words
        if knob.status == "active":
            assert f"  {knob.name}\n" in shown
            assert f"Takes {knob.allowed()}; default:" in words
    for name, settings in one.modes.items():
        assert f"\n  {name}: " in shown or not settings
        assert name in words
    last = shown.splitlines()[-1]
    KNOWN.parse_candidate(last.removeprefix("Try it: autotune cc --scheduler ").removesuffix(" 'COMMAND'"))


def test_what_a_program_needs_changes_and_refuses_is_said_and_where_it_is() -> None:
    shown = " ".join(" ".join(listing.scheduler(KNOWN.get("scx_rusty"), width=100, row=ROWS[1])).split())
    for words in (
        "Here: store, version 1.1.4",
        "Made for production: yes",
        "several last-level caches (of no use without)",
        "which stays after the end",
        "Changes something only with several NUMA nodes.",
        "Out of range: the program uses the nearest value in the range.",
        "Accepted, but without effect: cache_level",
    ):
        assert words in shown
    lavd = " ".join(" ".join(listing.scheduler(KNOWN.get("scx_lavd"), width=100, row=ROWS[2])).split())
    assert "Here: no; get it: autotune schedulers install scx_lavd" in lavd
    assert "pinned_slice_us must be at most slice_max_us: it ends at once" in lavd
