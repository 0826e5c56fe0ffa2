# SPDX-License-Identifier: MIT
"""What numbers of loads are judged to be, and what the gate does when the VM, the machine or the program fails."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.errors import AutotuneError, MachineLost
from autotune.records import AttachSpec
from autotune.verify.behaviour import bounds
from autotune.verify.behaviour import gate as behaviour_gate
from autotune.verify.behaviour.judge import Seen, exit_words, jain, judge, speed_ratio
from tests.support.scripted_loads import FINE, ScriptedVM, dies, ended, load, task

STALL = {"kind": 1026, "code": 0, "reason": "runnable task stall", "message": "hog[7] failed to run for 2.1s"}


def rules(
    ours: dict[str, Any], eevdf: dict[str, Any], *, end: dict[str, Any] | None = None, unfair: bool = False
) -> list[str]:
    seen = Seen(ours, next(reversed(ours), "attaching"), FINE if end is None else end)
    return [
        item.finding.rule for item in judge(seen, eevdf, declared_unfair=unfair) if item.finding.severity == "error"
    ]


def test_what_does_as_eevdf_does_passes() -> None:
    same = {
        "nice_hogs": load(task("nice0"), task("nice19", wait_s=0.4), work_per_s=1000.0),
        "equal_hogs": load(*[task()] * 5, work_per_s=1000.0),
        "sleepers": load(wake_us={"count": 100, "p50": 200, "p99": 5000, "max": 20000}),
        "pinned": load(task("cpu0"), task("cpu1"), task("moved")),
        "hotplug": {**load(), "restarts": 2},
    }
    assert rules(same, same) == []


def test_a_load_that_could_not_be_run_says_nothing() -> None:
    assert rules({"hotplug": {"skipped": "no CPU to unplug"}}, {}) == []


@pytest.mark.parametrize(
    ("wait_s", "theirs_s", "expected"),
    [(1.9, 0.05, []), (2.1, 0.05, ["starved"]), (2.9, 0.5, []), (3.1, 0.5, ["starved"])],
)
def test_a_task_may_wait_two_seconds_or_six_times_eevdfs_longest(
    wait_s: float, theirs_s: float, expected: list[str]
) -> None:
    assert rules({"churn": load(task(wait_s=wait_s))}, {"churn": load(task(wait_s=theirs_s))}) == expected


def test_hogs_of_high_nice_levels_may_wait_longer() -> None:
    assert rules({"nice_hogs": load(task("nice19", wait_s=2.9))}, {"nice_hogs": load()}) == []
    assert rules({"nice_hogs": load(task("nice19", wait_s=3.1))}, {"nice_hogs": load()}) == ["starved"]


def test_whoever_waits_nearly_all_the_time_is_starved_even_where_eevdf_lets_tasks_wait_for_long() -> None:
    """A busy machine: six times EEVDF's wait would be longer than the load."""
    eevdf = {"nice_hogs": load(task("nice19", wait_s=0.9))}
    assert rules({"nice_hogs": load(task("nice19", wait_s=3.9), passed_s=4.5, watched_s=4.4)}, eevdf) == []
    assert rules({"nice_hogs": load(task("nice19", wait_s=4.1), passed_s=4.5, watched_s=4.4)}, eevdf) == ["starved"]


def test_a_task_that_did_nothing_at_all_is_starved_even_if_it_could_not_be_watched_long() -> None:
    assert rules({"churn": load(task(work=0, wait_s=1.5))}, {"churn": load()}) == ["starved"]


def test_a_bound_task_that_waits_is_stuck() -> None:
    assert rules({"pinned": load(task("cpu1", work=0, wait_s=2.4))}, {"pinned": load(task("cpu1"))}) == ["pinned-stuck"]


def test_a_bound_task_that_crawls_is_stuck() -> None:
    assert rules({"pinned": load(task("moved", work=90))}, {"pinned": load(task("moved"))}) == ["pinned-stuck"]
    assert rules({"pinned": load(task("moved", work=110))}, {"pinned": load(task("moved"))}) == []


def test_a_task_on_a_cpu_that_is_not_its_own_is_reported() -> None:
    assert rules({"pinned": load(task("cpu0", elsewhere=1))}, {"pinned": load(task("cpu0"))}) == ["ran-elsewhere"]


@pytest.mark.parametrize(
    ("p99_us", "theirs_us", "expected"),
    [
        (190_000, 1_000, []),
        (210_000, 1_000, ["wake-latency"]),
        (390_000, 20_000, []),
        (410_000, 20_000, ["wake-latency"]),
    ],
)
@pytest.mark.parametrize(("name", "key"), [("sleepers", "wake_us"), ("realtime", "fifo_wake_us")])
def test_wake_ups_have_a_bound_of_their_own_and_one_by_eevdf(
    name: str, key: str, p99_us: int, theirs_us: int, expected: list[str]
) -> None:
    def seen(delay_us: int) -> dict[str, Any]:
        return {name: {**load(), key: {"count": 100, "p99": delay_us}}}

    assert rules(seen(p99_us), seen(theirs_us)) == expected


def test_unequal_shares_of_equal_hogs_are_unfair() -> None:
    halves = load(task(cpu_s=1.0), task(cpu_s=1.0), task(cpu_s=0.66), task(cpu_s=0.66), task(cpu_s=0.66))
    left_out = load(*[task(cpu_s=1.25)] * 4, task(cpu_s=0.0))
    assert rules({"equal_hogs": halves}, {}) == []
    assert rules({"equal_hogs": left_out}, {}) == ["unfair"]


def test_what_is_unfair_by_design_is_a_note_when_it_was_declared() -> None:
    seen = Seen({"equal_hogs": load(task(cpu_s=2.0), task(cpu_s=0.1))}, "equal_hogs", FINE)
    (item,) = judge(seen, {}, declared_unfair=True)
    assert (item.finding.rule, item.finding.severity) == ("unfair", "note")
    assert "as declared" in item.finding.message


@pytest.mark.parametrize(
    ("name", "key"), [("forks", "forks_per_s"), ("pingpong", "round_trips_per_s"), ("equal_hogs", "work_per_s")]
)
def test_less_than_half_of_eevdfs_throughput_is_slow(name: str, key: str) -> None:
    eevdf = {name: load(**{key: 1000.0})}
    assert rules({name: load(**{key: 510.0})}, eevdf) == []
    assert rules({name: load(**{key: 490.0})}, eevdf) == ["slow"]


def test_throughput_is_compared_at_the_machines_speed_of_that_moment() -> None:
    eevdf = {"forks": load(forks_per_s=1000.0, speed=8e6)}
    assert rules({"forks": load(forks_per_s=300.0, speed=4e6)}, eevdf) == []
    assert rules({"forks": load(forks_per_s=300.0, speed=8e6)}, eevdf) == ["slow"]
    assert rules({"forks": load(forks_per_s=900.0, speed=16e6)}, eevdf) == []  # a faster machine is no fault
    assert rules({"forks": load(forks_per_s=260.0, speed=1e6)}, eevdf) == []  # believed up to a factor of two


def test_a_speed_that_cannot_be_is_not_believed() -> None:
    assert speed_ratio({"speed": 1e6}, {"speed": 1e9}) == 1 / bounds.MOST_SPEED_CHANGE
    assert speed_ratio({"speed": 1e9}, {"speed": 1e6}) == 1.0
    assert speed_ratio({"speed": 0.0}, {"speed": 1e6}) == 1.0
    assert speed_ratio({}, {}) == 1.0


def test_an_ejection_is_reported_with_the_kernels_reason() -> None:
    end = {**FINE, "gone": True, "exit": STALL}
    assert rules({"churn": load()}, {"churn": load()}, end=end) == ["ejected"]
    assert exit_words(STALL) == "the kernel ejected it: runnable task stall (hog[7] failed to run for 2.1s)"
    assert exit_words(None) == "it went, and left no exit record"
    left = {"kind": 65, "code": 7, "reason": "unregistered from BPF", "message": ""}
    assert exit_words(left) == "it left: unregistered from BPF"


def test_a_load_that_an_ejection_cut_short_is_not_called_slow_besides() -> None:
    end = {**FINE, "gone": True, "exit": STALL}
    ours = {"forks": load(task(wait_s=2.2), forks_per_s=10.0)}
    assert rules(ours, {"forks": load(forks_per_s=900.0)}, end=end) == ["ejected", "starved"]


def test_a_kernel_that_is_not_given_back_is_reported() -> None:
    assert rules({}, {}, end={**FINE, "state": "enabled"}) == ["detach"]
    assert rules({}, {}, end={**FINE, "detach_error": "the kernel is not back"}) == ["detach"]


def test_a_scheduler_that_cannot_be_attached_is_reported() -> None:
    assert rules({}, {}, end={**FINE, "error": {"message": "init failed"}}) == ["attach"]


def test_jains_index() -> None:
    assert jain([1, 1, 1, 1]) == 1.0
    assert jain([4, 0, 0, 0]) == 0.25
    assert jain([0, 0]) == 1.0


# --- the gate around it ----------------------------------------------------------------------------------


def went(name: str, **numbers: Any) -> list[Any]:
    return [{"begin": name}, {"load": name, "numbers": load(**numbers)}, FINE]


def checked(vm: ScriptedVM, reference: behaviour_gate.Reference | None, *only: str) -> Any:
    return behaviour_gate.check(
        AttachSpec("mine", "/x.o"), vm, reference=reference, declared_unfair=False, progress=lambda _text: None,
        libbpf="/lib", only=only,
    )  # fmt: skip


EEVDF = behaviour_gate.Reference({"forks": load(forks_per_s=1000.0), "churn": load()}, 0)


def test_a_reference_of_this_boot_is_used_again() -> None:
    vm = ScriptedVM(ended(*went("forks", forks_per_s=900.0)))
    report = checked(vm, EEVDF, "forks")
    assert report.passed
    assert vm.asked == [("mine", ["forks"])]
    assert report.numbers["loads"]["forks"]["eevdf"]["forks_per_s"] == 1000.0


def test_a_reference_of_another_boot_is_measured_anew() -> None:
    vm = ScriptedVM(ended(*went("forks", forks_per_s=800.0)), ended(*went("forks", forks_per_s=900.0)))
    assert checked(vm, behaviour_gate.Reference(EEVDF.loads, 3), "forks").passed
    assert vm.asked == [(None, ["forks"]), ("mine", ["forks"])]


def test_what_was_slow_only_while_the_machine_was_busy_passes() -> None:
    """Scenes: the scheduler; then EEVDF and the scheduler for each further look."""
    scenes = [ended(*went("forks", forks_per_s=rate)) for rate in (300.0, 1000.0, 310.0, 400.0, 350.0)]
    report = checked(ScriptedVM(*scenes), EEVDF, "forks")
    assert report.passed
    looks = [look["loads"]["forks"]["scheduler"]["forks_per_s"] for look in report.numbers["more_looks"]]
    assert looks == [310.0, 350.0]


def test_what_is_slow_each_time_is_slow() -> None:
    scenes = [ended(*went("forks", forks_per_s=rate)) for rate in (300.0, 1000.0, 310.0, 1000.0, 320.0)]
    vm = ScriptedVM(*scenes)
    (finding,) = checked(vm, EEVDF, "forks").findings
    assert finding.rule == "slow"
    assert "320" in finding.message
    assert vm.asked == [("mine", ["forks"])] + [(None, ["forks"]), ("mine", ["forks"])] * 2


def test_what_is_sure_needs_no_further_look_and_stays() -> None:
    gone = {"gone": True, "exit": STALL}
    first = [{"begin": "churn"}, {"load": "churn", "numbers": load(task(elsewhere=2))}, FINE]
    assert [f.rule for f in checked(ScriptedVM(ended(*first)), EEVDF, "churn").findings] == ["ran-elsewhere"]
    slow = ended(*went("forks", forks_per_s=300.0))
    then = ended({"begin": "forks"}, {"load": "forks", "numbers": load(forks_per_s=1.0)}, gone, FINE)
    vm = ScriptedVM(slow, ended(*went("forks", forks_per_s=1000.0)), then)
    assert [f.rule for f in checked(vm, EEVDF, "forks").findings] == ["ejected"]


def test_an_ejection_needs_no_second_look() -> None:
    gone = [
        {"begin": "forks"},
        {"load": "forks", "numbers": load(forks_per_s=1.0)},
        {"gone": True, "exit": STALL},
        FINE,
    ]
    vm = ScriptedVM(ended(*gone))
    assert [finding.rule for finding in checked(vm, EEVDF, "forks").findings] == ["ejected"]


def test_a_vm_that_dies_once_is_nobodys_fault() -> None:
    vm = ScriptedVM(dies({"begin": "forks"}), ended(*went("forks", forks_per_s=900.0)))
    assert checked(vm, EEVDF, "forks").passed


def test_a_vm_that_dies_twice_under_a_scheduler_is_a_finding() -> None:
    report = checked(ScriptedVM(dies({"begin": "forks"}), dies({"begin": "forks"})), EEVDF, "forks")
    (finding,) = report.findings
    assert finding.rule == "vm-lost"
    assert "under load 'forks'" in finding.message
    assert report.log == "console"


def test_loads_that_do_not_end_are_a_finding_at_once() -> None:
    report = checked(ScriptedVM(ended({"begin": "churn"}, timed_out=True)), EEVDF, "churn")
    (finding,) = report.findings
    assert finding.rule == "vm-lost"
    assert "hung under load 'churn'" in finding.message


def test_a_vm_that_dies_under_eevdf_is_not_the_schedulers_fault() -> None:
    with pytest.raises(MachineLost):
        checked(ScriptedVM(dies(), dies()), None, "forks")


def test_a_program_inside_that_fails_is_an_error_with_its_words() -> None:
    with pytest.raises(AutotuneError) as caught:
        checked(ScriptedVM(ended(exit_code=1)), EEVDF, "forks")
    assert "broken" in caught.value.detail


def test_a_load_that_does_not_exist_is_refused() -> None:
    with pytest.raises(AutotuneError, match="no load 'lunch'"):
        checked(ScriptedVM(), None, "lunch")
