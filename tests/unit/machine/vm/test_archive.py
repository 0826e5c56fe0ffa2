# SPDX-License-Identifier: MIT
"""Which mirror the machine's own archive is."""

from __future__ import annotations

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
