# SPDX-License-Identifier: MIT
"""Reading sched_ext's state from sysfs trees, and the kernel's log from packets like those of /dev/kmsg."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.records import KernelState, SchedulerExit
from autotune.schedext import kernel
from autotune.schedext.kernel import (
    KernelLog,
    events_between,
    exit_in_log,
    in_kernel_words,
    ops_matches,
    read_events,
    read_state,
    too_old,
    wait_for,
    without_own_words,
)


def write_tree(top: Path, state: str, ops: str | None = None, **numbers: int) -> Path:
    for name, number in {"enable_seq": 0, "nr_rejected": 0, "switch_all": 0, **numbers}.items():
        (top / name).write_text(f"{number}\n")
    (top / "state").write_text(state + "\n")
    if ops is not None:
        (top / "root").mkdir(exist_ok=True)
        (top / "root" / "ops").write_text(ops + "\n")
    return top


def test_a_kernel_without_sched_ext_is_unsupported(tmp_path: Path) -> None:
    assert read_state(tmp_path / "absent") == KernelState("unsupported", None, 0, 0, None)


def test_nothing_attached_has_no_ops(tmp_path: Path) -> None:
    assert read_state(write_tree(tmp_path, "disabled", enable_seq=3)) == KernelState("disabled", None, 3, 0, False)


def test_an_attached_scheduler_is_read_whole(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, "enabled", "at_fifo", enable_seq=4, nr_rejected=2, switch_all=1)
    assert read_state(tree) == KernelState("enabled", "at_fifo", 4, 2, True)


def test_partial_mode_shows_in_switch_all(tmp_path: Path) -> None:
    assert read_state(write_tree(tmp_path, "enabled", "at_fifo", switch_all=0)).switch_all is False


def test_a_kernel_that_does_not_say_whether_all_tasks_were_switched(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, "disabled")
    (tree / "switch_all").unlink()
    assert read_state(tree).switch_all is None


@pytest.mark.parametrize("name", ["enable_seq", "nr_rejected"])
def test_files_that_are_missing_or_strange_count_as_zero(tmp_path: Path, name: str) -> None:
    tree = write_tree(tmp_path, "disabled", enable_seq=7, nr_rejected=7)
    (tree / name).unlink()
    assert getattr(read_state(tree), name) == 0
    (tree / name).write_text("many\n")
    assert getattr(read_state(tree), name) == 0


def test_two_halves_of_a_switch_are_not_taken_for_a_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler goes between the reading of `state` and that of `root/ops`."""
    tree = write_tree(tmp_path, "enabled", "at_fifo", enable_seq=4)
    really = kernel._text

    def text(path: Path) -> str | None:
        if path.name == "ops" and path.exists():
            shutil.rmtree(tree / "root")
            (tree / "state").write_text("disabled\n")
        return really(path)

    monkeypatch.setattr(kernel, "_text", text)
    assert read_state(tree) == KernelState("disabled", None, 4, 0, False)


def test_a_tree_that_never_settles_is_read_a_bounded_number_of_times(tmp_path: Path) -> None:
    assert read_state(write_tree(tmp_path, "enabled")) == KernelState("enabled", None, 0, 0, False)


@pytest.mark.parametrize(
    ("shown", "same"),
    [
        ("at_fifo", True),
        ("at_fifo_1.0.2", True),
        ("at_fifo_1.1.2_g7a58a3a_x86_64_unknown_linux_gnu", True),
        ("at_fifo_v2.0", True),
        ("at_fifo_2", False),
        ("at_fifo2", False),
        ("at_fifo_slow", False),
        ("at_fif", False),
        ("at", False),
        ("", False),
        (None, False),
    ],
)
def test_a_shown_name_may_carry_version_and_build(shown: str | None, same: bool) -> None:
    assert ops_matches("at_fifo", shown) is same


def test_a_name_is_no_pattern() -> None:
    assert not ops_matches("at.fifo", "at_fifo")


def test_waiting_ends_as_soon_as_the_state_is_there(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, "enabled", "at_fifo")
    changer = threading.Timer(0.1, lambda: (tree / "state").write_text("disabled\n"))
    started = time.monotonic()
    changer.start()
    held, state = wait_for(lambda seen: seen.state == "disabled", 60.0, sysfs=tree)
    changer.join()
    assert held
    assert state.state == "disabled"
    assert 0.1 <= time.monotonic() - started < 60.0


def test_waiting_gives_up_with_the_last_state(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, "enabling")
    started = time.monotonic()
    held, state = wait_for(lambda seen: seen.state == "enabled", 0.1, sysfs=tree)
    assert not held
    assert state.state == "enabling"
    assert time.monotonic() - started >= 0.1


def test_waiting_looks_once_even_without_time(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, "disabled")
    assert wait_for(lambda seen: seen.state == "disabled", 0.0, sysfs=tree)[0]


# --- the log ---------------------------------------------------------------------------------------------

STALLED = [
    'sched_ext: BPF scheduler "at_fifo" enabled',
    'sched_ext: BPF scheduler "at_fifo" disabled (runnable task stall)',
    "sched_ext: at_fifo: make[212] failed to run for 2.676s",
    "   scx_watchdog_workfn+0x16a/0x1f0",
]


def test_the_log_tells_why_a_scheduler_went() -> None:
    gone = exit_in_log(STALLED, "at_fifo")
    assert gone == SchedulerExit(1026, 0, "runnable task stall", "make[212] failed to run for 2.676s")
    assert gone.is_error


def test_an_orderly_end_is_no_error() -> None:
    gone = exit_in_log(['sched_ext: BPF scheduler "at_fifo" disabled (unregistered from user space)'], "at_fifo")
    assert gone == SchedulerExit(64, 0, "unregistered from user space", "")
    assert not gone.is_error


def test_a_reason_we_do_not_know_is_an_error() -> None:
    gone = exit_in_log(['sched_ext: BPF scheduler "at_fifo" disabled (runtime error)'], "at_fifo")
    assert gone == SchedulerExit(1024, 0, "runtime error", "")


def test_only_the_scheduler_requested_and_its_last_end_count() -> None:
    said = [*STALLED, 'sched_ext: BPF scheduler "at_fifo_1.0.2" disabled (unregistered from BPF)']
    assert exit_in_log(said, "at_vtime") is None
    assert exit_in_log([], "at_fifo") is None
    assert exit_in_log(said, "at_fifo") == SchedulerExit(65, 0, "unregistered from BPF", "")


LEAK = "place 545f544552434553 6f77733d4e454b4f"


@pytest.mark.parametrize(
    ("kind", "code", "logged", "found"),
    [
        (65, 0, ["disabled (unregistered from BPF)", LEAK], (65, 0, "unregistered from BPF", "")),
        (1025, 0, ["disabled (scx_bpf_error)", LEAK], (1025, 0, "scx_bpf_error", "")),
        (0x53454352, 0x4554, [], (1024, 0, "runtime error", "")),
        (64, 0x53454352, [], (64, 0, "unregistered from user space", "")),
        (65, 1 << 48 | 1 << 32 | 0x53, [], (65, 1 << 48 | 1 << 32, "unregistered from BPF", "")),
        (
            1026,
            0,
            ["disabled (runnable task stall)", "sh[7] failed to run"],
            (1026, 0, "runnable task stall", "sh[7] failed to run"),
        ),
        (1024, 0, ["disabled (runtime error)", "invalid DSQ ID 0x7"], (1024, 0, "runtime error", "invalid DSQ ID 0x7")),
        (
            65,
            0,
            ["disabled (runnable task stall)", "sh[7] failed to run"],
            (1026, 0, "runnable task stall", "sh[7] failed to run"),
        ),
    ],
)
def test_of_a_generated_one_only_the_kernel_s_own_words_are_kept(
    kind: int, code: int, logged: list[str], found: tuple[int, int, str, str]
) -> None:
    """Whatever it writes into its own record, or has the kernel print."""
    record = SchedulerExit(kind, code, LEAK, LEAK)
    messages = [f'sched_ext: BPF scheduler "peeker" {logged[0]}', f"sched_ext: peeker: {logged[1]}"] if logged else []
    assert in_kernel_words(record, exit_in_log(messages, "peeker")) == SchedulerExit(*found)
    assert LEAK not in "\n".join(without_own_words(messages, "peeker"))


def test_without_a_record_and_a_line_nothing_is_known() -> None:
    assert in_kernel_words(None, None) is None


def test_messages_of_the_kernel_and_of_others_stay() -> None:
    said = [*STALLED, 'sched_ext: BPF scheduler "other" disabled (scx_bpf_error)', "sched_ext: other: its own words"]
    assert without_own_words(said, "at_fifo") == said


@pytest.fixture
def kmsg() -> Iterator[tuple[int, str]]:
    """A pipe that keeps records apart as /dev/kmsg does: one written, one read."""
    reading, writing = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
    yield writing, f"/proc/self/fd/{reading}"
    os.close(reading)
    os.close(writing)


def test_messages_are_read_once_and_without_their_prefixes(kmsg: tuple[int, str]) -> None:
    writing, path = kmsg
    log = KernelLog(path)
    assert log.read() == []
    os.write(writing, b"6,120,5000,-;sched_ext: one\n SUBSYSTEM=cpu\n")
    os.write(writing, b"3,121,5001,-;two; with a semicolon and \xff\n")
    assert log.read() == ["sched_ext: one", "two; with a semicolon and \ufffd"]
    assert log.read() == []
    log.close()
    log.close()
    assert log.read() == []


def test_an_empty_message_is_read_too(kmsg: tuple[int, str]) -> None:
    writing, path = kmsg
    log = KernelLog(path)
    os.write(writing, b"6,1,1,-;\n")
    os.write(writing, b"6,2,1,-;after it\n")
    assert log.read() == ["", "after it"]
    log.close()


def test_a_log_that_may_not_be_read_knows_nothing(tmp_path: Path) -> None:
    log = KernelLog(str(tmp_path / "absent"))
    assert log.read() == []
    log.close()


@pytest.mark.parametrize(
    ("release", "old"),
    [
        ("6.12.0-amd64", True),
        ("6.13.9", True),
        ("6.14.0", False),
        ("6.18.15+deb13-amd64", False),
        ("7.2", False),
        ("x", False),
    ],
)
def test_kernels_before_6_14_lack_what_our_schedulers_call(release: str, old: bool) -> None:
    assert too_old(release) is old


# --- what the kernel counts ---

EVENTS = """SCX_EV_SELECT_CPU_FALLBACK 0
SCX_EV_DISPATCH_KEEP_LAST 123
SCX_EV_BYPASS_DURATION 4567890123
"""


def with_events(top: Path, text: str) -> Path:
    tree = write_tree(top, "enabled", "at_fifo")
    (tree / "root" / "events").write_text(text)
    return tree


def test_the_kernels_counters_are_read_by_name(tmp_path: Path) -> None:
    assert read_events(with_events(tmp_path, EVENTS)) == {
        "select_cpu_fallback": 0,
        "dispatch_keep_last": 123,
        "bypass_duration": 4567890123,
    }


def test_without_a_scheduler_or_on_a_kernel_that_does_not_count_there_are_none(tmp_path: Path) -> None:
    assert read_events(tmp_path / "absent") == {}
    assert read_events(write_tree(tmp_path, "enabled", "at_fifo")) == {}


def test_what_is_no_counter_is_passed_over_and_the_rest_is_bounded(tmp_path: Path) -> None:
    odd = "SCX_EV_A -1\nSCX_EV_B many\nSCX_EV_C 1 2\nOTHER 4\n\nSCX_EV_D 5\n"
    many = "".join(f"SCX_EV_X{number} 1\n" for number in range(1000))
    assert read_events(with_events(tmp_path, odd + many)).keys() >= {"d", "x0"}
    assert len(read_events(with_events(tmp_path, odd + many))) < 100


def test_only_what_was_counted_in_between_is_told() -> None:
    assert events_between({"a": 3, "b": 5, "c": 9}, {"a": 3, "b": 7, "d": 1, "c": 2}) == {"b": 2, "d": 1}
