"""What the columns of a table are like: which a model can learn from, which not and why, and what the task is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlops.declare import Task
from mlops.statistics.kinds import inferred_task, kind_of, plain_labels

if TYPE_CHECKING:
    import pandas as pd

Role = Literal["number", "category", "code", "ignore"]

FEW = 32
"""So many different words at most become one column each; more are numbered."""

MANY_CLASSES = 50
_UNIQUE = 0.95  # from this share of different values on, words are names or free text
_ENOUGH = 50  # rows below which "all different" says nothing
_NAMED_ID = re.compile(
    r"(^|[^a-z])(id|uuid|guid|index|key|no|nr|number|instant|row)([^a-z]|$)|[a-z](Id|ID|No|Nr)$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its part in a model, why, and a few of its values for examples and tests."""

    name: str
    role: Role
    why: str
    examples: tuple[str | float | int | bool, ...] = ()
    gaps: bool = False


def columns_of(table: pd.DataFrame, *, label: str, leave_out: tuple[str, ...] = ()) -> tuple[Column, ...]:
    """Each column of a table but the label and those of `leave_out`, with its part in a model."""
    names = [name for name in table.columns if name != label and name not in leave_out]
    return tuple(_column(table[name], table[label]) for name in names)


def task_of(label: pd.Series) -> tuple[Task, str]:
    """The task that a label asks for, with the reason; ValueError says why it can be learned in no way."""
    present = label.dropna()
    if present.empty:
        raise ValueError("it has no value at all")
    different = present.nunique()
    if different == 1:
        raise ValueError(f"it is always {present.iloc[0]!s}")
    if kind_of(present) is None:
        raise ValueError(f"it holds {present.dtype}; predict a number or a class")
    if kind_of(present) == "string" and different > MANY_CLASSES:
        raise ValueError(f"it holds {different:,} different words, too many to be classes")
    plain = plain_labels(present)
    task, reason = inferred_task(plain)
    if task == "binary":
        reason += f"; {(plain == max(plain.unique())).mean():.1%} are the latter"
    if len(present) < len(label):
        reason += f"; {len(label) - len(present):,} rows have none and are left out"
    return task, reason


def classes_of(label: pd.Series) -> tuple[str | float | int | bool, ...]:
    """The classes of a label, sorted; whole numbers stay whole also where gaps made them floats."""
    return tuple(sorted(plain_labels(label.dropna()).unique().tolist()))


def _column(values: pd.Series, label: pd.Series) -> Column:
    name = str(values.name)
    present = values.dropna()
    role, why = _part(name, values, present, label)
    return Column(name=name, role=role, why=why, examples=_examples(present, role), gaps=len(present) < len(values))


def _part(name: str, values: pd.Series, present: pd.Series, label: pd.Series) -> tuple[Role, str]:
    """A column's part in the model, and why."""
    import pandas.api.types as kinds

    different = present.nunique()
    if different <= 1:
        return "ignore", f"is always {str(present.iloc[0])[:40]}" if different else "has no value at all"
    if kinds.is_datetime64_any_dtype(values):
        return "ignore", "is a time; turn it into a feature to use it"
    if _tells(values, label):
        return "ignore", "says the same as the label"
    if kinds.is_bool_dtype(present) or kinds.is_numeric_dtype(present):
        apart = different == len(values) >= _ENOUGH and kinds.is_integer_dtype(present)
        named = apart and _NAMED_ID.search(name) is not None
        return ("ignore", "counts or names the rows") if named or _counts(present) else ("number", "numbers")
    if different > FEW and different > _UNIQUE * len(present):
        return "ignore", "is different in nearly every row: a name or free text"
    return "category" if different <= FEW else "code", f"{different:,} different values"


def _counts(values: pd.Series) -> bool:
    """Whether whole numbers only count the rows: all different and one apart, however the rows are ordered."""
    import pandas.api.types as kinds

    if not kinds.is_integer_dtype(values) or len(values) < _ENOUGH:
        return False
    steps = values.diff().dropna()
    return bool(values.nunique() == len(values) and values.max() - values.min() == len(values) - 1) or bool(
        (steps == 1).mean() > 0.99
    )


def _tells(values: pd.Series, label: pd.Series) -> bool:
    """Whether a column with few values and the label are the same under other names."""
    both = values.notna() & label.notna()
    first, second = values[both], label[both]
    if first.empty or first.nunique() > MANY_CLASSES or first.nunique() != second.nunique():
        return bool(
            len(first) and first.nunique() > MANY_CLASSES and first.dtype == second.dtype and (first == second).all()
        )
    return bool(second.groupby(first).nunique().eq(1).all())


def _examples(present: pd.Series, role: Role) -> tuple[str | float | int | bool, ...]:
    """Up to three typical values, different where the column has different ones."""
    import pandas as pd

    if role == "ignore":
        return ()
    if role != "number":
        return tuple(str(value) for value in sorted(present.value_counts().index[:3].astype(str)))
    numbers = present.astype("float64") if present.dtype in (bool, object) else present
    common = [numbers.quantile(share, interpolation="nearest") for share in (0.1, 0.5, 0.9)]
    chosen = common if len(set(common)) > 1 else [numbers.min(), common[0], numbers.max()]
    if pd.api.types.infer_dtype(present) == "boolean":
        return tuple(bool(value) for value in chosen)  # what a request must hold
    return tuple(_native(value) for value in chosen)


def _native(value: object) -> float | int:
    plain = value.item() if hasattr(value, "item") else value
    return plain if isinstance(plain, int) else round(float(str(plain)), 6)
