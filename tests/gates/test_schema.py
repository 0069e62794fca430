from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.simulator import transactions
from mlops.faults import schema as faults
from mlops.gates import schema
from mlops.statistics.schema_inference import infer


def day(seed: int = 7, **fault) -> pd.DataFrame:
    return transactions(seed=seed, customers=100, terminals=50, days=40, **fault)


@pytest.fixture(scope="module")
def written() -> schema.Schema:
    return schema.parse(infer(day(), source="transactions"))


def fired(written: schema.Schema, frame: pd.DataFrame) -> dict[str, str]:
    return {f.check: f.subject for f in schema.judge(written, frame, source="transactions") if f.fired}


@pytest.mark.parametrize(
    ("fault", "check", "subject"),
    [
        ("missing_column", "schema.column", "amount"),
        ("renamed_column", "schema.unexpected", "amt"),
        ("text_amount", "schema.type", "amount"),
        ("negative_amount", "schema.range", "amount"),
        ("null_customer", "schema.presence", "customer_id"),
        ("new_channel", "schema.category", "channel"),
        ("duplicate_id", "schema.unique", "transaction_id"),
    ],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_kind_of_skew_is_found_in_the_column_concerned(written, fault, check, subject, seed):
    """PROMISES 6, for the kinds that the example's simulator plants."""
    assert fired(written, day(seed, fault=fault))[check] == subject


def test_further_kinds_of_skew_are_found(written):
    """PROMISES 6: no rows, time backwards, another unit, text for numbers and the rest of the self-test's list."""
    planted = faults.faults(written, day())
    assert {"no rows", "time backwards", "another unit"} <= set(planted)
    assert {name: check for name, (check, broken) in planted.items() if check not in fired(written, broken)} == {}


def test_clean_batches_raise_no_finding(written):
    """PROMISES 6: 40 clean batches, some of them drifted."""
    batches = (day(seed, drift=0.3 * (seed % 2)) for seed in range(100, 140))
    assert [found for found in (fired(written, batch) for batch in batches) if found] == []


def test_a_finding_names_column_value_rows_share_and_next_step(written):
    broken = day()
    broken.loc[[3, 5], "amount"] = -1.5
    [found] = [f for f in schema.judge(written, broken, source="transactions") if f.fired]
    assert found.rows == (3, 5)
    assert "'amount' is not >= 0" in found.message
    assert "'-1.5'" in found.message
    assert found.measured == 2 / len(broken)
    assert "mlops schema transactions --update" in found.next_step


def test_whole_numbers_with_gaps_are_still_whole_numbers():
    written = schema.parse({"columns": {"n": {"dtype": "int64", "nullable": True}}})
    assert fired(written, pd.DataFrame({"n": [1.0, np.nan, 3.0]})) == {}
    assert fired(written, pd.DataFrame({"n": [1.5, np.nan, 3.0]})) == {"schema.type": "n"}


def test_much_more_missing_than_usual_is_found_and_a_little_more_is_not():
    document = {"columns": {"x": {"dtype": "float64", "nullable": True}}, "metadata": {"missing": {"x": 0.1}}}
    written = schema.parse(document)
    gaps = np.arange(100.0)
    assert fired(written, pd.DataFrame({"x": np.where(gaps < 30, np.nan, gaps)})) == {}
    assert fired(written, pd.DataFrame({"x": np.where(gaps < 50, np.nan, gaps)})) == {"schema.presence": "x"}


def test_a_column_that_may_be_absent_may_be_absent():
    written = schema.parse({"columns": {"x": {"dtype": "float64"}, "y": {"required": False}}})
    assert fired(written, pd.DataFrame({"x": [1.0]})) == {}


def test_a_key_over_several_columns_must_not_repeat():
    written = schema.parse({"columns": {"a": {}, "b": {}}, "unique": ["a", "b"]})
    assert fired(written, pd.DataFrame({"a": [1, 1], "b": [1, 2]})) == {}
    assert fired(written, pd.DataFrame({"a": [1, 1], "b": [2, 2]})) == {"schema.unique": "a, b"}


@pytest.mark.parametrize(
    ("check", "sound", "broken"),
    [
        ({"greater_than_or_equal_to": 0}, 0.0, -1.0),
        ({"greater_than": 0}, 1.0, 0.0),
        ({"less_than": {"value": 5}}, 4.0, 5.0),
        ({"in_range": {"min_value": 0, "max_value": 1, "include_max": False}}, 0.0, 1.0),
    ],
)
def test_pandera_s_bounds_mean_what_they_mean_there(check, sound, broken):
    flat = schema.parse({"columns": {"x": {"dtype": "float64", **check}}})
    nested = schema.parse({"columns": {"x": {"dtype": "float64", "checks": check}}})
    assert flat == nested
    assert fired(flat, pd.DataFrame({"x": [sound]})) == {}
    assert fired(flat, pd.DataFrame({"x": [broken]})) == {"schema.range": "x"}


def test_a_check_that_is_not_ours_is_left_to_pandera():
    written = schema.parse({"columns": {"x": {"checks": {"str_length": {"max_value": 3}}}}})
    assert written.foreign
    assert not schema.parse({"columns": {"x": {"checks": {"isin": [1]}}}}).foreign


def test_a_document_without_columns_is_no_schema():
    with pytest.raises(ValueError, match="names no columns"):
        schema.parse({"columns": None})
    with pytest.raises(ValueError, match="'x'"):
        schema.parse({"columns": {"x": "float64"}})


def test_without_a_schema_file_the_gate_stays_shut():
    found = schema.no_file("sales", "features/sales.schema.yaml")
    assert found.fired
    assert "mlops schema sales" in found.next_step
