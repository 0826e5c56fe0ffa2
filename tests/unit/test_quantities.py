# SPDX-License-Identifier: MIT
"""Durations, sizes and shares as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune import quantities


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1500ms", 1.5), ("45", 45), ("0.5h", 1800), ("2 min", 120)],
)
def test_a_time_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert quantities.parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "10x", "1m30", "-5s", "5s later", "1,5s", "m", "nan", "inf"])
def test_what_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time such as"):
        quantities.parse_duration(text)


@pytest.mark.parametrize("text", ["0", "0s", "400d", "9" * 400 + "s"])
def test_a_time_must_be_some_time_within_a_year(text: str) -> None:
    with pytest.raises(ValueError, match="must be more than nothing and less than a year"):
        quantities.parse_duration(text)


@given(st.integers(min_value=1, max_value=30 * 86_400_000))
def test_a_time_written_as_a_flag_reads_back_exactly(milliseconds: int) -> None:
    assert round(quantities.parse_duration(quantities.duration_flag(milliseconds / 1000)) * 1000) == milliseconds


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("4G", 4 << 30), ("512M", 512 << 20), ("1.5GiB", 3 << 29), ("64k", 65536), ("1 gb", 1 << 30)],
)
def test_a_size_is_read_as_people_write_it(text: str, size_bytes: int) -> None:
    assert quantities.parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "4096", "4X", "-1G", "G", "4GG"])
def test_a_size_needs_its_unit(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size such as 4G"):
        quantities.parse_size(text)


@given(st.integers(min_value=1, max_value=1 << 42))
def test_a_size_written_as_a_flag_reads_back_within_a_kilobyte(size_bytes: int) -> None:
    assert 0 <= quantities.parse_size(quantities.size_flag(size_bytes)) - size_bytes < 1024
