# SPDX-License-Identifier: MIT
"""Settings, state, catalogues and manifests that are not what they should be: the program goes on, or says one line.

That nobody reads such files in a way of their own is held by tests/contract/test_readers. Damaged databases, seals and
strikes are in the tests of their modules.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from autotune import config, reading, secrecy
from autotune.errors import AutotuneError, UsageError
from autotune.knowledge import projects
from autotune.knowledge.store import Knowledge
from autotune.lease import applied
from autotune.machine.vm import kernels
from autotune.machine.vm.kvm import KvmResults
from autotune.planner.claude import cost, transcript
from autotune.records import Seal
from autotune.schedext.catalogue import custom, origin
from autotune.schedext.catalogue.catalog import Catalog
from autotune.views import listing, repository
from tests.support.every_command import COMMANDS, Ended, Surroundings, run

DEEP = 100_000
SEAL = Seal("mine", "s", "o", clang="19", gates="1", kernel="6.18")

# --- what may be in a file's place ---


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def terminal(path: Path) -> None:
    path.symlink_to("/dev/tty")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(path.parent)  # the path of a socket is short
        server.bind(path.name)
        os.chdir(here)


def directory(path: Path) -> None:
    path.mkdir()


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 300 << 20)


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def circle(path: Path) -> None:
    path.symlink_to(path.name)


def content(data: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(data)

    return make


NO_FILES = [fifo, link_to_a_fifo, endless, terminal, listening, directory, huge, dangling, circle]
TEXTS = {
    "empty": b"",
    "NUL": b"a\0b",
    "all NUL": bytes(5000),
    "Latin-1": "budget = '10m' # gr\u00fc\u00dfe".encode("latin-1"),
    "UTF-16": "budget = '10m'\n".encode("utf-16"),
    "deep brackets": b"[" * DEEP,
    "deep objects": b'{"a":' * DEEP,
    "deep and closed": b"[" * DEEP + b"]" * DEEP,
    "many quotes": b'"' * DEEP,
    "a huge number": b"1" * DEEP,
    "not a number": b"NaN",
    "a list": b"[1, 2]",
    "a text": b'"text"',
    "null": b"null",
    "a truth value": b"true",
    "of others": b'{"format": [], "version": {}, "schedulers": 7, "pid": "x", "key": null}',
    "lists of nothing": b'{"format": 1, "schedulers": [null, 1, "x", [], {}], "models": [], "as_of": 1}',
}
CONTENTS = {name: content(data) for name, data in TEXTS.items()}
EVERYTHING = [*NO_FILES, *CONTENTS.values()]
IDS = [*(make.__name__ for make in NO_FILES), *CONTENTS]
strange = pytest.mark.parametrize("make", EVERYTHING, ids=IDS)


# --- the one way to read ---


def said_by(read: Callable[[Path], object], path: Path) -> str | None:
    """What is said of a file that is refused, None for one that is read. Any other exception is raised."""
    try:
        read(path)
    except OSError as error:
        return str(error.strerror)
    except (UsageError, ValueError) as error:
        return str(error)
    return None


@strange
def test_a_file_is_read_or_refused_in_words(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "file")
    for read in (reading.data, reading.text, reading.json_of):
        words = said_by(read, tmp_path / "file")
        assert words is None or 0 < len(words) < 500


def test_a_growing_file_is_read_as_far_as_its_bound() -> None:
    with pytest.raises(OSError, match="it is larger than 0 KiB"):
        reading.data(Path("/proc/self/status"), most_bytes=100)  # of which the kernel says that it is empty


def test_a_link_is_followed_only_where_the_caller_wants_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    (tmp_path / "link").symlink_to("file")
    assert reading.json_of(tmp_path / "link") == {}
    with pytest.raises(OSError, match="it is a link"):
        reading.json_of(tmp_path / "link", follow=False)


def test_brackets_in_texts_are_no_depth() -> None:
    assert reading.parsed_json(json.dumps(["[" * 1000, '\\"[[' * 100])) == ["[" * 1000, '\\"[[' * 100]
    with pytest.raises(ValueError, match="nested too deeply"):
        reading.parsed_json("[" * 65 + "]" * 65)


# --- settings ---


def loaded(cwd: Path, environ: dict[str, str] | None = None) -> config.Settings:
    return config.load({}, cwd=cwd, environ=environ or {}, config_dir=cwd / "none")


@strange
def test_a_strange_dotenv_ends_no_command_with_more_than_a_line(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / ".env")
    words = said_by(loaded, tmp_path)
    assert words is None if make is not huge else words and words.startswith(".env ")
    assert secrecy.dotenv_keys(tmp_path) == {}


@strange
def test_a_strange_settings_file_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "autotune.toml")
    if make in (dangling, CONTENTS["empty"]):
        assert loaded(tmp_path) == config.Settings()
        return
    with pytest.raises(UsageError, match=r"\./autotune\.toml"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    "data", ["\ufeffAUTOTUNE_BUDGET=3m\n", "AUTOTUNE_BUDGET=3m\r\nOTHER=x\r\n", "OTHER=gr\udcfc\nAUTOTUNE_BUDGET=3m"]
)
def test_marks_line_ends_and_odd_bytes_of_others_change_no_setting(tmp_path: Path, data: str) -> None:
    (tmp_path / ".env").write_bytes(data.encode("utf-8", "surrogateescape"))
    assert loaded(tmp_path).budget == 180
    (tmp_path / ".env").unlink()
    (tmp_path / "autotune.toml").write_bytes(b'\xef\xbb\xbfbudget = "3m"\r\n')
    assert loaded(tmp_path).budget == 180


@pytest.mark.parametrize("line", ["AUTOTUNE_BUDGET='3m", "AUTOTUNE_BUDGET 3m = x", 'export AUTOTUNE_CPUS="2'])
def test_a_line_of_ours_that_cannot_be_parsed_is_named_and_logged_by_nobody(
    tmp_path: Path, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text(f"OTHER='x\n{line}\n")
    with pytest.raises(UsageError, match=r"^\.env: the line of (export )?(AUTOTUNE_\w+)? ?cannot be parsed|no setting"):
        loaded(tmp_path)
    assert capfd.readouterr() == ("", "")


# --- names that are no settings, and values that nobody needs ---


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("AUTOTUNE_BUGDET", "AUTOTUNE_BUDGET"),
        ("AUTOTUNE_MAXCOST", "AUTOTUNE_MAX_COST"),
        ("AUTOTUNE_max_cost", "AUTOTUNE_MAX_COST"),
        ("AUTOTUNE_MAX_COSTS", "AUTOTUNE_MAX_COST"),
        ("autotune_max_cost", "AUTOTUNE_MAX_COST"),
        ("Autotune_Budget", "AUTOTUNE_BUDGET"),
        ("AUTOTUNEBUDGET", "AUTOTUNE_BUDGET"),
        ("AUTOTUNE_MODELURL", "AUTOTUNE_MODEL_URL"),
        ("AUTOTUNE_MODEL_KY", "AUTOTUNE_MODEL_KEY"),
        ("AUTOTUNE_MODELKEY", "AUTOTUNE_MODEL_KEY"),
        ("AUTOTUNE_ZZZ", ""),
        ("AUTOTUNE_", ""),
    ],
)
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_misspelt_variable_is_named_with_the_one_that_was_meant(
    tmp_path: Path, name: str, near: str, place: str
) -> None:
    environ = {name: "3m"} if place == "environment" else {}
    if place == ".env":
        (tmp_path / ".env").write_text(f"{name}=3m\n")
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path, environ)
    origin = name if place == "environment" else f"{name} in .env"
    assert caught.value.message == f"{origin} is no setting of autotune"
    assert caught.value.hint.startswith(f"did you mean {near}?" if near else "docs/SETTINGS.md lists them all")


def test_variables_of_ours_that_are_no_settings_are_known(tmp_path: Path) -> None:
    environ = {"AUTOTUNE_DEBUG": "1", "AUTOTUNE_REQUIRE_VM": "1", "AUTOTUNE_BUGDET": "", "MY_AUTOTUNE_X": "1"}
    assert loaded(tmp_path, environ) == config.Settings()


def ended(name: str, cwd: Path, env: dict[str, str | None] | None = None) -> Ended:
    own = {"XDG_STATE_HOME": str(cwd / "s"), "XDG_CONFIG_HOME": str(cwd / "c"), **(env or {})}
    done = run(COMMANDS[name], Surroundings(str(cwd), own))
    assert not done.fault, done
    return done


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["AUTOTUNE_BUDGET=soon", "AUTOTUNE_BUGDET=3m", "AUTOTUNE_SCHEDULER_DIRS=/opt"])
def test_a_bad_value_breaks_only_who_needs_it_and_doctor_names_it(tmp_path: Path, wrong: str) -> None:
    (tmp_path / ".env").write_text(wrong + "\n")
    for name in ("--help", "schedulers", "schedulers show", "stop"):
        assert ended(name, tmp_path).code == 0, name
    session = ended("cc", tmp_path)
    assert session.code == 2
    assert f"{wrong.split('=')[0]} in .env" in session.err
    doctor = ended("doctor", tmp_path)
    assert doctor.code in (0, 4)
    assert f"{wrong.split('=')[0]} in .env" in " ".join(doctor.out.split())


@pytest.mark.slow
def test_doctor_names_everything_that_is_wrong_at_once(tmp_path: Path) -> None:
    (tmp_path / "autotune.toml").write_text('buget = 1\ncpus = "many"\nmodel = "x"\n')
    fifo(tmp_path / ".env")
    out = " ".join(ended("doctor", tmp_path, {"AUTOTUNE_SEED": "x"}).out.split())
    for part in ("buget in ./autotune.toml is no setting", "cpus in ./autotune.toml: 'many'", "AUTOTUNE_SEED: 'x'"):
        assert part in out
    assert ".env cannot be read: it is not a regular file" in out
    assert "model in ./autotune.toml is not taken from a project" in out


# --- state, catalogues, manifests ---


@strange
def test_a_strange_catalogue_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "schedulers.json")
    with pytest.raises(AutotuneError, match=r"^schedulers\.json"):
        Catalog.load(tmp_path / "schedulers.json")


@strange
def test_a_strange_manifest_is_no_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (kernels.store() / "6.18").mkdir(parents=True)
    make(kernels.store() / "6.18" / kernels.MANIFEST)
    assert kernels.installed() == []


@pytest.mark.parametrize("name", ["version", "image", "modules", "headers", "libbpf", "unpacked", "qemu", "config"])
@pytest.mark.parametrize("value", [5, [], {}, True, None, ["6", "18"], {"a": 1}])
def test_a_manifest_with_a_value_of_another_kind_is_no_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = kernels.store() / "6.18"
    (place / "modules").mkdir(parents=True)
    (place / "image").touch()
    whole = {key: key for key in ("version", "image", "modules", "headers", "libbpf", "config")}
    whole |= {"version": "6.18", "format": kernels.FORMAT}  # type: ignore[dict-item]
    (place / kernels.MANIFEST).write_text(json.dumps({**whole, name: value}))
    found = kernels.installed()
    assert not found or (value is None and name in ("unpacked", "qemu"))
    (place / kernels.MANIFEST).write_text(json.dumps(whole))
    assert len(kernels.installed()) == 1


@strange
def test_strange_state_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    applied.path().parent.mkdir()
    make(applied.path())
    assert applied.current() is None
    make(tmp_path / "kvm.json") if not (tmp_path / "kvm.json").exists() else None
    assert KvmResults(applied.path()).recall("6.18", "/qemu") is None


@pytest.mark.parametrize("wrong", [{"pid": "1"}, {"pid": True}, {"pid": 1 << 70}, {"started": None}, {"boot": []}])
def test_a_record_with_a_value_of_another_kind_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    applied.path().parent.mkdir()
    whole = {"pid": 1, "started": 1, "boot": "b", "candidate": "x", "ops": "x", "since": 1.0, "enable_seq": 1}
    applied.path().write_text(json.dumps({**whole, **wrong}))
    assert applied.current() is None


@strange
@pytest.mark.parametrize("name", [custom.ENTRY, custom.SEAL])
def test_a_strange_scheduler_of_ones_own_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], name: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    place = custom.directory() / "mine"
    place.mkdir(parents=True)
    first = json.loads(Catalog.load().schedulers[0].model_dump_json(exclude_defaults=True))
    seal = dict.fromkeys(("name", "source_sha256", "object_sha256", "clang", "gates", "kernel", "token"), "x")
    for file, good in ((custom.ENTRY, {**first, "name": "custom:mine"}), (custom.SEAL, seal)):
        if file != name:
            (place / file).write_text(json.dumps(good))
    make(place / name)
    with pytest.raises(AutotuneError, match=r"is damaged|no generated scheduler"):
        custom.load("mine")
    assert custom.entries() == []


@strange
def test_a_strange_origin_and_strange_claims_of_ones_own_are_as_good_as_none(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    for name in (custom.ORIGIN, custom.CLAIMS, f"{custom.REPORTS}.json"):
        make(tmp_path / name) if make is not link_to_a_fifo else fifo(tmp_path / name)
    one = custom.Custom(tmp_path, None, None, origin.read(tmp_path))  # type: ignore[arg-type]
    assert one.origin == origin.Origin()
    proof = list(listing.proof(SEAL, custom.read_reports(one), width=80))
    claims = list(repository._claims(custom.read_claims(one), width=80))
    assert all(len(line) < 200 for line in (*proof, *claims))


@pytest.mark.parametrize(
    "reports",
    [
        [1, 2],
        [{"gate": "load", "numbers": 5}],
        [{"gate": "load", "took_s": "x"}],
        [{"gate": "load", "findings": [3]}],
        [{"gate": "behaviour", "numbers": {"loads": {"x": {"scheduler": {"tasks": [1]}}}}}],
        [{}],
    ],
    ids=str,
)
def test_reports_of_gates_that_were_edited_are_said_to_be_unreadable(reports: list[Any]) -> None:
    lines = list(listing.proof(SEAL, reports, width=80))
    assert lines[-1] == "  What they measured cannot be read any more."


@strange
def test_a_strange_repository_is_no_project(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / ".git")
    assert projects.project_of(str(tmp_path)) == ""
    (tmp_path / "other/.git").mkdir(parents=True)
    make(tmp_path / "other/.git/config")
    assert projects.project_of(str(tmp_path / "other")) == ""


@strange
def test_files_that_the_user_names_are_refused_in_one_line(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "file"
    make(path)
    with pytest.raises(UsageError, match=str(path)):
        cost.load(path)
    with contextlib.suppress(UsageError):  # a torn last line is left out, and so may be the only one
        assert list(transcript.read(path)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fifo", "endless", "huge", "deep brackets", "of others"])
def test_files_that_the_user_names_on_the_command_line_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "at_x.bpf.c"
    EVERYTHING[IDS.index(name)](path)
    own: dict[str, str | None] = {"XDG_STATE_HOME": str(tmp_path / "s")}
    for argv in (
        ("export", "scx-loader", "--from", str(path)),
        ("replay", str(path)),
        ("schedulers", "verify", str(path), "--entry", str(path)),
        ("schedulers", "import", str(path)),
        ("schedulers", "import", "--look", str(path)),
        ("history", "import", str(path)),
        ("mcp", "--http", "127.0.0.1:0", "--token-file", str(path)),
        ("cc", "--dry-run", "--prices", str(path), "--planner", "claude", "true"),
        ("cc", "--prices", str(path), "--model-url", "http://127.0.0.1:9/v1", "--model", "m", "true"),
    ):
        done = run(argv, Surroundings(str(tmp_path), own))
        assert not done.fault, (argv, done)
        assert done.code == 2, (argv, done)


@pytest.mark.parametrize("make", [fifo, endless, directory, circle])
def test_a_knowledge_store_that_is_no_file_is_an_error_of_the_store(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "history.sqlite3")
    with Knowledge(tmp_path / "history.sqlite3") as knowledge, pytest.raises(AutotuneError) as caught:
        knowledge.newest_in("/")
    assert caught.value.stage == "history"


# --- anything ---

NAMES = st.sampled_from(sorted(key.variable for key in config.ALL.values()))
ANY = st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
LINES = st.lists(st.tuples(NAMES, ANY).map(lambda pair: pair[0].encode() + b"=" + pair[1]) | ANY, max_size=5)
KEYS = st.lists(
    st.tuples(st.sampled_from(sorted(config.ALL)), ANY).map(lambda pair: pair[0].encode() + b" = " + pair[1]) | ANY,
    max_size=5,
)
slowly = settings(suppress_health_check=list(HealthCheck), deadline=None)


@slowly
@given(dotenv=LINES, toml=KEYS)
@example(dotenv=[b"AUTOTUNE_BUDGET=\xff"], toml=[])
@example(dotenv=[], toml=[b"a" * 70 + b".a" * 900 + b" = 1"])
def test_whatever_is_in_settings_the_only_error_is_about_usage(
    tmp_path_factory: pytest.TempPathFactory, dotenv: list[bytes], toml: list[bytes]
) -> None:
    cwd = tmp_path_factory.mktemp("any")
    (cwd / ".env").write_bytes(b"\n".join(dotenv))
    (cwd / "autotune.toml").write_bytes(b"\n".join(toml))
    said_by(loaded, cwd)
    list(config.problems(cwd, {}, cwd / "none"))
    secrecy.dotenv_keys(cwd)


FIELDS = st.sampled_from(["schedulers", "name", "kind", "knobs", "ops", "program", "modes", "description"])
TREES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(FIELDS | st.text(), inner),
)


@pytest.mark.slow
@settings(slowly, max_examples=30)
@given(TREES)
def test_whatever_is_in_a_catalogue_the_only_error_is_ours(
    tmp_path_factory: pytest.TempPathFactory, found: Any
) -> None:
    path = tmp_path_factory.mktemp("any") / "schedulers.json"
    for value in (found, {"schedulers": found}, {"schedulers": [found]}):
        path.write_text(json.dumps(value))
        with pytest.raises(AutotuneError):
            Catalog.load(path)


WORDS = st.sampled_from([
    "cc", "prompt", "replay", "export", "schedulers", "list", "show", "verify", "remove", "check", "stop", "--dry-run",
    "--planner", "offline", "--machine", "vm", "host", "--budget", "--cpus", "--memory", "--input", "--json",
    "--metric", "--goal", "min", "--scheduler", "at_fifo", "at_fifo:slice_us=1", "--prepare", "--setup", "--seed", "1",
    "-", "--", "-i", "-h", "true", ".", "/dev/null", "/dev/zero", "fifo", "9999999999999999999999", "-1", "1e9", "("
])  # fmt: skip
ODD = st.text(st.characters(exclude_characters="\0", exclude_categories=()), max_size=20)


@pytest.mark.slow
@settings(slowly, max_examples=40)
@given(st.lists(WORDS | ODD, max_size=8))
@example(["cc", "--dry-run", "--input", "fifo", "true"])
def test_whatever_is_typed_there_is_never_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    """Only what starts nothing: `install`, `setup` and `apply` are left out, and each session is a dry run."""
    cwd = tmp_path_factory.mktemp("typed")
    os.mkfifo(cwd / "fifo")
    words = ["--dry-run" if word == "prompt" else word for word in words]
    argv = [*words[:1], "--dry-run", *words[1:]] if words[:1] == ["cc"] else words
    done = run(argv, Surroundings(str(cwd), {"XDG_STATE_HOME": str(cwd / "s")}))
    assert not done.fault, (argv, done)
