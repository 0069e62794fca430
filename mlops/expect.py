"""What a model must do whatever its score: expectations for a check of one's own, as findings.

    from mlops import check, expect

    @check(on="model")
    def dearer_is_not_safer(predict, rows):
        return expect.increasing(predict, rows, "amount", by=100)

Invariance and directional expectation tests are Ribeiro et al., "Beyond Accuracy: Behavioral Testing of NLP Models with
CheckList", ACL 2020. `predict` takes a frame and gives a number for each row (a binary model's probability of the
positive class, a regression's value), or a row of probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.verdict import Finding, Outcome

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

Change = Mapping[str, Any] | Callable[["pd.DataFrame"], "pd.DataFrame"]
"""Columns to new values (or to a function from the old column to the new), or a function from frame to frame."""

Predict = Callable[["pd.DataFrame"], Any]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Expected(Finding):
    """A finding that is true where the expectation holds, so that a test can assert it."""

    def __bool__(self) -> bool:
        return self.outcome is Outcome.PASS

    def __repr__(self) -> str:
        return self.message


_SHOWN = 5
_ROWS = 10_000


def invariant(
    predict: Predict, rows: pd.DataFrame, *, change: Change, tolerance: float = 0.01, allowed: float = 0.0
) -> Expected:
    """That no answer moves by more than `tolerance` when rows are changed in what must not matter.

    `allowed` is the share of rows that may break it. At most 10,000 rows are asked, evenly spread.
    """
    before_rows, after_rows = _changed(rows, change)
    before, after = _answers(predict, before_rows), _answers(predict, after_rows)
    moved = _distance(before, after)
    said = f"{_words(change)} moves answers by more than {tolerance:g}"
    return _finding("invariant", before_rows, moved > tolerance, allowed=allowed, said=said, shown=(before, after))


def increasing(
    predict: Predict, rows: pd.DataFrame, column: str, *, by: float, tolerance: float = 1e-6, allowed: float = 0.0
) -> Expected:
    """That no answer falls by more than `tolerance` when `column` grows by `by`; rows without a value are left out."""
    return _directed(predict, rows, (column, by), tolerance=tolerance, allowed=allowed, sign=1)


def decreasing(
    predict: Predict, rows: pd.DataFrame, column: str, *, by: float, tolerance: float = 1e-6, allowed: float = 0.0
) -> Expected:
    """That no answer rises by more than `tolerance` when `column` grows by `by`; rows without a value are left out."""
    return _directed(predict, rows, (column, by), tolerance=tolerance, allowed=allowed, sign=-1)


def within(predict: Predict, rows: pd.DataFrame, low: float, high: float, *, allowed: float = 0.0) -> Expected:
    """That every answer is at least `low` and at most `high`."""
    import numpy as np

    rows = _spread(rows)
    answers = np.asarray(_answers(predict, rows), dtype=np.float64)
    outside = ~((answers >= low) & (answers <= high))
    broken: NDArray[np.bool_] = outside if outside.ndim == 1 else np.any(outside, axis=1)
    said = f"answers outside of {low:g} to {high:g}"
    return _finding("within", rows, broken, allowed=allowed, said=said, shown=(answers,))


def _directed(
    predict: Predict, rows: pd.DataFrame, step: tuple[str, float], *, tolerance: float, allowed: float, sign: int
) -> Expected:
    import numpy as np

    column, by = step
    _refuse_unknown(rows, [column])
    rows = _spread(rows[rows[column].notna()])
    before = np.asarray(_answers(predict, rows), dtype=np.float64)
    after = np.asarray(_answers(predict, rows.assign(**{column: rows[column] + by})), dtype=np.float64)
    if before.ndim != 1:
        raise ValueError("a direction needs one number for each row; this model gives a probability for each class")
    wrong = sign * (after - before) < -tolerance
    said = f"{column} {by:+g} makes answers {'fall' if sign > 0 else 'rise'} by more than {tolerance:g}"
    name = "increasing" if sign > 0 else "decreasing"
    return _finding(name, rows, wrong, allowed=allowed, said=said, shown=(before, after))


def _finding(
    name: str,
    rows: pd.DataFrame,
    broken: NDArray[np.bool_],
    *,
    allowed: float,
    said: str,
    shown: tuple[Any, ...],
) -> Expected:
    check = f"expect.{name}"
    n = len(rows)
    if not n:
        step = "give it rows: held-out ones, or those of a test"
        return Expected(check=check, outcome=Outcome.NOT_RUN, message=f"no rows to see whether {said}", next_step=step)
    count = int(broken.sum())
    evidence: dict[str, Any] = {"measured": count / n, "threshold": allowed, "n": n}
    if count <= allowed * n:
        return Expected(check=check, outcome=Outcome.PASS, message=f"{count:,} of {n:,} rows: {said}", **evidence)
    places = broken.nonzero()[0][:_SHOWN]
    examples = "; ".join(f"row {rows.index[k]}: {' to '.join(_plain(side[k]) for side in shown)}" for k in places)
    return Expected(
        check=check,
        outcome=Outcome.FAIL,
        message=f"{said} in {count:,} of {n:,} rows ({count / n:.1%}, {allowed:.1%} allowed): {examples}",
        rows=tuple(_key(rows.index[k]) for k in places),
        next_step="look at these rows; constrain the model (monotonic_cst), leave the column out, or add such examples",
        **evidence,
    )


def _changed(rows: pd.DataFrame, change: Change) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = _spread(rows)
    if callable(change):
        return rows, change(rows.copy())
    _refuse_unknown(rows, list(change))
    new = {name: value(rows[name]) if callable(value) else value for name, value in change.items()}
    return rows, rows.assign(**new)


def _refuse_unknown(rows: pd.DataFrame, columns: list[str]) -> None:
    """A change of a column that is not there would change nothing, and so pass."""
    strange = [name for name in columns if name not in rows]
    if strange:
        raise ValueError(f"the rows have no column {strange[0]!r}; they have {', '.join(map(str, rows.columns))}")


def _words(change: Change) -> str:
    if callable(change):
        return getattr(change, "__name__", "the change").replace("<lambda>", "the change")
    return " and ".join(
        f"another {name}" if callable(value) else f"{name} = {value!r}" for name, value in change.items()
    )


def _spread(rows: pd.DataFrame) -> pd.DataFrame:
    return rows if len(rows) <= _ROWS else rows.iloc[:: -(-len(rows) // _ROWS)]


def _answers(predict: Predict, rows: pd.DataFrame) -> Any:
    import numpy as np

    answers = np.asarray(predict(rows)) if len(rows) else np.empty(0)
    if len(answers) != len(rows):
        raise ValueError(f"predict gave {len(answers)} answers for {len(rows)} rows")
    return answers


def _distance(before: Any, after: Any) -> Any:
    """How far each answer moved: the largest difference of its numbers; 1 where a word became another."""
    import numpy as np

    if len(before) != len(after):
        raise ValueError(f"the change made {len(after)} rows of {len(before)}")
    if not np.issubdtype(before.dtype, np.number):
        return (before != after).astype(np.float64)
    moved = np.abs(before.astype(np.float64) - after.astype(np.float64))
    return np.nan_to_num(moved if moved.ndim == 1 else moved.max(axis=1), nan=np.inf)


def _plain(value: Any) -> str:
    import numpy as np

    if np.ndim(value):
        return f"[{', '.join(f'{one:.4g}' for one in value)}]"
    return f"{value:.4g}" if isinstance(value, int | float | np.number) else str(value)


def _key(value: Any) -> int | str:
    return int(value) if hasattr(value, "__index__") else str(value)
