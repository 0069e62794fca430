from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops import exhibits
from tests import small


@pytest.fixture
def larger(tmp_path, monkeypatch):
    """A project with enough rows for drift to be seen, after its first release."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = small.churn(tmp_path / "shop")
    table = small.customers(3_000)
    table.to_csv(root / "customers.csv", index=False)
    first = small.go(root)
    assert first.report.releases, str(first)
    return root, table


def test_what_moved_is_ranked_by_what_it_costs_the_live_model_and_drawn(larger):
    """`visits` moves farthest, and the model hardly reads it; `amount` is what it decides by."""
    root, table = larger
    random = np.random.default_rng(0)
    moved = table.assign(amount=(table.amount * 1.4).round(2), visits=table.visits + 9)
    moved["city"] = np.where(random.random(len(table)) < 0.3, "Ulm", table.city)
    moved.to_csv(root / "customers.csv", index=False)
    ran = small.go(root, until="check-data")
    record = ran.record("check-data:churn_v1")
    skew = [f for f in record.verdict.findings if f.check == "data.value_skew"]
    assert record.verdict.retrain
    assert {f.subject for f in skew} == {"amount", "visits", "city"}
    assert skew[0].subject != "visits"
    assert max(skew, key=lambda f: f.measured).subject == "visits"
    assert all("of Brier score" in f.message and f.interval and f.n > 2_000 for f in skew)
    assert "mlops run" not in skew[0].next_step
    shown = exhibits.decode(small.opened(root).objects.get(record.outputs["exhibits"]))
    assert [one.title for one in shown[:2]] == ["What the shifts cost the model", "How far columns moved"]
    assert [one.title for one in shown[2:]] == [f.subject for f in skew]
    assert shown[0].series[0].x == tuple(f.subject for f in skew)
    assert {len(series.x) for series in shown[2].series} == {len(shown[2].series[0].y)}


def test_a_champion_that_reads_another_column_is_compared_without_a_ranking(larger):
    root, table = larger
    small.edit(root / "features/customers.schema.yaml", "  visits:", "  calls:")
    moved = table.rename(columns={"visits": "calls"}).assign(amount=table.amount * 2)
    moved.to_csv(root / "customers.csv", index=False)
    [skew] = [
        f
        for f in small.go(root, until="check-data").record("check-data:churn_v1").verdict.findings
        if f.check == "data.value_skew"
    ]
    assert skew.subject == "amount"
    assert "reads visits, which this table does not have" in skew.message


def test_a_large_table_is_read_by_a_sample_of_rows_that_is_told(larger, monkeypatch):
    root, table = larger
    monkeypatch.setattr("mlops.statistics.drift.MOST_ROWS", 1_500)
    table.assign(amount=table.amount * 2).to_csv(root / "customers.csv", index=False)
    [skew] = [
        f
        for f in small.go(root, until="check-data").record("check-data:churn_v1").verdict.findings
        if f.check == "data.value_skew"
    ]
    assert skew.n == 1_500
    assert "a seeded sample of 1,500 of" in skew.message


def test_the_same_rows_are_drawn_from_one_file_and_from_two(tmp_path):
    from mlops.adapters import parquet

    frame = pd.DataFrame({"a": range(1_000)})
    parts = [frame.iloc[:300], frame.iloc[300:]]
    for name, part in zip(("whole", "first", "second"), (frame, *parts), strict=True):
        part.to_parquet(tmp_path / name, index=False, row_group_size=128)
    whole = parquet.sample([tmp_path / "whole"], ["a"], 100, seed=3)
    halves = parquet.sample([tmp_path / "first", tmp_path / "second"], ["a"], 100, seed=3)
    assert whole[1] == halves[1] == 1_000
    assert whole[0]["a"].tolist() == halves[0]["a"].tolist()
    assert whole[0]["a"].is_monotonic_increasing
    assert len(whole[0]) == 100
