# SPDX-License-Identifier: MIT
"""`autotune schedulers`: what is here, whether it is what the catalogue says, and how it is installed."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autotune import resources
from autotune.schedext.catalogue.catalog import Scheduler
from autotune.schedext.programs import binaries
from autotune.schedext.programs.binaries import Binary
from tests.support import scx_programs
from tests.support.command_line import ROOT, error_of, run


@pytest.fixture(autouse=True)
def bin_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is installed but what a test puts here; nothing is kept of other tests."""
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(binaries, "DISTRIBUTION", ())
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("AUTOTUNE_SCHEDULER_DIRS", str(tmp_path / "bin"))
    return tmp_path / "bin"


@pytest.fixture
def small_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a catalogue of programs that play schedulers."""

    def write(*entries: Scheduler) -> None:
        data = {"schedulers": [one.model_dump(mode="json") for one in entries]}
        path = tmp_path / "schedulers.json"
        path.write_text(json.dumps(data))
        monkeypatch.setattr(resources, "schedulers_json", lambda: path)

    write(scx_programs.entry())
    return write


def here(*arguments: str) -> dict[str, Any]:
    """What `list --json` says about each scheduler's presence."""
    return {one["name"]: one["here"] for one in json.loads(run("schedulers", *arguments, "--json").stdout)}


# --- list and show ---


def test_bare_and_list_and_install_list_are_the_same() -> None:
    listed = run("schedulers", "list")
    assert listed.exit_code == 0
    assert "scx_lavd" in listed.stdout
    assert run("schedulers").stdout == listed.stdout == run("schedulers", "install", "--list").stdout
    assert here() == here("list")


def test_what_is_absent_is_shown_as_absent_with_the_command_that_gets_it(small_catalogue: Callable[..., None]) -> None:
    small_catalogue(scx_programs.entry(), scx_programs.entry("scx_c", language="c"))
    found = here()
    assert found["scx_good"]["found"] is None
    assert found["scx_good"]["get"].startswith("autotune schedulers install scx_good")
    assert found["scx_c"]["get"] == "install your distribution's scx-scheds"
    assert "autotune schedulers install" in run("schedulers").stdout
    assert "autotune schedulers install scx_good" in run("schedulers", "show", "scx_good").stdout


@pytest.mark.usefixtures("small_catalogue")
def test_what_is_here_is_listed_with_version_and_origin(bin_dir: Path) -> None:
    path = scx_programs.put(bin_dir, "scx_good")
    assert here()["scx_good"] == {
        "found": "configured", "version": "1.2.3", "path": str(path), "get": None, "problem": None,
    }  # fmt: skip
    assert "configured" in run("schedulers", "show", "scx_good").stdout


def test_ours_are_built_in() -> None:
    assert here()["at_fifo"]["found"] == "built in"


def test_one_that_cannot_be_trusted_is_reported_and_the_others_are_listed(
    small_catalogue: Callable[..., None], bin_dir: Path
) -> None:
    small_catalogue(scx_programs.entry(), scx_programs.entry("scx_c", language="c", version_option=None))
    scx_programs.put(bin_dir, "scx_c")
    scx_programs.put(bin_dir, "scx_good").chmod(0o777)
    listed = run("schedulers")
    assert listed.exit_code == 0
    assert "scx_c" in listed.stdout
    assert "scx_good would run as root, but it can be written by others" in error_of(listed)
    assert here()["scx_good"]["found"] == "unusable"


def test_a_program_that_hangs_is_listed_without_a_version(
    small_catalogue: Callable[..., None], bin_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autotune.schedext.programs import inventory

    monkeypatch.setattr(inventory, "LIST_ANSWER_S", 0.3)
    small_catalogue(scx_programs.entry("scx_hangs"))
    scx_programs.put(bin_dir, "scx_hangs")
    assert here()["scx_hangs"]["version"] == "unknown"


# --- check ---


@pytest.mark.usefixtures("small_catalogue")
def test_check_finds_no_difference_where_there_is_none(bin_dir: Path) -> None:
    scx_programs.put(bin_dir, "scx_good")
    checked = run("schedulers", "check")
    assert checked.exit_code == 0
    assert "scx_good 1.2.3" in checked.stdout
    assert "no differences" in checked.stdout


@pytest.mark.usefixtures("small_catalogue")
def test_check_tells_each_difference_and_exits_with_1(bin_dir: Path) -> None:
    path = scx_programs.put(bin_dir, "scx_good")
    path.write_text(
        path.read_text().replace("[default: 1000]", "[default: 2000]").replace("--keep-local", "--leave-local")
    )
    checked = run("schedulers", "check", "scx_good")
    assert checked.exit_code == 1
    written = checked.stdout.splitlines()
    assert written[0].endswith("the catalogue describes 1.2.3: 3 differences")
    assert written[1:] == [
        "  --slice-us is 2000 by default; the catalogue says 1000",
        "  --leave-local is not in the catalogue: Keeps tasks where they are",
        "  --keep-local (knob keep_local) is not an option of the program",
    ]
    (as_json,) = json.loads(run("schedulers", "check", "--json").stdout)
    assert [one["kind"] for one in as_json["differences"]] == ["default", "new", "gone"]
    assert (as_json["version"], as_json["catalogue_version"]) == ("1.2.3", "1.2.3")


@pytest.mark.usefixtures("small_catalogue")
def test_check_takes_absence_for_no_error() -> None:
    assert run("schedulers", "check").exit_code == 0
    named = run("schedulers", "check", "scx_good")
    assert named.exit_code == 0
    assert "scx_good: not installed (autotune schedulers install scx_good" in named.stdout


def test_check_never_queries_one_that_must_not_be_queried(small_catalogue: Callable[..., None], bin_dir: Path) -> None:
    small_catalogue(scx_programs.entry("scx_never", help="never", version_option=None))
    scx_programs.put(bin_dir, "scx_never")
    checked = run("schedulers", "check")
    assert checked.exit_code == 0
    assert "its options must not be queried" in checked.stdout


def test_check_names_what_is_no_scheduler(small_catalogue: Callable[..., None], bin_dir: Path) -> None:
    small_catalogue(scx_programs.entry("scx_stranger"))
    scx_programs.put(bin_dir, "scx_stranger")
    checked = run("schedulers", "check")
    assert checked.exit_code == 1
    assert "its help text cannot be read" in checked.stdout


# --- install ---


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("scx_lavdd",), "no scheduler is called 'scx_lavdd'. Did you mean 'scx_lavd'?"),
        (("scx_simple",), "scx_simple is written in C. Install your distribution's scx-scheds"),
        (("scx_mitosis",), "scx_mitosis is not on crates.io. Install your distribution's scx-scheds"),
        (("at_fifo",), "at_fifo needs no installing"),
        (("scx_lavd", "--version", "newest"), "'newest' is not a version"),
        (("scx_lavd", "scx_rusty", "--version", "1.0.0"), "--version is for one scheduler"),
        ((), "no scheduler is named"),
    ],
)
def test_what_cannot_be_installed_is_a_usage_error(arguments: tuple[str, ...], problem: str) -> None:
    result = run("schedulers", "install", *arguments)
    assert result.exit_code == 2
    assert problem in error_of(result)


def test_what_is_missing_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    result = run("schedulers", "install", "scx_lavd")
    assert result.exit_code == 1
    assert "cargo 1.91 or later" in error_of(result)
    assert "rustup.rs" in error_of(result)
    assert not (tmp_path / "XDG_DATA_HOME").exists()


PRETEND_CARGO = """#!/bin/sh
case "$1" in --version) echo "cargo 1.95.0"; exit ;; esac
while [ $# -gt 1 ]; do [ "$1" = --root ] && root=$2; shift; done
echo "   Compiling libfirst v1.0.0" >&2
printf '    Building [=>   ] 1/3: libfirst, libother\\r' >&2
sleep 1.2
case "$1" in *c@*) echo "error: no luck with $1" >&2; exit 101 ;; esac
mkdir -p "$root/bin" && cp {programs}/scx_good "$root/bin/scx_good" && chmod 755 "$root/bin/scx_good"
"""


@pytest.fixture
def pretend_tools(bin_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cargo that takes a second, and whatever else is looked for."""
    bin_dir.mkdir(exist_ok=True)
    tools = {
        "cargo": PRETEND_CARGO.replace("{programs}", str(scx_programs.PROGRAMS)),
        "rustc": "#!/bin/sh\necho rustc 1.95.0\n",
    }
    for name in ("cc", "make", "pkg-config", "clang-19"):
        tools[name] = "#!/bin/sh\nexit 0\n"
    tools["ldconfig"] = "#!/bin/sh\necho libclang.so\n"
    for name, text in tools.items():
        (bin_dir / name).write_text(text)
        (bin_dir / name).chmod(0o755)
    monkeypatch.delenv("CARGO_TARGET_DIR", raising=False)
    monkeypatch.delenv("SUDO_UID", raising=False)


@pytest.mark.slow
@pytest.mark.usefixtures("pretend_tools", "small_catalogue")
def test_a_build_tells_its_progress_in_plain_lines_and_ends_in_the_store(tmp_path: Path) -> None:
    result = run("schedulers", "install", "good", "scx_good", "good")  # one scheduler, however it is named
    assert result.exit_code == 0, result.stderr
    first, *_, last = result.stdout.splitlines()
    assert first.startswith("scx_good 1.2.3: ")
    assert last.startswith("scx_good 1.2.3 was built in ")
    assert last.endswith(str(tmp_path / "XDG_DATA_HOME/autotune/schedulers/scx_good/1.2.3/scx_good"))
    assert "\r" not in result.stdout
    assert here()["scx_good"]["found"] == "store"
    assert "is installed already" in run("schedulers", "install", "scx_good").stdout


@pytest.mark.slow
@pytest.mark.usefixtures("pretend_tools")
def test_one_that_fails_stops_no_other(small_catalogue: Callable[..., None]) -> None:
    small_catalogue(scx_programs.entry("scx_c"), scx_programs.entry())
    result = run("schedulers", "install", "scx_c", "scx_good")
    assert result.exit_code == 1
    assert "scx_c 1.2.3 could not be built: no luck with scx_c@1.2.3" in error_of(result)
    assert here()["scx_good"]["found"] == "store"
    assert here()["scx_c"]["found"] is None


@pytest.mark.slow
@pytest.mark.usefixtures("pretend_tools")
def test_at_a_terminal_progress_stays_on_one_line(tmp_path: Path) -> None:
    write = "from autotune import resources; from pathlib import Path; resources.schedulers_json = lambda: Path({!r})"
    catalogue = tmp_path / "schedulers.json"
    catalogue.write_text(json.dumps({"schedulers": [scx_programs.entry().model_dump(mode="json")]}))
    program = f"{write.format(str(catalogue))}; from autotune import cli; cli.main()"
    master, slave = pty.openpty()
    argv = [sys.executable, "-c", program, "schedulers", "install", "scx_good"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True)
    os.close(slave)
    said = b""
    try:
        while chunk := os.read(master, 4096):
            said += chunk
    except OSError:  # the other side is gone
        pass
    os.close(master)
    assert child.wait(60) == 0
    text = said.decode()
    assert "1 of 3 crates" in text
    assert text.count("\r\n") == 1
    assert "scx_good 1.2.3 was built in" in text.split("\x1b[2K")[-1]


# --- the real ones ---


@pytest.mark.built
@pytest.mark.slow
def test_real_schedulers_are_what_the_catalogue_says(built_schedulers: dict[str, Binary], bin_dir: Path) -> None:
    bin_dir.mkdir()
    for name, binary in built_schedulers.items():
        shutil.copy2(binary.path, bin_dir / name)
    checked = run("schedulers", "check", *built_schedulers, "--json")
    assert checked.exit_code == 0, checked.stdout
    for one in json.loads(checked.stdout):
        assert one["compared"]
        assert one["version"].startswith(one["catalogue_version"])


@pytest.mark.built
@pytest.mark.slow
def test_a_setting_that_a_real_scheduler_does_not_have_is_refused_with_the_nearest(
    built_schedulers: dict[str, Binary], tmp_path: Path
) -> None:
    from autotune.errors import UsageError
    from autotune.schedext.catalogue.catalog import Catalog
    from autotune.schedext.catalogue.knobs import Knob
    from autotune.schedext.programs import options

    real = Catalog.load().get("scx_bpfland")
    wrong = Knob(name="slice_usec", type="integer", description="x", flag="--slice-usec")
    entry = real.model_copy(update={"knobs": (*real.knobs, wrong)})
    with pytest.raises(UsageError, match=r"scx_bpfland .* has no option --slice-usec, .* \(near: --slice-us") as caught:
        options.check_settings(entry, built_schedulers["scx_bpfland"], {"slice_usec": 5}, cache=tmp_path / "cache")
    assert "the catalogue describes version" in caught.value.hint
