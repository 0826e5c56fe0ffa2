# SPDX-License-Identifier: MIT
"""Which mirror the machine's own archive is, and that only what Debian signed is taken from it."""

from __future__ import annotations

import shutil
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
