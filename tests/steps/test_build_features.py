"""Building a view: what it returns is checked before it is stored, and errors name the line."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pandas as pd
import pytest

from mlops.config import Config, Source
from mlops.errors import GateFailed
from mlops.steps.build_features import build_features
from mlops.verdict import Record
from mlops.workspace import Workspace


def built(root: Path, body: str, columns: str = "") -> tuple[Workspace, Record]:
    (root / "features").mkdir(parents=True)
    (root / "features" / "__init__.py").touch()
    head = f"@feature_view(source='payments', entity='customer', timestamp='at'{columns})\ndef spend_v1(payments):\n"
    code = "from mlops import feature_view\n\n" + head + textwrap.indent(textwrap.dedent(body), "    ")
    (root / "features" / "spend.py").write_text(code, encoding="utf-8")
    workspace = Workspace(root, Config(name="p", sources={"payments": Source(path="p.csv")}))
    frame = pd.DataFrame(
        {
            "customer": [1, 1, 2],
            "at": pd.to_datetime(["2024-01-02", "2024-01-01", "2024-01-01"]),
            "amount": [3.0, 2.0, 5.0],
        }
    )
    snapshot = Record(step="snapshot", subject="payments", outputs={"data": workspace.put_frame(frame)})
    record = build_features(workspace, view=workspace.catalog.views["spend_v1"], snapshot=snapshot)
    pd.testing.assert_frame_equal(workspace.frame(snapshot.outputs["data"]), frame)
    return workspace, record


GOOD = "return payments.rename(columns={'amount': 'mean'})"


def test_the_features_are_stored_sorted_with_their_statistics(tmp_path: Path) -> None:
    workspace, record = built(tmp_path / "p", GOOD)
    stored = workspace.frame(record.outputs["features"])
    assert stored["customer"].tolist() == [1, 1, 2]
    assert stored["mean"].tolist() == [2.0, 3.0, 5.0]
    assert (record.metrics["rows"], record.metrics["entities"]) == (3, 2)
    assert record.facts["columns"] == {"mean": {"missing": 0.0, "mean": pytest.approx(10 / 3)}}


def test_a_view_that_changes_its_input_does_not_change_the_snapshot(tmp_path: Path) -> None:
    built(tmp_path / "p", "payments['mean'] = payments.pop('amount')\nreturn payments")


@pytest.mark.parametrize(
    ("body", "columns", "words", "step"),
    [
        ("raise ValueError('no rates')", "", "spend.py:5: spend_v1 raised ValueError: no rates", "mend that line"),
        ("return 3", "", "spend.py:3: spend_v1 returned int, not a DataFrame", "return a pandas DataFrame"),
        ("return payments.drop(columns='at')", "", "did not return the column 'at'", "return it"),
        (GOOD, ", columns=['means']", "did not return the column 'means'", "did you mean 'mean'?"),
        (GOOD.replace(")", ").assign(x=1)"), ", columns=['mean']", "returned 'x', which it does not declare", "select"),
        ("return payments[['customer', 'at']]", "", "returned no feature, only its keys", "return a column"),
        ("return payments.assign(at='2024')", "", "not as a time", "pd.to_datetime"),
        ("return payments.assign(customer=None)", "", "returned 3 rows without customer", "dropna"),
        (
            "return payments.assign(at=payments['at'].min())",
            "",
            "for customer 1 at 2024-01-01 00:00:00",
            "drop_duplicates",
        ),
        (
            "return payments.assign(amount=1 / 0.0 if False else float('inf'))",
            "",
            "3 infinite values in amount",
            "zero",
        ),
        ("return payments.assign(amount=float('nan'))", "", "returned no value at all in amount", "joins"),
        ("return payments.assign(amount=payments['at'])", "", "returned amount as datetime64", "seconds"),
        ("return payments.rename(columns={'amount': 7})", "", "returned a column called 7", "name its columns"),
        ("return payments.set_index('customer')", "", "did not return the column 'customer'", ".reset_index()"),
        ("return payments.assign(customer=[[1]] * 3)", "", "not as whole numbers or text", "as it is"),
        ("return payments.assign(amount=[[1]] * 3)", "", "returned amount as object", "a number or a string"),
        ("return payments.head(0)", "", "returned no rows", "filters"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_the_line_and_the_next_step(
    tmp_path: Path, body: str, columns: str, words: str, step: str
) -> None:
    with pytest.raises(GateFailed) as caught:
        built(tmp_path / "p", body, columns)
    assert words in caught.value.message
    assert step in caught.value.next_step
    assert "features/spend.py:" in caught.value.message
