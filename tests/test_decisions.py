"""The decision log, read."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from mlops.adapters.segments import named
from mlops.decisions import read
from mlops.serving.decisions import DecisionLog, Settings
from mlops.serving.runtime import load_release
from tests.serving.conftest import made  # noqa: F401  # the releases of the service's tests
from tests.serving.releases import contract, make_release


def written(folder, *asked, close="10m", **more):
    """A log into which each (release, arm, request id, rows) was put, stopped."""
    log = DecisionLog(Settings(folder=folder, **more))
    log.start()
    for release, arm, name, rows in asked:
        log.add(release, arm, name, release.decide(release.decoder.convert(rows)))
    log.stop()
    return log


@pytest.fixture
def first(made):  # noqa: F811
    return load_release(made.releases, made.first, made.online)


def test_services_with_a_folder_each_are_read_together_and_tidy_up_after_those_that_are_gone(first, tmp_path):
    row = [{"customer_id": 1, "amount": 12.5}]
    for pod in ("pod-a", "pod-b"):
        written(tmp_path / pod, (first, "live", pod, row), beside=True)
    lost = tmp_path / "pod-gone" / f"{named(datetime.now(UTC) - timedelta(days=40), 'w', 'm')}.arrow"
    lost.parent.mkdir()
    lost.touch()
    written(tmp_path / "pod-a", (first, "live", "again", row), beside=True)
    assert read(tmp_path)["request_id"].to_pylist() == ["pod-a", "pod-b", "again"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pod-a", "pod-b"]


def test_a_decision_has_what_was_asked_what_the_model_was_given_and_what_it_said(first, tmp_path):
    before = datetime.now(UTC)
    rows = [{"customer_id": 1, "amount": 12.5}, {"customer_id": 999, "amount": 3.0}]
    written(tmp_path, (first, "live", "r1", rows), (first, "canary", "r2", rows[:1]))
    table = read(tmp_path)
    said = first.answer(first.decoder.convert(rows))
    given = first.given(first.decoder.convert(rows))
    assert table.column_names == [
        "at", "request_id", "row", "release", "arm", "prediction", "probability",
        "request.customer_id", "request.amount", "feature.amount", "feature.mean_7d", "feature.ratio_v1",
    ]  # fmt: skip
    assert table["at"].type == pa.timestamp("us", "UTC")
    assert before <= table["at"][0].as_py() <= datetime.now(UTC)
    kept = table.to_pylist()
    assert [(one["request_id"], one["row"], one["arm"]) for one in kept] == [
        ("r1", 0, "live"),
        ("r1", 1, "live"),
        ("r2", 0, "canary"),
    ]
    for one, answer, place in zip(kept, [*said, said[0]], (0, 1, 0), strict=True):
        assert one["release"] == first.release
        assert one["prediction"] == str(answer["prediction"])
        assert one["probability"] == answer["probability"]
        assert one["request.customer_id"] == rows[place]["customer_id"]
        assert one["feature.ratio_v1"] == given["ratio_v1"][place]
    assert kept[0]["feature.mean_7d"] == given["mean_7d"][0]
    assert kept[1]["feature.mean_7d"] is None, "a customer whom nobody knows has no stored feature"


def test_what_is_to_be_left_out_is_nowhere(first, tmp_path):
    asked = [{"customer_id": 77123, "amount": 4.5}]
    written(tmp_path, (first, "live", "r", asked), omit=frozenset({"customer_id", "amount"}))
    table = read(tmp_path)
    assert [name for name in table.column_names if name.startswith(("request.", "feature."))] == [
        "feature.mean_7d",
        "feature.ratio_v1",
    ]


def test_releases_with_other_columns_and_other_tasks_stand_side_by_side(first, tmp_path, tmp_path_factory):
    place = tmp_path_factory.mktemp("other")
    amounts = contract("worth_v1", computed=False, stored=False, task="regression")
    regression = load_release(place, make_release(place, amounts), None)
    written(
        tmp_path,
        (first, "live", "a", [{"customer_id": 1, "amount": 2.0}]),
        (regression, "shadow", "b", [{"amount": 2.0}]),
    )
    kept = read(tmp_path).to_pylist()
    assert [one["request.customer_id"] for one in kept] == [1, None]
    number = regression.answer([{"amount": 2.0}])[0]["prediction"]
    assert float(kept[1]["prediction"]) == number, "beside labels a number is text"
    assert read(tmp_path, columns=["prediction", "release"]).column_names == ["prediction", "release"]


def test_only_the_time_that_is_asked_for_is_read(first, tmp_path):
    written(tmp_path, (first, "live", "early", [{"customer_id": 1, "amount": 2.0}]))
    middle = datetime.now(UTC)
    time.sleep(0.01)
    written(tmp_path, (first, "live", "late", [{"customer_id": 1, "amount": 2.0}]))
    assert read(tmp_path, until=middle, columns=["request_id"])["request_id"].to_pylist() == ["early"]
    assert read(tmp_path, since=middle, columns=["request_id"])["request_id"].to_pylist() == ["late"]
    assert read(tmp_path, since=middle, until=middle + timedelta(days=1)).num_rows == 1
    naive = middle.replace(tzinfo=None)
    assert read(tmp_path, since=naive).num_rows == 1, "a time without a zone is UTC"


def test_a_folder_without_decisions_gives_no_rows_and_the_columns(tmp_path):
    table = read(tmp_path / "none")
    assert table.num_rows == 0
    assert {"at", "request_id", "release", "arm"} <= set(table.column_names)
    assert read(tmp_path, columns=["request_id", "feature.x"]).column_names == ["request_id", "feature.x"]


def test_what_is_not_closed_yet_is_read_too_and_counts_once(first, tmp_path):
    log = DecisionLog(Settings(folder=tmp_path))
    log.start()
    log.add(first, "live", "open", first.decide(first.decoder.convert([{"customer_id": 1, "amount": 2.0}])))
    deadline = time.monotonic() + 10
    while read(tmp_path).num_rows == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [path.suffix for path in tmp_path.iterdir()] == [".arrow"]
    log.stop()
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet"]
    assert read(tmp_path)["request_id"].to_pylist() == ["open"]
