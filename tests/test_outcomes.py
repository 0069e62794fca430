"""An environment's decisions with the outcomes that its settings name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlops.adapters.segments import OpenSegment, named
from mlops.errors import ConfigError
from mlops.outcomes import joined
from mlops.serving.decisions import schema_of
from mlops.workspace import open_workspace
from tests.serving.releases import contract, make_project, make_release

MODEL = """
from mlops import model

@model(source="payments", label="is_fraud", label_delay="2d", task="binary", metric="roc_auc")
def fraud_v1(X, y, params): ...
"""
SOURCES = """
[tool.mlops.sources.payments]
path = "payments.csv"
[tool.mlops.sources.complaints]
path = "complaints.csv"
"""


@pytest.fixture
def shop(tmp_path):
    import pyarrow as pa

    make_project(tmp_path, settings=SOURCES)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "fraud.py").write_text(MODEL)
    agreed = contract(computed=False, stored=False)
    release = make_release(tmp_path / ".mlops" / "releases", agreed)
    schema, now = schema_of(agreed, frozenset()), datetime.now(UTC)
    folder = tmp_path / ".mlops" / "environments" / "staging" / "fraud" / "decisions"
    segment = OpenSegment(folder, named(now - timedelta(days=3), "w", release), schema)
    row = {"row": 0, "release": release, "arm": "live", "prediction": "0"}
    rows = [{**row, "at": now - timedelta(days=days), "request_id": name} for name, days in (("old", 3), ("new", 1))]
    segment.append(pa.RecordBatch.from_pylist(rows, schema=schema))
    segment.close()
    return tmp_path, release


def named_source(root, name="complaints"):
    with (root / "pyproject.toml").open("a") as file:
        file.write(f'[tool.mlops.models.fraud]\noutcomes = "{name}"\n')
    return open_workspace(root)


def test_the_source_of_outcomes_is_read_and_joined_by_the_model_s_delay(shop):
    root, release = shop
    (root / "complaints.csv").write_text("request_id,is_fraud\nold,1\nnew,1\n")
    found = joined(named_source(root), "staging", release)
    assert dict(zip(found.rows.request_id, found.rows.label.notna(), strict=True)) == {"old": True, "new": False}
    later = joined(open_workspace(root), "staging", release, now=datetime.now(UTC) + timedelta(days=2))
    assert list(later.rows.label) == ["1", "1"]
    assert len(joined(open_workspace(root), "staging", release, since=datetime.now(UTC) - timedelta(days=2)).rows) == 1


def test_no_outcome_yet_is_no_error_and_no_pass(shop):
    root, release = shop
    (root / "complaints.csv").write_text("request_id,is_fraud\n")
    found = joined(named_source(root), "staging", release)
    assert found.rows.label.isna().all()
    assert found.findings[-1].outcome == "insufficient"


def test_without_a_source_of_outcomes_the_line_to_write_is_said(shop):
    root, release = shop
    with pytest.raises(ConfigError) as caught:
        joined(open_workspace(root), "staging", release)
    assert 'outcomes = "SOURCE"' in caught.value.next_step
    with pytest.raises(ConfigError, match="unknown source 'complaint'") as caught:
        joined(named_source(root, "complaint"), "staging", release)
    assert "'complaints'" in caught.value.next_step
