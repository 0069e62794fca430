"""A model judged by every row instead of the held-out ones: clones of it, fitted anew on the folds of a plan.

A clone has learnt nothing, and it is tested on rows alone that it was not fitted on. That holds for the champion, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.adapters import user_code
from mlops.config import ModelSettings
from mlops.contract import Contract
from mlops.declare import Model
from mlops.gates import folds as gate
from mlops.gates.comparison import not_refitted
from mlops.gates.folds import Tested
from mlops.gates.model import coded, judge_finite, not_judged
from mlops.serving.predictors import answers
from mlops.statistics.influence import Answers, needs_probabilities
from mlops.statistics.resampling import Fold, Plan, grouped, ordered
from mlops.statistics.split import contents, moments
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd


class NotRefitted(Exception):
    """A model that cannot be fitted anew, and why."""


@dataclass(frozen=True, slots=True)
class Refittable:
    """A fitted estimator, to be cloned; what it reads of all rows (a RangeIndex), and its contract."""

    estimator: Any
    inputs: pd.DataFrame
    contract: Contract


@dataclass(frozen=True, slots=True)
class Rows:
    """All labelled rows of a model (a RangeIndex), and the folds that both sides are fitted on.

    `classes` are the challenger's, in whose order codes and probabilities are given.
    """

    table: pd.DataFrame
    labels: pd.Series
    classes: Sequence[Any]
    plan: Plan
    seed: int

    @property
    def codes(self) -> Any:
        """The labels as codes or amounts."""
        return coded(self.labels, self.labels, None, self.classes, ()).actual


def rows_of(table: pd.DataFrame, contract: Contract, model: Model, settings: ModelSettings, seed: int) -> Rows:
    """The folds like the split of the table: by entity where asked, windows in time, else equal rows on one side."""
    labels, shape = table[contract.label], (settings.folds, settings.repeats)
    if contract.timestamp is not None and settings.split_column is None:
        plan = ordered(moments(table[contract.timestamp]), int(model.label_delay.total_seconds() * 1e6), shape)
    else:
        strata = coded(labels, labels, None, contract.classes, ()).actual if contract.classes else None
        together = [settings.split_column] if settings.split_column else [field.name for field in contract.fields]
        plan = grouped(contents(table, together), strata, shape, seed=seed)
    return Rows(table, labels, contract.classes, plan, seed)


def rejudged(
    found: Iterable[Finding],
    side: Refittable,
    rows: Rows,
    settings: ModelSettings,
    rival: tuple[str, Callable[[pd.DataFrame], Refittable]] | None,
) -> list[Finding]:
    """The findings with floor, baseline and champion judged by cross-validation.

    `rival` is the champion's release, and what gives its estimator for these rows or raises NotRefitted.
    """
    found, family = list(found), side.contract.model.rpartition("_v")[0]
    try:
        tested = Tested(
            side.contract.metric,
            rows.plan,
            refitted(side, rows),
            [rows.codes[fold.train] for fold in rows.plan.folds],
        )
    except NotRefitted as error:
        anew = {f"model.{check}": gate.not_tested(check, str(error)) for check in ("floor", "baseline")}
        if rival is not None:
            anew["model.champion"] = gate.not_tested("champion", str(error))
    else:
        anew = {
            "model.floor": gate.judge_floor(tested, settings.floor, model=family),
            "model.baseline": gate.judge_baseline(tested, len(rows.classes)),
        }
        if rival is not None:
            anew["model.champion"] = _compared(tested, rows, settings, *rival)
    return [anew.get(one.check, one) for one in found]


def _compared(
    tested: Tested, rows: Rows, settings: ModelSettings, release: str, again: Callable[[pd.DataFrame], Refittable]
) -> Finding:
    try:
        theirs = refitted(again(rows.table), rows)
    except NotRefitted as error:
        return not_refitted(release, str(error))
    if needs_probabilities(tested.metric) and theirs[0].probabilities is None:
        return not_judged(f"{release} gives no probabilities", ("champion",))[0]
    return gate.judge_champion(tested, theirs, margin=settings.margin, release=release)


def refitted(side: Refittable, rows: Rows) -> list[Answers]:
    """What a fresh clone, fitted on a fold's training rows alone, says of its test rows; one for each fold.

    NotRefitted where the estimator cannot be cloned empty, a fit fails, or the rows make too few folds.
    """
    if len(rows.plan.folds) < 2:
        raise NotRefitted(f"{len(rows.table):,} rows are too few for folds")
    return [_answered(side, rows, fold) for fold in rows.plan.folds]


def empty(estimator: Any) -> Any:
    """A clone with the same parameters that has learnt nothing; NotRefitted where a part of it keeps what it knows."""
    from sklearn.base import clone

    try:
        fresh = clone(estimator)
    except Exception as error:  # an estimator of any library may raise anything here
        raise NotRefitted(f"{type(estimator).__name__} cannot be cloned: {_words(error)}") from error
    for part in _parts(fresh):
        if learnt := _learnt(part):
            raise NotRefitted(f"{type(part).__name__} inside it stays fitted when it is cloned ({learnt})")
    return fresh


def _answered(side: Refittable, rows: Rows, fold: Fold) -> Answers:
    fresh, contract = empty(side.estimator), side.contract
    try:
        X, y = side.inputs.iloc[fold.train].reset_index(drop=True), rows.labels.iloc[fold.train].reset_index(drop=True)
        fitted, _ = user_code.call(fresh.fit, X, y, seed=rows.seed)
        said = answers(fitted, side.inputs.iloc[fold.test].reset_index(drop=True), contract)
    except Exception as error:
        name = type(side.estimator).__name__
        raise NotRefitted(
            f"{name} raised {type(error).__name__} on {fold.train.size:,} rows: {_words(error)}"
        ) from error
    found = coded(rows.labels.iloc[fold.test], said.values, said.probabilities, rows.classes, contract.classes)
    if judge_finite(found.predicted, found.probabilities).fired:
        raise NotRefitted(
            f"{type(side.estimator).__name__}, fitted on {fold.train.size:,} rows, gives no finite answers"
        )
    return found


def _parts(estimator: Any) -> Iterator[Any]:
    """The estimator and all that are parameters of it, at any depth."""
    yield estimator
    if callable(getattr(estimator, "get_params", None)):
        for value in estimator.get_params(deep=True).values():
            for one in value if isinstance(value, list | tuple) else [value]:
                for inner in one if isinstance(one, list | tuple) else [one]:
                    if hasattr(inner, "fit") and not isinstance(inner, type):
                        yield inner


def _learnt(part: Any) -> str:
    """The name of an attribute that fitting makes (`coef_`), which an empty clone does not have; "" without one."""
    known = getattr(part, "__dict__", {})
    return next((name for name in known if name.endswith("_") and not name.startswith("_")), "")


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
