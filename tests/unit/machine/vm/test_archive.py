# SPDX-License-Identifier: MIT
"""Which mirror the machine's own archive is, that only what Debian signed is taken, and the end of its tools."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autotune.errors import FetchError
from autotune.machine.vm import archive
from autotune.machine.vm.archive import Archive, mirror_in_targets, mirror_in_uris


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


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("apt-get") is None or not archive.KEYRING.exists(), reason="needs Debian's apt")
@pytest.mark.parametrize("signature", ["none", "not Debian's"])
def test_a_mirror_that_is_not_signed_by_debian_is_refused_and_the_network_is_not_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signature: str
) -> None:
    """A real one, in a directory, by the real apt."""
    for suite in archive.SUITES:
        place = tmp_path / "mirror/dists" / suite
        (place / "main/binary-amd64").mkdir(parents=True)
        (place / "main/binary-amd64/Packages").touch()
        (place / "Release").write_text(f"Origin: Debian\nSuite: {suite}\nCodename: {suite}\nComponents: main\n")
        if signature != "none":
            (place / "Release.gpg").write_text("-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n")
    monkeypatch.setattr(archive, "mirror", lambda: f"file:{tmp_path}/mirror")
    (tmp_path / "root").mkdir()
    with pytest.raises(FetchError, match="cannot be trusted") as error:
        Archive(tmp_path / "root").update()
    assert "network" not in str(error.value.hint)
    assert "\n" not in str(error.value)


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
