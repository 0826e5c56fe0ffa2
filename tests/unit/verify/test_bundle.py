# SPDX-License-Identifier: MIT
"""Bundles: what is written can be read, and whatever else is in a file is refused in one line and touches nothing."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.canary import standing
from autotune.errors import UsageError
from autotune.knowledge.store import Knowledge
from autotune.schedext.catalogue import custom
from autotune.schedext.catalogue.origin import Ancestor, Maker, Origin
from autotune.verify import bundle
from tests.support.generated_schedulers import SOURCE, kept, session_with


def a_bundle() -> dict[str, Any]:
    """The document of one that was measured once."""
    document: dict[str, Any] = json.loads(_exported())
    return document


@functools.cache
def _exported() -> str:
    one = kept("mine", origin=Origin(None, Maker("model", "m-1"), 1.0, (Ancestor("at_fifo", "ab" * 32),)))
    with Knowledge() as knowledge:
        knowledge.record(session_with(one, "faster", id="0a1b2c3d", command="make secret-target"))
        found = standing.known(one, knowledge)
    return bundle.exported(one, found.of_this_build, found.promotion)


def test_a_bundle_has_what_a_verification_needs_and_its_claims_apart() -> None:
    submitted, claims = bundle.parsed(json.dumps(a_bundle()))
    assert (submitted.name, submitted.source, submitted.description) == ("mine", SOURCE, "Keeps builders happy.")
    assert submitted.knobs is not None
    assert [(knob.name, knob.default) for knob in submitted.knobs] == [("slice_us", 5000)]
    assert submitted.made_from == ()  # ancestors of elsewhere are none of here
    assert (claims.maker, claims.made_from) == ("a model (m-1)", ["at_fifo (abababababab)"])
    assert claims.standing.startswith("proven: confirmed faster on 1 workload")
    [told] = claims.outcomes
    assert (told.program, told.verdict, told.confirmed, told.speedup) == ("make", "faster", True, [1.21, 0.85, 1.3])


def test_a_bundle_tells_no_command_no_directory_and_holds_no_object_and_no_seal() -> None:
    text = json.dumps(a_bundle())
    for word in ("secret-target", "/home/me", "/tmp", "token", "object", "proven on"):
        assert word not in text


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "another version": lambda one: one.update(version=2),
    "a version that is none": lambda one: one.update(version=True),
    "another kind": lambda one: one.update(kind="autotune-history"),
    "a path as a name": lambda one: one["scheduler"].update(name="../../etc/passwd"),
    "a prefix and a path as a name": lambda one: one["scheduler"].update(name="custom:../x"),
    "an absolute name": lambda one: one["scheduler"].update(name="/etc/x"),
    "a name with a newline": lambda one: one["scheduler"].update(name="mine\n"),
    "a name that is a list": lambda one: one["scheduler"].update(name=["mine"]),
    "no name": lambda one: one["scheduler"].pop("name"),
    "no source": lambda one: one["scheduler"].pop("source"),
    "a source that is a number": lambda one: one["scheduler"].update(source=3),
    "a source with a null byte": lambda one: one["scheduler"].update(source="int x;\0"),
    "a source that reads backwards": lambda one: one["scheduler"].update(source="/* \u202e */"),
    "half a character": lambda one: one["scheduler"].update(description="\ud800"),
    "an escape sequence": lambda one: one["scheduler"].update(description="\x1b[2J"),
    "a long description": lambda one: one["scheduler"].update(description="x" * 101),
    "many knobs": lambda one: one["scheduler"].update(knobs=one["scheduler"]["knobs"] * 20),
    "a knob that is a text": lambda one: one["scheduler"].update(knobs=["slice_us"]),
    "a knob with a field of its own": lambda one: one["scheduler"]["knobs"][0].update({"x" * 9000: 1}),
    "a field of its own": lambda one: one["scheduler"].update(object="AAAA"),
    "a field with an escape in its name": lambda one: one["scheduler"].update({"\x1b[2J": 1}),
    "ancestors": lambda one: one["scheduler"].update(made_from=["at_fifo"]),
    "a seal": lambda one: one.update(seal={"token": "x"}),
    "a scheduler that is a list": lambda one: one.update(scheduler=[]),
    "claims that are a text": lambda one: one.update(claims="trusted"),
    "many outcomes": lambda one: one["claims"].update(outcomes=one["claims"]["outcomes"] * 51),
    "a speedup that is no number": lambda one: one["claims"]["outcomes"][0].update(speedup=[float("inf"), 1.0, 1.0]),
    "a speedup of text": lambda one: one["claims"]["outcomes"][0].update(speedup=["1", "2", "3"]),
    "a huge count": lambda one: one["claims"]["outcomes"][0].update(cpus=10**30),
    "an escape in a claim": lambda one: one["claims"].update(standing="trusted\x1b]0;x\x07"),
    "a long claim": lambda one: one["claims"].update(maker="x" * 201),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_bundle_is_refused_in_one_line_and_keeps_nothing(what: str, tmp_path: Path) -> None:
    document = a_bundle()
    HOSTILE[what](document)
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(document))
    for name in custom.names():  # that of the document, which the first test made
        custom.remove(name)
    with pytest.raises(UsageError) as refused:
        bundle.read(path)
    said = str(refused.value)
    assert said.startswith(f"{path}: ")
    assert refused.value.hint
    assert "\n" not in said.replace("\\n", "")
    assert len(said) < 600 + len(str(path))
    assert custom.names() == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"[]", "no scheduler that was exported"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"kind": "autotune-scheduler", "version": 1e999}', "of version inf"),
        (b'{"kind": "autotune-scheduler", "version": ' + b"9" * 6000 + b"}", "not JSON"),
        (b'{"kind": "autotune-scheduler", "version": "' + b"9" * 6000 + b'"}', "this autotune reads version 1"),
        (b" " * (bundle.MOST_BUNDLE_BYTES + 1), "larger than 512 KiB"),
    ],
)
def test_a_file_that_is_no_bundle_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bundle.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said) as refused:
        bundle.read(path)
    assert len(str(refused.value)) < 500 + len(str(path))


def test_a_pipe_and_a_missing_file_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing"):
        with pytest.raises(UsageError):
            bundle.read(tmp_path / name)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(value=json_values, place=st.sampled_from(["scheduler", "claims", "autotune"]), inner=st.booleans())
def test_whatever_is_in_a_part_of_a_bundle_it_is_read_or_refused(value: Any, place: str, inner: bool) -> None:
    document: dict[str, Any] = {
        "kind": bundle.KIND,
        "version": 1,
        "autotune": "1",
        "scheduler": {"name": "mine", "source": SOURCE},
        "claims": {},
    }
    if inner and isinstance(document[place], dict) and isinstance(value, dict):
        document[place].update(value)
    else:
        document[place] = value
    try:
        submitted, _ = bundle.parsed(json.dumps(document))
    except (UsageError, ValueError):
        return
    assert custom.checked_name(submitted.name) == submitted.name


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises((UsageError, ValueError)):
        bundle.parsed(text)
