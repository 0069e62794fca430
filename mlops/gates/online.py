"""Judges whether what is read online, and what a running service makes of it, is what training saw at that moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def judge_features(
    view: FeatureView, asked: pd.DataFrame, offline: pd.DataFrame, online: Sequence[Mapping[str, Any]], *, subject: str
) -> Finding:
    """Whether the online store gives `asked` (`key`, `moment`, row by row) bit for bit what the join gives."""
    import pandas as pd

    served = pd.DataFrame({name: [row.get(name) for row in online] for name in offline.columns}, dtype=object)
    wrong = {name: differing(offline[name], served[name], 0.0) for name in offline.columns}
    wrong = {name: rows for name, rows in wrong.items() if rows.size}
    count = len(np.unique(np.concatenate(list(wrong.values())))) if wrong else 0
    if not len(asked):
        return not_run(FEATURES, f"{view.name} has no row to compare", subject=subject)
    seen = int(offline.notna().any(axis=1).sum())
    message = f"{view.name}: online as offline, bit for bit, for {len(asked)} entities and moments ({seen} with values)"
    if wrong:
        name, rows = next(iter(wrong.items()))
        first = int(rows[0])
        values = [_told(side[name].tolist()[first]) for side in (offline, served)]
        message = (
            f"{view.name}.{name} of {view.entity} {asked['key'].tolist()[first]!r} at {asked['moment'].iloc[first]} is "
            f"{values[0]} offline, {values[1]} online; {count} of {len(asked)} entities and moments differ"
            f" in {', '.join(wrong)}"
        )
    return Finding(
        check=FEATURES,
        outcome=Outcome.FAIL if wrong else Outcome.PASS,
        subject=subject,
        message=message,
        measured=float(count),
        threshold=0.0,
        n=len(asked),
        rows=tuple(_plain(asked["key"].tolist()[int(i)]) for i in next(iter(wrong.values()))[:_SHOWN]) if wrong else (),
        next_step=f"look at the online store's types, zone and time to live; `mlops.testing.assert_same_online"
        f"({view.name}, rows)` shows it in a test"
        if wrong
        else "",
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
    computed = {one.name: one for one in contract.computed}
    wrong = {
        column.name: rows
        for column in contract.columns
        if (
            rows := differing(offline[column.name], served[column.name], COMPUTED if column.name in computed else 0.0)
        ).size
    }
    message = f"a request alone gives the model what its row gave in training, for {len(about)} held-out rows"
    step = ""
    if wrong:
        name, rows = next(iter(wrong.items()))
        first = int(rows[0])
        values = [_told(side[name].tolist()[first]) for side in (offline, served)]
        message = (
            f"{_owner(contract, name)} is {values[0]} in training, {values[1]} at the request, for {about[first]}; "
            f"{len(np.unique(np.concatenate(list(wrong.values()))))} of {len(about)} rows differ in {', '.join(wrong)}"
        )
        step = (
            "an on-demand feature may use its own row alone: no statistic over rows, no clock, no global state"
            if name in computed
            else "compare what the view stores with what is published: type, zone, time to live"
        )
    return Finding(
        check=INPUTS,
        outcome=Outcome.FAIL if wrong else Outcome.PASS,
        subject=subject,
        message=message,
        measured=float(len(np.unique(np.concatenate(list(wrong.values()))))) if wrong else 0.0,
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
