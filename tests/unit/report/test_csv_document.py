# SPDX-License-Identifier: MIT
"""The CSV document of a session."""

from __future__ import annotations

import csv
import io

from autotune.report import csv_document
from tests.support import sessions


def test_csv_has_unrounded_numbers_and_empty_cells_where_there_are_none() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_document.csv_text(sessions.session()))))
    assert [row["scheduler"] for row in rows] == ["at_batch", "eevdf", "at_fifo", "at_interactive", "at_vtime"]
    assert (rows[0]["rank"], rows[0]["knobs"], rows[0]["median"]) == ("1", "slice_us=20000,stay=true", "2.221")
    assert (rows[0]["baseline_median"], rows[4]["baseline_median"]) == ("2.408", "")
    assert (rows[0]["speedup_low"], rows[0]["confirmed"]) == ("1.051", "true")
    assert (rows[4]["rank"], rows[4]["median"], rows[4]["speedup"], rows[4]["invalid_runs"]) == ("", "", "", "2")
