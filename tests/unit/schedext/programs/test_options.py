# SPDX-License-Identifier: MIT
"""What a found program says about its options: read without privileges, bounded, cached, and compared with settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import AutotuneError, UsageError
from autotune.records import Candidate
from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.schedext.catalogue.knobs import Knob
from autotune.schedext.programs import binaries, options, unprivileged
from autotune.schedext.resolve import CatalogResolver
from tests.support import scx_programs

ROOT = Path(__file__).parents[4]
GOOD = scx_programs.entry()
PATIENCE_S = 0.5
"""For programs that never answer."""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def good(tmp_path: Path) -> binaries.Binary:
    return scx_programs.binary(tmp_path / "bin", "scx_good")


# --- running without privileges ---


def test_a_program_tells_its_version_and_options(good: binaries.Binary, cache: Path) -> None:
    said = options.options_of(good, GOOD, cache=cache)
    assert said.version == "1.2.3"
    assert said.options is not None
    assert [one.flag for one in said.options][:3] == ["--slice-us", "--mode", "--keep-local"]
    assert said.find("-s") is said.find("--slice-us") is not None


def test_a_help_that_comes_as_an_error_is_read_all_the_same(tmp_path: Path, cache: Path) -> None:
    found = scx_programs.binary(tmp_path / "bin", "scx_error_help")
    said = options.options_of(found, scx_programs.entry("scx_error_help", help="stderr", help_exit=255), cache=cache)
    assert said.find("--slice-us") is not None
    unforeseen = options.options_of(found, scx_programs.entry("scx_error_help"), cache=tmp_path / "other")
    assert unforeseen == said


def test_a_c_program_is_queried_by_its_short_option(tmp_path: Path, cache: Path) -> None:
    found = scx_programs.binary(tmp_path / "bin", "scx_c")
    said = options.options_of(found, scx_programs.entry("scx_c", language="c", version_option=None), cache=cache)
    assert said.version is None
    assert said.options is not None
    assert [one.flag for one in said.options] == ["-s", "-c", "-f", "-v", "-h"]


def test_one_that_must_not_be_queried_is_not(tmp_path: Path, cache: Path) -> None:
    scx_programs.put(tmp_path / "scx_never/1.2.3", "scx_never")
    never = scx_programs.entry("scx_never", help="never", version_option=None)
    found = binaries.find(never, places=scx_programs.only(stores=[tmp_path]))
    assert found is not None
    started = time.monotonic()
    assert options.check_settings(never, found, {}, cache=cache) == options.ProgramOptions("1.2.3", None)
    assert time.monotonic() - started < unprivileged.ANSWER_S


def test_it_runs_without_privileges_in_an_environment_of_ours(
    good: binaries.Binary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET_TOKEN", "do-not-tell")
    said = unprivileged.run(good, "--who").stdout
    uid, groups, *rest = said.splitlines()
    assert int(uid) == (unprivileged.NOBODY if os.geteuid() == 0 else os.geteuid())
    assert groups.split() == [str(unprivileged.NOBODY)] or os.geteuid() != 0
    assert "NoNewPrivs:\t1" in rest
    assert "CapEff:\t0000000000000000" in rest
    assert "do-not-tell" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is more than the user who asked")
def test_under_sudo_it_runs_as_the_invoking_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    somebody = next((one for one in pwd.getpwall() if one.pw_uid not in (0, unprivileged.NOBODY)), None)
    assert somebody is not None
    monkeypatch.setenv("SUDO_UID", str(somebody.pw_uid))
    said = unprivileged.run(scx_programs.binary(tmp_path / "bin", "scx_good"), "--who").stdout
    assert said.splitlines()[:2] == [str(somebody.pw_uid), str(somebody.pw_gid)]


def test_root_of_a_namespace_of_its_own_queries_too(good: binaries.Binary) -> None:
    """As in a container without privileges, where there is nobody else to be."""
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from typing import Any
from autotune.schedext.programs import binaries, unprivileged
print(unprivileged.run(binaries.at(Path({str(good.path)!r}), "configured"), "--version").stdout)
"""
    unshare = ["unshare", "--user", "--map-root-user"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody have a user namespace")
    done = subprocess.run([*unshare, sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("scx_good 1.2.3"), done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read what nobody else can")
def test_one_that_only_root_may_read_is_not_run_as_root(tmp_path: Path, cache: Path) -> None:
    scx_programs.put(tmp_path, "scx_good").chmod(0o700)
    found = binaries.at(tmp_path / "scx_good", "configured")
    with pytest.raises(AutotuneError) as caught:
        options.options_of(found, GOOD, cache=cache)
    assert "a user without privileges" in caught.value.message
    assert caught.value.hint.startswith(f"chmod a+rx {tmp_path}/scx_good")


def test_a_file_that_was_changed_since_it_was_found_is_not_run(good: binaries.Binary) -> None:
    good.path.write_text("#!/bin/sh\necho another\n")
    with pytest.raises(AutotuneError, match="was changed just now"):
        unprivileged.run(good, "--version")


# --- programs that are none ---


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("scx_stranger", "no line that begins with 'Usage:'"),
        ("scx_noise", "no line that begins with 'Usage:'"),
        ("scx_no_options", "no options"),
        ("scx_crashes", "no line that begins with 'Usage:'"),
        ("scx_reads", "no line that begins with 'Usage:'"),
        ("scx_hangs", "run with --help, it did not end within 0.5 s"),
        ("scx_leaves_child", "run with --help, it did not end within 0.5 s"),
        ("scx_endless", "run with --help, it wrote more than 1024 KiB"),
    ],
)
def test_a_program_that_tells_no_options_is_named_with_what_to_do(
    tmp_path: Path, cache: Path, name: str, problem: str
) -> None:
    found = scx_programs.binary(tmp_path / "bin", name)
    patience_s = PATIENCE_S if "within" in problem else unprivileged.ANSWER_S
    with pytest.raises(AutotuneError) as caught:
        options.options_of(found, scx_programs.entry(name), cache=cache, answer_s=patience_s)
    assert problem in caught.value.message
    assert str(found.path) in caught.value.message
    assert "remove it" in caught.value.hint
    assert not list(cache.glob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scx_hangs", "scx_leaves_child", "scx_endless"])
def test_nothing_of_it_runs_on(tmp_path: Path, name: str) -> None:
    unprivileged.run(scx_programs.binary(tmp_path, name), "--help", answer_s=PATIENCE_S)
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 600" not in listed
    assert "yes Usage: scx_endless" not in listed


def test_one_that_cannot_be_started_is_reported(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "scx_good").write_bytes(b"\x7fELF but not really")
    (tmp_path / "scx_good").chmod(0o755)
    with pytest.raises(AutotuneError, match="cannot be started: Exec format error"):
        options.options_of(binaries.at(tmp_path / "scx_good", "configured"), GOOD, cache=cache)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("scx_lavd 1.1.4 x86_64-unknown-linux-gnu\n", "1.1.4"),
        ("scx_p2dq: 1.1.4 x86_64-unknown-linux-gnu\n", "1.1.4"),
        ("RustLand version 1.1.4 x86_64 - core 2.4.15\n", "1.1.4"),
        ("\nscx_rusty: 1.0.9-g1a2b3c4-dirty x86_64\n", "1.0.9-g1a2b3c4-dirty"),
        ("hello", None),
        ("", None),
        ("no version here\n1.2.3", None),
    ],
)
def test_a_version_is_found_in_what_is_printed(said: str, version: str | None) -> None:
    assert options.version_in(said) == version


# --- what is kept ---


def test_it_is_queried_once(good: binaries.Binary, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = options.options_of(good, GOOD, cache=cache)
    monkeypatch.setattr(unprivileged, "run", None)
    assert options.options_of(good, GOOD, cache=cache) == first


@pytest.mark.first
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"key": 1, "help": "Usage: x"}', b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_read_anew(good: binaries.Binary, cache: Path, damage: bytes) -> None:
    first = options.options_of(good, GOOD, cache=cache)
    (kept,) = cache.glob("*.json")
    kept.write_bytes(damage)
    assert options.options_of(good, GOOD, cache=cache) == first
    assert json.loads(kept.read_text())["version"] == "1.2.3"


def test_another_program_at_the_same_path_is_queried_again(good: binaries.Binary, cache: Path) -> None:
    options.options_of(good, GOOD, cache=cache)
    good.path.write_text(good.path.read_text().replace("1.2.3", "1.3.0").replace("--keep-local", "--leave-local"))
    said = options.options_of(binaries.at(good.path, "configured"), GOOD, cache=cache)
    assert said.version == "1.3.0"
    assert said.find("--keep-local") is None


def test_a_cache_that_cannot_be_written_costs_only_time(good: binaries.Binary, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert options.options_of(good, GOOD, cache=tmp_path / "file/cache").version == "1.2.3"


# --- settings against the program ---


def test_settings_that_the_program_has_pass(good: binaries.Binary, cache: Path) -> None:
    options.check_settings(GOOD, good, {"slice_us": 500, "mode": "kind", "keep_local": True}, cache=cache)


def with_knob(**knob: Any) -> Scheduler:
    wrong = Knob(**{"name": "wrong", "type": "integer", "description": "x", **knob})
    return scx_programs.entry(knobs=(*scx_programs.GOOD_KNOBS, wrong))


@pytest.mark.parametrize(
    ("knob", "value", "problem"),
    [
        ({"flag": "--slice-usec"}, 1, "has no option --slice-usec, which knob 'wrong' needs (near: --slice-us)"),
        ({"flag": "--quite-else"}, 1, "has no option --quite-else, which knob 'wrong' needs"),
        ({"flag": "--keep-local"}, 1, "option --keep-local takes no value, unlike in the catalogue"),
        (
            {"flag": "--slice-us", "type": "boolean", "takes_value": False},
            True,
            "option --slice-us takes a value, unlike",
        ),
        ({"flag": "--mode", "type": "string"}, "slow", "option --mode does not take 'slow'"),
    ],
)
def test_settings_that_the_program_does_not_have_are_refused(
    good: binaries.Binary, cache: Path, knob: dict[str, Any], value: bool | int | str, problem: str
) -> None:
    with pytest.raises(UsageError) as caught:
        options.check_settings(with_knob(**knob), good, {"wrong": value}, cache=cache)
    assert problem in caught.value.message
    assert f"scx_good 1.2.3 ({good.path})" in caught.value.message
    assert caught.value.hint


def test_what_is_not_given_is_not_missed(good: binaries.Binary, cache: Path) -> None:
    entry = with_knob(flag="--gone", type="boolean", takes_value=False)
    options.check_settings(entry, good, {"wrong": False}, cache=cache)
    options.check_settings(entry, good, {}, cache=cache)


def test_an_option_that_help_hides_is_believed(good: binaries.Binary, cache: Path) -> None:
    knob = Knob(name="secret", type="integer", description="x", flag="--secret")
    options.check_settings(scx_programs.entry(knobs=(knob,), hidden=("--secret",)), good, {"secret": 1}, cache=cache)


def test_an_argument_that_is_always_given_must_be_there_too(good: binaries.Binary, cache: Path) -> None:
    with pytest.raises(UsageError, match="has no option --no-web, which it is always given"):
        options.check_settings(scx_programs.entry(arguments=("--no-web",)), good, {}, cache=cache)


# --- from a candidate to what is attached ---


def resolver(tmp_path: Path, *schedulers: Scheduler) -> CatalogResolver:
    return CatalogResolver(None, Catalog(schedulers or [GOOD]), places=scx_programs.only(tmp_path / "bin"))


def test_a_candidate_becomes_a_program_with_its_arguments(
    good: binaries.Binary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    spec = resolver(tmp_path)(Candidate("scx_good", (("keep_local", True), ("slice_us", 500))))
    assert spec.ops == "good"
    assert not spec.partial
    assert spec.program is not None
    assert spec.program.argv == (str(good.path), "--slice-us=500", "--keep-local")
    found = good.path.stat()
    assert (spec.program.size_bytes, spec.program.mtime_ns) == (found.st_size, found.st_mtime_ns)


def test_a_program_that_is_absent_is_an_error_that_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(AutotuneError, match="scx_good is not installed") as caught:
        resolver(tmp_path)(Candidate("scx_good"))
    assert "autotune schedulers install scx_good" in caught.value.hint


@pytest.mark.usefixtures("good")
def test_partial_is_a_knob_like_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    knob = Knob(name="partial", type="boolean", description="x", flag="--keep-local", takes_value=False)
    spec = resolver(tmp_path, scx_programs.entry(knobs=(knob,)))(Candidate("scx_good", (("partial", True),)))
    assert spec.partial
