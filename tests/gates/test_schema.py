from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.simulator import transactions
from mlops.adapters import aggregates
from mlops.gates import schema
from mlops.statistics.schema_inference import infer
from mlops.verdict import Finding, Outcome


def day(seed: int = 7, **fault) -> pd.DataFrame:
    return transactions(seed=seed, customers=100, terminals=50, days=40, **fault)


@pytest.fixture(scope="module")
def written() -> schema.Schema:
    return schema.parse(infer(day(), source="transactions"))


def found(written: schema.Schema, frame: pd.DataFrame) -> list[Finding]:
    with aggregates.of_frame(frame) as table:
        return [f for f in schema.judge(written, table, source="transactions") if f.fired]


def fired(written: schema.Schema, frame: pd.DataFrame) -> dict[str, str]:
    return {f.check: f.subject for f in found(written, frame)}


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


def test_a_finding_names_column_value_rows_share_and_next_step(written):
    broken = day()
    broken.loc[[3, 5], "amount"] = -1.5
    [one] = found(written, broken)
    assert one.rows == (3, 5)
    assert f"'amount' is not >= 0 in 2 of {len(broken):,} rows" in one.message
    assert "'-1.5'" in one.message
    assert (one.measured, one.threshold, one.n) == (-1.5, 0, len(broken))
    assert "mlops schema transactions --update" in one.next_step


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
    gate = schema.no_file("sales", "features/sales.schema.yaml")
    assert gate.fired
    assert "mlops schema sales" in gate.next_step


# -- another unit ----------------------------------------------------------------------------------------------


def without_ranges(frame: pd.DataFrame) -> schema.Schema:
    """What is inferred, but any number may come: only its scale can tell another unit."""
    document = infer(frame, source="transactions")
    for column in document["columns"].values():
        if column["checks"]:
            column["checks"].pop("in_range", None)
    return schema.parse(document)


@pytest.mark.parametrize("factor", [100, 0.01, 1000, 60])
def test_another_unit_is_found_without_a_range(factor):
    later = day(8)
    [one] = found(without_ranges(day()), later.assign(amount=later["amount"] * factor))
    assert (one.check, one.subject) == ("schema.unit", "amount")
    assert f"{factor:.4g}" in one.message
    assert one.n == len(later)


@pytest.mark.parametrize("factor", [2.54, 1 / 2.54, 3.28084])
def test_a_small_factor_is_found_where_the_shape_stayed(factor):
    before, later = (pd.DataFrame({"x": np.random.default_rng(k).lognormal(3, 0.5, 5_000)}) for k in (1, 2))
    assert fired(without_ranges(before), later * factor) == {"schema.unit": "x"}


def test_fahrenheit_for_celsius_is_found():
    random = np.random.default_rng(0)
    celsius = pd.DataFrame({"t": random.normal(12, 8, 3_000)})
    assert fired(without_ranges(celsius), celsius * 1.8 + 32) == {"schema.unit": "t"}
    assert fired(without_ranges(celsius), celsius + 273.15) == {"schema.unit": "t"}
    assert fired(without_ranges(celsius), celsius + 12) == {}


@pytest.mark.parametrize("growth", [0.5, 0.8, 1.3, 1.6, 2, 3, 5])
def test_growth_and_drift_are_no_other_unit(growth):
    frame = pd.DataFrame({"x": np.random.default_rng(1).lognormal(3, 1, 4_000)})
    assert fired(without_ranges(frame), frame * growth) == {}


# -- letters ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    ["K\u00c3\u00b6ln", "K\ufffdln", "\ufeffK\u00f6ln", "K\u0094ln", "S\u00c3\u00a3o", "it\u00e2\u20ac\u2122s"],
)
def test_letters_in_another_encoding_are_found(broken):
    honest = pd.DataFrame({"city": ["K\u00f6ln", "S\u00c3O PAULO", "\u00c5rhus", "it\u2019s", "\u4eac\u90fd"] * 40})
    written = schema.parse({"columns": {"city": {"dtype": "str"}}})
    assert fired(written, honest) == {}
    honest.loc[7, "city"] = broken
    [one] = found(written, honest)
    assert (one.check, one.subject, one.rows) == ("schema.encoding", "city", (7,))


def test_a_byte_order_mark_in_a_name_is_told():
    written = schema.parse({"columns": {"day": {"dtype": "int64"}}, "strict": True})
    assert fired(written, pd.DataFrame({"\ufeffday": [1]}))["schema.encoding"] == "day"


def test_decimal_commas_among_points_are_found():
    codes = schema.parse({"columns": {"size": {"dtype": "str"}}})
    assert fired(codes, pd.DataFrame({"size": ["12.5", "a, b", "1,000.00"]})) == {}
    assert fired(codes, pd.DataFrame({"size": ["12.5", "12,5"]})) == {"schema.encoding": "size"}
    numbers = schema.parse({"columns": {"size": {"dtype": "float64"}}})
    [one] = found(numbers, pd.DataFrame({"size": ["12.5", "12,5", "13,0"]}))
    assert (one.check, one.rows) == ("schema.type", (1, 2))
    assert "2 of them have a decimal comma" in one.message
    assert "decimal" in one.next_step


def test_letters_that_were_broken_when_the_schema_was_written_are_borne():
    frame = pd.DataFrame({"city": ["K\ufffdln", "Bonn"] * 100})
    assert fired(schema.parse(infer(frame, source="s")), frame) == {}


# -- constraints between columns -------------------------------------------------------------------------------


def constrained(*constraints: str) -> schema.Schema:
    columns = {name: {"nullable": True} for name in ("start", "end", "net", "tax", "gross", "my state")}
    return schema.parse({"columns": columns, "metadata": {"constraints": list(constraints)}})


ORDERS = pd.DataFrame(
    {
        "start": pd.to_datetime(["2024-01-01", "2024-01-02", None]),
        "end": pd.to_datetime(["2024-01-02", "2024-01-02", "2024-01-01"]),
        "net": [0.1, 1.1, 2.0],
        "tax": [0.2, 2.2, np.nan],
        "gross": [0.3, 3.3, 9.0],
        "my state": ["open", "closed", None],
    }
)


@pytest.mark.parametrize(
    ("constraint", "rows"),
    [
        ("start <= end", ()),
        ("start < end", (1,)),
        ("net + tax == gross", ()),
        ("net + tax != gross", (0, 1)),
        ("0 < net < gross", ()),
        ("net < 1 or gross < 3", (1, 2)),
        ("not net > 1", (1, 2)),
        ('`my state` in ["open"]', (1,)),
        ('start >= "2024-01-02"', (0,)),
        ("abs(-net) <= 1.5", (2,)),
    ],
)
def test_a_constraint_between_columns_is_asked_of_every_row(constraint, rows):
    findings = found(constrained(constraint), ORDERS)
    assert [f.rows for f in findings] == ([rows] if rows else [])
    assert {f.check for f in findings} <= {"schema.constraint"}


@pytest.mark.parametrize(
    "constraint", ["start", "sum(net) > 1", "net <", "nett > 1", "net is 3", "(lambda: 1)() > net"]
)
def test_a_constraint_that_is_not_understood_is_refused(constraint):
    with pytest.raises(ValueError, match="constraint"):
        constrained(constraint)


def test_a_constraint_that_cannot_be_asked_did_not_run():
    [one] = found(constrained("`my state` < 3"), ORDERS)
    assert one.outcome is Outcome.NOT_RUN


def test_a_bound_on_times_is_asked_too():
    written = schema.parse({"columns": {"at": {"dtype": "datetime64[us]", "ge": "2024-01-02"}}})
    times = pd.DataFrame({"at": pd.to_datetime(["2024-01-02", "2024-01-01"])})
    assert fired(written, times) == {"schema.range": "at"}
    assert fired(written, times[:1]) == {}


def test_a_bound_that_nothing_can_be_compared_with_is_refused():
    with pytest.raises(ValueError, match="'x'"):
        schema.parse({"columns": {"x": {"dtype": "float64", "ge": "low"}}})
    assert schema.parse({"columns": {"x": {"dtype": "str", "ge": "low"}}}).foreign
