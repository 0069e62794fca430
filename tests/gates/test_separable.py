"""Whether a view can be computed in parts is tried on real rows: by entity, and by the window that it declares."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from mlops.declare import FeatureView, Origin
from mlops.gates.separable import separable, window
from mlops.verdict import Finding, Outcome, Severity

DAY = timedelta(days=1)


def source(zone: str | None = None) -> pd.DataFrame:
    random = np.random.default_rng(2)
    at = pd.Timestamp("2024-01-01", tz=zone) + pd.to_timedelta(np.sort(random.integers(0, 60 * 86_400, 800)), "s")
    return pd.DataFrame({"customer": random.integers(0, 15, 800), "at": at, "amount": random.gamma(2, 20, 800)})


def rolling(days: float):
    def spend(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.sort_values(["customer", "at"], kind="stable")
        rolled = rows.groupby("customer").rolling(timedelta(days=days), on="at")["amount"].sum()
        return rows[["customer", "at"]].assign(total=rolled.to_numpy()).drop_duplicates(["customer", "at"], keep="last")

    return spend


def whole_past(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.sort_values(["customer", "at"], kind="stable")
    nth = rows.groupby("customer").cumcount()
    return rows[["customer", "at"]].assign(nth=nth).drop_duplicates(["customer", "at"], keep="last")


def over_all(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.sort_values("at", kind="stable")
    return rows[["customer", "at"]].assign(mean=rows["amount"].expanding().mean())


def view(function, *, length: timedelta | None = None) -> FeatureView:
    return FeatureView(
        function=function,
        name="spend_v1",
        module="features.spend",
        origin=Origin("features/spend.py", 3),
        source="payments",
        entity="customer",
        timestamp="at",
        window=length,
    )


def by_entity(function, rows: pd.DataFrame | None = None) -> Finding:
    rows = source() if rows is None else rows
    return separable(view(function), rows, function(rows))


def by_window(function, length: timedelta, zone: str | None = None) -> Finding:
    rows = source(zone)
    found = window(view(function, length=length), rows, function(rows), "at")
    assert found is not None
    return found


@pytest.mark.parametrize("function", [rolling(7), whole_past])
def test_a_view_of_each_entity_alone_can_be_cut_by_entity(function):
    assert by_entity(function).outcome is Outcome.PASS


def test_a_view_that_reads_other_entities_is_told_and_not_refused():
    found = by_entity(over_all)
    assert (found.outcome, found.severity) == (Outcome.FAIL, Severity.WARN)
    assert "spend_v1 reads the rows of other entities, so it is computed whole. customer" in found.message
    assert "mean is" in found.message
    assert found.rows
    assert "group by the entity" in found.next_step


def test_a_view_that_cannot_do_with_some_entities_is_told():
    def strict(rows: pd.DataFrame) -> pd.DataFrame:
        assert rows["customer"].nunique() > 10, "too few customers"
        return whole_past(rows)

    assert "cannot be computed from some of the entities alone" in by_entity(strict).message


def test_a_source_without_the_entity_is_told():
    def named(rows: pd.DataFrame) -> pd.DataFrame:
        return whole_past(rows.rename(columns={"who": "customer"}))

    rows = source().rename(columns={"customer": "who"})
    assert "the source has no column 'customer'" in separable(view(named), rows, named(rows)).message


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
@pytest.mark.parametrize("length", [7 * DAY, 30 * DAY])
def test_a_view_that_keeps_within_its_window_passes(length, zone):
    assert by_window(rolling(7), length, zone).outcome is Outcome.PASS


def test_a_window_that_is_too_short_fails_with_rows_and_the_smallest_that_would_do():
    found = by_window(rolling(7), 3 * DAY)
    assert (found.outcome, found.severity) == (Outcome.FAIL, Severity.FAIL)
    assert "spend_v1 looks back further than its window of 3d" in found.message
    assert "with the whole past" in found.message
    assert found.rows
    assert found.next_step == 'declare window="7d" or more: the smallest that does for these rows'


def test_a_short_window_is_told_in_hours():
    assert re.match(r'declare window="1[012]h"', by_window(rolling(0.5), timedelta(hours=2)).next_step)


def test_a_view_of_the_whole_past_is_told_to_leave_the_window_out():
    found = by_window(whole_past, 20 * DAY)
    assert found.outcome is Outcome.FAIL
    assert found.next_step == "leave window out: it reads the whole past of an entity"


def test_without_a_window_nothing_is_asked():
    rows = source()
    declared = replace(view(rolling(7)), window=None)
    assert window(declared, rows, declared.function(rows), "at") is None


def test_a_mean_that_is_rounded_on_a_half_is_no_other_value():
    def rounded(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.sort_values(["customer", "at"], kind="stable")
        rolled = rows.groupby("customer").rolling(timedelta(days=30), on="at")["amount"].mean().round(2)
        return rows[["customer", "at"]].assign(mean=rolled.to_numpy()).drop_duplicates(["customer", "at"], keep="last")

    random = np.random.default_rng(5)
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(random.integers(0, 360 * 86_400, 1900)), "s")
    amount = (random.integers(0, 100_000, 1900) / 100).round(2)  # in cents, so that many means lie on a half
    rows = pd.DataFrame({"customer": random.integers(0, 38, 1900), "at": at, "amount": amount})
    found = window(view(rounded, length=30 * DAY), rows, rounded(rows), "at")
    assert found is not None
    assert found.outcome is Outcome.PASS, found.message
    short = window(view(rounded, length=20 * DAY), rows, rounded(rows), "at")
    assert short is not None
    assert short.outcome is Outcome.FAIL
