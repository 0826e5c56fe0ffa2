# SPDX-License-Identifier: MIT
"""A claim is held for exactly as long as its process lives, or until it is given up."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autotune.knowledge.claims import Claim, is_held

HOLDER = """
import sys, time
from pathlib import Path
from autotune.knowledge.claims import Claim
claim = Claim(Path(sys.argv[1]))
print(claim.number, flush=True)
time.sleep(60)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "claims"


def test_it_is_held_until_it_is_given_up(place: Path) -> None:
    claim = Claim(place)
    assert is_held(place, claim.number)
    claim.close()
    claim.close()
    assert not is_held(place, claim.number)


def test_several_of_one_process_are_apart(place: Path) -> None:
    first, second = Claim(place), Claim(place)
    first.close()
    with open(place):  # closing the file elsewhere drops no lock
        pass
    assert [is_held(place, one.number) for one in (first, second)] == [False, True]
    second.close()


def test_it_ends_with_its_process_and_not_before(place: Path) -> None:
    top = Path(__file__).parents[3]
    argv = [sys.executable, "-c", HOLDER, str(place)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=top) as holder:
        assert holder.stdout is not None
        number = int(holder.stdout.readline())
        assert is_held(place, number)
        holder.kill()
    assert not is_held(place, number)


def test_a_program_that_is_started_meanwhile_does_not_keep_it(place: Path) -> None:
    claim = Claim(place)
    with subprocess.Popen(["sleep", "60"]) as child:
        claim.close()
        assert not is_held(place, claim.number)
        child.kill()


def test_what_cannot_be_known_counts_as_held(place: Path, tmp_path: Path) -> None:
    nowhere = Claim(tmp_path / "none" / "claims")
    assert nowhere.number is None
    nowhere.close()
    assert is_held(place, None)
    assert is_held(tmp_path / "x" / "claims", 5) is False
    with contextlib.suppress(OSError):
        os.symlink("/dev/null", place)
    assert is_held(place, 5)
