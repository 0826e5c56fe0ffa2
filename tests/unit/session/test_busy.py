# SPDX-License-Identifier: MIT
"""What is said of a machine before a session adds its own work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autotune.measure import surroundings
from autotune.report import sentences
from autotune.session import busy

CPUS = sorted(os.sched_getaffinity(0))
IDLE = "0.10 0.1 0.1 1/99 7"


class Fake:
    """A /proc and a /sys that change while they are watched, in a second that takes no time."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proc, self.cpus = place / "proc", place / "cpu"
        self._now_s = 100.0
        monkeypatch.setattr("autotune.measure.surroundings.time.monotonic", lambda: self._now_s)
        monkeypatch.setattr("autotune.session.busy.time.sleep", lambda _s: self._later())
        self._then: Callable[[], None] = lambda: None
        (self.proc / "pressure").mkdir(parents=True)

    def now(
        self,
        *,
        load: str = IDLE,
        waited: float = 0.0,
        used: int = 0,
        stolen: int = 0,
        hot: int | None = None,
        cap: int | None = None,
    ) -> None:
        """`used` and `stolen` are ticks of each CPU."""
        (self.proc / "loadavg").write_text(load)
        (self.proc / "pressure" / "cpu").write_text(f"some avg10={waited:.2f} avg60=0.00 avg300=0.00 total=1\n")
        lines = [f"cpu{number} {used} 0 0 80 0 0 0 {stolen} 0 0" for number in CPUS]
        (self.proc / "stat").write_text("\n".join(["cpu 1 2 3 4 5 6 7 8 9 10", *lines, "ctxt 7"]) + "\n")
        for number in CPUS:
            self._write(number, "thermal_throttle/core_throttle_count", hot)
            self._write(number, "cpufreq/cpuinfo_max_freq", 4_000_000 if cap else None)
            self._write(number, "cpufreq/scaling_max_freq", cap)

    def _write(self, cpu: int, name: str, value: int | None) -> None:
        if value is not None:
            path = self.cpus / f"cpu{cpu}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")

    def a_second_later(self, then: Callable[[], None]) -> busy.MachineBefore:
        self._then = then
        return busy.watch(self.proc, self.cpus)

    def _later(self) -> None:
        self._now_s += 1.0
        self._then()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return Fake(tmp_path, monkeypatch)


def test_more_work_than_the_cpus_can_do_is_warned_of(fake: Fake) -> None:
    load = f"{len(CPUS) + 0.5:.2f} 3.0 1.0 9/99 7"
    fake.now(load=load)
    seen = fake.a_second_later(lambda: fake.now(load=load, used=90, waited=60.0))
    assert seen.warning is not None
    assert seen.warning.startswith(f"{sentences.BUSY}: load {len(CPUS) + 0.5:.1f} on {len(CPUS)} CPU")
    assert "tasks waited for a CPU 60% of the last 10 s" in seen.warning
    assert "--budget" in seen.warning


def test_the_load_that_the_last_session_left_is_none(fake: Fake) -> None:
    """A load average is that of a minute, and two sessions in a row are usual."""
    load = f"{len(CPUS) + 2.0:.2f} 3.0 1.0 1/99 7"
    fake.now(load=load)
    assert fake.a_second_later(lambda: fake.now(load=load, used=3)).warning is None


@pytest.mark.parametrize(
    ("later", "says"),
    [
        ({"stolen": 20}, "20% of CPU time went to other virtual machines"),
        ({"hot": 6}, "CPUs are too hot and slowed down"),
        ({"cap": 2_000_000}, "CPUs are capped at 50% of their frequency"),
    ],
)
def test_what_slows_cpus_down_is_warned_of(fake: Fake, later: dict[str, int], says: str) -> None:
    fake.now(hot=5, cap=4_000_000)
    seen = fake.a_second_later(lambda: fake.now(**{"hot": 5, "cap": 4_000_000} | later))  # type: ignore[arg-type]
    assert seen.warning is not None
    assert says in seen.warning
    assert seen.warning.startswith(sentences.CAUTIONS)


def test_a_machine_with_room_is_not_warned_of(fake: Fake, tmp_path: Path) -> None:
    fake.now(hot=5, cap=4_000_000, stolen=7)
    just_full = f"{len(CPUS)}.00 2.0 2.0 3/99 7"
    seen = fake.a_second_later(lambda: fake.now(load=just_full, waited=20.0, hot=5, cap=4_000_000, stolen=8))
    assert seen.warning is None
    assert busy.watch(tmp_path / "nothing", tmp_path / "is known").warning is None


def test_what_others_use_is_known_as_a_number_of_cpus(fake: Fake) -> None:
    fake.now()
    seen = fake.a_second_later(lambda: fake.now(used=50))
    assert seen.others_cpus == pytest.approx(0.5 * len(CPUS))


def test_a_process_of_our_own_is_nobody_else() -> None:
    spin = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        before = surroundings.own_cpu_s(os.getpid())
        busy.watch(watched_s=0.5)
        after = surroundings.own_cpu_s(os.getpid())
    finally:
        spin.kill()
        spin.wait()
    assert before is not None
    assert after is not None
    assert after > before
