# SPDX-License-Identifier: MIT
"""`autotune schedulers`: what people type to verify, list, show and remove schedulers of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autotune.canary.strikes import Strikes
from autotune.knowledge.store import Knowledge
from autotune.machine.vm import healing
from autotune.verify import findings, gates
from tests.support.command_line import ROOT, error_of, run
from tests.support.generated_schedulers import kept, session_with

NUMBERS = {
    "loads": {
        "equal_hogs": {
            "scheduler": {
                "jain": 0.998,
                "watched_s": 2.5,
                "tasks": [{"longest_wait_s": 0.02}, {"longest_wait_s": 0.04}],
            },
            "eevdf": {"jain": 0.99, "watched_s": 2.5, "tasks": [{"longest_wait_s": 0.03}]},
        }
    }
}


def test_what_passed_is_listed_with_the_others_and_can_be_shown() -> None:
    reports = [findings.GateReport("behaviour", numbers=NUMBERS, took_s=41.0)]
    kept("mine", reports=reports)
    assert "custom:mine" in run("schedulers", "list").stdout
    assert "custom:mine" in run("schedulers").stdout
    shown = run("schedulers", "show", "mine").stdout
    for piece in (
        "Keeps builders happy.",
        "slice_us",
        "Proven on Linux 6.18.15",
        "behaviour (41.0 s)",
    ):
        assert piece in shown
    assert "equal_hogs: longest_wait_s 0.04 (EEVDF 0.03), jain 0.998 (EEVDF 0.99)" in " ".join(shown.split())
    assert "autotune cc --scheduler custom:mine" in shown
    written = json.loads(run("schedulers", "show", "custom:mine", "--json").stdout)
    assert written["name"] == "custom:mine"
    assert written["seal"]["token"] == "kept"
    assert written["reports"][0]["gate"] == "behaviour"


def test_why_it_was_detached_is_shown_with_it() -> None:
    one = kept("mine")
    Strikes().strike(one.seal.object_sha256, "wake-up latency: 412 ms, limit 250 ms", "6.18.15")
    assert "Detached on Linux 6.18.15: wake-up latency: 412 ms" in run("schedulers", "show", "mine").stdout


@pytest.mark.first
@pytest.mark.parametrize("words", [("list",), ("show", "mine"), ("show", "at_fifo"), ("check", "at_fifo")])
def test_the_old_noun_is_an_alias_that_help_does_not_show(words: tuple[str, ...]) -> None:
    kept("mine")
    new, old = run("schedulers", *words), run("scheduler", *words)
    assert (old.exit_code, old.stdout) == (new.exit_code, new.stdout)
    commands = [line.split()[1] for line in run("--help").stdout.splitlines() if line.startswith("│ ")]
    assert "schedulers" in commands
    assert "scheduler" not in commands


def test_one_that_is_damaged_is_reported_as_such_and_not_as_unknown() -> None:
    (kept("mine").directory / "seal.json").write_text("{")
    for name in ("mine", "custom:mine"):
        result = run("schedulers", "show", name)
        assert (result.exit_code, "is damaged" in error_of(result)) == (1, True)


def test_scx_may_be_left_out_of_a_name_of_ones_own_too() -> None:
    kept(name="scx_mine")
    for name in ("mine", "scx_mine", "custom:mine", "custom:scx_mine"):
        assert "autotune cc --scheduler custom:scx_mine" in run("schedulers", "show", name).stdout, name
    assert run("schedulers", "remove", "mine").stdout == "Removed scx_mine.\n"
    assert run("schedulers", "remove", "scx_mine").exit_code == 2


def test_what_is_removed_is_gone() -> None:
    kept("mine")
    assert run("schedulers", "remove", "custom:mine").stdout == "Removed mine.\n"
    result = run("schedulers", "remove", "mine")
    assert result.exit_code == 2
    assert "no generated scheduler is called 'mine'" in error_of(result)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.c", b"", "does not end in .bpf.c"),
        ("none.bpf.c", None, "No such file"),
        ("Big-Name.bpf.c", b"", "cannot be a scheduler's name"),
        ("x.bpf.c", b"\xff\xfe", "is not UTF-8 text"),
        ("x.bpf.c", b" " * (1 << 21), "is larger than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_taken_is_one_line(name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    result = run("schedulers", "verify", name)
    assert result.exit_code == 2
    assert said in error_of(result)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"description": "' + "x" * 101 + '"}', "description"),
        ('{"colour": "red"}', "colour"),
        ('{"knobs": [{"name": "a"}]}', "knobs.0"),
    ],
)
def test_an_entry_that_cannot_be_is_one_line(entry: str, said: str) -> None:
    Path("x.bpf.c").write_text("")
    Path("x.json").write_text(entry)
    result = run("schedulers", "verify", "x.bpf.c", "--entry", "x.json")
    assert result.exit_code == 2
    assert said in error_of(result)


@pytest.mark.bpf
def test_a_source_that_a_gate_stops_is_reported_line_by_line_and_is_exit_code_1() -> None:
    """With nothing but a parser: no machine is booted for what the first gate stops."""
    Path("lost.bpf.c").write_text('#include "at.h"\n\nint x = y;\n')
    result = run("schedulers", "verify", "lost.bpf.c")
    assert result.exit_code == 1, result.stderr
    assert "Gate 1 of 4, source" in result.stdout
    assert "3:9: " in result.stdout
    (kept_at,) = (line for line in result.stdout.splitlines() if line.startswith("The whole report: "))
    whole = json.loads(Path(kept_at.removeprefix("The whole report: ")).read_text())
    assert [report["gate"] for report in whole["reports"]] == ["source"]
    assert result.stdout.splitlines()[-1] == "lost was stopped at gate 'source'."
    written = json.loads(run("schedulers", "verify", "lost.bpf.c", "--json").stdout)
    assert (written["passed"], written["reports"][0]["gate"]) == (False, "source")


def test_what_a_terminal_cannot_show_appears_as_an_escape() -> None:
    program = "from autotune.commands.printing import print_lines; print_lines(['caf\\u00e9'])"
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environ)
    assert done.stdout == b"caf\\xe9\n"


# --- the library: standing, differences, bundles ---


def test_own_schedulers_are_listed_with_their_standing_and_shown_with_what_came_of_them() -> None:
    one = kept("mine")
    with Knowledge() as knowledge:
        knowledge.record(session_with(one, "faster", id="0a1b2c3d"))
    listed = run("schedulers", "list", "--custom").stdout
    assert "custom:mine" in listed
    assert "at_fifo" not in listed
    assert "proven: confirmed faster on 1 workload here" in " ".join(listed.split())
    [written] = json.loads(run("schedulers", "list", "--custom", "--json").stdout)
    assert (written["name"], written["standing"]) == ("custom:mine", "proven")
    assert [(seen["session"], seen["this_build"]) for seen in written["outcomes"]] == [("0a1b2c3d", True)]
    shown = run("schedulers", "show", "mine", "--source").stdout
    assert "0a1b2c3d" in shown
    assert "/* a scheduler */" in shown
    assert json.loads(run("schedulers", "show", "mine", "--json", "--source").stdout)["standing"] == "proven"
    assert "is a program" in error_of(run("schedulers", "show", "scx_lavd", "--source"))


def test_two_are_compared_and_the_exit_code_says_whether_they_differ() -> None:
    kept("mine")
    kept("other", source="/* another */\n")
    differs = run("schedulers", "diff", "mine", "custom:other")
    assert differs.exit_code == 1
    assert "-/* a scheduler */" in differs.stdout
    assert run("schedulers", "diff", "mine", "mine").exit_code == 0
    assert "no scheduler is called" in error_of(run("schedulers", "diff", "mine", "no_such"))


def test_a_bundle_is_written_looked_at_and_never_replaces_anything_unasked(tmp_path: Path) -> None:
    kept("mine")
    path = tmp_path / "mine.json"
    assert run("schedulers", "export", "mine", str(path)).exit_code == 0
    assert "exists already" in error_of(run("schedulers", "export", "mine", str(path)))
    assert run("schedulers", "export", "mine").stdout == path.read_text()
    looked = run("schedulers", "import", str(path), "--look")
    assert looked.exit_code == 0
    assert "Claimed by the file" in looked.stdout
    assert json.loads(run("schedulers", "import", str(path), "--look", "--json").stdout)["name"] == "mine"
    assert "there is a custom:mine already" in error_of(run("schedulers", "import", str(path)))
    path.write_text(path.read_text().replace('"name": "mine"', '"name": "at_fifo"'))
    assert "at_fifo is one of ours" in error_of(run("schedulers", "import", str(path)))
    path.write_text("{")
    refused = run("schedulers", "import", str(path))
    assert (refused.exit_code, "is not JSON" in error_of(refused)) == (2, True)


def test_without_any_of_their_own_people_are_told_how_to_make_one() -> None:
    assert "verify FILE.bpf.c" in run("schedulers", "list", "--custom").stdout


@pytest.mark.slow
def test_schedulers_are_found_by_what_people_want_to_do() -> None:
    kept("mine")
    found = run("schedulers", "search", "many short compiler processes")
    assert found.exit_code == 0
    assert found.stdout.startswith("1. at_")
    first = json.loads(run("schedulers", "search", "keeps builders happy", "--json", "--limit", "1").stdout)
    assert [(one["name"], one["standing"]) for one in first] == [("custom:mine", "candidate")]
    for hostile in ('" OR "', "*", "x" * 100_000, "a NEAR b", "\x1b[2J"):
        assert run("schedulers", "search", hostile).exit_code in (0, 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_a_verification_in_order(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def verify(*_given: object, **_named: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)

    (tmp_path / "mine.bpf.c").write_text("int x;")
    monkeypatch.setattr(healing, "sound", lambda *_: None)
    monkeypatch.setattr(gates, "verify", verify)
    ended = run("schedulers", "verify", str(tmp_path / "mine.bpf.c"))
    assert ended.exit_code == 130
    assert "interrupted" in error_of(ended)
