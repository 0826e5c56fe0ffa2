# SPDX-License-Identifier: MIT
"""What every machine promises (`machine.base.Machine`), as tests that each implementation inherits.

A class of `test_machines.py` names the suites that apply and sets the machine up: MachineSuite for all,
CommandSuite where commands really run, and ClosingSuite, whose tests must run last. pytest
runs the tests of the last named base first, so ClosingSuite is named first.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from autotune.errors import AttachError, AutotuneError, BusyError, NotAttached, PrivilegeError, RunnerLost
from autotune.machine.base import Machine
from autotune.records import AttachSpec, MachineInfo, Run, RunSpec
from autotune.schedext.kernel import ops_matches
from autotune.wire import from_json, to_json

ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "GREETING": "good day"}
GENEROUS_S = 120.0
"""Keeps a test that hangs from hanging for ever; says nothing about speed."""
FREE = ("disabled", "unsupported")


@dataclass
class Rig:
    """A machine with what its tests must know of it."""

    machine: Machine
    cwd: Path
    attached: Callable[[], bool]
    """Whether the machine's kernel has a scheduler attached, by another way than the machine's own word."""
    good: AttachSpec | None = None
    """What can be attached; None where the kernel has no sched_ext."""
    bad: AttachSpec = field(default_factory=lambda: AttachSpec("at_absent", "/nonesuch/at_absent.bpf.o"))
    """What cannot be attached."""
    pristine: bool = False

    def spec(self, command: str = "true", **changed: object) -> RunSpec:
        basis = RunSpec(("sh", "-c", command), str(self.cwd), dict(ENV), timeout_s=GENEROUS_S)
        return replace(basis, **changed)  # type: ignore[arg-type]

    def run(self, command: str, **changed: object) -> Run:
        return self.machine.run(self.spec(command, **changed))

    def needs_sched_ext(self) -> AttachSpec:
        if self.good is None:
            pytest.skip("this machine's kernel has no sched_ext")
        return self.good

    def assert_nothing_to_detach(self) -> None:
        with pytest.raises(AutotuneError) as caught:
            self.machine.detach()
        assert caught.type is NotAttached
        assert caught.value.stage == "detach"
        assert caught.value.message

    def assert_usable(self) -> None:
        """Whatever went before: commands run, and the baseline is valid."""
        assert self.run("true").exit_code == 0
        measured = self.machine.measure(self.spec(), None)
        assert (measured.run.exit_code, measured.evidence.problem) == (0, None)


class MachineSuite:
    """What holds for every machine. Each test leaves nothing attached."""

    def test_it_says_what_it_is_and_the_same_each_time(self, rig: Rig) -> None:
        info = rig.machine.info
        assert info == rig.machine.info == from_json(MachineInfo, to_json(info))
        assert (info.kind == "host") == (info.acceleration == "none")
        assert info.cpus >= 1
        assert info.memory_bytes > 0
        assert info.kernel
        assert info.why

    def test_headers_are_a_directory_with_the_kernel_s_types_or_the_system_s(self, rig: Rig) -> None:
        headers = rig.machine.headers
        assert headers is None or Path(headers, "linux/bpf/vmlinux.h").is_file()

    def test_a_command_that_fails_is_a_run_that_says_so(self, rig: Rig) -> None:
        assert rig.run("true").exit_code == 0
        failed = rig.run("echo fail; exit 1")
        assert (failed.exit_code, failed.signal, failed.timed_out, failed.start_error) == (1, None, False, None)

    def test_a_measured_run_comes_with_evidence_and_counters_around_it(self, rig: Rig) -> None:
        measured = rig.machine.measure(rig.spec(), None)
        assert measured.run.wall_s > 0
        assert measured.run.user_s >= 0
        assert measured.run.max_rss_bytes > 0
        assert measured.evidence.expected_ops is None
        assert measured.evidence.problem is None
        assert measured.evidence.before.enable_seq == measured.evidence.after.enable_seq
        assert measured.after.at_s - measured.before.at_s >= measured.run.wall_s
        assert measured.after.cpu_total_s >= measured.before.cpu_total_s
        assert measured.after.context_switches >= measured.before.context_switches
        assert measured.after.forks >= measured.before.forks

    def test_a_scheduler_that_is_not_attached_is_a_problem_of_the_evidence_and_no_error(self, rig: Rig) -> None:
        measured = rig.machine.measure(rig.spec(), "at_fifo")
        assert measured.evidence.expected_ops == "at_fifo"
        assert measured.evidence.problem is not None

    def test_a_free_kernel_says_that_nothing_is_attached(self, rig: Rig) -> None:
        state = rig.machine.state()
        assert state.state in FREE
        assert state.ops is None
        assert not rig.attached()

    def test_a_sample_is_of_now_and_agrees_with_the_state(self, rig: Rig) -> None:
        first = rig.machine.sample()
        rig.run("true")
        second = rig.machine.sample()
        assert 0 < first.memory_used_bytes <= first.memory_total_bytes
        assert first.runnable >= 0
        assert second.counters.at_s > first.counters.at_s
        assert second.counters.cpu_total_s >= first.counters.cpu_total_s
        assert first.state == rig.machine.state()

    def test_fresh_may_be_called_at_any_time(self, rig: Rig) -> None:
        rig.machine.fresh()
        rig.machine.fresh()
        rig.assert_usable()

    def test_detaching_when_nothing_is_attached_is_one_class_of_error_and_changes_nothing(self, rig: Rig) -> None:
        before = rig.machine.state()
        for _ in range(2):
            rig.assert_nothing_to_detach()
        assert rig.machine.state() == before
        rig.assert_usable()

    def test_what_cannot_be_attached_is_refused_and_leaves_the_machine_as_it_was(self, rig: Rig) -> None:
        for _ in range(2):
            with pytest.raises((AttachError, BusyError, PrivilegeError)) as caught:
                rig.machine.attach(rig.bad)
            assert caught.value.message
            assert rig.machine.state().state in FREE
            assert not rig.attached()
        rig.assert_usable()
        rig.assert_nothing_to_detach()

    def test_a_scheduler_is_attached_seen_and_detached_with_the_kernel_s_word(self, rig: Rig) -> None:
        good = rig.needs_sched_ext()
        attachment = rig.machine.attach(good)
        try:
            assert attachment.ops == good.ops
            assert attachment.before.state in FREE
            assert attachment.after.state == "enabled"
            assert attachment.after.enable_seq > attachment.before.enable_seq
            assert attachment.attach_s >= 0
            assert rig.attached()
            state = rig.machine.state()
            assert state.state == "enabled"
            assert ops_matches(good.ops, state.ops)
            assert rig.machine.sample().state.ops == state.ops
        finally:
            detachment = rig.machine.detach()
        assert detachment.state.state == "disabled"
        assert detachment.detach_s >= 0
        assert detachment.exit is None or not detachment.exit.is_error
        assert not rig.attached()
        rig.assert_nothing_to_detach()

    def test_a_run_under_a_scheduler_is_evidence_for_it_and_against_every_other(self, rig: Rig) -> None:
        good = rig.needs_sched_ext()
        rig.machine.attach(good)
        try:
            own = rig.machine.measure(rig.spec(), good.ops)
            baseline = rig.machine.measure(rig.spec(), None)
            other = rig.machine.measure(rig.spec(), "at_absent")
        finally:
            rig.machine.detach()
        assert own.evidence.problem is None
        assert own.evidence.before.state == own.evidence.after.state == "enabled"
        assert baseline.evidence.problem is not None
        assert other.evidence.problem is not None
        rig.assert_usable()

    def test_a_second_scheduler_is_refused_while_one_is_attached(self, rig: Rig) -> None:
        good = rig.needs_sched_ext()
        rig.machine.attach(good)
        try:
            with pytest.raises((AttachError, BusyError)):
                rig.machine.attach(good)
            assert ops_matches(good.ops, rig.machine.state().ops)
            assert rig.machine.measure(rig.spec(), good.ops).evidence.problem is None
        finally:
            rig.machine.detach()
        assert not rig.attached()

    def test_fresh_leaves_what_is_attached_alone(self, rig: Rig) -> None:
        good = rig.needs_sched_ext()
        rig.machine.attach(good)
        try:
            rig.machine.fresh()
            assert rig.machine.measure(rig.spec(), good.ops).evidence.problem is None
        finally:
            rig.machine.detach()

    def test_attaching_again_and_again_moves_the_kernel_s_count(self, rig: Rig) -> None:
        good = rig.needs_sched_ext()
        counts = []
        for _ in range(2):
            counts.append(rig.machine.attach(good).after.enable_seq)
            rig.machine.detach()
        assert counts[1] > counts[0]

    def test_the_machine_was_not_replaced_meanwhile(self, rig: Rig) -> None:
        generation = rig.machine.generation
        rig.assert_usable()
        assert rig.machine.generation == generation


class CommandSuite:
    """What holds where commands really run."""

    @pytest.mark.parametrize("code", [0, 1, 7, 126, 127, 255])
    def test_exit_codes_come_back_as_they_are(self, rig: Rig, code: int) -> None:
        assert rig.run(f"exit {code}").exit_code == code
        assert rig.machine.measure(rig.spec(f"exit {code}"), None).run.exit_code == code

    def test_a_signal_is_distinguished_from_an_exit_code(self, rig: Rig) -> None:
        done = rig.run("kill -SEGV $$")
        assert (done.exit_code, done.signal) == (None, signal.SIGSEGV)

    def test_what_cannot_be_started_is_a_run_that_says_why(self, rig: Rig) -> None:
        done = rig.machine.run(replace(rig.spec(), argv=("no-such-command",)))
        assert done.exit_code is None
        assert done.start_error is not None
        assert "no-such-command" in done.start_error

    def test_directory_environment_and_input_are_those_that_were_given(self, rig: Rig) -> None:
        (rig.cwd / "input").write_text("from a file\n")
        rig.machine.fresh()
        done = rig.run('pwd; echo "$GREETING"; cat', stdin_path=str(rig.cwd / "input"))
        assert done.stdout.head == f"{rig.cwd}\ngood day\nfrom a file\n"
        assert rig.run("cat").stdout.head == ""

    def test_both_streams_are_kept_apart_and_bounded(self, rig: Rig) -> None:
        done = rig.run("printf '\\377out'; echo err >&2")
        assert (done.stdout.head, done.stderr.head) == ("\\xffout", "err\n")
        much = rig.run("head -c 3000000 /dev/zero", keep_bytes=4096)
        assert much.stdout.total_bytes == 3_000_000
        assert much.stdout.omitted_bytes == 3_000_000 - 4096

    @pytest.mark.parametrize("is_measured", [False, True])
    def test_output_is_given_on_as_it_comes_where_that_is_wanted(self, rig: Rig, is_measured: bool) -> None:
        pieces: list[tuple[str, bytes]] = []
        for stream in (True, False):
            spec = rig.spec("printf one; printf '\\377two' >&2; printf three", stream=stream)
            if is_measured:
                done = rig.machine.measure(spec, None, lambda name, data: pieces.append((name, data))).run
            else:
                done = rig.machine.run(spec, lambda name, data: pieces.append((name, data)))
            assert (done.stdout.head, done.stderr.head) == ("onethree", "\\xfftwo")
        assert b"".join(data for name, data in pieces if name == "stdout") == b"onethree"
        assert b"".join(data for name, data in pieces if name == "stderr") == b"\xfftwo"

    @pytest.mark.slow
    def test_a_run_that_takes_too_long_is_ended_and_the_next_one_is_fine(self, rig: Rig) -> None:
        for command in ("sleep 300", "trap '' TERM; while :; do sleep 300; done"):
            done = rig.run(command, timeout_s=0.5)
            assert done.timed_out
            assert done.exit_code is None or done.exit_code != 0
        assert rig.machine.measure(rig.spec("sleep 300", timeout_s=0.5), None).run.timed_out
        rig.assert_usable()

    def test_what_a_command_leaves_running_is_ended_and_counted(self, rig: Rig) -> None:
        done = rig.run("sleep 301 & echo started")
        assert done.exit_code == 0
        assert done.left_running == 1

    def test_a_metric_is_found_in_the_output(self, rig: Rig) -> None:
        done = rig.machine.measure(rig.spec("echo score 12.5; echo score 3", metric_regex=r"score (\S+)"), None).run
        assert done.metric_matches == ("12.5", "3")
        assert done.metric_count == 2

    def test_what_cannot_be_requested_is_an_error_of_ours_and_the_next_run_is_fine(self, rig: Rig) -> None:
        with pytest.raises(AutotuneError):
            rig.run("echo", metric_regex="(")
        rig.assert_usable()

    def test_a_helper_that_dies_is_lost_and_the_next_run_has_another(self, rig: Rig) -> None:
        generation = rig.machine.generation
        for _ in range(2):
            with pytest.raises(RunnerLost):
                rig.machine.measure(rig.spec("kill -9 $PPID; sleep 300"), None)
            rig.assert_usable()
        assert rig.machine.generation == generation

    def test_a_listener_that_fails_ends_the_run_with_its_error_and_the_next_run_is_fine(self, rig: Rig) -> None:
        def full(_stream: str, _data: bytes) -> None:
            raise OSError("no space left on device")

        with pytest.raises(OSError, match="no space left"):
            rig.machine.run(rig.spec("echo one; sleep 0.2; echo two", stream=True), full)
        done = rig.run("echo three")
        assert done.stdout.head == "three\n"
        rig.assert_usable()

    def test_setup_and_measured_run_see_the_same_files_until_they_are_discarded(self, rig: Rig) -> None:
        rig.machine.fresh()
        rig.run("echo prepared > made")
        assert rig.machine.measure(rig.spec("cat made; echo more >> made"), None).run.stdout.head == "prepared\n"
        assert rig.run("cat made").stdout.head == "prepared\nmore\n"
        rig.machine.fresh()
        kept = rig.run("cat made")
        if rig.pristine:
            assert kept.exit_code != 0
            assert not (rig.cwd / "made").exists()
        else:
            assert kept.stdout.head == "prepared\nmore\n"
            rig.run("rm made")


class ClosingSuite:
    """What closing promises; the last of a class, since each of its tests but the first finds the machine closed."""

    def test_releasing_detaches_and_commands_still_run(self, rig: Rig) -> None:
        if rig.good is not None:
            rig.machine.attach(rig.good)
            assert rig.attached()
        rig.machine.release()
        assert not rig.attached()
        assert rig.run("exit 0").exit_code == 0
        with pytest.raises(NotAttached):
            rig.machine.detach()

    def test_closing_gives_back_what_is_attached(self, rig: Rig) -> None:
        if rig.good is not None:
            rig.machine.attach(rig.good)
            assert rig.attached()
        rig.run("true")
        rig.machine.close()
        assert not rig.attached()

    def test_it_may_be_closed_again(self, rig: Rig) -> None:
        rig.machine.close()
        rig.machine.close()
        assert not rig.attached()

    def test_nothing_is_left_to_detach_afterwards(self, rig: Rig) -> None:
        rig.assert_nothing_to_detach()

    def test_what_it_is_is_known_afterwards(self, rig: Rig) -> None:
        assert rig.machine.info.cpus >= 1
