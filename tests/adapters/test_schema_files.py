from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from features.simulator import transactions
from mlops.adapters import schema_files
from mlops.statistics.schema_inference import infer


@pytest.fixture
def table() -> pd.DataFrame:
    frame = transactions(customers=50, terminals=20, days=30)
    return frame.assign(event_time=frame["event_time"].dt.tz_localize(None).dt.as_unit("us"))


def test_what_is_written_reads_back_the_same(table, tmp_path):
    document = infer(table, source="transactions")
    path = tmp_path / "transactions.schema.yaml"
    schema_files.write(path, schema_files.text(document, source="transactions"))
    read = schema_files.read(path)
    assert read["columns"]["channel"]["checks"] == document["columns"]["channel"]["checks"]
    assert schema_files.text(read, source="transactions") == path.read_text()


def test_the_file_says_how_to_review_it(table):
    text = schema_files.text(infer(table, source="transactions"), source="transactions")
    assert text.startswith("# The schema of the source `transactions`")
    assert "mlops schema transactions --update" in text


def test_pandera_reads_the_file_and_accepts_the_table_that_it_was_written_from(table, tmp_path):
    path = tmp_path / "s.yaml"
    schema_files.write(path, schema_files.text(infer(table, source="s"), source="s"))
    schema_files.pandera_files().from_yaml(path).validate(table)
    assert schema_files.failures(schema_files.read(path), table) == []


def test_pandera_s_own_checks_come_back_with_column_check_and_rows():
    document = {
        "schema_type": "dataframe",
        "columns": {"code": {"dtype": "str", "checks": {"str_length": {"min_value": 0, "max_value": 3}}}},
    }
    [(column, check, count, rows)] = schema_files.failures(document, pd.DataFrame({"code": ["abc", "abcd", "abcde"]}))
    assert (column, count, rows) == ("code", 2, (1, 2))
    assert "str_length" in check


NOON = """
import datetime as dt
import pandas as pd, pyarrow as pa
from mlops.adapters import schema_files

schema = {"schema_type": "dataframe", "columns": {"code": {"dtype": "str"}}}
schema_files.failures(schema, pd.DataFrame({"code": ["a"]}))
noon = dt.datetime(2024, 5, 31, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
print(pa.array([noon], pa.timestamp("us", "UTC")).cast(pa.string())[0])
"""


def test_moments_keep_their_offset_after_pandera_has_been_asked():
    """pandera tells pyarrow to pass over offsets, and all of the process would obey."""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", NOON], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("2024-05-31 10:00:00"), ran.stdout


@pytest.mark.parametrize("text", ["columns: [", "just words", ""])
def test_a_file_that_is_no_schema_is_refused(text, tmp_path):
    path: Path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"\w"):
        schema_files.read(path)


def test_a_check_that_pandera_does_not_know_is_refused():
    document = {"schema_type": "dataframe", "columns": {"x": {"checks": {"no_such_check": 1}}}}
    with pytest.raises(ValueError, match="pandera does not understand"):
        schema_files.failures(document, pd.DataFrame({"x": [1]}))


def test_each_value_has_its_line(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "metadata:\n  constraints:\n  - a <= b\ncolumns:\n  a: {dtype: int64}\n  b:\n    checks:\n      ge: 3\n"
    )
    found = schema_files.lines(path)
    assert found["columns", "b", "checks", "ge"] == 8
    assert found["columns", "a", "dtype"] == 5
    assert found["metadata", "constraints", "a <= b"] == 3
