# SPDX-License-Identifier: MIT
"""What the report says: rows, sentences, the command to repeat, and the documents for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import shlex
from dataclasses import replace

import pytest
from pydantic import TypeAdapter, ValidationError

from autotune.records import Session
from autotune.report import documents, markup
from autotune.wire import from_json
from tests.support import sessions

# --- the table ---


def test_the_table_ranks_what_was_shown_to_differ_from_eevdf() -> None:
    shown = documents.session_table(sessions.session())
    assert shown.header[2] == "median [s]"
    assert [(row.rank, row.scheduler, row.verdict, row.kind) for row in shown.rows] == [
        ("1", "at_batch", "faster", "winner"),
        ("2", "EEVDF", "baseline", "baseline"),
        ("=", "at_fifo", "undecided", "undecided"),
        ("3", "at_interactive", "slower", "slower"),
        ("-", "at_vtime", "invalid", "invalid"),
    ]


def test_a_row_holds_all_that_is_known_of_a_candidate() -> None:
    first = documents.session_table(sessions.session()).rows[0]
    assert first.cells == (
        "1", "at_batch:slice_us=20000,stay=true", "2.221", "2.408", "1.084 [1.051, 1.118]", "faster", "12", "confirmed"
    )  # fmt: skip


def test_notes_say_what_happened() -> None:
    rows = documents.session_table(sessions.session()).rows
    assert [row.note for row in rows] == [
        "confirmed",
        "",
        "",
        "11.8 % slower than eevdf after 3 rounds",
        "ejected: runnable task stall; 2 invalid runs",
    ]


# --- sentences ---


@pytest.mark.parametrize(
    ("kind", "acceleration", "place"),
    [
        ("host", "none", "on this host"),
        ("vm", "kvm", "a micro-VM with KVM"),
        ("vm", "tcg", "a micro-VM under emulation"),
    ],
)
def test_the_first_line_says_where_it_runs_and_why(kind: str, acceleration: str, place: str) -> None:
    info = sessions.machine(kind=kind, acceleration=acceleration, why="the reason", cpus=1)
    text = documents.machine_sentence(info)
    assert place in text
    assert text.endswith("Linux 6.18.15+deb13-amd64, 1 CPU, 4.0 GiB: the reason.")


def test_the_baseline_says_which_gains_the_budget_is_likely_to_find() -> None:
    text = documents.baseline_sentence(sessions.BASE, is_time=True)
    assert text.startswith("Under EEVDF: median 2.408 s over 5 runs, noise 1.1 %")
    assert text.endswith("With this budget, gains from about 2.1 % on are found 8 times of 10.")
    none = documents.baseline_sentence(replace(sessions.BASE, detectable=None), is_time=True)
    assert none.endswith("This budget has no room to confirm a gain.")


def test_a_winner_is_recommended_with_its_interval() -> None:
    text = documents.conclusion(sessions.session())
    assert text.startswith("Use at_batch:slice_us=20000,stay=true: the command runs 1.084 times as fast")
    assert "95 % interval 1.051 to 1.118" in text


def test_without_a_winner_the_advice_is_to_stay() -> None:
    done = sessions.session(winner=None, results=sessions.results()[1:])
    assert documents.conclusion(done).startswith("Stay with EEVDF: no scheduler was shown to beat it here")


def test_without_a_baseline_nothing_is_claimed() -> None:
    done = sessions.session(winner=None, baseline=None, results=(), interrupted=True)
    assert "ended before the baseline was known" in documents.conclusion(done)
    assert "repeat" not in documents.plain_text(done)


# --- the command that repeats it ---


def test_the_command_repeats_the_winner() -> None:
    command = documents.repeat_command(sessions.session(), ["--machine", "vm"])
    assert command == ("autotune cc --machine vm --scheduler at_batch:slice_us=20000,stay=true --seed 7 -- 'make -j8'")


def test_without_a_winner_the_command_repeats_all_that_was_tried() -> None:
    command = documents.repeat_command(sessions.session(winner=None))
    assert command.count("--scheduler") == 4
    assert "eevdf" not in command


def test_the_command_keeps_every_option_of_the_workload() -> None:
    workload = sessions.workload(
        argv=("./load", "--for", "5 s"),
        command="./load --for '5 s'",
        setup="a",
        prepare="make clean; true",
        cleanup="c",
        input_path="/tmp/in",
        timeout_s=1.5,
        metric_regex=r"rps: (\d+)",
        goal="max",
        ignore_failure=True,
        pristine=True,
    )
    assert shlex.split(documents.repeat_command(sessions.session(workload=workload))) == [
        "autotune", "cc", "--setup", "a", "--prepare", "make clean; true", "--cleanup", "c", "--input", "/tmp/in",
        "--timeout", "1.5s", "--metric", r"rps: (\d+)", "--goal", "max", "--ignore-failure", "--pristine",
        "--scheduler", "at_batch:slice_us=20000,stay=true", "--seed", "7", "--", "./load", "--for", "5 s",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "command", "words"),
    [
        (("bash", "--norc", "-c", "make -j8"), "make -j8", ["--shell", "bash --norc", "--", "make -j8"]),
        (("make",), "make", ["--shell", "none", "--", "make"]),
        (("make", "-j8"), "make -j8", ["--", "make", "-j8"]),
    ],
)
def test_the_command_is_repeated_with_the_shell_it_had(argv: tuple[str, ...], command: str, words: list[str]) -> None:
    workload = sessions.workload(argv=argv, command=command, name="a b", conclude="rm x", ignore_failure=True)
    codes = replace(workload, ignored_exits=(1, 137))
    assert " --ignore-failure=1,137 " in documents.repeat_command(sessions.session(workload=codes))
    repeated = shlex.split(documents.repeat_command(sessions.session(workload=workload)))
    at = repeated.index("--shell") if "--shell" in words else repeated.index("--")
    assert repeated[at : at + 2][: len(words) - 1] == words[:2]
    assert repeated[repeated.index("--") :] == words[words.index("--") :]
    for flag, value in (("--command-name", "a b"), ("--conclude", "rm x")):
        assert repeated[repeated.index(flag) + 1] == value
    assert ("--shell" in repeated) == ("--shell" in words)


# --- Markdown and CSV ---


def test_markdown_has_one_table_row_for_each_result_whatever_the_text_is() -> None:
    hostile = sessions.result(sessions.VTIME, "invalid", median=None, note="a|b\n| c | `x` <script>")
    done = sessions.session(results=(*sessions.results(), hostile), workload=sessions.workload(command="a | b\n# c"))
    text = markup.markdown(done)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 6
    bare = [line.replace("\\|", "") for line in lines]
    assert {line.count("|") for line in bare} == {9}
    assert "\\<script\\>" in lines[-1]
    assert text.splitlines()[0] == "## autotune: a \\| b \\# c"


def test_csv_has_unrounded_numbers_and_empty_cells_where_there_are_none() -> None:
    rows = list(csv.DictReader(io.StringIO(documents.csv_text(sessions.session()))))
    assert [row["scheduler"] for row in rows] == ["at_batch", "eevdf", "at_fifo", "at_interactive", "at_vtime"]
    assert (rows[0]["rank"], rows[0]["knobs"], rows[0]["median"]) == ("1", "slice_us=20000,stay=true", "2.221")
    assert (rows[0]["baseline_median"], rows[4]["baseline_median"]) == ("2.408", "")
    assert (rows[0]["speedup_low"], rows[0]["confirmed"]) == ("1.051", "true")
    assert (rows[4]["rank"], rows[4]["median"], rows[4]["speedup"], rows[4]["invalid_runs"]) == ("", "", "", "2")


# --- JSON ---


def test_json_reads_back_as_the_same_session() -> None:
    done = sessions.session()
    assert from_json(Session, json.loads(documents.json_text(done))) == done


def test_json_is_strict_ascii_even_for_infinite_bounds_and_bytes_that_are_not_text() -> None:
    wide = sessions.result(sessions.FIFO, "undecided", speedup=sessions.interval(1.0, 0.0, math.inf))
    done = sessions.session(results=(wide,), workload=sessions.workload(command="\udcff \u6f22"))
    text = documents.json_text(done)
    assert text.isascii()

    def refuse(name: str) -> None:
        raise AssertionError(name)

    document = json.loads(text, parse_constant=refuse)
    assert document["results"][0]["speedup"]["high"] > 1e308
    assert document["schema"] == documents.SCHEMA_VERSION


def test_json_keeps_no_secret_of_the_environment() -> None:
    env = {"PATH": "/bin", "MAKEFLAGS": "-k", "ANTHROPIC_API_KEY": "sk-secret", "DB_PASSWORD": "hunter2"}
    text = documents.json_text(sessions.session(workload=sessions.workload(env=env)))
    assert json.loads(text)["workload"]["env"] == {"PATH": "/bin", "MAKEFLAGS": "-k"}
    assert "secret" not in text
    assert "hunter2" not in text


def test_the_document_validates_and_a_broken_one_does_not() -> None:
    validate = TypeAdapter(Session).validate_json
    document = json.loads(documents.json_text(sessions.session()))
    assert validate(json.dumps(document)) == sessions.session()
    document["results"][0]["verdict"] = "great"
    with pytest.raises(ValidationError, match="verdict"):
        validate(json.dumps(document))


def test_how_to_keep_a_winner_is_shown_where_it_can_be_kept() -> None:
    on_host = sessions.session(machine=sessions.machine(kind="host"))
    assert f"To keep it: autotune apply {sessions.BATCH.key}" in documents.plain_text(on_host)
    assert "To keep it" not in documents.plain_text(sessions.session()), "a micro-VM ends with its session"
    assert "To keep it" not in documents.plain_text(sessions.session(machine=on_host.machine, winner=None))
