# SPDX-License-Identifier: MIT
"""Word vectors: from the wheel's files, without its loader and without a network; nothing where they are not there."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from autotune.search import vectors
from autotune.search.documents import Searchable
from tests.support.command_line import ROOT

DOCUMENTS = (
    Searchable("sound", ("music and audio",), ("plays without dropouts",)),
    Searchable("code", ("compiling programs",)),
    Searchable("nothing", ("",)),
)
needs_weights = pytest.mark.skipif(not vectors.available(), reason="the extra `search` is not installed")


@needs_weights
def test_what_means_the_same_in_other_words_comes_first_and_the_best_field_counts() -> None:
    found = vectors.alike(DOCUMENTS, "a song")
    assert found[0][0] == "sound"
    assert vectors.alike(DOCUMENTS, "gcc and clang")[0][0] == "code"
    one_field = vectors.alike([Searchable("a", ("music and audio",))], "a song")
    two_fields = vectors.alike([Searchable("a", ("music and audio", "tax law"))], "a song")
    assert [key for key, _ in two_fields] == [key for key, _ in one_field] == ["a"]
    assert two_fields[0][1] == pytest.approx(one_field[0][1])


@needs_weights
def test_what_is_about_something_else_is_not_found() -> None:
    assert vectors.alike(DOCUMENTS, "of the") == []
    assert all(likeness >= vectors.LEAST_LIKENESS for _, likeness in vectors.alike(DOCUMENTS, "audio"))
    assert vectors.alike(DOCUMENTS, "") == vectors.alike((), "audio") == []


@needs_weights
def test_odd_text_has_a_vector_like_any_other() -> None:
    top = vectors.place()
    assert top is not None
    found = vectors.vectors(["", "\ud800", "\0", "x" * 100_000, "music"], top)
    assert found.shape[0] == 5
    assert abs(float((found[4] ** 2).sum()) - 1.0) < 1e-3
    assert float((found[0] ** 2).sum()) == 0.0


def test_nothing_is_found_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    for missing in ("wordllama", "tokenizers"):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, no=missing: None if name == no else real(name))
        assert not vectors.available()
        assert vectors.alike(DOCUMENTS, "a song") == []


def test_damaged_weights_are_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (vectors.WEIGHTS, vectors.TOKENIZER):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{")
    monkeypatch.setattr(vectors, "place", lambda: tmp_path)
    assert vectors.alike(DOCUMENTS, "a song") == []


@pytest.mark.slow
@needs_weights
def test_no_connection_is_made_and_the_loader_that_would_is_not_imported() -> None:
    program = """
import sys
tried = []
sys.addaudithook(lambda event, _: tried.append(event) if event.startswith(("socket.", "urllib.", "http.")) else None)
from autotune.schedext.catalogue import custom, finding
found = finding.found(custom.catalog().schedulers, "music that skips", 3)
assert found, "nothing was found"
assert "tokenizers" in sys.modules and "safetensors" in sys.modules
assert not {"wordllama", "requests", "huggingface_hub"} & set(sys.modules), sorted(sys.modules)
assert not [one for one in tried if one not in ("socket.gethostname",)], tried
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
