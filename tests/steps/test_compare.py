"""Two releases side by side: what differs is marked, what cannot be compared says why."""

from __future__ import annotations

import json
import re

import pytest

from mlops.adapters.ledger import Ledger
from mlops.errors import UsageError
from mlops.reports import compare as reports
from mlops.steps.compare import compare
from tests import small


@pytest.fixture(scope="module")
def compared(banked):
    return compare(small.opened(banked[0]), one="fraud_v1", other="fraud_v2")


@pytest.fixture(autouse=True)
def _no_other_ledger(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def table(record, title):
    return next(one for one in record.facts["tables"] if one.title == title)


def rows(record, title):
    return {row[0]: row[1:] for row in table(record, title).rows}


def test_two_versions_are_measured_on_the_rows_that_both_held_out(compared, banked):
    shared = table(compared, "On the same rows")
    assert shared.caption.startswith("160 rows that neither was trained on")
    (metric, before, after, difference) = shared.rows[0]
    assert metric == "roc_auc"
    each = [banked[1].record(f"check-model:fraud_v{v}").metrics["roc_auc"] for v in (1, 2)]
    assert [float(text.split()[0]) for text in (before, after)] == [pytest.approx(value, abs=1e-4) for value in each]
    low, high = map(float, re.findall(r"[-+]\d\.\d+", difference)[1:])
    assert low <= each[1] - each[0] <= high


def test_features_data_and_gates_stand_beside_each_other(compared):
    assert rows(compared, "Features")["spend_v1"][2] == "gone"
    assert rows(compared, "Features")["spend_v2"][2] == "added"
    assert rows(compared, "Data")["payments"][2] == ""
    assert rows(compared, "Data")["payments: rows"][:2] == (800, 800)
    assert rows(compared, "Data")["training table"][2] == "changed"
    assert rows(compared, "Gates")["check-model"] == ("pass", "pass", "")
    assert table(compared, "Packages").caption.startswith("the same")


def test_two_versions_in_one_file_are_compared_by_what_they_reach(compared):
    code = compared.facts["code"]
    assert "+@model(features=[spend_v2], **READS)" in code
    assert '-    return past(payments, 3, "mean")' in code
    assert '+    return past(payments, 10, "mean")' in code
    assert code.count("def spend_v2") == 1, "each is told once"
    assert "def fitted" not in code, "what both reach alike is no difference"


def test_other_data_and_another_package_are_told(bank, banked):
    """After an edit of the model and of the data, and of what its service runs on."""
    first = max(banked[1].report.releases)
    small.edit(
        bank / "models" / "fraud.py",
        "StandardScaler(), LogisticRegression()",
        "StandardScaler(), LogisticRegression(C=0.1)",
    )
    with (bank / "payments.csv").open("a") as file:
        file.write("3,2026-03-02 10:00:00,40.0,0\n")
    ran = small.go(bank, "fraud_v2", until="register", environment=None)
    (second,) = ran.report.releases
    requirements = bank / ".mlops" / "releases" / second / "bento" / "env" / "python" / "requirements.txt"
    requirements.write_text(requirements.read_text().replace("numpy==", "numpy==0."))
    record = compare(small.opened(bank), one=first, other=second)
    assert table(record, "On the same rows").caption == "cannot be told: they were judged on different snapshots"
    assert rows(record, "Data")["payments"][2] == "changed"
    assert rows(record, "Data")["payments: rows"][:2] == (800, 801)
    assert list(rows(record, "Packages")) == ["numpy"]
    assert f"+++ {second}/models/fraud.py" in record.facts["code"]
    assert "LogisticRegression(C=0.1)" in record.facts["code"]


def test_a_release_is_the_same_as_itself(compared, banked):
    release = max(banked[1].report.releases)
    record = compare(small.opened(banked[0]), one=release, other=release)
    assert (record.facts["code"], record.facts["framework"]) == ("", ())
    marked = [row for one in record.facts["tables"] if one.columns[-1] == "" for row in one.rows if row[-1]]
    assert marked == []


def test_two_runs_of_the_ledger_are_compared_too(banked, compared):
    workspace = small.opened(banked[0])
    ledger = Ledger(workspace.home, workspace.config.name)
    found = ledger.client.search_runs([ledger.experiment], "tags.`mlops.step` = 'train'")
    one, other = sorted((run.info.run_id for run in found), key=lambda i: ledger.run(i).tags["mlops.subject"])
    record = compare(workspace, one=one, other=other)
    assert rows(record, "What they are")["subject"] == ("fraud_v1", "fraud_v2", "changed")
    assert rows(record, "Parameters")["seed"] == ("42", "42", "")
    assert "memory.own_mb" in rows(record, "Metrics")
    assert rows(record, "What they were given and called")["code.fraud_v2"][2] == "added"
    with pytest.raises(UsageError, match="little in common"):
        compare(workspace, one=one, other=compared.facts["names"][0])


def test_every_format_tells_the_same_and_escapes_code(compared, tmp_path):
    for suffix in (".txt", ".md", ".html", ".json"):
        told = reports.format_of(tmp_path / f"x{suffix}")(compared)
        for name in compared.facts["names"]:
            assert name in told
        assert "spend_v2" in told
    page = reports.html(compared)
    assert not re.search(r"<script|https?://", page)
    assert 'class="plus"' in page
    values = json.loads(reports.as_json(compared))
    assert [one["title"] for one in values["tables"]] == [one.title for one in compared.facts["tables"]]
    with pytest.raises(UsageError, match=r"no report in \.pdf"):
        reports.format_of(tmp_path / "x.pdf")
