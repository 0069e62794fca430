"""The embedded store gives what a slow, obvious oracle gives."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.adapters.objects import ObjectStore
from mlops.declare import FeatureView, Origin
from mlops.errors import DeclarationError
from mlops.stores.embedded import EmbeddedStore
from mlops.stores.protocol import Lookup

START = datetime(2024, 1, 1)  # noqa: DTZ001 - a naive time is UTC


def view_of(ttl: timedelta | None = None) -> FeatureView:
    return FeatureView(
        function=lambda frame: frame,
        name="spend_v1",
        module="features.spend",
        origin=Origin("features/spend.py", 3),
        source="payments",
        entity="customer",
        timestamp="at",
        ttl=ttl,
    )


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "features", ObjectStore(tmp_path / "store"))


def looked_up(store: EmbeddedStore, view: FeatureView, features: pd.DataFrame, rows: pd.DataFrame) -> pd.Series:
    lookup = Lookup(view=view, written=store.write(view, features), columns={"value": "value"})
    return store.point_in_time(rows, [lookup], timestamp="at")["value"]


def oracle(view: FeatureView, features: pd.DataFrame, rows: pd.DataFrame) -> list[float]:
    """Row by row, feature by feature: the newest one strictly before, the last of equals, not past its time."""
    answers = []
    for row in rows.itertuples():
        best, answer = None, np.nan
        for feature in features.itertuples():
            if pd.isna(row.at) or pd.isna(row.customer) or feature.customer != row.customer:
                continue
            young = view.ttl is None or row.at - feature.at <= view.ttl
            if feature.at < row.at and (best is None or feature.at >= best):
                best, answer = feature.at, feature.value if young else np.nan
        answers.append(answer)
    return answers


moments = st.integers(0, 40).map(lambda hours: START + timedelta(hours=hours))
whole, text = st.integers(0, 3), st.sampled_from(["a", "b", "1"])


@st.composite
def cases(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame, timedelta | None]:
    keys = draw(st.sampled_from([whole, text]))
    some = draw(st.lists(st.tuples(keys, moments, st.one_of(st.none(), st.floats(-9, 9))), min_size=1, max_size=25))
    asked = draw(
        st.lists(st.tuples(st.one_of(st.none(), keys), st.one_of(st.none(), moments)), min_size=1, max_size=15)
    )
    features = pd.DataFrame(some, columns=["customer", "at", "value"]).astype({"value": "float64"})
    rows = pd.DataFrame(asked, columns=["customer", "at"])
    return features, rows.astype({"at": "datetime64[ns]"}), draw(st.sampled_from([None, timedelta(hours=5)]))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_a_point_in_time_read_equals_the_oracle(store: EmbeddedStore, case: tuple) -> None:
    features, rows, ttl = case
    view = view_of(ttl)
    found = looked_up(store, view, features, rows)
    np.testing.assert_array_equal(found.to_numpy(float), np.array(oracle(view, features, rows)))
    assert list(found.index) == list(rows.index)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zones", [(None, None), ("UTC", "UTC"), ("UTC", None), ("Asia/Tokyo", "America/New_York")])
def test_units_and_zones_of_times_do_not_matter(store: EmbeddedStore, unit: str, zones: tuple) -> None:
    def times(hours: list[int], zone: str | None) -> pd.Series:
        utc = pd.Series(pd.to_datetime([START + timedelta(hours=h) for h in hours], utc=True)).dt.as_unit(unit)
        return utc.dt.tz_convert(zone) if zone else utc.dt.tz_localize(None)

    features = pd.DataFrame({"customer": [1, 1], "at": times([0, 10], zones[0]), "value": [1.0, 2.0]})
    rows = pd.DataFrame({"customer": [1, 1, 1], "at": times([10, 11, 0], zones[1])})
    assert looked_up(store, view_of(), features, rows).tolist()[:2] == [1.0, 2.0]
    assert looked_up(store, view_of(), features, rows).isna().tolist() == [False, False, True]


def test_the_row_at_the_same_moment_is_not_seen(store: EmbeddedStore) -> None:
    features = pd.DataFrame({"customer": [1], "at": [START], "value": [5.0]})
    rows = pd.DataFrame({"customer": [1, 1], "at": [START, START + timedelta(microseconds=1)]})
    assert looked_up(store, view_of(), features, rows).isna().tolist() == [True, False]


def test_a_missing_newest_value_does_not_give_way_to_an_older_one(store: EmbeddedStore) -> None:
    """DuckDB before 1.4.1 skips nulls where few rows ask."""
    at = [START, START + timedelta(hours=1)]
    features = pd.DataFrame({"customer": [1, 1], "at": at, "value": [5.0, None]})
    rows = pd.DataFrame({"customer": [1], "at": [START + timedelta(hours=2)]})
    assert looked_up(store, view_of(), features, rows).isna().tolist() == [True]


def test_rows_keep_their_order_index_and_number(store: EmbeddedStore) -> None:
    features = pd.DataFrame({"customer": ["x"], "at": [START], "value": [True]})
    rows = pd.DataFrame({"customer": ["y", "x", "x", None], "at": [START + timedelta(days=1)] * 4}, index=[9, 3, 3, 1])
    found = looked_up(store, view_of(), features, rows)
    assert list(found.index) == [9, 3, 3, 1]
    assert found.fillna(-1).tolist() == [-1, 1.0, 1.0, -1]
    assert found.dtype == np.float64


def test_keys_of_another_type_are_refused_with_the_place(store: EmbeddedStore) -> None:
    features = pd.DataFrame({"customer": ["1"], "at": [START], "value": [1.0]})
    rows = pd.DataFrame({"customer": [1], "at": [START]})
    with pytest.raises(DeclarationError, match=r"features/spend.py:3: customer is int64 in the rows, but varchar"):
        looked_up(store, view_of(), features, rows)


def test_a_timestamp_that_is_none_is_refused(store: EmbeddedStore) -> None:
    features = pd.DataFrame({"customer": [1], "at": [17], "value": [1.0]})
    with pytest.raises(DeclarationError, match="'at' of spend_v1 is not a time"):
        store.write(view_of(), features)


def test_text_features_stay_text(store: EmbeddedStore) -> None:
    features = pd.DataFrame({"customer": [1], "at": [START], "value": ["often"]})
    rows = pd.DataFrame({"customer": [1, 2], "at": [START + timedelta(days=1)] * 2})
    found = looked_up(store, view_of(), features, rows)
    assert found.tolist()[0] == "often"
    assert found.isna().tolist() == [False, True]


def test_categories_are_stored_as_what_they_stand_for(store: EmbeddedStore) -> None:
    features = pd.DataFrame({"customer": ["a", "b"], "at": [START] * 2, "value": ["x", None]})
    rows = pd.DataFrame({"customer": ["b", "a", None], "at": [START + timedelta(days=1)] * 3})
    view = view_of()
    plain, by_category = (
        store.write(view, features),
        store.write(view, features.astype({"customer": "category", "value": "category"})),
    )
    assert plain == by_category
    found = looked_up(store, view, features, rows.astype({"customer": "category"}))
    assert found.fillna("-").tolist() == ["-", "x", "-"]


def test_what_is_published_is_what_a_join_finds_now(store: EmbeddedStore) -> None:
    view = view_of(timedelta(days=2))
    at = [START, START + timedelta(days=1), START]
    features = pd.DataFrame({"customer": [1, 1, 2], "at": at, "value": [1.0, 2.0, 3.0]})
    written = store.write(view, features)
    assert store.publish(view, written) == 2
    moment = START + timedelta(days=2, hours=12)
    now = pd.Timestamp(moment, tz="UTC").timestamp()
    assert store.online("spend_v1", [1, 2, 3], now) == [{"value": 2.0}, {}, {}]
    rows = pd.DataFrame({"customer": [1, 2, 3], "at": [moment] * 3})
    assert looked_up(store, view, features, rows).fillna(-1).tolist() == [2.0, -1, -1]


def test_statistics_and_prune(store: EmbeddedStore) -> None:
    view = view_of()
    features = pd.DataFrame({"customer": [1, 2], "at": [START] * 2, "value": [1.0, None], "word": ["a", "b"]})
    written = store.write(view, features)
    statistics = store.statistics(view, written)
    assert (statistics.rows, statistics.entities) == (2, 2)
    assert statistics.newest == pd.Timestamp(START, tz="UTC").timestamp()
    assert (statistics.columns["value"].missing, statistics.columns["value"].mean) == (0.5, 1.0)
    assert statistics.columns["word"].mean is None
    store.publish(view, written)
    assert store.prune(["other_v1"]) == ("spend_v1",)
    assert store.online("spend_v1", [1], 0.0) == [{}]
