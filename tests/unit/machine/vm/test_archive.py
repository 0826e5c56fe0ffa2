# SPDX-License-Identifier: MIT
"""Which mirror the machine's own archive is, and the end of its tools."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autotune.machine.vm.archive import mirror_in_targets, mirror_in_uris


def test_the_mirror_is_debians_main_suite_and_no_one_elses() -> None:
    rows = [
        "Docker bookworm https://third.example/linux/",
        "Debian bookworm-security http://mirror.example/debian-security/",
        "Debian bookworm http://mirror.example/debian/",
    ]
    assert mirror_in_targets("\n".join(rows)) == "http://mirror.example/debian/"
    assert mirror_in_targets("\n".join(rows[:2])) is None
    assert mirror_in_targets("") is None


def test_the_mirror_is_known_before_the_first_update_too() -> None:
    said = (
        "'http://mirror.example/debian-security/dists/bookworm-security/InRelease' name 0 \n"
        "'http://mirror.example/debian/dists/bookworm/InRelease' name 0 \n"
    )
    assert mirror_in_uris(said) == "http://mirror.example/debian/"
    assert mirror_in_uris("") is None


ROOT = Path(__file__).resolve().parents[4]
WRITER = "sh -c 'while :; do echo > left; sleep 0.02; done' & wait"
LEAVES_A_WRITER = f"""
import sys
from pathlib import Path
from autotune.machine.vm import archive
archive.run(["sh", "-c", {WRITER!r}], "x", Path(sys.argv[1]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_tool_leaves_nothing_running_that_writes(tmp_path: Path, number: signal.Signals) -> None:
    """apt-get has helpers; one that outlived it wrote into the directory while that was removed."""
    heeds = "import signal; signal.signal(signal.SIGTERM, signal.default_int_handler)"
    child = subprocess.Popen(
        [sys.executable, "-c", heeds + LEAVES_A_WRITER, tmp_path], stderr=subprocess.DEVNULL, cwd=ROOT
    )
    while not (tmp_path / "left").exists():
        time.sleep(0.01)
    child.send_signal(number)
    child.wait(60)
    (tmp_path / "left").unlink()
    time.sleep(0.2)
    assert not (tmp_path / "left").exists()
