# SPDX-License-Identifier: MIT
"""A holder's process that answers, dies and hangs as its spec says, and the kernel's word on what it attached."""

from __future__ import annotations

import sys
from pathlib import Path

from autotune.deadline import Deadline
from autotune.records import AttachSpec, KernelState
from autotune.schedext.holding.client import HolderClient

TOP = Path(__file__).resolve().parents[2]
SPEC = AttachSpec("at_test", "/objects/at_test.o")
EEVDF = KernelState("disabled", None, 4, 0, False)
OURS = KernelState("enabled", "at_test", 5, 0, True)


def show(tree: Path, state: KernelState) -> None:
    """Make the sysfs tree say this."""
    (tree / "root").mkdir(parents=True, exist_ok=True)
    (tree / "root" / "ops").unlink(missing_ok=True)
    if state.ops is not None:
        (tree / "root" / "ops").write_text(state.ops)
    (tree / "enable_seq").write_text(str(state.enable_seq))
    (tree / "switch_all").write_text(str(int(bool(state.switch_all))))
    (tree / "state").write_text(state.state)


SCRIPT = """
import os, signal, sys, time
sys.path.insert(0, {top!r})
from autotune.process import Channel, serve
from autotune.records import *; from autotune.wire import *
before, after = KernelState("disabled", None, 4, 0, False), KernelState("enabled", "at_test", 5, 0, True)
def attach(request, emit):
    {attach}
    return to_json(Attachment("at_test", before, after, 0.1))
def detach(request, emit):
    {detach}
    return to_json(Detachment(before, 0.1, None))
def exit_record(request, emit):
    {exit}
    return {record}
serve(Channel(0, 1), {{"attach": attach, "detach": detach, "exit": exit_record}})
"""
DIE = "os.kill(os.getpid(), signal.SIGKILL)"
HANG = "time.sleep(60)"


def scripted(
    attach: str = "", detach: str = "", exit: str = "", record: str = "None", deadline: Deadline | None = None
) -> HolderClient:
    """A holder that does what is asked of it, or something else."""
    code = SCRIPT.format(top=str(TOP), attach=attach, detach=detach, exit=exit, record=record)
    return HolderClient(argv=[sys.executable, "-S", "-E", "-c", code], deadline=deadline)
