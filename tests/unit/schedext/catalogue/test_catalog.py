# SPDX-License-Identifier: MIT
"""What the catalogue takes from users, and what it refuses and how."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autotune.errors import AutotuneError, UsageError
from autotune.records import Candidate
from autotune.schedext.catalogue.catalog import Catalog, Scheduler

CATALOG = Catalog.load()


def test_a_candidate_is_read_with_its_knobs_typed_and_in_order() -> None:
    found = CATALOG.parse_candidate("at_batch:slice_us=5000,long_first=true")
    assert found == Candidate("at_batch", (("long_first", True), ("slice_us", 5000)))
    assert CATALOG.parse_candidate(found.key) == found


OURS = [one for one in CATALOG.schedulers if one.kind == "bpf"]


@pytest.mark.parametrize("scheduler", OURS, ids=lambda item: item.name)
def test_every_default_is_a_value_its_knob_takes(scheduler: Scheduler) -> None:
    for knob in scheduler.knobs:
        assert knob.default is not None
        knob.check(knob.default)
    assert scheduler.knob("partial").type == "boolean"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("at_fif", "did you mean 'at_fifo'"),
        ("nothing", "there are: at_fifo"),
        ("at_fifo:slice=1", "did you mean 'slice_us'"),
        ("at_fifo:slice_us=1", "from 100 to 1000000 (us), not 1"),
        ("at_fifo:slice_us=fast", "a whole number from 100"),
        ("at_fifo:slice_us=2.5", "a whole number"),
        ("at_batch:long_first=maybe", "true or false"),
        ("at_fifo:slice_us", "not knob=value"),
        ("at_fifo:slice_us=500,slice_us=600", "given twice"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        CATALOG.parse_candidate(text)
    assert said in str(error.value)


def test_partial_mode_reaches_the_loader(tmp_path: Path) -> None:
    spec = CATALOG.attach_spec(CATALOG.parse_candidate("at_vtime:partial=true"), tmp_path / "x.o")
    assert spec.partial
    assert spec.rodata == {"partial": True}


def test_a_catalogue_that_is_wrong_says_where(tmp_path: Path) -> None:
    broken = tmp_path / "schedulers.json"
    broken.write_text(json.dumps({"schedulers": [{"name": "x"}]}))
    with pytest.raises(AutotuneError, match="is wrong at kind"):
        Catalog.load(broken)
    broken.write_text("{")
    with pytest.raises(AutotuneError, match="not a catalogue"):
        Catalog.load(broken)


def test_a_program_of_the_scx_family_fits_into_the_schema() -> None:
    entry = Scheduler.model_validate(
        {
            "name": "scx_bpfland",
            "kind": "binary",
            "ops_name": "bpfland",
            "source": "scx_bpfland",
            "version": "1.1.2",
            "production_ready": True,
            "description": "Favours tasks that sleep often.",
            "algorithm": "Virtual deadlines",
            "use_cases": ["interactive"],
            "characteristics": "Topology aware",
            "limitations": [],
            "performance_profile": "Responsive beside background work",
            "requirements": {"features": ["schedutil for frequency options"]},
            "knobs": [
                {"name": "slice_us", "flag": "--slice-us", "short": "-s", "type": "integer", "unit": "us",
                 "default": 1000, "description": "Upper bound of a slice"},
                {"name": "primary_domain", "flag": "--primary-domain", "type": "string", "default": "auto",
                 "description": "CPUs to fill first"},
                {"name": "timely_tlow_us", "flag": "--timely-tlow-us", "type": "integer", "default": 5000,
                 "status": "no_effect", "description": "Lower threshold",
                 "range": {"min": 0, "how": "startup", "note": "an example"}},
            ],
            "modes": {"gaming": {"primary_domain": "performance"}},
            "program": {"language": "rust"},
        }
    )  # fmt: skip
    assert Catalog([entry]).parse_candidate("scx_bpfland:slice_us=500").key == "scx_bpfland:slice_us=500"
