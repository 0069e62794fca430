"""A snapshot is one Parquet table, the same for the same content."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mlops.errors import ConfigError, NothingToDo
from mlops.steps.snapshot import snapshot
from mlops.workspace import Workspace, open_workspace

CSV = "day,amount,channel\n1/31/2024,1.5,web\n2/1/2024,-200,\n"


def project(root: Path, sources: str) -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text(f'[project]\nname = "p"\n[tool.mlops.sources]\n{sources}\n')
    return open_workspace(root)


SALES = 'sales = { path = "sales.csv", missing = [-200], timestamps = { day = "%m/%d/%Y" } }'


def test_a_snapshot_holds_the_typed_rows_and_says_where_they_came_from(tmp_path):
    workspace = project(tmp_path, SALES)
    (tmp_path / "sales.csv").write_text(CSV)
    record = snapshot(workspace, source="sales")
    assert record.name == "snapshot:sales"
    assert record.metrics == {"rows": 2.0, "columns": 3.0}
    assert record.facts["origin"] == "sales.csv"
    assert [f["name"] for f in record.facts["files"]] == ["sales.csv"]
    assert record.facts["missing"] == {"amount": 1, "channel": 1}
    frame = workspace.frame(record.outputs["data"])
    assert frame["day"].tolist() == [pd.Timestamp("2024-01-31"), pd.Timestamp("2024-02-01")]
    assert frame["amount"].isna().tolist() == [False, True]


def test_the_same_content_by_other_ways_has_the_same_digest(tmp_path):
    plain = project(tmp_path / "a", SALES)
    (tmp_path / "a/sales.csv").write_text(CSV)
    first = snapshot(plain, source="sales").outputs["data"]

    frame = plain.frame(first)
    other = project(tmp_path / "b", 'sales = { path = "sales.parquet" }')
    frame.to_parquet(tmp_path / "b/sales.parquet", index=False)
    assert snapshot(other, source="sales").outputs["data"] == first

    split = project(tmp_path / "c", SALES.replace("sales.csv", "days"))
    head, one, two = CSV.splitlines(keepends=True)
    (tmp_path / "c/days").mkdir()
    (tmp_path / "c/days/1.csv").write_text(head + one)
    (tmp_path / "c/days/2.csv").write_text(head + two)
    assert snapshot(split, source="sales").outputs["data"] == first

    (tmp_path / "a/sales.csv").write_text(CSV.replace("web", "app"))
    assert snapshot(plain, source="sales").outputs["data"] != first


def test_the_digest_does_not_depend_on_the_version_of_pandas(tmp_path):
    workspace = project(tmp_path, SALES)
    (tmp_path / "sales.csv").write_text(CSV)
    content = workspace.objects.get(snapshot(workspace, source="sales").outputs["data"])
    assert b"pandas" not in content


def test_a_refused_source_leaves_nothing_in_the_store(tmp_path):
    workspace = project(tmp_path, SALES)
    (tmp_path / "sales.csv").write_text("day,amount,channel\n")
    with pytest.raises(NothingToDo):
        snapshot(workspace, source="sales")
    assert not list((tmp_path / ".mlops").rglob("*")) if (tmp_path / ".mlops").exists() else True


def test_an_unknown_source_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'sales'"):
        snapshot(project(tmp_path, SALES), source="sale")
