# SPDX-License-Identifier: MIT
"""Building schedulers from crates: with the real cargo, from a registry in a directory that holds crates of a few
lines."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autotune.errors import AutotuneError, BusyError, UsageError
from autotune.schedext.catalogue.catalog import Scheduler
from autotune.schedext.programs import binaries, crates, needs
from autotune.schedext.programs.cargo import BuildProgress
from tests.support import scx_programs

pytestmark = pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
ROOT = Path(__file__).parents[4]
TELLS = 'fn main() { println!("scx_good %s", env!("CARGO_PKG_VERSION")); }'
SILENT = "fn main() {}"
BROKEN = "fn main() { this is no Rust }"
WAITS = 'fn main() { std::fs::write("/proc/self/comm", "waiting").unwrap(); loop { std::thread::park(); } }'
GOOD = scx_programs.entry(version="1.2.3")


class Registry:
    """Stands for crates.io, for the cargo that a test runs: crates in a directory, no network."""

    def __init__(self, home: Path) -> None:
        self.crates = home / "crates"
        self.crates.mkdir(parents=True)
        (home / "config.toml").write_text(
            f'[source.crates-io]\nreplace-with = "here"\n[source.here]\ndirectory = "{self.crates}"\n'
        )

    def publish(
        self, main: str, *, name: str = "scx_good", version: str = "1.2.3", build: str = "", program: str = ""
    ) -> None:
        crate = self.crates / f"{name}-{version}"
        (crate / "src").mkdir(parents=True)
        target = f'[[bin]]\nname = "{program or name}"\npath = "src/main.rs"\n'
        package = f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2021"\n'
        files = {
            "Cargo.toml": package + target,
            "Cargo.lock": f'version = 3\n[[package]]\nname = "{name}"\nversion = "{version}"\n',
            "src/main.rs": main.replace("%s", "{}"),
        }
        if build:
            files["build.rs"] = build
        for path, text in files.items():
            (crate / path).write_text(text)
        sums = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in files.items()}
        (crate / ".cargo-checksum.json").write_text(json.dumps({"files": sums, "package": None}))


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    for name, where in (("XDG_DATA_HOME", "data"), ("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache")):
        monkeypatch.setenv(name, str(tmp_path / where))
    monkeypatch.delenv("CARGO_TARGET_DIR", raising=False)
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "cargo"))
    monkeypatch.setenv("RUSTUP_HOME", os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup")))
    monkeypatch.setenv("BPF_CLANG", "clang")
    return Registry(tmp_path / "cargo")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "data/autotune/schedulers"


def install(
    scheduler: Scheduler = GOOD, version: str = "1.2.3", heard: list[BuildProgress] | None = None
) -> crates.Installed:
    with crates.opened_store() as store:
        return crates.install(scheduler, version, store, (heard if heard is not None else []).append)


def version_found(places: binaries.Places) -> str:
    found = binaries.find(GOOD, places=places)
    assert found is not None
    return found.path.parent.name


def in_store(store: Path) -> list[str]:
    """All that is there but the lock."""
    return sorted(str(path.relative_to(store)) for path in store.rglob("*") if path.name != ".lock")


# --- what goes well ---


@pytest.mark.slow
def test_a_crate_becomes_a_program_in_the_store_and_is_found(registry: Registry, store: Path) -> None:
    registry.publish(TELLS)
    heard: list[BuildProgress] = []
    done = install(heard=heard)
    assert done.binary.path == store / "scx_good/1.2.3/scx_good"
    assert done.build_s is not None
    assert heard
    program = "scx_good/1.2.3/scx_good"
    assert in_store(store) == ["scx_good", "scx_good/1.2.3", program, f"{program}.sha256", "scx_good/current"]
    found = binaries.find(GOOD, places=scx_programs.only(stores=[store]))
    assert found is not None
    assert found == done.binary
    said = subprocess.run([found.path], capture_output=True, text=True, check=True).stdout
    assert said == "scx_good 1.2.3\n"
    os.truncate(found.path, found.size_bytes // 2)
    assert install().build_s is not None, "what was cut short is built anew"
    assert subprocess.run([found.path], capture_output=True, text=True, check=True).stdout == said


@pytest.mark.slow
def test_the_version_installed_last_is_the_one_in_use_without_building_twice(registry: Registry, store: Path) -> None:
    for version in ("1.2.3", "1.1.0"):
        registry.publish(TELLS, version=version)
        install(version=version)
    places = scx_programs.only(stores=[store])
    assert version_found(places) == "1.1.0"
    assert install(version="1.2.3").build_s is None
    assert version_found(places) == "1.2.3"


def test_nobody_else_may_write_what_was_installed_whatever_the_mask(registry: Registry, store: Path) -> None:
    registry.publish(TELLS)
    before = os.umask(0)
    try:
        done = install()
    finally:
        os.umask(before)
    for path in (done.binary.path, done.binary.path.parent, store / "scx_good", store):
        assert path.stat().st_mode & 0o022 == 0


def test_a_project_cannot_configure_the_build(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.publish(TELLS)
    project = tmp_path / "project"
    (project / ".cargo").mkdir(parents=True)
    (project / ".cargo/config.toml").write_text('[build]\nrustc = "/nonesuch"\n')
    monkeypatch.chdir(project)
    assert install().build_s is not None


# --- what does not ---


def test_a_crate_that_does_not_compile_leaves_nothing_and_names_the_log(registry: Registry, store: Path) -> None:
    registry.publish(BROKEN)
    with pytest.raises(AutotuneError, match=r"scx_good 1.2.3 could not be built: expected one of") as caught:
        install()
    assert in_store(store) == []
    log = crates.log_path(GOOD, "1.2.3")
    assert str(log) in caught.value.hint
    assert "this is no Rust" in log.read_text()


@pytest.mark.slow
def test_a_failed_build_leaves_the_installed_version_alone(registry: Registry, store: Path) -> None:
    registry.publish(TELLS)
    registry.publish(BROKEN, version="2.0.0")
    install()
    with pytest.raises(AutotuneError):
        install(version="2.0.0")
    assert version_found(scx_programs.only(stores=[store])) == "1.2.3"


def test_a_program_that_does_not_tell_its_version_is_not_kept(registry: Registry, store: Path) -> None:
    registry.publish(SILENT)
    with pytest.raises(AutotuneError, match="was built, but does not print its version: it prints nothing"):
        install()
    assert in_store(store) == []


def test_one_that_must_not_be_queried_is_kept_without(registry: Registry) -> None:
    registry.publish(SILENT)
    assert install(scx_programs.entry(help="never", version_option=None)).binary.path.is_file()


def test_a_crate_without_the_program_is_not_kept(registry: Registry, store: Path) -> None:
    registry.publish(TELLS, program="scx_other")
    with pytest.raises(AutotuneError, match="brings no program scx_good"):
        install()
    assert in_store(store) == []


def test_a_version_that_does_not_exist_is_reported(registry: Registry) -> None:
    registry.publish(TELLS)
    with pytest.raises(UsageError, match=r"crates.io has no scx_good 9.9.9"):
        install(version="9.9.9")


@pytest.mark.usefixtures("registry")
def test_a_registry_that_cannot_be_reached_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cargo/config.toml").unlink()
    for name in ("https_proxy", "HTTPS_PROXY", "CARGO_HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("CARGO_NET_RETRY", "0")
    with pytest.raises(AutotuneError, match=r"could not be built: crates.io cannot be reached") as caught:
        install()
    assert "check the network" in caught.value.hint


def test_a_store_that_others_could_change_is_refused_before_anything_is_built(registry: Registry, store: Path) -> None:
    registry.publish(TELLS)
    store.mkdir(parents=True)
    store.chmod(0o777)
    with pytest.raises(AutotuneError, match="can be written by others"):
        install()


@pytest.mark.usefixtures("registry")
def test_one_install_at_a_time() -> None:
    with crates.opened_store(), pytest.raises(BusyError, match="another install is running"), crates.opened_store():
        pass
    with crates.opened_store():
        pass


@pytest.mark.usefixtures("registry")
def test_what_a_killed_install_left_is_removed_by_the_next(store: Path) -> None:
    (store / ".draft-abc/root").mkdir(parents=True)
    with crates.opened_store():
        assert in_store(store) == []


INSTALL = """
import sys
sys.path[:0] = [{root!r}]
from tests.support import scx_programs as played
from autotune import signals
from autotune.schedext.programs import crates
with signals.as_interrupts(), crates.opened_store() as store:
    crates.install(played.entry(version="1.2.3"), "1.2.3", store, lambda progress: print("going", flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_build_leaves_nothing_in_the_store_and_nothing_running(
    registry: Registry, store: Path, number: signal.Signals
) -> None:
    registry.publish(TELLS, build=WAITS)
    argv = [sys.executable, "-c", INSTALL.format(root=str(ROOT))]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: _running("waiting"))
        child.send_signal(number)
        assert child.wait(60) != 0
    finally:
        child.kill()
        child.communicate()
    assert not _running("waiting")
    assert in_store(store) == []
    shutil.rmtree(registry.crates / "scx_good-1.2.3")
    registry.publish(TELLS)
    assert install().build_s is not None


def _running(comm: str) -> bool:
    """Not counting what ended and waits for its parent to look."""
    listed = subprocess.run(["ps", "-eo", "stat,comm"], capture_output=True, text=True, check=True).stdout
    return any(line.split()[1] == comm for line in listed.splitlines() if not line.startswith("Z"))


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_full_disk_is_reported_and_leaves_nothing(registry: Registry, tmp_path: Path) -> None:
    """On a real file system of 200 KiB, in a mount namespace of the test's own."""
    registry.publish(TELLS)
    (tmp_path / "data").mkdir()
    (tmp_path / "cache").mkdir()
    mounts = " && ".join(f"mount -t tmpfs -o size=200k none {tmp_path}/{name}" for name in ("data", "cache"))
    script = f'{mounts} && "$0" -c "$1"; echo "left: $(ls {tmp_path}/data/autotune/schedulers)"'
    try_it = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*try_it, mounts], capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a file system of his own")
    argv = [*try_it, script, sys.executable, INSTALL.format(root=str(ROOT))]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert "the disk is full" in done.stderr
    assert "make room in" in done.stderr
    assert done.stdout.splitlines()[-1] == "left: "


# --- before it starts ---


@pytest.mark.parametrize(
    ("scheduler", "asked", "problem"),
    [
        (scx_programs.entry(language="c"), None, "is written in C"),
        (scx_programs.entry(version=None), None, "is not on crates.io"),
        (GOOD, "latest", "'latest' is not a version"),
        (GOOD, "1.2", "'1.2' is not a version"),
        (GOOD, "1.2.3 --git https://example.org", "is not a version"),
        (GOOD, "--root=/", "is not a version"),
    ],
)
def test_what_cannot_be_built_is_refused(scheduler: Scheduler, asked: str | None, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        crates.version_of(scheduler, asked)


def test_the_version_is_the_catalogues_unless_another_is_requested() -> None:
    assert crates.version_of(GOOD) == "1.2.3"
    assert crates.version_of(GOOD, "2.0.0-rc.1") == "2.0.0-rc.1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is under sudo")
def test_under_sudo_it_says_that_building_needs_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1")
    with pytest.raises(UsageError, match="building needs no root"):
        crates.refuse_sudo()
    monkeypatch.setenv("SUDO_UID", "0")
    crates.refuse_sudo()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A PATH on which every tool is there and good; a test takes some away, or makes them say something else."""

    def tool(name: str, says: str = "", code: int = 0) -> None:
        path = tmp_path / "tools" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
        path.chmod(0o755)

    for name, says in (
        ("cargo", "cargo 1.95.0"),
        ("rustc", "rustc 1.95.0"),
        ("clang-19", ""),
        ("ldconfig", "libclang"),
    ):
        tool(name, says)
    for name in ("cc", "make", "pkg-config"):
        tool(name)
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    return tool


def missing(*schedulers: Scheduler) -> list[str]:
    return [need.what for need in needs.needs(schedulers or [GOOD])]


@pytest.mark.usefixtures("tools")
def test_nothing_is_missing_where_all_is_there() -> None:
    assert missing() == []
    needs.require([GOOD])


def test_an_old_rust_is_reported_with_the_least_version(tools: Callable[..., None]) -> None:
    tools("cargo", "cargo 1.63.0")
    tools("rustc", "rustc 1.63.0 (Debian)")
    assert missing() == ["cargo 1.91 or later (this is 1.63)", "rustc 1.91 or later (this is 1.63)"]


def test_headers_are_looked_up_by_pkg_config_and_seccomp_only_where_it_is_needed(tools: Callable[..., None]) -> None:
    tools("pkg-config", code=1)
    assert missing() == ["the headers of libelf", "the headers of zlib"]
    assert missing(scx_programs.entry("scx_rustland")) == [
        f"the headers of {name}" for name in ("libelf", "zlib", "libseccomp")
    ]


def test_all_that_is_missing_is_named_at_once_with_the_line_that_gets_it(
    tools: Callable[..., None], tmp_path: Path
) -> None:
    tools("pkg-config", code=1)
    for name in ("cargo", "rustc", "make"):
        (tmp_path / "tools" / name).unlink()
    with pytest.raises(AutotuneError) as caught:
        needs.require([GOOD])
    for what in ("cargo 1.91 or later", "make", "the headers of libelf"):
        assert what in caught.value.message
    assert caught.value.hint == f"sudo apt-get install make libelf-dev zlib1g-dev and {needs.RUSTUP}"
