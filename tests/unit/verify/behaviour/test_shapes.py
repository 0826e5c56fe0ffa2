# SPDX-License-Identifier: MIT
"""Which shapes gate 4 runs, and what it does when one fails or its machine is lost. What they find out is shown in real
machines by tests/vm/test_behaviour_shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from autotune.errors import MachineLost
from autotune.machine.base import OutputHandler
from autotune.records import AttachSpec, Expectations, GuideSpec, Run
from autotune.verify.behaviour import gate as behaviour_gate
from autotune.verify.behaviour import shapes
from autotune.verify.behaviour.shapes import MachineShape, Shape
from autotune.wire import to_json
from tests.support.scripted_loads import FINE, ScriptedVM, dies, ended, load, task

SPEC = AttachSpec("mine", "/x.o", {"kept": 7})
Scene = Callable[[OutputHandler], Run]


def went(*names: str, **numbers: Any) -> Scene:
    lines = [line for name in names for line in ({"begin": name}, {"load": name, "numbers": load(**numbers)})]
    return ended(*lines, FINE)


def stalled() -> Scene:
    numbers = load(task(work=0, wait_s=2.4))
    return ended({"begin": "mixed"}, {"load": "mixed", "numbers": numbers}, {"undead": 3}, FINE)


class Booted:
    """Machines that are booted, each with the scenes of its runs."""

    def __init__(self, *machines: ScriptedVM) -> None:
        self._machines = list(machines)
        self.wanted: list[MachineShape] = []

    @contextmanager
    def boot(self, machine: MachineShape) -> Iterator[ScriptedVM]:
        self.wanted.append(machine)
        yield self._machines.pop(0)


def checked(booted: Booted, *wanted: Shape, more_looks: int = 0) -> tuple[list[str], dict[str, Any]]:
    found, numbers, _ = shapes.check(
        SPEC, wanted, booted.boot, progress=lambda _text: None, libbpf="/lib",
        patience=behaviour_gate.Patience(tries=1, more_looks=more_looks),
    )  # fmt: skip
    return [finding.text() for finding in found], numbers


def test_a_scheduler_with_knobs_is_run_on_one_two_and_several_cpus_at_both_ends_and_partial() -> None:
    found = shapes.shapes({"slice_us": (10, 40), "eager": (False, True)}, can_be_partial=True)
    assert {shape.machine.cpus for shape in found} == {1, 2, shapes.several_cpus()}
    settings: list[Any] = [dict(shape.settings) for shape in found]
    for ends in ({"slice_us": 10, "eager": False}, {"slice_us": 40, "eager": True}):
        assert settings.count(ends) == 2, "on two CPUs, and on several"
    assert {"partial": True} in settings
    assert [shape.machine.process_1 for shape in found if "later" in shape.loads] == ["systemd"]
    assert [shape.name for shape in found] == list(dict.fromkeys(shape.name for shape in found))


def test_shapes_of_a_machine_stand_together_so_that_each_machine_is_booted_once() -> None:
    machines = [shape.machine for shape in shapes.shapes({"a": (1, 2)}, can_be_partial=True)]
    assert len(list(dict.fromkeys(machines))) == 3
    assert machines == sorted(machines, key=list(dict.fromkeys(machines)).index)
    assert machines[0] == shapes.USUAL, "the machine of the long loads is still there"


def test_without_knobs_nothing_is_run_twice() -> None:
    found = shapes.shapes({}, can_be_partial=False)
    assert [shape.machine.cpus for shape in found] == [shapes.several_cpus(), 1]
    assert not any(shape.expects for shape in found)


def test_one_that_asks_what_to_expect_is_told_in_a_shape_of_its_own_and_in_no_other() -> None:
    (told,) = (shape for shape in shapes.shapes({}, can_be_partial=True, can_expect=True) if shape.expects)
    guide = GuideSpec("/guide.o", "0" * 64, Expectations({"7": 1}, 1))
    vm = ScriptedVM(*[went("mixed")] * 2)

    shapes.check(SPEC, [PARTLY, told], Booted(vm).boot, progress=print, libbpf="/lib", guide=guide)

    assert [request["spec"]["guide"] for request in vm.requests] == [None, to_json(guide)]


@pytest.mark.parametrize(("here", "cpus"), [(1, 4), (2, 4), (4, 4), (6, 6), (64, 8), (None, 4)])
def test_several_cpus_are_as_many_as_here_within_bounds(
    monkeypatch: pytest.MonkeyPatch, here: int | None, cpus: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: here)
    assert shapes.several_cpus() == cpus


LOW, HIGH = Shape("low", MachineShape(2), {"a": 1}), Shape("high", MachineShape(2), {"a": 4})
MORE = Shape("more", MachineShape(4, "systemd"), loads=("mixed", "later"))
PARTLY = Shape("partly", MachineShape(2), {"partial": True})


def test_all_run_with_their_settings_and_each_machine_once() -> None:
    two, four = ScriptedVM(*[went("mixed")] * 3), ScriptedVM(went("mixed", "later", clock_ahead_s=9))
    booted = Booted(two, four)
    found, numbers = checked(booted, PARTLY, LOW, HIGH, MORE)
    assert found == []
    assert booted.wanted == [MachineShape(2), MachineShape(4, "systemd")]
    specs = [request["spec"] for request in two.requests]
    assert [one["rodata"] for one in specs] == [{"kept": 7, **s.settings} for s in (PARTLY, LOW, HIGH)]
    assert [one["partial"] for one in specs] == [True, False, False]
    assert [request["partial"] for request in two.requests] == [True, False, False]
    assert four.asked == [("mine", ["mixed", "later"])]
    assert list(numbers) == ["partly", "low", "high", "more"]
    assert numbers["more"]["later"] == {"longest_wait_s": 0.05, "clock_ahead_s": 9}


def test_the_first_that_fails_is_named_with_its_settings_and_ends_it() -> None:
    vm = ScriptedVM(went("mixed"), stalled())
    (died, starved), numbers = checked(Booted(vm), LOW, HIGH, MORE)
    assert "in the shape 'high (a=4)' under load 'mixed' 3 tasks that were killed did not get on to die" in died
    assert "[starved] in the shape 'high (a=4)' under load 'mixed' 1 of 1 tasks" in starved
    assert list(numbers) == ["low", "high"]


def test_doubt_is_settled_beside_eevdf_in_the_same_shape() -> None:
    slow, fine = went("mixed"), went("mixed")
    vm = ScriptedVM(stalled(), slow, fine)
    assert checked(Booted(vm), PARTLY, more_looks=2)[0] == []
    assert [request["spec"] is None for request in vm.requests] == [False, True, False]
    assert all(request["partial"] for request in vm.requests), "EEVDF's tasks ask for SCHED_EXT as well"


def test_a_machine_that_is_lost_once_is_booted_again_for_that_shape() -> None:
    booted = Booted(ScriptedVM(went("mixed"), dies({"begin": "mixed"})), ScriptedVM(went("mixed")))
    found, numbers = checked(booted, LOW, HIGH)
    assert found == []
    assert booted.wanted == [MachineShape(2)] * 2
    assert list(numbers) == ["low", "high"]


@pytest.mark.parametrize("hangs", [False, True])
def test_a_machine_that_is_lost_twice_in_a_shape_is_a_finding(hangs: bool) -> None:
    scene = ended({"begin": "mixed"}, timed_out=True) if hangs else dies({"begin": "mixed"})
    booted = Booted(ScriptedVM(went("mixed"), scene), ScriptedVM(scene))
    ((finding,), _) = checked(booted, LOW, HIGH, MORE)
    assert (
        f"[vm-lost] in the shape 'high (a=4)' the micro-VM {'hung' if hangs else 'died'} under load 'mixed'" in finding
    )
    assert booted.wanted == [MachineShape(2)] * 2


def test_a_machine_that_is_lost_under_eevdf_is_booted_again_and_then_is_nobodys_fault() -> None:
    late = ended({"begin": "mixed"}, timed_out=True)
    booted = Booted(ScriptedVM(stalled(), late), ScriptedVM(went("mixed")))
    assert checked(booted, LOW, more_looks=2)[0] == []
    with pytest.raises(MachineLost, match="did not end within"):
        checked(Booted(ScriptedVM(stalled(), late), ScriptedVM(stalled(), late)), LOW, more_looks=2)


def test_the_clock_is_set_by_the_host_when_a_load_wants_it_and_a_failure_skips_the_load() -> None:
    skipped = ended({"begin": "later"}, {"clock": 4096}, {"load": "later", "numbers": {"skipped": "no"}}, FINE)
    vm = ScriptedVM(skipped)
    found, numbers = checked(Booted(vm), Shape("late", MachineShape(4), loads=("later",)))
    assert (found, numbers["late"]["later"]) == ([], "no")
    assert vm.clocks == [(4096, behaviour_gate.AHEAD_S * 10**9)]
