"""What every home of features must do alike. A home's test file has a fixture `store`, an open store, and a class:

class TestHome(conformance.suite(examples=100)): ...

The store may hold other views already: each case has a view of its own.
"""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mlops.declare import FeatureView, Origin
from mlops.errors import DeclarationError
from mlops.stores.protocol import EXPIRED, MISSING, FeatureStore, Lookup
from tests.stores import oracle

START = datetime(2024, 3, 30, 22)  # noqa: DTZ001 - a naive time is UTC; the clocks of Europe change in the night
HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)
COLUMNS = ["customer", "at", "seen_at", "value", "word"]
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Case:
    """A view, its history in parts, and who asks when."""

    view: FeatureView
    parts: list[pd.DataFrame]
    rows: pd.DataFrame

    @property
    def history(self) -> pd.DataFrame:
        """All parts, one after the other."""
        return pd.concat(self.parts, ignore_index=True)

    @property
    def asked(self) -> list[tuple[Any, Any]]:
        """Entity and moment of each row."""
        return list(zip(self.rows["customer"], self.rows["asked_at"], strict=True))


def view_of(*, ttl: timedelta | None = None, created: bool = False) -> FeatureView:
    """A view that no other case has."""
    return FeatureView(
        function=lambda frame: frame,
        name=f"case{next(_numbers)}_v1",
        module="features.spend",
        origin=Origin("features/spend.py", 3),
        source="payments",
        entity="customer",
        timestamp="at",
        created="seen_at" if created else None,
        ttl=ttl,
    )


def history_of(*rows: tuple[Any, ...], created: bool = False) -> pd.DataFrame:
    """Rows of (customer, hours, value) or (customer, hours, hours until known, value)."""
    names = ["customer", "at", "seen_at", "value"] if created else ["customer", "at", "value"]
    frame = pd.DataFrame(list(rows), columns=names)
    for name in ("at", "seen_at"):
        if name in frame:
            frame[name] = pd.to_datetime([START + hours * HOUR for hours in frame[name]])
    return frame.astype({"value": "float64"})


def asking(*rows: tuple[Any, timedelta]) -> pd.DataFrame:
    """Rows of (customer, time since the start)."""
    frame = pd.DataFrame(list(rows), columns=["customer", "asked_at"])
    return frame.assign(asked_at=pd.to_datetime([START + since for since in frame.asked_at]))


def stored(store: FeatureStore, case: Case) -> str:
    """The name of the case's whole history."""
    names = [store.write(case.view, part) for part in case.parts]
    return names[0] if len(names) == 1 else store.gather(case.view, names)


def looked_up(store: FeatureStore, case: Case, columns: tuple[str, ...] = ("value",)) -> pd.DataFrame:
    """What the store says to the case's rows."""
    lookup = Lookup(view=case.view, written=stored(store, case), columns={name: f"{name}_" for name in columns})
    return store.point_in_time(case.rows, [lookup], timestamp="asked_at")


def plainly(values: Any) -> list[float | str | None]:
    """A column or list as the oracle tells it."""
    return [oracle.plain(value) for value in values]


def seconds(moment: Any) -> float:
    """Seconds since 1970."""
    found = oracle.microseconds(moment)
    assert found is not None
    return found.timestamp()


# -- cases --------------------------------------------------------------------------------------------------------

whole = st.sampled_from([0, 1, 2, -7, 2**53 + 1, 2**63 - 1])
text = st.sampled_from(["a", "1", "01", "ü", "O'Brien", 'say "x"', ""])
grid = st.builds(
    lambda hours, off: START + hours * HOUR + off * MICROSECOND, st.integers(0, 8), st.sampled_from([0, 0, 0, 1, -1])
)
delays = st.sampled_from([0, 0, 1, 2, 5, -1]).map(lambda hours: hours * HOUR)
ttls = st.sampled_from([None, 2 * HOUR, 2 * HOUR + MICROSECOND, timedelta(days=30)])
zones = st.sampled_from([None, None, "UTC", "Asia/Tokyo", "Europe/Berlin"])
values = st.one_of(st.none(), st.floats(-9, 9), st.just(0.1 + 0.2))
words = st.one_of(st.none(), st.sampled_from(["", "often", "naïve", "1"]))


def maybe(strategy: st.SearchStrategy[Any], *, share: int = 8) -> st.SearchStrategy[Any]:
    """Mostly a value, now and then a missing one."""
    return st.integers(0, share).flatmap(lambda n: strategy if n else st.none())


@st.composite
def cases(draw: st.DrawFn, *, complete: bool = False) -> Case:
    """Histories with ties, revisions, late and lost rows, in any order; `complete` has no missing key or time."""
    keys, created = draw(st.sampled_from([whole, text])), draw(st.booleans())
    wanted = keys if complete else maybe(keys)
    moments = grid if complete else maybe(grid)
    rows = draw(st.lists(st.tuples(wanted, moments, delays, values, words), min_size=0, max_size=25))
    table = [(key, at, None if at is None else at + delay, value, word) for key, at, delay, value, word in rows]
    asked = draw(st.lists(st.tuples(maybe(keys), maybe(grid)), min_size=1, max_size=12))
    dtype = "object" if keys is text else "Int64"
    frame = pd.DataFrame(table, columns=COLUMNS, dtype="object").astype(
        {"customer": dtype, "value": "float64", "word": "object"}
    )
    zone = draw(zones)
    frame = frame.assign(at=_times(frame["at"], zone), seen_at=_times(frame["seen_at"], zone))
    if not created:
        frame = frame.drop(columns="seen_at")
    count = draw(st.integers(1, 3))
    # Parts share no entity and time.
    homes = [zlib.crc32(f"{row.customer} {row.at}".encode()) % count for row in frame.itertuples()]
    parts = [part for _, part in frame.groupby(homes)]
    request = pd.DataFrame(asked, columns=["customer", "asked_at"], dtype="object").astype({"customer": dtype})
    request["asked_at"] = _times(request["asked_at"], draw(zones))
    return Case(view_of(ttl=draw(ttls), created=created), parts or [frame], request)


def _times(moments: pd.Series, zone: str | None) -> pd.Series:
    utc = pd.to_datetime(moments, utc=True).dt.as_unit("us")
    return utc.dt.tz_convert(zone) if zone else utc.dt.tz_localize(None)


# -- the suite ----------------------------------------------------------------------------------------------------


def suite(*, examples: int) -> type:  # noqa: C901 - one test after the other
    """A class of tests; `examples` bounds each property."""
    tried = settings(
        phases=[
            Phase.explicit,
            Phase.reuse,
            Phase.generate,
        ],  # a case is small as it comes, and shrinking takes minutes
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )

    class Suite:
        @tried
        @given(case=cases())
        def test_a_point_in_time_read_equals_the_oracle(self, store: FeatureStore, case: Case) -> None:
            found = looked_up(store, case, ("value", "word"))
            for name in ("value", "word"):
                assert plainly(found[f"{name}_"]) == oracle.column(case.view, case.history, case.asked, name)
            assert list(found.index) == list(case.rows.index)

        @tried
        @given(case=cases(complete=True), moment=grid)
        def test_what_is_online_equals_what_a_point_in_time_read_finds_at_that_moment(
            self, store: FeatureStore, case: Case, moment: datetime
        ) -> None:
            now, view = seconds(moment), case.view
            written = stored(store, case)
            asked = list(dict.fromkeys(key for key, _ in case.asked if not oracle.absent(key)))
            held = store.publish(view, written, now=now)
            online = store.online(view.name, asked, now)
            truth = [oracle.seen(view, case.history, key, moment) for key in asked]
            for name in ("value", "word"):
                expected = [None if isinstance(row, str) else oracle.plain(row[name]) for row in truth]
                assert [oracle.plain(row.get(name)) for row in online] == expected
            assert [row is EXPIRED for row in online] == [
                row == oracle.TOO_OLD if isinstance(row, str) else False for row in truth
            ]
            assert [row is MISSING for row in online] == [
                row == oracle.NOT_THERE if isinstance(row, str) else False for row in truth
            ]
            everyone = case.history["customer"].unique()
            assert held == sum(oracle.seen(view, case.history, key, moment) != oracle.NOT_THERE for key in everyone)

        @tried
        @given(case=cases(complete=True), share=st.floats(0, 1))
        def test_an_older_history_never_takes_the_place_of_a_newer_one(
            self, store: FeatureStore, case: Case, share: float
        ) -> None:
            now = seconds(START + timedelta(days=2))
            view = replace(case.view, ttl=None)
            history = case.history.sort_values("seen_at" if view.created else "at", kind="stable")
            history = history.drop_duplicates(list(view.keys), keep="last")
            older = history.head(int(len(history) * share))
            keys = list(history["customer"].unique())
            store.publish(view, store.write(view, history), now=now)
            before = store.online(view.name, keys, now)
            store.publish(view, store.write(view, older), now=now)
            assert store.online(view.name, keys, now) == before

        def test_a_row_at_the_same_moment_is_not_seen(self, store: FeatureStore) -> None:
            rows = asking((1, 0 * HOUR), (1, MICROSECOND))
            assert plainly(looked_up(store, Case(view_of(), [history_of((1, 0, 5.0))], rows))["value_"]) == [None, 5.0]

        def test_a_row_that_became_known_late_is_seen_from_then_on(self, store: FeatureStore) -> None:
            history = history_of((1, 0, 0, 1.0), (1, 2, 9, 2.0), (1, 4, 4, 4.0), created=True)
            rows = asking((1, 3 * HOUR), (1, 5 * HOUR), (1, 9 * HOUR), (1, 10 * HOUR))
            found = looked_up(store, Case(view_of(created=True), [history], rows))["value_"]
            assert plainly(found) == [1.0, 4.0, 4.0, 4.0]  # what comes late is older than what is there

        def test_a_revision_counts_from_the_moment_it_was_known(self, store: FeatureStore) -> None:
            history = history_of((1, 0, 6, 3.0), (1, 0, 0, 1.0), (1, 0, 3, 2.0), created=True)
            rows = asking(*((1, hours * HOUR) for hours in (0, 1, 3, 4, 6, 7)))
            found = looked_up(store, Case(view_of(created=True), [history], rows))["value_"]
            assert plainly(found) == [None, 1.0, 1.0, 2.0, 2.0, 3.0]

        def test_a_revision_replaces_the_value_online_when_it_is_known(self, store: FeatureStore) -> None:
            history = history_of((1, 0, 0, 1.0), (1, 0, 3, 2.0), (2, 5, 9, 7.0), created=True)
            view = view_of(created=True)
            written = store.write(view, history)
            for hours, expected in ((2, [1.0, None]), (4, [2.0, None]), (9, [2.0, None]), (10, [2.0, 7.0])):
                now = seconds(START + hours * HOUR)
                store.publish(view, written, now=now)
                assert [row.get("value") for row in store.online(view.name, [1, 2], now)] == expected

        def test_the_time_to_live_holds_to_the_microsecond(self, store: FeatureStore) -> None:
            view = view_of(ttl=2 * HOUR)
            rows = asking((1, 2 * HOUR), (1, 2 * HOUR + MICROSECOND))
            case = Case(view, [history_of((1, 0, 5.0))], rows)
            assert plainly(looked_up(store, case)["value_"]) == [5.0, None]
            store.publish(view, stored(store, case), now=seconds(START + HOUR))
            for since, expected in ((2 * HOUR, 5.0), (2 * HOUR + MICROSECOND, None)):
                (row,) = store.online(view.name, [1], seconds(START + since))
                assert row.get("value") == expected
            assert row is EXPIRED

        def test_a_missing_newest_value_does_not_give_way_to_an_older_one(self, store: FeatureStore) -> None:
            case = Case(view_of(), [history_of((1, 0, 5.0), (1, 1, None))], asking((1, 2 * HOUR)))
            assert plainly(looked_up(store, case)["value_"]) == [None]

        def test_rows_without_a_match_are_kept_in_order_and_with_their_index(self, store: FeatureStore) -> None:
            rows = asking((2, HOUR), (1, HOUR), (1, HOUR), (3, HOUR)).set_index(pd.Index([9, 3, 3, 1]))
            found = looked_up(store, Case(view_of(), [history_of((1, 0, 5.0))], rows))["value_"]
            assert list(found.index) == [9, 3, 3, 1]
            assert plainly(found) == [None, 5.0, 5.0, None]
            assert found.dtype == np.float64

        def test_truth_values_come_as_numbers(self, store: FeatureStore) -> None:
            history = history_of((1, 0, 1.0), (2, 0, 0.0)).astype({"value": "bool"})
            found = looked_up(store, Case(view_of(), [history], asking((1, HOUR), (2, HOUR), (3, HOUR))))["value_"]
            assert plainly(found) == [1.0, 0.0, None]
            assert found.dtype == np.float64

        def test_a_history_without_rows_is_a_history(self, store: FeatureStore) -> None:
            view, rows = view_of(), asking((1, HOUR))
            empty = history_of((1, 0, 5.0)).head(0)
            case = Case(view, [empty], rows)
            assert plainly(looked_up(store, case)["value_"]) == [None]
            assert store.publish(view, store.write(view, empty), now=seconds(START)) == 0
            assert store.online(view.name, [1], seconds(START)) == [{}]
            some = replace(case, parts=[empty, history_of((1, 0, 5.0)), empty])
            assert plainly(looked_up(store, some)["value_"]) == [5.0]

        def test_no_rows_ask_for_nothing(self, store: FeatureStore) -> None:
            found = looked_up(store, Case(view_of(), [history_of((1, 0, 5.0))], asking((1, HOUR)).head(0)))
            assert len(found) == 0
            assert list(found.columns) == ["value_"]

        def test_parts_have_one_name_whatever_their_order(self, store: FeatureStore) -> None:
            view = view_of()
            names = [store.write(view, history_of((key, key, 1.0))) for key in (1, 2, 3)]
            whole_history = store.gather(view, names)
            assert store.gather(view, names[::-1]) == whole_history
            assert store.gather(view, [store.gather(view, names[:2]), *names]) == whole_history
            assert store.gather(view, names[:2]) != whole_history
            assert store.statistics(view, whole_history).rows == 3
            with pytest.raises(ValueError, match="one part"):
                store.gather(view, [])

        def test_a_column_that_is_text_in_one_part_and_a_number_in_another_is_refused(
            self, store: FeatureStore
        ) -> None:
            view = view_of()
            number, word = history_of((1, 0, 1.0)), history_of((2, 0, 1.0)).assign(value="many")
            names = [store.write(view, part) for part in (number, word)]
            with pytest.raises(DeclarationError, match="value is"):
                store.gather(view, names)

        @pytest.mark.parametrize("name", ["key", "moment", "happened", "known", "available", "position", "v0", "found"])
        def test_a_feature_may_have_any_name(self, store: FeatureStore, name: str) -> None:
            history = history_of((1, 0, 0, 5.0), created=True).rename(columns={"value": name})
            view, rows = view_of(created=True), asking((1, HOUR)).assign(**{name: 0.0})
            assert plainly(looked_up(store, Case(view, [history], rows), (name,))[f"{name}_"]) == [5.0]
            store.publish(view, store.write(view, history), now=seconds(START + HOUR))
            assert store.online(view.name, [1], seconds(START + HOUR)) == [{name: 5.0}]

        def test_names_that_differ_only_in_case_are_refused(self, store: FeatureStore) -> None:
            with pytest.raises(DeclarationError, match="upper and lower case: value, Value"):
                store.write(view_of(), history_of((1, 0, 5.0)).assign(Value=1.0))

        def test_two_views_that_give_one_name_are_refused(self, store: FeatureStore) -> None:
            history = history_of((1, 0, 5.0))
            views = [view_of(), view_of()]
            lookups = [Lookup(view=view, written=store.write(view, history), columns={"value": "x"}) for view in views]
            with pytest.raises(DeclarationError, match="both give a column 'x'"):
                store.point_in_time(asking((1, HOUR)), lookups, timestamp="asked_at")

        def test_keys_of_another_type_are_refused_with_the_place(self, store: FeatureStore) -> None:
            with pytest.raises(DeclarationError, match=r"features/spend.py:3: customer is"):
                looked_up(store, Case(view_of(), [history_of(("1", 0, 5.0))], asking((1, HOUR))))

        def test_whole_numbers_stay_apart_where_floats_do_not(self, store: FeatureStore) -> None:
            large = 2**53
            history = history_of((large, 0, 1.0), (large + 1, 0, 2.0))
            found = looked_up(store, Case(view_of(), [history], asking((large + 1, HOUR), (large, HOUR))))["value_"]
            assert plainly(found) == [2.0, 1.0]

        def test_keys_that_are_floats_because_some_are_missing_find_their_rows(self, store: FeatureStore) -> None:
            view, rows = view_of(), asking((7.0, HOUR), (None, HOUR))
            assert rows["customer"].dtype == np.float64
            assert plainly(looked_up(store, Case(view, [history_of((7, 0, 5.0))], rows))["value_"]) == [5.0, None]
            history = history_of((7.0, 0, 5.0), (None, 0, 6.0))
            assert plainly(looked_up(store, Case(view, [history], asking((7, HOUR))))["value_"]) == [5.0]

        def test_times_finer_than_a_microsecond_are_rounded_down(self, store: FeatureStore) -> None:
            history = history_of((1, 0, 5.0))
            history["at"] = history["at"].astype("datetime64[ns]") + pd.Timedelta(999, "ns")
            old = history.assign(customer=2, at=pd.Timestamp("1960-01-01T00:00:00.000000999"))
            since = timedelta(seconds=(pd.Timestamp("1960-01-01") - pd.Timestamp(START)).total_seconds())
            rows = asking((1, 0 * HOUR), (1, MICROSECOND), (2, since), (2, since + MICROSECOND))
            found = looked_up(store, Case(view_of(), [pd.concat([history, old])], rows))["value_"]
            assert plainly(found) == [None, 5.0, None, 5.0]

        def test_a_row_that_was_known_before_its_time_counts_from_its_time(self, store: FeatureStore) -> None:
            view, history = view_of(created=True), history_of((1, 3, 0, 5.0), created=True)
            rows = asking((1, 2 * HOUR), (1, 3 * HOUR), (1, 4 * HOUR))
            assert plainly(looked_up(store, Case(view, [history], rows))["value_"]) == [None, None, 5.0]
            written = store.write(view, history)
            for hours, expected in ((2, None), (3, None), (4, 5.0)):
                now = seconds(START + hours * HOUR)
                store.publish(view, written, now=now)
                assert store.online(view.name, [1], now)[0].get("value") == expected

        def test_a_withdrawn_row_goes_when_a_later_history_is_published(self, store: FeatureStore) -> None:
            view, now = view_of(), seconds(START + 9 * HOUR)
            store.publish(
                view, store.write(view, history_of((1, 0, 1.0), (1, 3, 3.0), (2, 3, 2.0))), now=now, as_of=now
            )
            later = store.write(view, history_of((1, 0, 1.0)))
            assert store.publish(view, later, now=now + 60, as_of=now + 60) == 1
            assert store.online(view.name, [1, 2], now) == [{"value": 1.0}, {}]

        def test_what_is_pruned_is_online_no_more(self, store: FeatureStore) -> None:
            kept, gone = view_of(), view_of()
            now = seconds(START + HOUR)
            for view in (kept, gone):
                store.publish(view, store.write(view, history_of((1, 0, 1.0))), now=now)
            assert gone.name in store.prune([kept.name])
            assert store.online(gone.name, [1], now) == [{}]
            assert store.online(kept.name, [1], now) == [{"value": 1.0}]

        def test_statistics_tell_what_is_stored(self, store: FeatureStore) -> None:
            view = view_of(created=True)
            history = history_of((1, 0, 1, 1.0), (2, 4, 4, None), created=True).assign(word=["a", "b"])
            names = [store.write(view, history.iloc[[row]]) for row in (0, 1)]
            statistics = store.statistics(view, store.gather(view, names))
            assert (statistics.rows, statistics.entities) == (2, 2)
            assert (statistics.oldest, statistics.newest) == (seconds(START), seconds(START + 4 * HOUR))
            assert set(statistics.columns) == {"value", "word"}
            assert (statistics.columns["value"].missing, statistics.columns["value"].mean) == (0.5, 1.0)
            assert statistics.columns["word"].mean is None

    return Suite
