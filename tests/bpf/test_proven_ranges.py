# SPDX-License-Identifier: MIT
"""The values for which a knob of a generated scheduler is proven: the declared ones, else from half to twice its
default, and never more than its variable can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autotune.errors import UsageError
from autotune.machine.vm import kernels
from autotune.schedext.build import build
from autotune.verify.submission import ends, entry, knobs_of, submission

pytestmark = pytest.mark.bpf

SOURCE = (Path(__file__).parents[2] / "bpf_src" / "at_fifo.bpf.c").read_text().replace("at_fifo", "mine")
KNOBS = """
AT_KNOB(u32, plain, 5);
AT_KNOB(u64, nothing, 0);
AT_KNOB(s32, below, -7);
AT_KNOB(u32, huge, 3000000000);
AT_KNOB(u64, largest, 18446744073709551615ULL);
AT_KNOB(bool, turned_on, true);
"""
TYPES = {"turned_on": "boolean"}
DEFAULTS: dict[str, Any] = {
    "plain": 5, "nothing": 0, "below": -7, "huge": 3000000000, "largest": 2**64 - 1, "turned_on": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An object with these knobs besides at_fifo's, and the library that reads it."""
    directory = tmp_path_factory.mktemp("ranges")
    kernel = next(iter(kernels.installed()), None)
    head, include, rest = SOURCE.partition('#include "at.h"\n')
    source = directory / "mine.bpf.c"
    used = "\n".join(f"\tif ({name} == 77)\n\t\treturn;" for name in DEFAULTS)
    marker = "AT_OP2(void, mine_enqueue, struct task_struct *, p, u64, enq_flags)\n{\n"
    assert marker in rest
    source.write_text(head + include + KNOBS + rest.replace(marker, marker + used + "\n"))
    built = build(source, headers=kernel.headers if kernel else None, cache=directory)
    library = str(kernel.libbpf) if kernel and kernel.libbpf else None
    return lambda **fields: knobs_of(submission(name="mine", source="", **fields), built.object_path, library)


def declared(compiled: Any, **ranges: Any) -> list[dict[str, Any]]:
    """All knobs as an entry declares them, some of them with a range."""
    knobs, _ = compiled()
    known = {knob.name: knob for knob in knobs if knob.name != "partial"}
    return [{**knob.model_dump(), "range": ranges.get(name)} for name, knob in known.items()]


def test_without_an_entry_each_takes_from_half_to_twice_its_default(compiled: Any) -> None:
    knobs, misfits = compiled()
    assert misfits == []
    found = ends(knobs)
    assert found["plain"] == (2, 10)
    assert found["nothing"] == (0, 1)
    assert found["below"] == (-14, -3)
    assert found["huge"] == (1500000000, 2**32 - 1)
    assert found["largest"] == (2**63 - 1, 2**64 - 1)
    assert found["turned_on"] == found["partial"] == (False, True)


def test_a_declared_range_is_taken_in_whole_numbers_that_fit_and_an_open_end_is_closed(compiled: Any) -> None:
    ranges = {
        "plain": {"min": 0.5, "max": 7.9},
        "nothing": {"max": 100},
        "below": {"min": -1e400},
        "huge": {"min": 0, "max": 2**40, "how": "stated"},
    }
    knobs, misfits = compiled(knobs=declared(compiled, **ranges))
    assert misfits == []
    found = ends(knobs)
    assert found["plain"] == (1, 7)
    assert found["nothing"] == (0, 100)
    assert found["below"] == (-(2**31), -3)
    assert found["huge"] == (0, 2**32 - 1)
    assert found["largest"] == (2**63 - 1, 2**64 - 1)


def test_whatever_was_declared_the_entry_refuses_other_values_with_a_line_that_says_why(compiled: Any) -> None:
    ranges = {"plain": {"min": 1, "max": 7, "how": "stated"}}
    knobs, _ = compiled(knobs=declared(compiled, **ranges))
    made = entry(submission(name="mine", source=""), knobs)
    assert made.settings({"plain": "7"}) == {"plain": 7}
    for text in ("0", "8", "-1", "1e3", "true"):
        with pytest.raises(UsageError, match="'plain' takes a whole number from 1 to 7 as it was proven"):
            made.settings({"plain": text})


@pytest.mark.parametrize(("low", "high"), [(6, 9), (1, 4), (9, 1)])
def test_a_default_outside_its_range_is_a_finding(compiled: Any, low: int, high: int) -> None:
    knobs, (finding,) = compiled(knobs=declared(compiled, plain={"min": low, "max": high}))
    assert (knobs, finding.rule) == ((), "knob-range")
    assert f"'plain' begins with 5, outside its range of {low} to {high}" in finding.message


def test_the_default_is_one_of_what_is_proven(compiled: Any) -> None:
    knobs, _ = compiled()
    for knob in knobs:
        assert isinstance(knob.default, int)
        low, high = ends([knob])[knob.name]
        assert low <= knob.default <= high
