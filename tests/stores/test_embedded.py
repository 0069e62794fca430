"""The embedded store does what every home does, and what only Parquet, DuckDB and SQLite can do wrong."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mlops.adapters.objects import ObjectStore
from mlops.errors import DeclarationError, OutsideError
from mlops.stores.embedded import EmbeddedStore
from tests.stores.conformance import HOUR, START, Case, asking, history_of, looked_up, plainly, stored, suite, view_of


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "features", ObjectStore(tmp_path / "store"))


class TestEmbedded(suite(examples=60)):
    """The whole suite."""


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zones", [(None, None), ("UTC", None), ("Asia/Tokyo", "America/New_York")])
def test_units_and_zones_of_times_do_not_matter(store: EmbeddedStore, unit: str, zones: tuple) -> None:
    def times(hours: list[int], zone: str | None) -> pd.Series:
        utc = pd.Series(pd.to_datetime([START + h * HOUR for h in hours], utc=True)).dt.as_unit(unit)
        return utc.dt.tz_convert(zone) if zone else utc.dt.tz_localize(None)

    features = pd.DataFrame({"customer": [1, 1], "at": times([0, 10], zones[0]), "value": [1.0, 2.0]})
    rows = pd.DataFrame({"customer": [1, 1, 1], "asked_at": times([10, 11, 0], zones[1])})
    assert plainly(looked_up(store, Case(view_of(), [features], rows))["value_"]) == [1.0, 2.0, None]


@pytest.mark.parametrize("column", ["at", "seen_at"])
def test_a_time_that_is_none_is_refused(store: EmbeddedStore, column: str) -> None:
    view = view_of(created=True)
    features = history_of((1, 0, 0, 1.0), created=True).assign(**{column: 17})
    with pytest.raises(DeclarationError, match=f"'{column}' of {view.name} is not a time"):
        store.write(view, features)


def test_a_view_that_did_not_return_its_known_time_is_refused(store: EmbeddedStore) -> None:
    with pytest.raises(DeclarationError, match="did not return the column 'seen_at'"):
        store.write(view_of(created=True), history_of((1, 0, 1.0)))


def test_a_column_of_several_types_is_refused_with_the_place(store: EmbeddedStore) -> None:
    features = history_of((1, 0, 1.0), (2, 0, 1.0)).assign(value=["a", 1])
    with pytest.raises(DeclarationError, match=r"features/spend.py:3: case\d+_v1 cannot be stored"):
        store.write(view_of(), features)


def test_categories_are_stored_as_what_they_stand_for(store: EmbeddedStore) -> None:
    features = pd.DataFrame({"customer": ["a", "b"], "at": [START] * 2, "value": ["x", None]})
    rows = asking(("b", 24 * HOUR), ("a", 24 * HOUR), (None, 24 * HOUR))
    by_category = features.astype({"customer": "category", "value": "category"})
    view = view_of()
    assert store.write(view, features) == store.write(view, by_category)
    found = looked_up(store, Case(view, [by_category], rows.astype({"customer": "category"})))["value_"]
    assert plainly(found) == [None, "x", None]


def test_the_order_and_the_index_of_the_written_rows_do_not_matter(store: EmbeddedStore) -> None:
    view, features = view_of(), history_of((2, 1, 1.0), (1, 2, 2.0), (1, 1, 3.0))
    assert store.write(view, features) == store.write(view, features.iloc[::-1])


def test_a_flipped_byte_in_one_part_is_found_on_read(store: EmbeddedStore) -> None:
    """Promise 16."""
    view = view_of()
    case = Case(view, [history_of((key, 0, 1.0)) for key in (1, 2)], asking((1, HOUR)))
    written = stored(store, case)
    part = store.objects.path(store.write(view, case.parts[1]))
    data = bytearray(part.read_bytes())
    data[40] ^= 1
    part.write_bytes(data)
    with pytest.raises(OutsideError, match="corrupt"):
        store.publish(view, written)


def test_a_decimal_is_a_number_online_too(store: EmbeddedStore) -> None:
    from decimal import Decimal

    view = view_of()
    features = history_of((1, 0, 1.0)).assign(value=[Decimal("1.25")])
    store.publish(view, store.write(view, features))
    assert store.online(view.name, [1], 0.0) == [{"value": 1.25}]


def test_a_row_of_the_future_is_not_published_before_its_time(store: EmbeddedStore) -> None:
    view = view_of()
    features = pd.concat([history_of((1, 0, 1.0)), history_of((1, 24 * 365 * 90, 2.0))])
    assert store.publish(view, store.write(view, features)) == 1
    assert store.online(view.name, [1], 0.0) == [{"value": 1.0}]
