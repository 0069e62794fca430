"""Judges a training set before anything is trained on it: labels, rows on both sides, copies of the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.declare import Model
from mlops.verdict import Finding, Outcome, Severity

if TYPE_CHECKING:
    import pandas as pd

_LEAST_TO_COMPARE = 20
_SPARSE = 0.5


def judge_label(model: Model, labels: pd.Series, *, rows: int) -> Finding:
    """Whether the known labels (of `rows` rows in all) can teach anything."""
    distinct = labels.nunique()
    if not rows:
        problem, step = "the source has no rows", "look at the source's path and filters"
    elif not len(labels):
        problem, step = (
            f"all {rows:,} values of the label {model.label!r} are missing",
            "look where the label comes from",
        )
    elif distinct == 1:
        only = labels.tolist()[0]
        problem = f"the label {model.label!r} has one value only, {only!r}, in all {len(labels):,} labelled rows"
        step = "a model needs examples of both kinds; look at the source's filters"
    elif not _is_number(labels) and len(labels) >= _LEAST_TO_COMPARE and distinct > len(labels) / 2:
        problem = f"the label {model.label!r} has {distinct:,} different values in {len(labels):,} rows"
        step = "it looks like a name or text; choose another column"
    else:
        said = f"{len(labels):,} of {rows:,} rows are labelled, with {distinct:,} values"
        return _finding(model, "label", said, n=rows, measured=float(distinct), threshold=2.0)
    said = f"{model.origin}: {model.name}: {problem}"
    return _finding(model, "label", said, failed=True, next_step=step, n=rows, measured=float(distinct), threshold=2.0)


def judge_sides(
    model: Model, train: pd.Series, holdout: pd.Series, classes: Sequence[Any], min_rows: int
) -> tuple[Finding, ...]:
    """Whether training and held-out labels are enough, and each class is on both sides."""
    count = len(train) + len(holdout)
    step = f"collect more rows, or lower min_rows in [tool.mlops.models.{model.family}]"
    problem = ""
    if count < min_rows:
        problem = f"{count:,} labelled rows are fewer than min_rows = {min_rows}"
    elif not len(train) or not len(holdout):
        side = "training" if not len(train) else "holdout"
        problem = f"the {side} side has no rows ({len(train):,} to train on, {len(holdout):,} held out)"
        step = "collect rows over a longer time than the label's delay, or change holdout"
    enough = _finding(
        model,
        "rows",
        f"{model.origin}: {model.name}: {problem}"
        if problem
        else f"{len(train):,} rows to train on, {len(holdout):,} held out",
        failed=bool(problem),
        next_step=step if problem else "",
        n=count,
        measured=float(count),
        threshold=float(min_rows),
    )
    return (enough,) if problem or not classes else (enough, _on_both_sides(model, train, holdout, classes))


def judge_copies(model: Model, table: pd.DataFrame, labels: pd.Series, columns: Sequence[str]) -> Finding:
    """Whether a column is the label under another name: value for value, or on a straight line."""
    if len(labels) < _LEAST_TO_COMPARE:
        return _finding(model, "copies", f"fewer than {_LEAST_TO_COMPARE} rows to compare", skipped=True)
    copies = [name for name in columns if _copies(table[name], labels)]
    if not copies:
        return _finding(model, "copies", f"none of {len(columns)} columns repeats the label", n=len(labels))
    listed = ", ".join(repr(name) for name in copies)
    return _finding(
        model,
        "copies",
        f"{model.origin}: {model.name} reads {listed}, which repeats the label {model.label!r} in every row",
        failed=True,
        next_step=f"it will not be known at the request: add it to ignore=[{listed}]",
        n=len(labels),
        measured=float(len(copies)),
        threshold=0.0,
    )


def judge_coverage(model: Model, missing: Mapping[str, float], *, rows: int) -> tuple[Finding, ...]:
    """Whether the stored features (view -> share of `rows` without any) were found for the labelled rows."""
    findings = []
    for view, share in missing.items():
        text = f"{view} has no value for {share:.1%} of the labelled rows"
        step = f"compare entity and timestamp of {view} with the rows of {model.source!r}; is its ttl too short?"
        failed = share == 1.0
        severity = Severity.FAIL if failed else Severity.WARN
        findings.append(
            _finding(
                model,
                "coverage",
                text,
                failed=share > _SPARSE,
                severity=severity,
                next_step=step if share > _SPARSE else "",
                measured=share,
                threshold=_SPARSE,
                n=rows,
            )
        )
    return tuple(findings)


def judge_left_out(model: Model, counts: Mapping[str, int]) -> tuple[Finding, ...]:
    """A word on rows that no side holds, by reason; undated rows are a warning, the rest is as declared."""
    findings = []
    for reason, count in counts.items():
        undated = reason == "undated"
        text = f"{count:,} {reason} rows are left out"
        step = f"give each row a {model.timestamp}" if undated else ""
        findings.append(
            _finding(model, f"left-out.{reason}", text, failed=undated, severity=Severity.WARN, next_step=step, n=count)
        )
    return tuple(findings)


def judge_reviewed(model: Model, corrected: int, confirmed: int, *, file: str) -> tuple[Finding, ...]:
    """A word on labels that people corrected or confirmed, where there are any."""
    if not corrected + confirmed:
        return ()
    text = f"{file}: {corrected:,} labels are corrected and {confirmed:,} confirmed, in training and held-out rows"
    return (_finding(model, "reviewed", text, severity=Severity.WARN, n=corrected + confirmed),)


def _on_both_sides(model: Model, train: pd.Series, holdout: pd.Series, classes: Sequence[Any]) -> Finding:
    n = len(train) + len(holdout)
    absent = [
        f"{one!r} is not in the {side} rows"
        for side, labels in (("training", train), ("held-out", holdout))
        for one in classes
        if not (labels == one).any()
    ]
    if not absent:
        return _finding(
            model, "classes", f"all {len(classes)} classes are on both sides", n=n, measured=0.0, threshold=0.0
        )
    return _finding(
        model,
        "classes",
        f"{model.origin}: {model.name}: of the classes of {model.label!r}, {'; '.join(absent[:5])}",
        failed=True,
        next_step="collect more of it, merge rare classes, or enlarge holdout",
        n=n,
        measured=float(len(absent)),
        threshold=0.0,
    )


def _copies(values: pd.Series, labels: pd.Series) -> bool:
    import pandas as pd

    if values.isna().any():
        return False
    if _is_number(values) and _is_number(labels) and labels.nunique() > 2:
        x, y = values.to_numpy("float64"), labels.to_numpy("float64")
        if x.std() > 0 and y.std() > 0 and np.isfinite(x).all():
            return bool(abs(np.corrcoef(x, y)[0, 1]) > 1 - 1e-9)
        return False
    kinds, classes = values.nunique(), labels.nunique()
    if kinds != classes or kinds > len(labels) / 2:
        return False
    return len(pd.DataFrame({"value": values, "label": labels}).drop_duplicates()) == classes


def _is_number(values: pd.Series) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(values))


def _finding(
    model: Model, check: str, message: str, *, failed: bool = False, skipped: bool = False, **rest: Any
) -> Finding:
    outcome = Outcome.FAIL if failed else Outcome.SKIPPED if skipped else Outcome.PASS
    return Finding(check=f"training-set.{check}", outcome=outcome, message=message, subject=model.name, **rest)
