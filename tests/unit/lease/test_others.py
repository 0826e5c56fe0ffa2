# SPDX-License-Identifier: MIT
"""Who has a scheduler attached: real processes, and programs that play scx_loader and systemd."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autotune.lease import others, owners
from tests.support.other_schedulers import BPFLAND, Say, process, running, state


@pytest.mark.usefixtures("say")
def test_a_scheduler_started_by_hand_is_named_with_its_process() -> None:
    with running("/opt/bin/scx_bpfland", "100", "5") as child:
        other = others.identify(state(), process(child.pid))
    assert (other.origin, other.pid, other.scheduler, other.flags) == ("hand", child.pid, "scx_bpfland", ("100", "5"))
    assert other.sentence == f"{BPFLAND}, by process {child.pid} (scx_bpfland 100 5), started by hand"


def test_one_of_the_service_is_known_by_its_main_process(say: Say) -> None:
    with running("scx_bpfland", "100") as child:
        say("systemctl", f'[ "$2" = scx.service ] && echo MainPID={child.pid} && echo ActiveState=active')
        other = others.identify(state(), process(child.pid))
    assert (other.origin, other.unit) == ("scx.service", "scx.service")
    assert other.sentence == f"{BPFLAND}, by scx.service (scx_bpfland 100)"


def test_one_below_the_loader_is_reported_with_the_mode_that_the_loader_says(say: Say) -> None:
    say("scxctl", "echo running Bpfland in Gaming mode")
    loader = say("scx_loader", "")
    loader.write_text(
        f"#!{os.path.realpath(sys.executable)} -S\nimport subprocess\n"
        "child = subprocess.Popen(['scx_bpfland', '100'], executable='/bin/sleep')\n"
        "print(child.pid, flush=True)\nchild.wait()\n"
    )
    parent = subprocess.Popen([str(loader)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    other = others.identify(state(), process(pid))
    os.kill(pid, signal.SIGKILL)
    parent.communicate()
    assert (other.origin, other.mode, other.scheduler) == ("scx_loader", "gaming", "scx_bpfland")
    assert other.sentence == f"{BPFLAND}, by scx_loader (mode gaming)"


def test_without_a_process_the_loader_is_believed_only_when_the_name_fits(say: Say) -> None:
    say("scxctl", "echo running Bpfland in Auto mode")
    assert others.identify(state(), None).origin == "scx_loader"
    assert others.identify(state("rusty"), None).origin == "unknown"


def test_one_of_another_autotune_is_known_by_the_lock(say: Say, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        f"import fcntl, os, time; f = open({str(path)!r}, 'w'); fcntl.flock(f, 2); f.write(f'77 {{os.getpid()}}')\n"
        "f.flush(); print(flush=True); time.sleep(99)"
    )
    child = subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    say("scxctl", "exit 1")
    holders = [others.identify(state("at_fifo"), owner) for owner in (None, owners.process(child.pid))]
    with running("scx_bpfland", "100") as stranger:
        stranger_s = others.identify(state(), process(stranger.pid))
    child.kill()
    child.communicate()
    assert [other.origin for other in holders] == ["autotune", "autotune"]
    assert holders[0].sentence == "at_fifo, by another autotune (process 77)"
    assert stranger_s.origin == "hand"


@pytest.mark.usefixtures("say")
def test_words_of_others_are_one_bounded_line() -> None:
    words = ("scx_bpfland", "-c", "sleep 100; :", "\x1b[31m\nred" + "x" * 1000)
    with running(*words, executable="/bin/sh") as child:
        sentence = others.identify(state(), process(child.pid)).sentence
    assert sentence.isprintable()
    assert len(sentence) < 250
