# SPDX-License-Identifier: MIT
"""The token of a generated scheduler: valid for what was proven, and for nothing else."""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.errors import AttachError, AutotuneError
from autotune.records import AttachSpec, KnobValue, Seal
from autotune.schedext import seal
from autotune.schedext.holding.client import HolderClient
from autotune.wire import from_json, to_json

SETTINGS = {"slice_us": (500, 2000), "partial": (0, 1)}
PROVEN = Seal("mine", "a" * 64, "b" * 64, "19", seal.GATES_VERSION, "6.18.15+deb13-amd64", settings=SETTINGS)


def test_a_seal_holds_for_the_object_that_passed() -> None:
    seal.check(seal.sign(PROVEN), PROVEN.object_sha256, kernel="6.18.3", settings={})


@pytest.mark.parametrize("field", [field.name for field in fields(Seal)])
def test_whatever_is_changed_afterwards_voids_it(field: str) -> None:
    other: Any = {"slice_us": (1, 2000), "partial": (0, 1)} if field == "settings" else "0" * 64
    changed = replace(seal.sign(PROVEN), **{field: other})
    with pytest.raises(AttachError, match=r"its token is not valid|it passed version 0"):
        seal.check(changed, changed.object_sha256, settings={})


def test_a_token_copied_to_another_object_is_refused() -> None:
    with pytest.raises(AttachError, match="not the one that passed the gates"):
        seal.check(seal.sign(PROVEN), "c" * 64, settings={})


@given(st.binary(min_size=1, max_size=2000), st.data())
def test_one_changed_byte_is_another_object(content: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(content) - 1))
    other = bytearray(content)
    other[place] ^= data.draw(st.integers(1, 255))
    signed = seal.sign(replace(PROVEN, object_sha256=seal.sha256(content)))
    with pytest.raises(AttachError):
        seal.check(signed, seal.sha256(bytes(other)), settings={})


def test_what_passed_laxer_gates_must_pass_again() -> None:
    old = seal.sign(replace(PROVEN, gates="0"))
    with pytest.raises(AttachError, match="it passed version 0 of the gates"):
        seal.check(old, old.object_sha256, settings={})


def test_a_seal_of_before_settings_were_proven_is_read_and_says_that_it_must_pass_again() -> None:
    """Version 3 of the gates ran defaults only; its seals have no settings."""
    old = {**to_json(replace(PROVEN, gates="3", token="0" * 64))}
    del old["settings"]
    with pytest.raises(AttachError, match=r"it passed version 3 of the gates.*'autotune schedulers verify' for mine"):
        seal.check(from_json(Seal, old), PROVEN.object_sha256, settings={})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"slice_us": 500, "partial": True}, None),
        ({"slice_us": 2000, "partial": False}, None),
        ({"slice_us": 499}, "499 for slice_us was not proven, only 500 to 2000"),
        ({"slice_us": 2001}, "2001 for slice_us was not proven"),
        ({"slice_us": 1e3}, "1000.0 for slice_us was not proven"),
        ({"slice_us": "1000"}, "1000 for slice_us was not proven"),
        ({"partial": 2}, "2 for partial was not proven"),
        ({"other": 1}, "other is no knob that the gates have set"),
    ],
)
def test_only_settings_that_were_proven_are_covered(settings: dict[str, KnobValue], said: str | None) -> None:
    signed = from_json(Seal, json.loads(json.dumps(to_json(seal.sign(PROVEN)))))
    if said is None:
        seal.check(signed, PROVEN.object_sha256, settings=settings)
        return
    with pytest.raises(AttachError, match=said) as caught:
        seal.check(signed, PROVEN.object_sha256, settings=settings)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("kernel", "fits"), [("6.18.15+deb13-amd64", True), ("6.18.0-rc1", True), ("6.19.1", False)])
def test_it_speaks_of_kernels_of_the_same_series_only(kernel: str, fits: bool) -> None:
    signed = seal.sign(PROVEN)
    if fits:
        seal.check(signed, PROVEN.object_sha256, kernel=kernel, settings={})
        return
    with pytest.raises(AttachError, match=r"proven on Linux 6\.18\.15.*, and this is 6\.19\.1"):
        seal.check(signed, PROVEN.object_sha256, kernel=kernel, settings={})


def test_without_a_token_or_a_key_nothing_is_valid() -> None:
    with pytest.raises(AttachError, match="it has no token"):
        seal.check(None, "b" * 64, settings={})
    signed = seal.sign(PROVEN)
    seal.key_path().unlink()
    with pytest.raises(AttachError, match="its token is not valid"):
        seal.check(signed, PROVEN.object_sha256, settings={})


def test_the_key_is_its_users_alone() -> None:
    seal.sign(PROVEN)
    assert seal.key_path().stat().st_mode & 0o777 == 0o600
    os.chmod(seal.key_path(), 0o640)
    with pytest.raises(AutotuneError, match="can be read by others"):
        seal.sign(PROVEN)


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_damaged_key_is_an_error_that_says_what_to_do(content: bytes) -> None:
    seal.sign(PROVEN)
    seal.key_path().write_bytes(content)
    with pytest.raises(AutotuneError, match="damaged"):
        seal.check(PROVEN, PROVEN.object_sha256, settings={})


def _sign(_number: int) -> str:
    return seal.sign(PROVEN).token


def test_two_that_make_the_key_at_once_have_the_same() -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert len(set(pool.map(_sign, range(16)))) == 1
    assert [path.name for path in seal.key_path().parent.iterdir()] == ["seal.key"]


def spec(tmp_path: Path, **changes: object) -> AttachSpec:
    made = AttachSpec("mine", str(tmp_path / "mine.o"), object_sha256="b" * 64, generated=True)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("token", [None, replace(PROVEN, token="0" * 64)])
def test_a_host_refuses_before_the_holder_is_called(tmp_path: Path, token: Seal | None) -> None:
    holder = HolderClient(argv=["false"])
    try:
        with pytest.raises(AttachError, match="the generated scheduler is refused"):
            holder.attach(spec(tmp_path, seal=token))
        with pytest.raises(AttachError, match="not the one that passed"):
            holder.attach(spec(tmp_path, seal=seal.sign(PROVEN), object_sha256=None))
        with pytest.raises(AttachError, match="3000 for slice_us was not proven"):
            holder.attach(spec(tmp_path, seal=seal.sign(PROVEN), rodata={"slice_us": 3000}))
    finally:
        holder.close()
