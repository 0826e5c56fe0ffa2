# SPDX-License-Identifier: MIT
"""What scx_loader and systemd say, and what becomes of it when they say nothing."""

from __future__ import annotations

import os
import signal
import time

import pytest

from autotune.lease import loaders
from tests.support.other_schedulers import Say


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ("running Bpfland in Gaming mode", ("scx_bpfland", "gaming")),
        ("running P2DQ in LowLatency mode", ("scx_p2dq", "lowlatency")),
        ('running Bpfland with arguments "-s 10000 -m all"', ("scx_bpfland", None)),
        ("no scx scheduler running", None),
        ("", None),
    ],
)
def test_the_loader_is_understood(say: Say, said: str, understood: tuple[str, str | None] | None) -> None:
    say("scxctl", f"echo '{said}'")
    assert loaders.scx_loader_says() == understood


def test_a_program_that_fails_hangs_or_is_absent_says_nothing(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "ANSWER_S", 0.3)
    say("failing", "echo something; exit 3")
    say("hanging", "sleep 30")
    assert [loaders.output_of("failing"), loaders.output_of("hanging"), loaders.output_of("autotune-no-such")] == [
        None,
        None,
        None,
    ]


def test_what_a_program_leaves_running_is_not_waited_for(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "ANSWER_S", 60.0)
    say("leaving", "sleep 60 & echo answer; echo $! > $(dirname $0)/pid")
    started = time.monotonic()
    assert loaders.output_of("leaving") == "answer\n"
    assert time.monotonic() - started < 60
    os.kill(int((say("done", "").parent / "pid").read_text()), signal.SIGKILL)


def test_only_an_active_service_has_a_main_process(say: Say) -> None:
    say("systemctl", "echo MainPID=42; echo ActiveState=active")
    assert loaders.main_pid("scx.service") == 42
    say("systemctl", "echo MainPID=0; echo ActiveState=active")
    assert loaders.main_pid("scx.service") is None
    say("systemctl", "echo MainPID=42; echo ActiveState=inactive")
    assert loaders.main_pid("scx.service") is None
