"""Known faults, planted into a table or into a model's answers: what a gate must find.

Each function takes something sound and gives a broken copy, or None where the fault does not apply to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.gates.schema import Schema
from mlops.statistics.influence import Answers

if TYPE_CHECKING:
    import pandas as pd

_SHARE = 10  # every tenth row is touched


def schema_faults(schema: Schema, frame: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
    """By name, the check that must fire and the broken table; faults that this schema could never show are left out.

    A kind of which the schema promises nothing at all (no range, no list) is planted all the same, where
    there is a column for it: a gate that was loosened until it no longer fires has to be seen.
    """
    import pandas as pd

    numbers = [n for n in schema.columns if n in frame and pd.api.types.is_numeric_dtype(frame[n].dtype)]
    bounded = [n for n in numbers if "in_range" in schema.columns[n].checks] or numbers
    words = [n for n in schema.columns if n in frame and not pd.api.types.is_numeric_dtype(frame[n].dtype)]
    listed = [n for n in words if "isin" in schema.columns[n].checks]
    filled = [n for n in schema.columns if n in frame and not schema.columns[n].nullable]
    first = str(frame.columns[0])
    faults = {
        "missing column": ("schema.column", frame.drop(columns=first)),
        "unexpected column": ("schema.unexpected", frame.assign(__unexpected=1)),
        "no rows": ("schema.empty", frame.iloc[:0]),
        "text for numbers": ("schema.type", _set(frame, numbers, lambda v: v.astype(str) + " EUR")),
        "another unit": ("schema.range", _set(frame, bounded, _another_unit)),
        "a word never seen": ("schema.category", _set(frame, listed, lambda v: _every_tenth(v, "__new"))),
        "values gone": ("schema.presence", _set(frame, filled or numbers, lambda v: _every_tenth(v, None))),
        "a key twice": ("schema.unique", _set(frame, [schema.key] if schema.key else [], _repeated)),
        "time backwards": ("schema.order", frame.iloc[::-1].reset_index(drop=True) if schema.increasing else None),
    }
    return {name: (check, broken) for name, (check, broken) in faults.items() if broken is not None}


def integrity_faults(frame: pd.DataFrame, *, label: str | None, classes: bool) -> dict[str, tuple[str, pd.DataFrame]]:
    """By name, the check of deepchecks' integrity suite that must fire, and the broken table."""
    import pandas as pd

    words = [str(n) for n in frame.columns if n != label and pd.api.types.is_string_dtype(frame[n].dtype)]
    words = [n for n in words if 1 < frame[n].nunique() <= 100]
    faults: dict[str, tuple[str, pd.DataFrame | None]] = {
        "loaded twice": ("DataDuplicates", pd.concat([frame, frame], ignore_index=True)),
        "words for missing": ("MixedNulls", _set(frame, words, _two_nulls)),
        "two spellings": ("StringMismatch", _set(frame, words, lambda v: _every_fifth(v, v.str.upper() + "!"))),
        "values of ???": ("SpecialCharacters", _set(frame, words, lambda v: _every_tenth(v, "???"))),
    }
    if label is not None:
        faults["the answer as a column"] = ("FeatureLabelCorrelation", frame.assign(__leak=_as_number(frame[label])))
        if classes:
            faults["conflicting labels"] = ("ConflictingLabels", _conflicting(frame, label))
    return {name: (check, broken) for name, (check, broken) in faults.items() if broken is not None}


def side_faults(
    train: pd.DataFrame, holdout: pd.DataFrame, *, label: str, numbers: Sequence[str]
) -> dict[str, tuple[str, pd.DataFrame, pd.DataFrame]]:
    """By name, the check of deepchecks' train-test suite that must fire, and the two sides.

    `numbers` are numeric inputs; the first is replaced by the label on the training side.
    """
    faults = {"held-out rows trained on": ("TrainTestSamplesMix", holdout, holdout)}
    moved = _moved_label(holdout, label)
    if moved is not None:
        faults["the label moved"] = ("LabelDrift", train, moved)
    if numbers:
        random = np.random.default_rng(0)
        told, noise = train.assign(**{numbers[0]: _as_number(train[label])}), random.normal(size=len(holdout))
        faults["a leak that ends"] = ("FeatureLabelCorrelationChange", told, holdout.assign(**{numbers[0]: noise}))
    return faults


def shifted(columns: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The name of a numeric column, and the columns with it moved by half a standard deviation."""
    import pandas as pd

    for name, values in columns.items():
        if pd.api.types.is_numeric_dtype(values.dtype) and values.nunique() > 10:
            return name, {**columns, name: values + 0.5 * values.std()}
    return None


def without_sense(answers: Answers, share: float = 1.0) -> Answers:
    """The answers of a model that has lost its mind: a share of the rows gets the answer of quite another row.

    Another one by its label, not by chance: a chance can be lucky on thirty rows.
    """
    rows = np.flatnonzero(np.random.default_rng(0).random(answers.actual.size) < share)
    rows = rows[np.argsort(answers.actual[rows], kind="stable")]
    order = np.arange(answers.actual.size)
    order[rows] = np.roll(rows, rows.size // 2)
    probabilities = None if answers.probabilities is None else answers.probabilities[order]
    return Answers(answers.actual, answers.predicted[order], probabilities)


def not_numbers(answers: Answers) -> Answers:
    """The answers with NaN in every tenth row."""
    rows = np.arange(answers.actual.size) % _SHARE == 0
    probabilities = None
    if answers.probabilities is not None:
        probabilities = np.where(rows[:, None], np.nan, answers.probabilities)
    return Answers(answers.actual, np.where(rows, np.nan, answers.predicted), probabilities)


def _set(
    frame: pd.DataFrame, names: Sequence[str], broken: Callable[[pd.Series], pd.Series | None]
) -> pd.DataFrame | None:
    if not names:
        return None
    values = broken(frame[names[0]])
    return None if values is None else frame.assign(**{names[0]: values})


def _another_unit(values: pd.Series) -> pd.Series | None:
    return values * 1000 if values.abs().max() > 0 else None


def _every_tenth(values: pd.Series, value: Any) -> pd.Series:
    keep = np.arange(len(values)) % _SHARE != 0
    return values.where(keep) if value is None else values.astype(object).where(keep, value).astype(str)


def _every_fifth(values: pd.Series, other: pd.Series) -> pd.Series:
    return values.where(np.arange(len(values)) % 5 != 0, other)


def _two_nulls(values: pd.Series) -> pd.Series:
    position = np.arange(len(values)) % 20
    return values.mask(position == 0, "null").mask(position == 1, "None")


def _repeated(values: pd.Series) -> pd.Series:
    return values.where(np.arange(len(values)) % _SHARE != 0, values.iloc[-1])


def _conflicting(frame: pd.DataFrame, label: str) -> pd.DataFrame:
    """A quarter of the rows once more, with another class."""
    import pandas as pd

    again = frame[frame[label].notna()].iloc[::4].copy()
    codes, values = pd.factorize(again[label])
    again[label] = pd.Series(values[(codes + 1) % len(values)], index=again.index)
    return pd.concat([frame, again], ignore_index=True)


def _moved_label(holdout: pd.DataFrame, label: str) -> pd.DataFrame | None:
    import pandas as pd

    values = holdout[label]
    if pd.api.types.is_float_dtype(values.dtype) and values.nunique() > 20:
        return holdout.assign(**{label: values + 2 * values.std()})
    rare = values.value_counts().index[-1]
    return holdout.assign(**{label: values.where(np.arange(len(values)) % 10 == 0, rare)})


def _as_number(values: pd.Series) -> pd.Series:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype("float64")
    codes = pd.Series(pd.factorize(values, sort=True)[0], index=values.index).astype("float64")
    return codes.mask(values.isna())
