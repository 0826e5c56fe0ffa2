# SPDX-License-Identifier: MIT
"""The memory of strikes, over real files."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autotune.canary import strikes
from autotune.canary.strikes import Strikes
from autotune.errors import AutotuneError, UsageError
from autotune.verdict.promotion import STRIKES_TO_BAR

GOOD, BAD = "a" * 64, "b" * 64


@pytest.fixture
def kept(tmp_path: Path) -> Strikes:
    return Strikes(tmp_path / "state" / "canary.json", now=lambda: 1_700_000_000.0)


def test_three_strikes_bar_a_scheduler_and_no_other(kept: Strikes) -> None:
    for number in range(STRIKES_TO_BAR):
        assert not kept.is_barred(BAD)
        assert kept.strike(BAD, f"late {number}", "6.18") == number + 1
    assert kept.is_barred(BAD)
    assert not kept.is_barred(GOOD)
    assert [strike.reason for strike in kept.reasons(BAD)] == ["late 0", "late 1", "late 2"]
    assert kept.reasons(BAD)[0].at_s == 1_700_000_000.0
    assert Strikes(kept.path).is_barred(BAD)


def test_a_canary_is_passed_on_one_kernel_until_the_next_strike(kept: Strikes) -> None:
    kept.remember_passed(GOOD, "6.18")
    assert kept.passed(GOOD, "6.18")
    assert not kept.passed(GOOD, "6.19")
    assert not kept.passed(BAD, "6.18")
    kept.strike(GOOD, "late", "6.18")
    assert not kept.passed(GOOD, "6.18")


def test_by_default_it_is_in_the_user_s_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Strikes().path == tmp_path / "autotune" / "canary.json"


def test_nobody_else_can_read_or_write_it(kept: Strikes) -> None:
    before = os.umask(0)
    try:
        kept.strike(BAD, "late", "6.18")
    finally:
        os.umask(before)
    assert kept.path.stat().st_mode & 0o777 == 0o600
    assert kept.path.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in kept.path.parent.iterdir()) == ["canary.json", "canary.json.lock"]


def test_long_and_odd_reasons_are_bounded_and_kept(kept: Strikes) -> None:
    kept.strike(BAD, "late \udcff" + "x" * 10_000, "6.18")
    assert kept.reasons(BAD)[0].reason.startswith("late \\udcff")
    assert len(kept.reasons(BAD)[0].reason) == strikes.REASON_CHARACTERS


def test_of_very_many_strikes_the_newest_are_kept(kept: Strikes) -> None:
    for number in range(strikes.MOST_STRIKES + 5):
        kept.strike(BAD, str(number), "6.18")
    assert kept.reasons(BAD)[0].reason == "5"
    assert kept.is_barred(BAD)


@pytest.mark.parametrize("name", ["", "at_fifo", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_what_is_no_content_hash_is_refused(kept: Strikes, name: str) -> None:
    for look_up in (kept.is_barred, kept.reasons):
        with pytest.raises(UsageError, match="not a content hash"):
            look_up(name)


DAMAGED: list[tuple[str, bytes]] = [
    ("empty", b""),
    ("torn", b'{"version": 1, "schedulers": {"aaaa'),
    ("not text", b"\xff\xfe\x00"),
    ("a list", b"[]"),
    ("newer", b'{"version": 2, "schedulers": {}}'),
    ("no schedulers", b'{"version": 1}'),
    ("strikes of another shape", b'{"version": 1, "schedulers": {"x": {"strikes": 3, "passed": {}}}}'),
    ("a reason that is no text", b'{"version": 1, "schedulers": {"x": {"strikes": [{"at_s": 1, "reason": 3, '
     b'"kernel": ""}], "passed": {}}}}'),
    ("deep", b"[" * 100_000),
]  # fmt: skip


@pytest.mark.parametrize("content", [content for _, content in DAMAGED], ids=[name for name, _ in DAMAGED])
def test_a_damaged_file_is_an_error_with_advice_and_stays_as_it_is(kept: Strikes, content: bytes) -> None:
    kept.path.parent.mkdir(mode=0o700)
    kept.path.write_bytes(content)
    kept.path.chmod(0o600)
    for use in (kept.is_barred, kept.reasons, lambda key: kept.strike(key, "late", "6.18")):
        with pytest.raises(AutotuneError, match="damaged") as caught:
            use(BAD)
        assert f"rm {kept.path}" in caught.value.hint
    assert kept.path.read_bytes() == content


def test_a_file_that_others_can_write_is_not_believed(kept: Strikes) -> None:
    kept.strike(BAD, "late", "6.18")
    kept.path.chmod(0o666)
    with pytest.raises(AutotuneError, match="can be written by others") as caught:
        kept.is_barred(BAD)
    assert "chmod 600" in caught.value.hint


def test_a_link_or_a_pipe_in_its_place_is_refused_and_does_not_hang(kept: Strikes, tmp_path: Path) -> None:
    kept.path.parent.mkdir(mode=0o700)
    kept.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AutotuneError, match="cannot be read"):
        kept.is_barred(BAD)
    kept.path.unlink()
    os.mkfifo(kept.path, 0o600)
    with pytest.raises(AutotuneError, match="cannot be read"):
        kept.is_barred(BAD)


def test_a_place_where_nothing_can_be_written_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = Strikes(tmp_path / "file" / "canary.json")
    with pytest.raises(AutotuneError, match="cannot be written") as caught:
        kept.strike(BAD, "late", "6.18")
    assert str(kept.path) in caught.value.hint


READ_ONLY = """
import sys
from pathlib import Path
from autotune.errors import AutotuneError
from autotune.canary.strikes import Strikes
import os
os.setresgid(4242, 4242, 4242)
os.setresuid(4242, 4242, 4242)
kept = Strikes(Path(sys.argv[1]))
assert kept.is_barred("b" * 64) is False
try:
    kept.strike("b" * 64, "late", "6.18")
except AutotuneError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root can become a user whom permissions bind")
def test_a_read_only_directory_can_be_read_and_its_errors_reported(kept: Strikes) -> None:
    kept.strike(BAD, "late", "6.18")
    directory = kept.path.parent
    kept.path.chmod(0o644)
    directory.chmod(0o755)
    above = directory
    while above != Path("/"):
        above.chmod(above.stat().st_mode | 0o055)
        above = above.parent
        if above.stat().st_uid != os.geteuid() or above == Path("/tmp"):
            break
    done = subprocess.run([sys.executable, "-c", READ_ONLY, str(kept.path)], capture_output=True, check=False)
    assert b"cannot be taken: Permission denied" in done.stdout, done.stderr
    assert kept.reasons(BAD)[0].reason == "late"


MANY = """
import sys
from pathlib import Path
from autotune.canary.strikes import Strikes
for number in range(5):
    Strikes(Path(sys.argv[1])).strike("b" * 64, f"{sys.argv[2]}-{number}", "6.18")
"""


@pytest.mark.slow
def test_two_processes_at_once_lose_no_strike(kept: Strikes) -> None:
    started = [subprocess.Popen([sys.executable, "-c", MANY, str(kept.path), name]) for name in ("one", "two", "three")]
    assert [process.wait() for process in started] == [0, 0, 0]
    reasons = sorted(strike.reason for strike in kept.reasons(BAD))
    assert reasons == sorted(f"{name}-{number}" for name in ("one", "two", "three") for number in range(5))


def test_a_lock_that_is_never_given_up_is_an_error_not_a_wait_for_ever(
    kept: Strikes, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.strike(BAD, "late", "6.18")
    monkeypatch.setattr(strikes, "BUSY_S", 0.1)
    with open(f"{kept.path}.lock") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(AutotuneError, match="another autotune has been writing"):
            kept.strike(BAD, "late", "6.18")
        assert len(kept.reasons(BAD)) == 1  # who only reads waits for nobody


def test_a_change_that_cannot_be_finished_leaves_the_old_file(kept: Strikes, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.strike(BAD, "late", "6.18")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for _ in range(3):
        with pytest.raises(AutotuneError, match=r"No space left on device.*free some space"):
            kept.strike(BAD, "late again", "6.18")
    assert [strike.reason for strike in kept.reasons(BAD)] == ["late"]
    assert sorted(path.name for path in kept.path.parent.iterdir()) == ["canary.json", "canary.json.lock"]
