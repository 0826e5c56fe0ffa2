# SPDX-License-Identifier: MIT
"""Whoever is killed, in whatever combination, and whatever a scheduler's program forked: the kernel is back on its own
scheduler within seconds, and nothing of it is left. In a real kernel; the VM plays the host."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.resilient import ResilientVM
from autotune.schedext.catalogue.catalog import Catalog
from autotune.schedext.resolve import CatalogResolver
from tests.support.built_programs import built
from tests.support.guest import guest_json

pytestmark = [pytest.mark.vm, pytest.mark.slow]

CATALOG = Catalog.load()


def nothing_is_left(seen: dict[str, Any]) -> None:
    assert seen["attached"], (seen.get("stdout"), seen.get("stderr"), seen)
    assert seen["state"] == "disabled", seen
    assert (seen["left"], seen["marked"], seen["groups"]) == ([], [], []), seen


SHAPES = ("direct", "script", "script that waits", "session", "forked twice", "group", "deaf")


KILLED = {
    "autotune+guard": ("script", "deaf"),
    "holder+guard": ("script", "deaf"),
    "holder": ("direct", "session", "forked twice"),
    "autotune": ("script", "forked twice"),
    "autotune+holder": SHAPES,
    "": ("direct", "group", "deaf"),
}
"""Shapes of programs, by who is killed: all of them where only the guard is left to end them."""


@pytest.fixture(scope="module")
def killed(vm: ResilientVM, kernel: Kernel) -> Any:
    spec = CatalogResolver(str(kernel.headers), CATALOG)(CATALOG.parse_candidate("at_fifo"))
    cases = [f"{whom}:{shape}" for whom, shapes in KILLED.items() for shape in shapes]
    return guest_json(vm, "holding.py", "killed", spec.object_path, str(kernel.libbpf), *cases, timeout_s=3600.0)


@pytest.mark.parametrize("whom", KILLED)
def test_every_shape_of_program_ends_with_whoever_is_killed(killed: Any, whom: str) -> None:
    for shape in KILLED[whom]:
        seen = killed[f"{whom}:{shape}"]
        nothing_is_left(seen)
        if not whom:
            assert seen["said"] == {"detached": "disabled"}, seen
        elif "autotune" not in whom:
            assert seen["said"]["error"] == "HolderLost", seen
            assert "the kernel is back on its own scheduler" in seen["said"]["message"], seen


APPLIED = (
    "script:holder",
    "session:ctrl-c",
    "script:autotune+holder",
    "script:autotune",
    "session:holder",
    "script:stop",
)


@pytest.fixture(scope="module")
def applied(vm: ResilientVM) -> Any:
    real = built("scx_cosmos")["scx_cosmos"].path
    return guest_json(vm, "holding.py", "applied", str(real), *APPLIED, timeout_s=1200.0)


@pytest.mark.built
@pytest.mark.usefixtures("built_schedulers")
@pytest.mark.parametrize("case", APPLIED)
def test_a_script_around_a_real_scheduler_is_given_back_by_apply(applied: Any, case: str) -> None:
    seen, how = applied[case], case.split(":")[1]
    nothing_is_left(seen)
    if how == "holder":
        assert seen["exit_code"] == 1, seen
        assert "the holder of the scheduler failed: it was ended by SIGKILL" in seen["stderr"], seen
        assert seen["stderr"].strip().count("\n") == 0, seen
        assert "is detached" not in seen["stdout"], seen
    elif how in ("ctrl-c", "stop"):
        assert seen["exit_code"] == 0, seen
        assert "is detached" in seen["stdout"], seen
    if how == "stop":
        assert "was stopped; the kernel is back on its own scheduler" in seen["stopped"], seen
