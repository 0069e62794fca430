"""The form of a time column is found out by what its values allow."""

from __future__ import annotations

import pandas as pd
import pytest

from mlops.adapters.timestamps import form_of, looks_like_time

DAYS = pd.date_range("2024-01-01", periods=90)


@pytest.mark.parametrize(
    "form", ["%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d %b %Y", "%m/%d/%Y %I:%M %p", "%d.%m.%Y %H:%M:%S"]
)
def test_a_form_is_recognised_by_its_values(form):
    found = form_of(pd.Series(DAYS.strftime(form)).astype(object))
    read = pd.to_datetime(pd.Series(DAYS.strftime(form)), format=found.form or "ISO8601")
    assert (read.dt.normalize() == DAYS).all()
    assert found.bad is None
    assert not found.others


def test_iso_is_the_empty_form():
    assert form_of(pd.Series(["2024-01-01 10:00:00", None, "2024-02-01"])).form == ""


def test_days_that_fit_both_ways_are_settled_by_the_order_of_the_rows():
    months_first = pd.Series(["1/11/2024", "1/12/2024", "2/1/2024", "2/2/2024"])
    days_first = pd.Series(["11/1/2024", "12/1/2024", "1/2/2024", "2/2/2024"])
    assert form_of(months_first).form == "%m/%d/%Y"
    assert form_of(days_first).form == "%d/%m/%Y"


def test_what_nothing_settles_is_left_open():
    found = form_of(pd.Series(["1/1/2024", "2/2/2024", "3/3/2024"]))
    assert {found.form, *found.others} == {"%m/%d/%Y", "%d/%m/%Y"}


def test_the_first_value_that_does_not_fit_is_told():
    values = pd.Series([None, *DAYS.strftime("%m/%d/%Y")], dtype=object)
    values[50] = "yesterday"
    found = form_of(values)
    assert (found.form, found.bad) == ("%m/%d/%Y", 50)
    assert found.share == pytest.approx(89 / 90)


@pytest.mark.parametrize(
    ("values", "expected"),
    [(["2024-01-01", "2024-01-02"], True), (["may", "jun"], False), (["1", "2"], False), ([None], False)],
)
def test_columns_that_hold_times_are_recognised(values, expected):
    assert looks_like_time(pd.Series(values, dtype=object)) is expected
