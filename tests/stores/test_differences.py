"""Two histories beside each other: counted and compared as plain pandas would."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops.adapters.objects import ObjectStore
from mlops.declare import feature_view
from mlops.stores import history
from mlops.stores.differences import Written, alike, compare, kinds

START = pd.Timestamp("2026-01-01")


def view(name, created=None):
    def made(frame):
        return frame

    made.__name__ = name
    made.__code__ = made.__code__.replace(co_name=name)
    return feature_view(source="s", entity="customer", timestamp="when", created=created)(made)


def table(rows=400):
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"customer": np.arange(rows) % 40, "when": START + pd.to_timedelta(np.arange(rows), unit="h")})
    frame["spend"] = random.gamma(2, 30, rows)
    frame["city"] = random.choice(["Bonn", "Kiel"], rows)
    frame.loc[::10, "spend"] = np.nan
    return frame


@pytest.fixture
def objects(tmp_path):
    return ObjectStore(tmp_path)


@pytest.fixture
def stored(objects):
    def write(name, frame, created=None):
        declared = view(name, created)
        return Written(view=declared, written=history.write(objects, declared, frame))

    return write


def test_shared_columns_are_compared_on_the_rows_that_both_have(objects, stored):
    first = table()
    second = first.assign(spend=first["spend"].fillna(5.0) + (first.index % 4 == 1) * 2.5, extra=1).drop(columns="city")
    second = pd.concat([second.iloc[10:], second.iloc[-1:].assign(customer=99)])
    found = compare(objects, stored("spend_v1", first), stored("spend_v2", second))
    assert (found.rows, found.only_rows, found.only_entities) == (390, (10, 1), (0, 1))
    assert found.only_columns == (("city",), ("extra",))
    both = first.merge(second, on=["customer", "when"])
    gap = (both["spend_y"] - both["spend_x"]).dropna()
    (spend,) = found.columns
    assert spend.equal == pytest.approx((both["spend_x"] == both["spend_y"]).mean())
    assert spend.missing == (int(both["spend_x"].isna().sum()), 0)
    assert spend.mean == pytest.approx(gap.mean())
    assert spend.quantiles == pytest.approx(tuple(gap.quantile([0, 0.05, 0.5, 0.95, 1])))
    assert len(spend.examples) == 5
    assert spend.examples[0].second - spend.examples[0].first == pytest.approx(2.5)


def test_text_is_compared_too_and_equal_histories_have_no_examples(objects, stored):
    first = table()
    second = first.assign(city=first["city"].where(first.index != 7, "Ulm"))
    columns = {one.name: one for one in compare(objects, stored("a_v1", first), stored("b_v1", second)).columns}
    assert columns["spend"].equal == 1.0
    assert columns["spend"].examples == ()
    assert columns["city"].equal == pytest.approx(399 / 400)
    assert [(one.entity, one.first, one.second) for one in columns["city"].examples] == [(7, first["city"][7], "Ulm")]


def test_of_revisions_the_last_known_one_is_compared(objects, stored):
    first = table(50).assign(known=lambda frame: frame["when"])
    corrected = first.assign(known=first["known"] + pd.Timedelta(days=1), spend=7.0)
    found = compare(
        objects,
        stored("a_v1", pd.concat([first, corrected]), "known"),
        stored("b_v1", first.drop(columns="known").assign(spend=7.0)),
    )
    assert {one.name: one.equal for one in found.columns}["spend"] == 1.0
    assert found.rows == 50


def test_histories_without_a_row_in_common_say_so(objects, stored):
    found = compare(objects, stored("a_v1", table(50)), stored("b_v1", table(50).assign(customer=100)))
    assert found.rows == 0
    assert found.only_entities == (40, 1)


def test_equal_and_correlated_columns_are_alike_and_others_are_not(objects, stored):
    first = table()
    second = pd.DataFrame(
        {
            "customer": first["customer"],
            "when": first["when"],
            "euros": first["spend"],
            "cents": -100 * first["spend"] + 3,
            "noise": np.random.default_rng(2).normal(0, 1, len(first)),
            "town": first["city"],
            "zero": 0.0,
        }
    )
    found = alike(objects, stored("a_v1", first.assign(nothing=0.0)), stored("b_v1", second))
    assert {(one.first, one.second): one.same for one in found} == {
        ("spend", "euros"): True,
        ("spend", "cents"): False,
        ("city", "town"): True,
    }, "two columns of zeros are not alike: they say nothing"
    assert alike(objects, stored("a_v1", first.head(20)), stored("b_v1", second)) == (), "twenty rows are no evidence"


def test_types_are_told_in_words(objects, stored):
    frame = table(20).assign(flag=True, seen=START)
    assert kinds(objects, stored("a_v1", frame)) == {
        "spend": "number",
        "city": "text",
        "flag": "boolean",
        "seen": "time",
    }
