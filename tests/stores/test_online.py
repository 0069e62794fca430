"""The online store: round trips, time to live, readers beside a writer, and no heavy import."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops.errors import OutsideError
from mlops.stores.exchange import Publication, forget, publish, publish_newest
from mlops.stores.online import FILE, OnlineReader, published


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "features" / FILE


def rows(values: dict) -> list[dict]:
    return [{"customer": key, "mean": value} for key, value in values.items()]


def test_whole_numbers_and_text_are_different_keys_and_both_come_back(path: Path) -> None:
    publish(path, "spend_v1", "customer", rows({1: 1.5, "1": 2.5, "ü": None}))
    found = OnlineReader(path).read("spend_v1", [1, "1", "ü", 2, "2"], 0.0)
    assert found == [{"mean": 1.5}, {"mean": 2.5}, {"mean": None}, {}, {}]


def test_a_value_past_its_time_to_live_is_missing(path: Path) -> None:
    publish(path, "spend_v1", "customer", [{"customer": 1, "at": 100.0, "mean": 3.0}], 60.0, timestamp="at")
    reader = OnlineReader(path)
    assert reader.read("spend_v1", [1], 160.0) == [{"mean": 3.0}]
    assert reader.read("spend_v1", [1], 160.001) == [{}]


def test_a_frame_is_published_by_its_newest_row_with_plain_values(path: Path) -> None:
    frame = pd.DataFrame(
        {
            "customer": pd.array([1, 1, None], dtype="Int64"),
            "at": pd.to_datetime(["2024-01-02", "2024-01-01", "2024-01-01"]),
            "mean": [2.0, 1.0, 9.0],
            "number": np.array([2, 1, 9], dtype="int32"),
            "share": [np.nan, 0.1, 0.2],
            "word": ["new", "old", "old"],
        }
    )
    assert publish(path, "spend_v1", "customer", frame, None, timestamp="at") == 1
    assert OnlineReader(path).read("spend_v1", [1], 0.0) == [{"mean": 2.0, "number": 2, "share": None, "word": "new"}]
    assert published(path)[0].newest == pd.Timestamp("2024-01-02", tz="UTC").timestamp()


def test_a_missing_store_view_or_odd_key_reads_as_nothing(path: Path) -> None:
    reader = OnlineReader(path)
    assert reader.read("spend_v1", [1, 2], 0.0) == [{}, {}]
    publish(path, "spend_v1", "customer", rows({1: 1.0}))
    assert reader.read("other_v1", [1], 0.0) == [{}]
    assert reader.read("spend_v1", [2**70, 1, None, [3]], 0.0) == [{}, {"mean": 1.0}, {}, {}]
    assert reader.read("spend_v1", [], 0.0) == []


def test_a_thousand_keys_come_in_the_order_asked(path: Path) -> None:
    publish(path, "spend_v1", "customer", rows({key: float(key) for key in range(1500)}))
    keys = [*range(1499, -1, -1), 7]
    assert [row["mean"] for row in OnlineReader(path).read("spend_v1", keys, 0.0)] == [float(key) for key in keys]


def test_publishing_replaces_a_view_whole_and_leaves_others(path: Path) -> None:
    publish(path, "spend_v1", "customer", rows({1: 1.0, 2: 2.0}))
    publish(path, "risk_v1", "terminal", [{"terminal": 1, "share": 0.5}])
    publish(path, "spend_v1", "customer", rows({2: 3.0}))
    reader = OnlineReader(path)
    assert reader.read("spend_v1", [1, 2], 0.0) == [{}, {"mean": 3.0}]
    assert reader.read("risk_v1", [1], 0.0) == [{"share": 0.5}]
    assert [(p.view, p.entity, p.rows) for p in published(path)] == [
        ("risk_v1", "terminal", 1),
        ("spend_v1", "customer", 1),
    ]
    forget(path, "risk_v1")
    assert [p.view for p in published(path)] == ["spend_v1"]


def test_a_refused_publish_leaves_the_old_values(path: Path) -> None:
    publish(path, "spend_v1", "customer", rows({1: 1.0}))
    with pytest.raises(OutsideError, match="cannot write"):
        publish(path, "spend_v1", "customer", rows({1: 2.0, 2**70: 1.0}))
    assert OnlineReader(path).read("spend_v1", [1], 0.0) == [{"mean": 1.0}]


@pytest.mark.parametrize("count", [200, 1300])
def test_readers_of_many_threads_see_all_old_or_all_new_while_it_is_published(path: Path, count: int) -> None:
    """A read of many keys takes several statements, and still sees one state."""
    publish(path, "spend_v1", "customer", rows(dict.fromkeys(range(count), 0.0)))
    reader, stop, torn, reads = OnlineReader(path), threading.Event(), [], []

    def read() -> None:
        while not stop.is_set():
            try:
                seen = {row.get("mean") for row in reader.read("spend_v1", list(range(count)), 0.0)}
            except Exception as error:  # noqa: BLE001 - a failure in a thread must reach the assertion
                torn.append(error)
                return
            reads.append(1)
            if len(seen) != 1 or None in seen:
                torn.append(seen)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for version in range(1, 21):
        publish(path, "spend_v1", "customer", rows(dict.fromkeys(range(count), float(version))))
    stop.set()
    for thread in threads:
        thread.join()
    assert not torn
    assert len(reads) > 10


def test_two_that_publish_at_once_leave_the_newer_values(path: Path) -> None:
    def publishing(versions: range) -> None:
        for version in versions:
            row = {"customer": 1, "at": float(version), "mean": float(version)}
            publish(path, "spend_v1", "customer", [row], timestamp="at")

    threads = [threading.Thread(target=publishing, args=(versions,)) for versions in (range(1, 40, 2), range(2, 41, 2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert OnlineReader(path).read("spend_v1", [1], 0.0) == [{"mean": 40.0}]
    assert published(path)[0].newest == 40.0


def test_a_later_history_replaces_and_an_earlier_one_changes_nothing(path: Path) -> None:
    def put(keys: dict, as_of: float | None, at: int = 5) -> None:
        about = Publication(view="spend_v1", entity="customer", published=100.0, as_of=as_of)
        publish_newest(path, about, [(key, at, at, {"mean": value}) for key, value in keys.items()])

    def held() -> list:
        return [row.get("mean") for row in OnlineReader(path).read("spend_v1", [1, 2, 3], 0.0)]

    put({1: 1.0, 2: 2.0}, as_of=50.0)
    put({1: 9.0, 3: 9.0}, as_of=49.0, at=9)
    assert held() == [1.0, 2.0, None]
    put({1: 3.0, 3: 4.0}, as_of=51.0, at=4)  # a withdrawn row: its entity's newest is older now
    assert held() == [3.0, None, 4.0]
    put({1: 5.0}, as_of=None, at=5)  # nobody said as of when: what is newer is added, nothing is taken away
    put({3: 6.0}, as_of=None, at=3)
    assert held() == [5.0, None, 4.0]


def test_a_key_of_numpy_finds_its_row(path: Path) -> None:
    publish(path, "spend_v1", "customer", rows({7: 1.5, "a": 2.5}))
    keys = [np.int64(7), np.str_("a"), np.float64(7.0), True]
    assert [row.get("mean") for row in OnlineReader(path).read("spend_v1", keys, 0.0)] == [1.5, 2.5, 1.5, None]
    assert OnlineReader(path).read("spend_v1", [np.int64(7)], 0.0) == [{"mean": 1.5}]


def test_the_service_can_import_it_without_pandas_or_duckdb() -> None:
    code = "import sys, mlops.stores.online; print([m for m in ('pandas', 'duckdb', 'numpy') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
