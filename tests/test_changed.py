"""Promise 15: what is edited in the middle of a run is refused; no key stands for what it was not made of."""

from __future__ import annotations

import time

import pytest

from mlops.adapters.index import Index
from mlops.errors import Changed
from mlops.steps import snapshot
from tests import small

EDITING = """
from pathlib import Path

from mlops import model
from models.churn import fitted


@model(source="customers", label="left", task="binary", metric="roc_auc")
def churn_v2(X, y, params):
    file = Path({file!r})
    if not Path("edited").exists():  # once: the next run finds it as it is
        Path("edited").touch()
        file.parent.mkdir(exist_ok=True)
        file.write_text(file.read_text().replace({old!r}, {new!r}) if file.exists() else {new!r})
    return fitted(X, y, 1.0)
"""

EDITS = {
    "the function itself": ("models/editing.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.9)"),
    "a helper in another file": (
        "models/churn.py",
        "LogisticRegression(C=strength)",
        "LogisticRegression(C=strength / 2)",
    ),
    "a setting": ("pyproject.toml", "floor = 0.6", "floor = 0.7"),
}


@pytest.fixture
def editing(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def made(file, old, new):
        root = small.churn(tmp_path / "shop")
        small.write(root, {"models/editing.py": EDITING.format(file=file, old=old, new=new)})
        monkeypatch.chdir(root)
        return root

    return made


@pytest.mark.parametrize("what", EDITS)
def test_what_is_edited_while_a_model_trains_is_refused(editing, what):
    root = editing(*EDITS[what])
    ran = small.go(root, "churn_v2", until="train", environment=None)
    assert [type(error) for error in ran.errors] == [Changed], ran
    assert "changed while running" in ran.errors[0].message
    index = Index(root / ".mlops" / "index.db")
    assert index.latest("train", "churn_v2") is None
    assert index.latest("assemble", "churn_v2") is not None  # what was done before is kept
    again = small.go(root, "churn_v2", until="train", environment=None)
    assert not again.errors, again
    assert again.computed == ["train:churn_v2"]


def test_labels_that_are_corrected_while_the_table_is_made_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = small.churn(tmp_path / "shop")
    from mlops.steps import assemble

    whole = assemble.assemble

    def edited(workspace, **given):
        record = whole(workspace, **given)
        (root / "reviews").mkdir()
        (root / "reviews" / "labels-churn_v1.csv").write_text("row,label\n")
        return record

    monkeypatch.setattr(assemble, "assemble", edited)
    ran = small.go(root, until="assemble", environment=None)
    assert [error.message for error in ran.errors if isinstance(error, Changed)], ran
    assert "review" in ran.errors[0].message


def test_a_source_that_is_written_after_it_was_named_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = small.churn(tmp_path / "shop")
    whole = snapshot.parquet_of

    def edited(rows):
        small.customers(500).to_csv(root / "customers.csv", index=False)
        return whole(rows)

    monkeypatch.setattr(snapshot, "parquet_of", edited)
    ran = small.go(root, until="snapshot", environment=None)
    assert [type(error) for error in ran.errors] == [Changed], ran
    assert Index(root / ".mlops" / "index.db").records() == []


def test_code_that_is_edited_after_it_was_imported_is_refused_before_it_is_called(shop):
    workspace = small.opened(shop)
    assert workspace.catalog.models
    time.sleep(0.01)
    small.edit(shop / "models" / "churn.py", "fitted(X, y, 1.0)", "fitted(X, y, 0.9)")
    from mlops import ingredients

    with pytest.raises(Changed, match="churn_v1"):
        ingredients.code(workspace, workspace.catalog.models.values())
    small.edit(shop / "models" / "churn.py", "fitted(X, y, 0.9)", "fitted(X, y,   1.0)  # as it was")
    assert ingredients.code(workspace, workspace.catalog.models.values()) == workspace.code
