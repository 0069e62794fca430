"""What is read online beside what training saw: one sentence with the place, both values, the moment and what to do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops.contract import Column, Computed, Contract, Field, Stored
from mlops.declare import FeatureView, Origin
from mlops.gates.online import differing, judge_answers, judge_features, judge_inputs
from mlops.serving.predictors import Prediction
from mlops.verdict import Outcome

VIEW = FeatureView(
    name="spend_v1", function=len, module="features.spend", origin=Origin(file="features/spend.py", line=3),
    source="payments", entity="customer", timestamp="at",
)  # fmt: skip
ASKED = pd.DataFrame({"key": [7, 8], "moment": pd.to_datetime(["2024-01-02", "2024-01-03"])})
CONTRACT = Contract(
    model="fraud_v1", task="binary", metric="roc_auc", label="fraud", classes=(0, 1),
    fields=(Field(name="customer", kind="int", nullable=False), Field(name="amount", kind="float", nullable=False)),
    stored=(Stored(name="total", view="spend_v1", column="total", entity="customer", kind="number"),),
    computed=(Computed(name="share_v1", module="features.spend", inputs=("amount", "total"), kind="number"),),
    columns=tuple(Column(name=name, kind="number") for name in ("amount", "total", "share_v1")),
)  # fmt: skip
ABOUT = ["customer 7 at 2024-01-02", "customer 8 at 2024-01-03"]


def judged(offline: list[object], online: list[object]):
    frame = pd.DataFrame({"total": offline})
    return judge_features(VIEW, ASKED, frame, [{"total": value} for value in online], subject="fraud_v1")


def test_the_same_values_and_gaps_pass_with_how_many_were_compared() -> None:
    found = judged([0.1, np.nan], [0.1, None])
    assert found.outcome is Outcome.PASS
    assert found.n == 2
    assert "1 with values" in found.message


@pytest.mark.parametrize(
    ("offline", "online", "words"),
    [
        ([0.1, 1.0], [float(np.float32(0.1)), 1.0], "of 7 at 2024-01-02 00:00:00 is 0.1 offline, 0.10000000149"),
        ([1.0, np.nan], [1.0, 0.0], "of 8 at 2024-01-03 00:00:00 is missing offline, 0.0 online"),
        ([1.0, 2.0], [1.0, "2.0"], "is 2.0 offline, '2.0' online"),
        (["a", None], ["a", "nan"], "is missing offline, 'nan' online"),
    ],
)
def test_the_last_bit_a_filled_gap_and_another_type_fail_with_both_values(offline, online, words) -> None:
    found = judged(offline, online)
    assert found.outcome is Outcome.FAIL
    assert "spend_v1.total of customer" in found.message
    assert words.removeprefix("of ") in found.message
    assert found.measured == 1
    assert found.rows
    assert "assert_same_online" in found.next_step


def test_nobody_to_compare_is_no_pass() -> None:
    """Promise 2."""
    nobody = judge_features(VIEW, ASKED[:0], pd.DataFrame({"total": []}), [], subject="fraud_v1")
    no_rows = judge_inputs(CONTRACT, pd.DataFrame(), pd.DataFrame(), [], subject="fraud_v1")
    assert {nobody.outcome, no_rows.outcome} == {Outcome.NOT_RUN}


def inputs(**changed: list[float]):
    offline = pd.DataFrame({"amount": [1.0, 2.0], "total": [3.0, np.nan], "share_v1": [1 / 3, np.nan]})
    return judge_inputs(CONTRACT, offline, offline.assign(**changed), ABOUT, subject="fraud_v1")


def test_an_on_demand_value_may_differ_in_its_last_bits_and_a_stored_one_may_not() -> None:
    assert inputs(share_v1=[1 / 3 * (1 + 1e-12), np.nan]).outcome is Outcome.PASS
    stored = inputs(total=[3.0 * (1 + 1e-12), np.nan])
    assert stored.outcome is Outcome.FAIL
    assert "spend_v1.total" in stored.message


def test_another_input_fails_with_whose_it_is_and_who_asked_when() -> None:
    found = inputs(share_v1=[1.0, np.nan])
    assert "the on-demand feature share_v1 is 0.333" in found.message
    assert "1.0 at the request, for customer 7 at 2024-01-02; 1 of 2 rows" in found.message
    assert "no clock" in found.next_step
    assert "the field amount" in inputs(amount=[1.0, 9.0]).message


def test_an_answer_beyond_the_tolerance_fails_with_who_asked() -> None:
    def said(second: float) -> Prediction:
        chances = np.array([0.1, second])
        return Prediction(np.array([0, 1]), np.stack([1 - chances, chances], axis=1))

    same = judge_answers(said(0.9), said(0.9 + 1e-9), ABOUT, regression=False, subject="fraud_v1")
    other = judge_answers(said(0.9), said(0.9001), ABOUT, regression=False, subject="fraud_v1")
    assert (same.outcome, other.outcome) == (Outcome.PASS, Outcome.FAIL)
    assert "customer 8 at 2024-01-03" in other.message


def test_values_are_compared_by_what_they_are() -> None:
    left = pd.Series([1, True, "x", None, 2**53], dtype=object)
    right = pd.Series([1.0, 1.0, "x", np.nan, float(2**53)], dtype=object)
    assert differing(left, right, 0.0).tolist() == []
    assert differing(pd.Series(["1"]), pd.Series([1.0]), 1.0).tolist() == [0]
