# SPDX-License-Identifier: MIT
"""What the report says: units, rows, sentences, the command to repeat, and the documents for programs."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import shlex
import subprocess
import unicodedata
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from autotune.records import BASELINE, Candidate, Session
from autotune.report import documents, table
from autotune.report import schema as report_schema
from autotune.report.text import clock_text, duration_text, printable, scale_for, shell_word
from autotune.verdict import ranking
from autotune.wire import from_json
from tests.support import sessions

DOCS = Path(__file__).parents[3] / "docs"


# --- text ---


@given(st.text(st.characters(exclude_categories=[])))
def test_printable_text_is_one_line_that_can_be_encoded_and_moves_no_cursor(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand tab", "two lines and tab"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("caf\u00e9 \u6f22", "caf\u00e9 \u6f22"),
        ("abc\u202edef", "abcdef"),
        ("\udcff", "\ufffd"),
        ("\x9b2J", "2J"),
    ],
)
def test_printable_leaves_text_alone_and_takes_control_away(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00042, "420 us"),
        (0.00612, "6.12 ms"),
        (0.0853, "85.3 ms"),
        (1.2344, "1.234 s"),
        (95.14, "95.14 s"),
        (612, "612.0 s"),
    ],
)
def test_a_time_in_a_sentence_has_a_unit_that_suits_it(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.9, "0:07"), (760, "12:40"), (3760, "1:02:40"), (-1, "0:00")]
)
def test_a_span_of_a_progress_line_is_a_clock(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


# --- scale ---


@pytest.mark.parametrize(
    ("values", "texts", "unit"),
    [
        ([0.9, 0.85], ["900.0", "850.0"], "ms"),
        ([0.9, 1.1], ["0.900", "1.100"], "s"),
        ([0.00061, 0.0007], ["0.610", "0.700"], "ms"),
        ([95.0, 100.123], ["95.00", "100.12"], "s"),
        ([1234.5678, 1300.0], ["1235", "1300"], "s"),
    ],
)
def test_all_times_of_a_table_share_one_unit_and_its_decimals(values: list[float], texts: list[str], unit: str) -> None:
    scale = scale_for(values, is_time=True)
    assert scale.unit == unit
    assert [scale.text(value) for value in values] == texts


def test_a_metric_of_the_users_own_has_no_unit_and_counts_stay_whole() -> None:
    scale = scale_for([12.0, 14.0], is_time=False)
    assert (scale.unit, scale.text(12.0)) == ("", "12")
    assert scale_for([0.25, 12.5], is_time=False).text(0.25) == "0.250"


def test_without_a_value_there_is_still_a_scale() -> None:
    assert scale_for([], is_time=True).unit == "s"
    assert scale_for([0.0], is_time=False).text(0.0) == "0"


# --- the table ---


def test_the_table_ranks_the_winner_above_eevdf_and_gives_invalid_ones_no_rank() -> None:
    shown = documents.session_table(sessions.session())
    assert shown.header[2] == "median [s]"
    assert [(row.rank, row.scheduler, row.verdict, row.kind) for row in shown.rows] == [
        ("1", "at_batch", "faster", "winner"),
        ("2", "EEVDF", "baseline", "baseline"),
        ("3", "at_fifo", "undecided", "undecided"),
        ("4", "at_interactive", "slower", "slower"),
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


def test_faster_without_confirmation_says_so_and_is_not_the_winner() -> None:
    gain = sessions.interval(1.1, 1.05, 1.15)
    rows = table.table([sessions.result(sessions.FIFO, "faster", speedup=gain)], is_time=True).rows
    assert (rows[0].kind, rows[0].note) == ("faster", "not confirmed")


def test_only_a_proven_gain_ranks_above_eevdf() -> None:
    better, worse = sessions.interval(1.3, 0.9, 1.9), sessions.interval(0.8, 0.7, 0.9)
    proven = sessions.interval(1.05, 1.02, 1.08)
    unordered = [
        sessions.result(Candidate("invalid"), "invalid", median=None),
        sessions.result(Candidate("slower"), "slower", speedup=worse),
        sessions.result(Candidate("lucky"), "undecided", speedup=better),
        sessions.result(Candidate(BASELINE), None),
        sessions.result(Candidate("large"), "faster", speedup=sessions.interval(1.2, 1.1, 1.3)),
        sessions.result(Candidate("won"), "faster", speedup=proven, confirmed=True),
    ]
    ranked = ranking.rank(unordered, "won")
    assert [r.candidate.scheduler for r in ranked] == ["won", "large", BASELINE, "lucky", "slower", "invalid"]


def test_intervals_without_end_and_tiny_ones_stay_short() -> None:
    assert table.interval_text(sessions.interval(1.5, 1e-9, math.inf)) == "1.500 [0.000, >999]"
    assert table.interval_text(sessions.interval(9.9999, 30.271, 123.45)) == "10.00 [30.27, 123.5]"


def test_the_plain_table_is_aligned_ascii_without_trailing_space() -> None:
    lines = table.plain_table(documents.session_table(sessions.session())).split("\n")
    assert all(line == line.rstrip() and line.isascii() for line in lines)
    assert len({line.index(word) for line, word in zip(lines[1:3], ("faster", "baseline"), strict=True)}) == 1
    assert lines[0].index("verdict") == lines[1].index("faster")


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


def test_the_baseline_says_what_cannot_be_told_apart() -> None:
    text = documents.baseline_sentence(sessions.BASE, is_time=True)
    assert text.startswith("Under EEVDF: median 2.408 s over 5 runs, noise 1.1 %")
    assert text.endswith("differences under 2.1 % cannot be detected here.")


def test_a_winner_is_recommended_with_its_interval() -> None:
    text = documents.conclusion(sessions.session())
    assert text.startswith("Use at_batch:slice_us=20000,stay=true: the command runs 1.08 times as fast")
    assert "95 % interval 1.05 to 1.12" in text


def test_without_a_winner_the_advice_is_to_stay() -> None:
    done = sessions.session(winner=None, results=sessions.results()[1:])
    assert documents.conclusion(done).startswith("Stay with EEVDF: no scheduler was shown to beat it here")


def test_without_a_comparison_nothing_is_claimed() -> None:
    results = (
        sessions.result(Candidate(BASELINE), None),
        sessions.result(sessions.FIFO, "undecided", median=None, runs=0),
    )
    text = ranking.recommend(results, None, sessions.BASE, is_time=True)
    assert text == "Nothing can be said: no scheduler ran often enough to be compared with EEVDF."
    assert table.table(results, is_time=True).rows[1].note == "not run"


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
    "word", ["plain", "it's", "two\nlines", "\x1b[2J", "caf\u00e9 \u202e", "back\\slash\n", "\udcff'x"]
)
def test_a_word_for_the_shell_is_one_line_that_the_shell_reads_back(word: str) -> None:
    quoted = shell_word(word)
    assert printable(quoted) == quoted
    shown = subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True)
    assert shown.stdout == word.encode("utf-8", "surrogateescape")


# --- Markdown and CSV ---


def test_markdown_has_one_table_row_for_each_result_whatever_the_text_is() -> None:
    hostile = sessions.result(sessions.VTIME, "invalid", median=None, note="a|b\n| c | `x` <script>")
    done = sessions.session(results=(*sessions.results(), hostile), workload=sessions.workload(command="a | b\n# c"))
    text = documents.markdown(done)
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


def test_the_schema_in_docs_is_that_of_the_records() -> None:
    """To bring it up to date: python -c 'from autotune.report.schema import schema_text; print(schema_text(),
    end="")'"""
    assert (DOCS / "session.schema.json").read_text() == report_schema.schema_text()


def test_the_document_validates_and_a_broken_one_does_not() -> None:
    validate = TypeAdapter(Session).validate_json
    document = json.loads(documents.json_text(sessions.session()))
    assert validate(json.dumps(document)) == sessions.session()
    document["results"][0]["verdict"] = "great"
    with pytest.raises(ValidationError, match="verdict"):
        validate(json.dumps(document))


def test_the_document_has_exactly_the_fields_that_the_schema_names() -> None:
    schema = json.loads(report_schema.schema_text())
    assert _differences(json.loads(documents.json_text(sessions.session())), schema, schema["$defs"]) == []


def _differences(value: Any, shape: dict[str, Any], defs: dict[str, Any], at: str = "session") -> list[str]:
    """Where the names of a document's fields are not those of its schema."""
    if "$ref" in shape:
        return _differences(value, defs[shape["$ref"].rpartition("/")[2]], defs, at)
    if "anyOf" in shape and isinstance(value, dict):
        return _differences(value, next(option for option in shape["anyOf"] if "$ref" in option), defs, at)
    if isinstance(value, list) and isinstance(shape.get("items"), dict) and "prefixItems" not in shape["items"]:
        return [
            d for number, item in enumerate(value) for d in _differences(item, shape["items"], defs, f"{at}[{number}]")
        ]
    if isinstance(value, dict) and "properties" in shape:
        odd = [f"{at}.{name}" for name in value.keys() ^ shape["properties"].keys()]
        inner = [
            _differences(item, shape["properties"].get(name, {}), defs, f"{at}.{name}") for name, item in value.items()
        ]
        return odd + [difference for differences in inner for difference in differences]
    return []


def test_the_description_names_every_field() -> None:
    text = (DOCS / "JSON.md").read_text()
    missing = [f"{cls.__name__}.{field.name}" for cls in _records(Session) for field in dataclasses.fields(cls)
               if f"`{field.name}`" not in text]  # fmt: skip
    assert missing == []
    assert f"version {documents.SCHEMA_VERSION}" in text


def _records(cls: type) -> set[type]:
    """The record classes that a document of this class can hold."""
    found = {cls}
    for hint in get_type_hints(cls).values():
        for kind in (hint, *get_args(hint), *(inner for arg in get_args(hint) for inner in get_args(arg))):
            if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind not in found:
                found |= _records(kind)
    return found


def test_how_to_keep_a_winner_is_told_where_it_can_be_kept() -> None:
    on_host = sessions.session(machine=sessions.machine(kind="host"))
    assert f"To keep it: autotune apply {sessions.BATCH.key}" in documents.plain_text(on_host)
    assert "To keep it" not in documents.plain_text(sessions.session()), "a micro-VM ends with its session"
    assert "To keep it" not in documents.plain_text(sessions.session(machine=on_host.machine, winner=None))
