"""What a column is good for is told from its values, with a reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlops.statistics.profile import classes_of, columns_of, task_of

ROWS = 400
random = np.random.default_rng(1)
LABEL = pd.Series(random.integers(0, 2, ROWS), name="y")


def role_of(values, name="x") -> tuple[str, str]:
    (column,) = columns_of(pd.DataFrame({name: values, "y": LABEL}), label="y")
    return column.role, column.why


@pytest.mark.parametrize(
    ("values", "role", "why"),
    [
        (random.normal(size=ROWS), "number", "numbers"),
        (random.integers(0, 5, ROWS), "number", "numbers"),
        (random.random(ROWS) > 0.5, "number", "numbers"),
        (random.permutation(10**6)[:ROWS], "number", "numbers"),
        (np.arange(ROWS) + 17, "ignore", "counts or names the rows"),
        (random.permutation(ROWS), "ignore", "counts or names the rows"),
        (random.choice(list("abc"), ROWS), "category", "3 different values"),
        ([f"k{i % 60}" for i in range(ROWS)], "code", "60 different values"),
        ([f"customer {i}" for i in range(ROWS)], "ignore", "a name or free text"),
        ([3.0] * ROWS, "ignore", "is always 3.0"),
        ([None] * ROWS, "ignore", "has no value at all"),
        (pd.date_range("2024", periods=ROWS), "ignore", "is a time"),
        (LABEL.map({0: "no", 1: "yes"}), "ignore", "says the same as the label"),
    ],
)
def test_each_kind_of_column_has_its_part(values, role, why):
    found, reason = role_of(values)
    assert found == role
    assert why in reason


def test_a_number_that_is_named_as_an_id_is_none_to_learn_from():
    values = random.permutation(10**6)[:ROWS]
    assert role_of(values, "customer_id")[0] == role_of(values, "InvoiceNo")[0] == "ignore"
    assert role_of(values, "income")[0] == "number"


def test_examples_are_typical_and_differ():
    table = pd.DataFrame({"gain": [0] * 390 + [500] * 10, "word": ["a", "b"] * 200, "y": LABEL})
    gain, word = columns_of(table, label="y")
    assert gain.examples == (0, 0, 500)
    assert word.examples == ("a", "b")


@pytest.mark.parametrize(
    ("label", "task"),
    [
        (["no", "yes"] * 50, "binary"),
        ([0.0, 1.0, None] * 50, "binary"),
        ([True, False] * 50, "binary"),
        (list("abc") * 50, "multiclass"),
        ([1, 2, 3] * 50, "multiclass"),
        (np.linspace(0, 1, 100), "regression"),
        (np.arange(100), "regression"),
    ],
)
def test_the_task_follows_from_the_label(label, task):
    assert task_of(pd.Series(label))[0] == task


@pytest.mark.parametrize(
    ("label", "why"),
    [
        ([None, None], "no value at all"),
        (["yes", "yes", None], "always yes"),
        (pd.date_range("2024", periods=9), "datetime64"),
        ([f"w{i}" for i in range(90)], "90 different words"),
    ],
)
def test_a_label_that_cannot_be_learned_says_why(label, why):
    with pytest.raises(ValueError, match=why):
        task_of(pd.Series(label))


def test_classes_are_sorted_and_whole_numbers_stay_whole():
    assert classes_of(pd.Series([1.0, 0.0, None])) == (0, 1)
    assert classes_of(pd.Series(["yes", "no"])) == ("no", "yes")
