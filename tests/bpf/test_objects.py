# SPDX-License-Identifier: MIT
"""The catalogue and the objects say the same: each knob is on both sides, with its default and a fitting type."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autotune import resources
from autotune.errors import BuildError
from autotune.machine.vm import kernels
from autotune.schedext.build import build
from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.schedext.libbpf import Libbpf

pytestmark = pytest.mark.bpf

OURS = [scheduler for scheduler in Catalog.load().schedulers if scheduler.kind == "bpf"]


@pytest.fixture(scope="module")
def kept() -> kernels.Kernel:
    return kernels.find(None)


@pytest.mark.parametrize("scheduler", OURS, ids=lambda item: item.name)
def test_knobs_of_the_catalogue_are_those_of_the_object(scheduler: Scheduler, kept: kernels.Kernel) -> None:
    built = build(resources.bpf_source_dir() / scheduler.source, headers=kept.headers)
    with Libbpf(str(kept.libbpf)).open(str(built.object_path)) as found:
        knobs = {knob.name: knob for knob in found.knobs()}
    assert set(knobs) == {knob.name for knob in scheduler.knobs}
    for knob in scheduler.knobs:
        held = knobs[knob.name]
        assert held.value == knob.default, knob.name
        assert {"int": "integer", "bool": "boolean", "float": "float"}[held.kind] == knob.type
        if held.kind == "int" and knob.range is not None:
            assert knob.range.max is not None
            assert knob.range.max < 2 ** (8 * held.width)


@pytest.mark.parametrize("scheduler", OURS, ids=lambda item: item.name)
def test_every_source_sets_a_timeout_and_keeps_an_exit_record(scheduler: Scheduler) -> None:
    text = (resources.bpf_source_dir() / scheduler.source).read_text()
    assert ".timeout_ms = " in text
    assert f"AT_EXIT({scheduler.name}_exit)" in text
    assert "AT_SHARED" in text


def test_a_second_build_comes_from_the_cache_and_a_change_does_not(tmp_path: Path, kept: kernels.Kernel) -> None:
    source = tmp_path / "copy.bpf.c"
    source.write_text((resources.bpf_source_dir() / "at_fifo.bpf.c").read_text())
    first = build(source, headers=kept.headers, cache=tmp_path / "cache")
    again = build(source, headers=kept.headers, cache=tmp_path / "cache")
    assert (first.cached, again.cached) == (False, True)
    assert first.sha256 == again.sha256
    source.write_text(source.read_text().replace("slice_us, 20000", "slice_us, 20001"))
    other = build(source, headers=kept.headers, cache=tmp_path / "cache")
    assert other.object_path != first.object_path
    assert other.sha256 != first.sha256


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_somebody_else_put_into_the_cache_is_built_anew(tmp_path: Path, kept: kernels.Kernel) -> None:
    source = resources.bpf_source_dir() / "at_fifo.bpf.c"
    first = build(source, headers=kept.headers, cache=tmp_path / "cache")
    first.object_path.write_bytes(b"another object")
    os.chown(first.object_path, 65534, 65534)
    again = build(source, headers=kept.headers, cache=tmp_path / "cache")
    assert (again.cached, again.object_path, again.sha256) == (False, first.object_path, first.sha256)
    assert again.object_path.stat().st_uid == 0


def test_a_source_that_does_not_compile_says_where(tmp_path: Path, kept: kernels.Kernel) -> None:
    source = tmp_path / "bad.bpf.c"
    source.write_text('#include "at.h"\nint broken(void) { return nothing; }\n')
    with pytest.raises(BuildError, match=r"bad\.bpf\.c:2:\d+: error: use of undeclared identifier 'nothing'") as error:
        build(source, headers=kept.headers, cache=tmp_path / "cache")
    assert "nothing" in error.value.detail
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_clang_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch, kept: kernels.Kernel) -> None:
    monkeypatch.setattr("autotune.schedext.build._clangs", lambda: iter(()))
    with pytest.raises(BuildError, match="apt-get install clang"):
        build(resources.bpf_source_dir() / "at_fifo.bpf.c", headers=kept.headers)
