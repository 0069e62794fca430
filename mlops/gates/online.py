"""Judges whether what is read online, and what a running service makes of it, is what training saw at that moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.gates.parity import compare
from mlops.serving.predictors import Prediction
from mlops.verdict import Finding, Outcome

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from mlops.contract import Contract
    from mlops.declare import FeatureView

FEATURES, INPUTS, ANSWERS = "service.features", "service.inputs", "service.parity"
CHECKS = (FEATURES, INPUTS, ANSWERS)

COMPUTED = 1e-9
"""Largest relative difference of an on-demand value: one row and many are added up in another order."""

ANSWER = 1e-6
"""Largest difference of a probability, or relative difference of a regression's value: the same file, row by row."""

NOBODY = "no held-out row can be asked as a request"

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Differences:
    """Which columns of two frames differ, in how many rows; in which rows the first does, and its first two values."""

    columns: tuple[str, ...]
    count: int
    rows: tuple[int, ...]
    left: str
    right: str

    @property
    def column(self) -> str:
        """The first that differs."""
        return self.columns[0]


def judge_features(
    view: FeatureView, asked: pd.DataFrame, offline: pd.DataFrame, online: Sequence[Mapping[str, Any]], *, subject: str
) -> Finding:
    """Whether the online store gives `asked` (`key`, `moment`, row by row) bit for bit what the join gives."""
    import pandas as pd

    if not len(asked):
        return not_run(FEATURES, f"{view.name} has no row to compare", subject=subject)
    served = pd.DataFrame({name: [row.get(name) for row in online] for name in offline.columns}, dtype=object)
    wrong = _differences(offline, served, dict.fromkeys(offline.columns, 0.0))
    seen = int(offline.notna().any(axis=1).sum())
    message = f"{view.name}: online as offline, bit for bit, for {len(asked)} entities and moments ({seen} with values)"
    step, keys = "", asked["key"].tolist()
    if wrong is not None:
        message = (
            f"{view.name}.{wrong.column} of {view.entity} {keys[wrong.rows[0]]!r} at "
            f"{asked['moment'].iloc[wrong.rows[0]]} is {wrong.left} offline, {wrong.right} online; "
            f"{wrong.count} of {len(asked)} entities and moments differ in {', '.join(wrong.columns)}"
        )
        step = (
            "look at the online store's types, zone and time to live; "
            f"`mlops.testing.assert_same_online({view.name}, rows)` shows it in a test"
        )
    return Finding(
        check=FEATURES,
        outcome=Outcome.FAIL if wrong else Outcome.PASS,
        subject=subject,
        message=message,
        measured=float(wrong.count) if wrong else 0.0,
        threshold=0.0,
        n=len(asked),
        rows=tuple(_plain(keys[row]) for row in wrong.rows[:_SHOWN]) if wrong else (),
        next_step=step,
    )


def judge_inputs(
    contract: Contract, offline: pd.DataFrame, served: pd.DataFrame, about: Sequence[str], *, subject: str
) -> Finding:
    """Whether the model is given, for a request alone, what it was given for the same row in training.

    Both frames have the model's columns; `about` says of each row who asked when. Stored features and fields must be
    the same bit for bit, on-demand ones within COMPUTED.
    """
    if not about:
        return not_run(INPUTS, NOBODY, subject=subject)
    computed = {one.name for one in contract.computed}
    tolerances = {one.name: COMPUTED if one.name in computed else 0.0 for one in contract.columns}
    wrong = _differences(offline, served, tolerances)
    message = f"a request alone gives the model what its row gave in training, for {len(about)} held-out rows"
    step = ""
    if wrong is not None:
        message = (
            f"{_owner(contract, wrong.column)} is {wrong.left} in training, {wrong.right} at the request, "
            f"for {about[wrong.rows[0]]}; {wrong.count} of {len(about)} rows differ in {', '.join(wrong.columns)}"
        )
        step = (
            "an on-demand feature may use its own row alone: no statistic over rows, no clock, no global state"
            if wrong.column in computed
            else "compare what the view stores with what is published: type, zone, time to live"
        )
    return Finding(
        check=INPUTS,
        outcome=Outcome.FAIL if wrong else Outcome.PASS,
        subject=subject,
        message=message,
        measured=float(wrong.count) if wrong else 0.0,
        threshold=0.0,
        n=len(about),
        next_step=step,
    )


def judge_answers(
    expected: Prediction, said: Prediction, about: Sequence[str], *, regression: bool, subject: str
) -> Finding:
    """Whether the running service answers each row, alone, as the model answers the training table."""
    found = compare(expected, said, regression=regression)
    good = found.agrees(ANSWER)
    where = "" if good else f": {about[found.worst]}"
    return Finding(
        check=ANSWERS,
        outcome=Outcome.PASS if good else Outcome.FAIL,
        subject=subject,
        message=f"the service against the training table: {found.sentence(ANSWER)}{where}",
        measured=found.largest,
        threshold=ANSWER,
        n=found.rows,
        next_step="" if good else f"{INPUTS} and {FEATURES} say which value differs; else read the service's log",
    )


def unanswered(problem: str, n: int, *, subject: str) -> Finding:
    """A held-out row that the service does not answer."""
    step = "send it by hand to /predict; the service's log says why it failed"
    return Finding(
        check=ANSWERS, outcome=Outcome.FAIL, subject=subject, message=problem, n=n, threshold=ANSWER, next_step=step
    )


def not_run(check: str, reason: str, *, subject: str) -> Finding:
    """What stands for a comparison that could not be made; it never passes."""
    step = "mend that, then run again; a comparison that was not made does not pass"
    return Finding(check=check, outcome=Outcome.NOT_RUN, subject=subject, message=reason, next_step=step)


def _differences(left: pd.DataFrame, right: pd.DataFrame, tolerances: Mapping[str, float]) -> _Differences | None:
    """Where the columns with a tolerance differ; None where they do not."""
    found = {name: differing(left[name], right[name], tolerance) for name, tolerance in tolerances.items()}
    wrong = {name: rows for name, rows in found.items() if rows.size}
    if not wrong:
        return None
    column, rows = next(iter(wrong.items()))
    values = [_told(side[column].tolist()[int(rows[0])]) for side in (left, right)]
    return _Differences(
        columns=tuple(wrong),
        count=len(np.unique(np.concatenate(list(wrong.values())))),
        rows=tuple(int(row) for row in rows),
        left=values[0],
        right=values[1],
    )


def differing(left: pd.Series, right: pd.Series, tolerance: float) -> NDArray[np.intp]:
    """The positions at which two columns differ: both missing is the same, a number and a text never are."""
    rows = [not _same(a, b, tolerance) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    return np.flatnonzero(np.array(rows, dtype=bool))


def _same(left: Any, right: Any, tolerance: float) -> bool:
    if _missing(left) or _missing(right):
        return _missing(left) and _missing(right)
    if isinstance(left, str) or isinstance(right, str):
        return isinstance(left, str) and isinstance(right, str) and left == right
    a, b = float(left), float(right)
    return a == b or abs(a - b) <= tolerance * max(abs(a), abs(b))


def _missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))


def _told(value: Any) -> str:
    return "missing" if _missing(value) else repr(value)


def _plain(value: Any) -> int | str:
    return value if isinstance(value, int | str) else str(value)


def _owner(contract: Contract, name: str) -> str:
    """A column with the place that it comes from."""
    stored = next((f"{one.view}.{one.column}" for one in contract.stored if one.name == name), "")
    computed = any(one.name == name for one in contract.computed)
    return stored or (f"the on-demand feature {name}" if computed else f"the field {name}")
