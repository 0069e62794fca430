from __future__ import annotations

import pandas as pd
import pytest

from mlops.adapters.review_file import Entry
from mlops.errors import ConfigError
from mlops.reviews import apply, names_of

FILE = "reviews/labels-m_v1.csv"


def source() -> pd.DataFrame:
    return pd.DataFrame({"id": [7, 8, 9], "amount": [1.5, 2.5, None], "y": ["no", "yes", "no"]})


def entry(row: str, label: str, corrected: str, line: int = 2) -> Entry:
    return Entry(row=row, label=label, suggested="", confidence="0.9", corrected=corrected, line=line)


def applied(*entries: Entry, frame: pd.DataFrame | None = None, task: str | None = None):
    return apply(entries, source() if frame is None else frame, label="y", task=task, file=FILE)


def test_a_row_is_named_by_its_key_or_else_by_all_that_it_holds():
    assert names_of(source(), [1], label="y", key="id") == ["id=8"]
    [by_content] = names_of(source(), [1], label="y", key=None)
    assert by_content.startswith("content:")


def test_a_key_that_repeats_is_no_key():
    frame = source().assign(id=1)
    assert names_of(frame, [0], label="y", key="id")[0].startswith("content:")


def test_the_name_of_a_row_outlives_other_rows_their_gaps_and_its_own_label():
    """A gap makes a float column of whole numbers, and another order moves every position."""
    names = names_of(source(), [0, 1], label="y", key=None)
    more = pd.concat([pd.DataFrame({"id": [float("nan")], "amount": [0.0], "y": ["yes"]}), source()], ignore_index=True)
    assert names_of(more.assign(y="yes"), [1, 2], label="y", key=None) == names


def test_the_name_of_a_row_is_the_same_in_every_version():
    """Files in users' repositories hold these names: whoever changes them breaks every review."""
    frame = pd.DataFrame({"a": [1], "b": ["x"], "at": pd.to_datetime(["2024-01-02 03:04:05"]), "y": [0]})
    assert names_of(frame, [0], label="y", key=None) == ["content:73c4bf307fae1a33"]


def test_a_corrected_label_is_applied_and_the_source_stays_as_it_is():
    frame = source()
    found = applied(entry("id=8", "yes", "no"), entry("id=7", "no", "no"), entry("id=9", "no", ""), frame=frame)
    assert found.labels.tolist() == ["no", "no", "no"]
    assert (found.corrected, found.confirmed, found.rows) == (1, 1, (0, 1))
    assert frame["y"].tolist() == ["no", "yes", "no"]


def test_a_row_is_found_by_its_content():
    [name] = names_of(source(), [2], label="y", key=None)
    assert applied(entry(name, "no", "yes")).labels.tolist() == ["no", "yes", "yes"]


def test_equal_rows_with_another_label_are_left_alone():
    frame = pd.DataFrame({"a": [1, 1, 1, 2], "y": [0, 1, 0, 1]})
    [name] = names_of(frame, [0], label="y", key=None)
    found = applied(entry(name, "0", "1"), frame=frame)
    assert found.labels.tolist() == [1, 1, 1, 1]
    assert found.corrected == 2


def test_labels_with_gaps_keep_their_values():
    frame = pd.DataFrame({"id": [1, 2, 3], "y": [0.0, None, 1.0]})
    found = applied(entry("id=1", "0", "1"), frame=frame)
    assert found.labels.tolist()[0] == 1.0
    assert found.labels.isna().tolist() == [False, True, False]


def test_a_number_is_corrected_to_any_number():
    frame = pd.DataFrame({"id": range(50), "y": range(100, 150)})
    assert applied(entry("id=3", "103", "10.5"), frame=frame, task="regression").labels[3] == 10.5


@pytest.mark.parametrize(
    ("entries", "said", "step"),
    [
        ([entry("id=77", "no", "yes", 3)], f"{FILE}:3: the source has no row id=77", "delete the line"),
        ([entry("id=8", "yes", "jes")], "'jes' is not a label of no, yes", "did you mean 'yes'"),
        ([entry("id=8", "no", "yes")], "the label of id=8 was no when it was reviewed, and is yes now", "mended"),
        ([entry("id=8", "yes", "no", 2), entry("id=8", "yes", "", 5)], ":5: the row id=8 stands on line 2", "delete"),
        ([entry("content:xyz", "no", "yes")], "'content:xyz' does not name a row", "as `mlops review` wrote it"),
        ([entry("", "no", "yes")], "'' does not name a row", "as `mlops review` wrote it"),
        ([entry("nobody=8", "no", "yes")], "'nobody=8' does not name a row", "delete the line"),
    ],
)
def test_what_cannot_be_applied_is_an_error_with_file_line_value_and_next_step(entries, said, step):
    with pytest.raises(ConfigError) as caught:
        applied(*entries)
    assert FILE in caught.value.message
    assert said in caught.value.message
    assert step in caught.value.next_step


def test_a_number_that_is_none_is_an_error():
    with pytest.raises(ConfigError, match="'nan' is not a number"):
        applied(entry("id=1", "1.5", "nan"), frame=pd.DataFrame({"id": [1], "y": [1.5]}), task="regression")


def test_a_label_that_is_gone_is_an_error():
    with pytest.raises(ConfigError, match="and has none now"):
        applied(entry("id=2", "1", "0"), frame=pd.DataFrame({"id": [1, 2, 3], "y": [0, None, 1]}))
