# SPDX-License-Identifier: MIT
"""What a worker does for a client is noted as a client's, and outlives a server that is killed until it has ended."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autotune import secrecy
from autotune.machine.vm import healing
from autotune.mcp import worker
from autotune.schedext.catalogue.origin import Maker
from autotune.verify import gates
from autotune.verify.submission import submission


def test_a_scheduler_that_a_client_wrote_is_a_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(healing, "sound", lambda *_: "kernel")
    monkeypatch.setattr(gates, "verify", lambda *_given, **named: seen.update(named))
    source = submission(name="mine", source="int x;", description="Of a test.")
    worker._verified(source, {"directory": str(tmp_path), "limit_s": 1.0}, lambda _line: None)
    assert (seen["maker"], seen["made_in"]) == (Maker("model"), tmp_path)


def test_without_a_reader_it_goes_on_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    told: list[str] = []

    def run(_job: Any, say: Any, _engine: Any) -> None:
        say({"line": "nobody reads this"})
        told.append("went on")

    job = io.BytesIO(json.dumps({"kind": "tune", "directory": str(tmp_path)}).encode() + b"\n")
    monkeypatch.setattr(worker, "_run", run)
    monkeypatch.setattr(worker, "_end_with_input", lambda: None)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=job))
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    monkeypatch.setattr(os, "dup", lambda _fd: writes)
    monkeypatch.chdir(tmp_path)
    worker.main()
    os.close(writes)
    assert told == ["went on"]


@pytest.mark.parametrize("kind", ["tune", "verify", "apply"])
def test_a_directory_that_is_gone_by_then_is_named(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrecy, "redact_python", lambda: None)
    said: list[dict[str, Any]] = []
    worker._run({"kind": kind, "directory": str(tmp_path / "gone")}, said.append, None)
    assert said == [{"error": "the directory cannot be used: No such file or directory"}]
