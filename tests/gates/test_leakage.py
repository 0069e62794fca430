from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops.gates.leakage import judge_identifiers, judge_leakage
from mlops.verdict import Finding, Outcome, Severity

RANDOM = np.random.default_rng(0)
ROWS = 2_000
LABELS = (RANDOM.random(ROWS) < 0.3).astype(float)


def identified(y: np.ndarray = LABELS, *, classes: int = 2, **columns: object) -> list[Finding]:
    """The findings on a table that was split at random."""
    table, order = pd.DataFrame(columns), np.random.default_rng(1).permutation(ROWS)
    first, second = order[:1_500], order[1_500:]
    return list(judge_identifiers(table.iloc[first], table.iloc[second], (y[first], y[second]), classes=classes))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ({"customer_id": RANDOM.permutation(10 * ROWS)[:ROWS] * 7.0}, "a key"),
        ({"anything": RANDOM.permutation(ROWS) + 1.0}, "a row number"),
        ({"code": [f"C-{k:06d}" for k in RANDOM.permutation(ROWS)]}, "a key"),
        ({"booked": pd.date_range("2024-01-01", periods=ROWS).strftime("%Y-%m-%d")}, "a date"),
        ({"event_time": 1.7e9 + RANDOM.integers(0, 10_000_000, ROWS)}, "a date"),
    ],
)
def test_a_key_or_date_among_the_inputs_is_told(column, kind):
    [found] = identified(**column)
    assert found.check == "model.identifier"
    assert found.severity is Severity.WARN
    assert f"is {kind}:" in found.message
    assert "ignore=[" in found.next_step


def test_a_row_number_of_a_table_that_is_sorted_by_the_label_stops():
    [found] = identified(np.sort(LABELS), number=np.arange(ROWS) + 0.0)
    assert found.severity is Severity.FAIL
    assert "tells the label alone" in found.message
    assert found.subject == "number"


def test_a_key_that_was_given_out_by_the_label_stops():
    [found] = identified(account_id=np.where(LABELS == 1, 900_000, 100_000) + RANDOM.permutation(ROWS) * 13.0)
    assert found.severity is Severity.FAIL


def test_a_row_number_that_tells_an_amount_stops():
    [found] = identified(np.linspace(0, 1, ROWS) + RANDOM.normal(0, 0.1, ROWS), classes=0, row=np.arange(ROWS) + 0.0)
    assert found.severity is Severity.FAIL


def test_honest_inputs_are_no_keys():
    words = RANDOM.choice(["a", "b", "c"], ROWS)
    remarks = [f"this was remark {k} of a customer" for k in range(ROWS)]
    [found] = identified(
        amount=RANDOM.normal(size=ROWS),
        cents=RANDOM.integers(0, 100, ROWS) + 0.0,
        price=RANDOM.integers(0, 10**7, ROWS) + 0.0,
        city=words,
        remark=remarks,
        hour_of_time=RANDOM.integers(0, 24, ROWS) + 0.0,
    )
    assert found.outcome is Outcome.PASS, found


def test_few_rows_have_no_keys():
    table = pd.DataFrame({"customer_id": np.arange(50) * 7.0})
    [found] = judge_identifiers(table, table, (LABELS[:50], LABELS[:50]), classes=2)
    assert found.outcome is Outcome.SKIPPED


def test_one_feature_that_tells_the_label_alone_fails():
    for classes, labels in ((2, RANDOM.random(2_000) < 0.05), (0, RANDOM.normal(size=2_000))):
        y = labels.astype(float)
        table = pd.DataFrame({"honest": y + RANDOM.normal(size=2_000), "paid_back": y * -3, "word": "a"})
        sides = table[:1_500], table[1_500:]
        found = judge_leakage(*sides, (y[:1_500], y[1_500:]), classes=classes)
        assert [f.subject for f in found] == ["paid_back"]
        sound = [side.drop(columns="paid_back") for side in sides]
        [passed] = judge_leakage(*sound, (y[:1_500], y[1_500:]), classes=classes)
        assert passed.outcome is Outcome.PASS


def test_a_word_that_tells_the_label_alone_fails():
    y = (RANDOM.random(2_000) < 0.3).astype(float)
    table = pd.DataFrame({"status": np.where(y == 1, "refunded", "kept")})
    [found] = judge_leakage(table[:1_500], table[1_500:], (y[:1_500], y[1_500:]), classes=2)
    assert found.subject == "status"
