# SPDX-License-Identifier: MIT
"""What a scheduler came to is remembered, and forgotten as soon as it may be something else. That it is attached is
shown in tests/vm/test_host_mode.py."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from autotune import resources
from autotune.errors import AttachError
from autotune.knowledge import versions
from autotune.lease import hosting
from autotune.lease.hosting import Lookups, SharedHost
from autotune.records import AttachSpec, KernelState, ProgramSpec
from autotune.schedext import kernel

SOURCE = str(resources.bpf_source_dir() / "at_fifo.bpf.c")


@pytest.fixture
def spec(tmp_path: Path) -> AttachSpec:
    built = tmp_path / "at_fifo.o"
    built.write_bytes(b"object")
    return AttachSpec(
        "at_fifo",
        str(built),
        {"slice_us": 5000, "partial": True},
        True,
        digest=versions.of_source(SOURCE),
        digest_of=SOURCE,
    )


@pytest.fixture
def memory(tmp_path: Path) -> Lookups:
    return Lookups(tmp_path / "specs")


def test_what_was_looked_up_is_recalled_with_the_digest_of_its_object(memory: Lookups, spec: AttachSpec) -> None:
    assert memory.recall("at_fifo") is None
    memory.remember("at_fifo", spec, "/lib/libbpf.so")
    found = memory.recall("at_fifo")
    assert found is not None
    assert found.attach == replace(spec, object_sha256=hashlib.sha256(b"object").hexdigest())
    assert found.libbpf == "/lib/libbpf.so"
    memory.forget("at_fifo")
    assert memory.recall("at_fifo") is None


def test_a_program_is_remembered_too(memory: Lookups) -> None:
    program = AttachSpec("rusty", program=ProgramSpec(("/usr/bin/scx_rusty", "-k"), 10, 20))
    memory.remember("scx_rusty:kthreads_local=true", program, None)
    found = memory.recall("scx_rusty:kthreads_local=true")
    assert found is not None
    assert found.attach == program


def test_a_generated_one_is_checked_anew_every_time(memory: Lookups, spec: AttachSpec) -> None:
    memory.remember("mine", replace(spec, generated=True), None)
    assert memory.recall("mine") is None


def test_another_kernel_or_source_is_another_scheduler(
    memory: Lookups, spec: AttachSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.remember("at_fifo", replace(spec, digest="another"), None)
    assert memory.recall("at_fifo") is None
    memory.remember("at_fifo", spec, None)
    monkeypatch.setattr(hosting, "__version__", "99")
    assert memory.recall("at_fifo") is None


@pytest.mark.parametrize("text", ["", "garbage", "[]", '{"at_fifo": 3}', '{"at_fifo": {"kernel": 1}}', "[" * 10_000])
def test_a_damaged_memory_is_none_and_is_written_anew(tmp_path: Path, spec: AttachSpec, text: str) -> None:
    (tmp_path / "specs").write_text(text)
    memory = Lookups(tmp_path / "specs")
    assert memory.recall("at_fifo") is None
    memory.remember("at_fifo", spec, None)
    assert memory.recall("at_fifo") is not None


def test_it_is_bounded(memory: Lookups, spec: AttachSpec) -> None:
    for number in range(hosting.MOST_REMEMBERED + 5):
        memory.remember(f"at_fifo:{number}", spec, None)
    assert memory.recall("at_fifo:0") is None
    assert memory.recall(f"at_fifo:{hosting.MOST_REMEMBERED + 4}") is not None


def test_without_sched_ext_nothing_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "read_state", lambda: KernelState("unsupported", None, 0, 0, None))
    with pytest.raises(AttachError, match="no sched_ext"):
        SharedHost(str(tmp_path)).attach("at_fifo")
