"""How a source is cut: parts next to each other, each with its look-back, in as few calls as fit."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.parts.grid import Cell, Extent, Grid, Part, calls, choose, slices

WEEK, MONTH = timedelta(days=7), timedelta(days=30)
MILLION = 1_000_000


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def extent(rows: int, days: int = 365) -> Extent:
    return Extent(rows=rows, first=19_000, last=19_000 + days - 1)


def daily(first: int, days: int, rows: int = 10, bucket: int = 0) -> dict[tuple[int, int | None], Cell]:
    return {(bucket, first + n): Cell(rows, f"{n}") for n in range(days)}


def test_a_table_that_one_call_can_take_is_not_cut():
    assert choose(extent(MILLION), most=MILLION, entity=True, window=WEEK) == Grid()


def test_a_larger_one_is_cut_by_entity_and_by_time_where_a_window_is_known():
    assert choose(extent(10 * MILLION), most=MILLION, entity=True, window=None) == Grid(buckets=16)
    assert choose(extent(10 * MILLION), most=MILLION, entity=True, window=WEEK) == Grid(buckets=16, period="month")
    assert choose(extent(10 * MILLION, days=30), most=MILLION, entity=True, window=WEEK).period == "week"
    assert choose(extent(10 * MILLION), most=MILLION, entity=False, window=WEEK) == Grid(period="week")


def test_a_grid_stays_while_its_source_grows_a_little():
    known = choose(extent(3 * MILLION), most=MILLION, entity=True, window=WEEK)
    assert choose(extent(5 * MILLION), most=MILLION, entity=True, window=WEEK, known=known) == known
    assert choose(extent(50 * MILLION), most=MILLION, entity=True, window=WEEK, known=known).buckets == 64
    assert choose(extent(3 * MILLION), most=MILLION, entity=True, window=None, known=known).period == ""


@pytest.mark.parametrize(
    ("period", "bounds"),
    [
        ("day", ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("week", ["2024-02-26"]),
        ("month", ["2024-02-01", "2024-03-01"]),
    ],
)
def test_periods_are_those_of_the_calendar(period, bounds):
    found = slices(daily(day("2024-02-28"), 3), Grid(period=period), WEEK)
    assert [one.part.start for one in found if one.part.end is not None] == [day(text) for text in bounds]


def test_what_the_last_rows_lead_to_later_is_a_part_too():
    last = slices(daily(19_000, 3), Grid(period="day"), WEEK)[-1]
    assert (last.part.start, last.part.end, last.rows) == (19_003, None, 30)


def test_a_part_reads_back_to_its_window_and_no_further():
    found = slices(daily(19_000, 60), Grid(period="day"), WEEK)
    assert found[30].part == Part(bucket=0, start=19_030, end=19_031)
    assert found[30].since == 19_023
    assert found[30].rows == 80


@given(touched=st.integers(0, 59), window=st.integers(1, 12), period=st.sampled_from(["day", "week", "month"]))
def test_a_changed_day_changes_just_the_parts_that_read_it(touched, window, period):
    grid, back = Grid(period=period), timedelta(days=window)
    cells = daily(19_000, 60)
    before = {one.part: one.digest for one in slices(cells, grid, back)}
    after = slices({**cells, (0, 19_000 + touched): Cell(11, "another")}, grid, back)
    changed = {one.part for one in after if before[one.part] != one.digest}
    at = 19_000 + touched
    reading = {p for p in before if p.start - window <= at and (p.end is None or at < p.end)}
    assert changed == reading
    assert changed


def test_rows_without_a_time_change_every_part_of_their_bucket():
    cells = {**daily(19_000, 20), **daily(19_000, 20, bucket=1)}
    before = {one.part: one.digest for one in slices(cells, Grid(buckets=2, period="week"), WEEK)}
    after = slices({**cells, (1, None): Cell(1, "undated")}, Grid(buckets=2, period="week"), WEEK)
    assert {one.part.bucket for one in after if before[one.part] != one.digest} == {1}
    assert sum(before[one.part] != one.digest for one in after) == sum(part.bucket == 1 for part in before)


@given(days=st.integers(1, 90), most=st.integers(1, 900), missing=st.sets(st.integers(0, 90)))
def test_calls_hold_every_wanted_part_once_and_no_more_rows_than_may_be(days, most, missing):
    cells = {**daily(19_000, days), **daily(19_000, days, bucket=1)}
    every = slices(cells, Grid(buckets=2, period="day"), WEEK)
    wanted = [one for place, one in enumerate(every) if place not in missing]
    found = calls(wanted, cells, most=most)
    assert [part for call in found for part in call.parts] == [one.part for one in wanted]
    largest = max((one.rows for one in wanted), default=0)
    assert all(call.rows <= max(most, largest) for call in found)
    for call in found:
        assert len({part.bucket for part in call.parts}) == 1
        assert all(a.end == b.start for a, b in zip(call.parts, call.parts[1:], strict=False))


def test_a_whole_history_that_fits_is_one_call_for_each_bucket():
    cells = {**daily(19_000, 90), **daily(19_000, 90, bucket=1)}
    found = calls(slices(cells, Grid(buckets=2, period="week"), WEEK), cells, most=900)
    assert [call.rows for call in found] == [900, 900]
