# SPDX-License-Identifier: MIT
"""Finding the program of a scheduler: where it is looked for, and whom it must not belong to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autotune import config
from autotune.errors import AutotuneError, UsageError
from autotune.schedext.catalogue.catalog import Scheduler
from autotune.schedext.programs import binaries
from autotune.schedext.programs.binaries import Places
from tests.support import scx_programs

GOOD = scx_programs.entry()


def stored(store: Path, version: str) -> Path:
    return scx_programs.put(store / "scx_good" / version, "scx_good")


def test_places_are_looked_at_in_order(tmp_path: Path) -> None:
    names = ("configured", "path", "distribution")
    configured, path, distribution = ((tmp_path / name,) for name in names)
    places = Places(configured, path, distribution, stores=(tmp_path / "store",))
    stored(tmp_path / "store", "1.2.3")
    for name in names:
        scx_programs.put(tmp_path / name, "scx_good")
    for name, origin in zip(names, ("configured", "PATH", "distribution"), strict=True):
        found = binaries.find(GOOD, places=places)
        assert found is not None
        assert (found.path, found.origin) == (tmp_path / name / "scx_good", origin)
        found.path.unlink()
    found = binaries.find(GOOD, places=places)
    assert found is not None
    assert (found.origin, found.path) == ("store", tmp_path / "store/scx_good/1.2.3/scx_good")


def test_what_is_nowhere_is_not_found_and_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    assert binaries.find(GOOD, places=scx_programs.only(tmp_path, tmp_path / "nonesuch")) is None
    error = binaries.absent(GOOD)
    assert error.message == "scx_good is not installed"
    assert error.hint == "autotune schedulers install scx_good (or install your distribution's scx-scheds)"


@pytest.mark.parametrize("entry", [scx_programs.entry(language="c"), scx_programs.entry(version=None)])
def test_what_cannot_be_built_is_got_from_the_distribution_only(entry: Scheduler) -> None:
    assert binaries.how_to_get(entry) == "install your distribution's scx-scheds"


def test_in_the_store_the_one_installed_last_wins_then_the_catalogues_then_the_newest(tmp_path: Path) -> None:
    def version() -> str:
        found = binaries.find(GOOD, places=scx_programs.only(stores=[tmp_path]))
        assert found is not None
        return found.path.parent.name

    for number in ("1.10.0", "1.9.0"):
        stored(tmp_path, number)
    assert version() == "1.10.0"
    stored(tmp_path, "1.2.3")
    assert version() == "1.2.3"
    (tmp_path / "scx_good/current").symlink_to("1.9.0")
    assert version() == "1.9.0"
    (tmp_path / "scx_good/1.9.0/scx_good").unlink()
    assert version() == "1.2.3"


def test_what_is_no_program_is_passed_over_for_one_that_is(tmp_path: Path) -> None:
    (tmp_path / "a/scx_good").mkdir(parents=True)
    scx_programs.put(tmp_path / "b", "scx_good").chmod(0o644)
    scx_programs.put(tmp_path / "c", "scx_good")
    found = binaries.find(GOOD, places=scx_programs.only(tmp_path / "a", tmp_path / "b", tmp_path / "c"))
    assert found is not None
    assert found.path == tmp_path / "c/scx_good"


@pytest.mark.parametrize("what", ["directory", "not executable", "dangling link", "fifo"])
def test_what_is_there_and_no_program_is_reported(tmp_path: Path, what: str) -> None:
    path = tmp_path / "scx_good"
    if what == "directory":
        path.mkdir()
    elif what == "not executable":
        scx_programs.put(tmp_path, "scx_good").chmod(0o644)
    elif what == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("nonesuch")
    problem = {"not executable": "is not executable", "dangling link": "No such file"}.get(
        what, "is not a regular file"
    )
    with pytest.raises(AutotuneError, match=problem) as caught:
        binaries.find(GOOD, places=scx_programs.only(tmp_path))
    assert str(path) in caught.value.message
    assert "autotune schedulers install scx_good" in caught.value.hint


# --- trust ---


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
@pytest.mark.parametrize("place", ["bin/scx_good", "bin", "."])
def test_what_others_could_change_is_refused(tmp_path: Path, mode: int, place: str) -> None:
    top = tmp_path / "top"
    scx_programs.put(top / "bin", "scx_good")
    (top / place).chmod(mode)
    if mode == 0o775:
        _give_to_a_foreign_group(top / place)
    with pytest.raises(AutotuneError, match=r"would run as root, but .* can be written by others") as caught:
        binaries.find(GOOD, places=scx_programs.only(top / "bin"))
    assert caught.value.hint == f"chmod go-w {top / place}"


def _give_to_a_foreign_group(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to a group of others")
    os.chown(path, 0, 65534)


def test_an_untrusted_one_is_not_passed_over(tmp_path: Path) -> None:
    """Whoever put it before the good one would otherwise only be noticed when the good one goes."""
    scx_programs.put(tmp_path / "a", "scx_good").chmod(0o777)
    scx_programs.put(tmp_path / "b", "scx_good")
    with pytest.raises(AutotuneError, match="can be written by others"):
        binaries.find(GOOD, places=scx_programs.only(tmp_path / "a", tmp_path / "b"))


def test_a_link_leads_to_what_is_judged(tmp_path: Path) -> None:
    real = scx_programs.put(tmp_path / "real", "scx_good")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/scx_good").symlink_to(real)
    found = binaries.find(GOOD, places=scx_programs.only(tmp_path / "bin"))
    assert found is not None
    assert found.path == real
    real.parent.chmod(0o777)
    with pytest.raises(AutotuneError, match="can be written by others"):
        binaries.find(GOOD, places=scx_programs.only(tmp_path / "bin"))


def test_a_link_in_a_directory_of_others_is_refused(tmp_path: Path) -> None:
    real = scx_programs.put(tmp_path / "real", "scx_good")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/scx_good").symlink_to(real)
    (tmp_path / "bin").chmod(0o777)
    with pytest.raises(AutotuneError, match="can be written by others"):
        binaries.find(GOOD, places=scx_programs.only(tmp_path / "bin"))


def test_a_sticky_directory_on_the_way_is_fine(tmp_path: Path) -> None:
    scx_programs.put(tmp_path / "open/bin", "scx_good")
    (tmp_path / "open").chmod(0o1777)
    assert binaries.find(GOOD, places=scx_programs.only(tmp_path / "open/bin")) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(scx_programs.put(tmp_path, "scx_good"), 12345, 0)
    with pytest.raises(AutotuneError, match="it belongs to user 12345"):
        binaries.find(GOOD, places=scx_programs.only(tmp_path))


# --- the places of this machine ---


def test_relative_entries_of_path_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"PATH": f".::bin:{tmp_path}/bin:{tmp_path}/bin", "HOME": str(tmp_path)}
    assert binaries.here(environ).path == (tmp_path / "bin",)


def test_directories_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scx_programs.put(tmp_path / "b", "scx_good")
    environ = {"PATH": "/nonesuch", "HOME": str(tmp_path), "AUTOTUNE_SCHEDULER_DIRS": f"{tmp_path}/a:{tmp_path}/b"}
    found = binaries.find(GOOD, places=binaries.here(environ))
    assert found is not None
    assert (found.origin, found.path.parent) == ("configured", tmp_path / "b")


@pytest.mark.parametrize(("file", "text"), [
    ("autotune.toml", 'scheduler_dirs = ["{0}/bin"]'),
    (".env", "AUTOTUNE_SCHEDULER_DIRS={0}/bin"),
])  # fmt: skip
def test_a_project_cannot_say_which_programs_run_as_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / file).write_text(text.format(tmp_path))
    scx_programs.put(tmp_path / "bin", "scx_good")
    environ = {"HOME": str(tmp_path), "PATH": "/nonesuch"}
    assert binaries.find(GOOD, places=binaries.here(environ)) is None
    with pytest.raises(UsageError, match="not taken from a project: it decides which programs run as root") as caught:
        config.load({}, cwd=tmp_path, environ=environ)  # a session says so
    assert "AUTOTUNE_SCHEDULER_DIRS" in caught.value.hint
