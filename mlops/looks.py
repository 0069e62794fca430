"""A live release looked at window by window: its metric where labels have arrived, its inputs, its answers.

The newest window is judged; those before it are shown beside it, so that a person sees whether it came slowly.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlops import champion
from mlops.adapters import parquet
from mlops.config import ModelSettings
from mlops.contract import Contract, model_inputs
from mlops.errors import MlopsError
from mlops.exhibits import Exhibit
from mlops.gates import monitor as gate
from mlops.gates import monitor_exhibits as pictures
from mlops.gates.data import Ranking
from mlops.gates.model import tolerance
from mlops.gates.monitor_exhibits import Seen
from mlops.gates.skew_exhibits import of_skew
from mlops.serving.predictors import Prediction
from mlops.skew import ranked
from mlops.statistics import drift
from mlops.statistics.decline import decline, level
from mlops.statistics.drift import Shift
from mlops.statistics.influence import measure
from mlops.verdict import Finding, Outcome
from mlops.watched.met import Answered, Met, NothingMet
from mlops.watched.when_judged import answers_of, answers_when_judged, judged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.adapters.index import Index
    from mlops.release import Manifest
    from mlops.workspace import Workspace

_HALF = 0.5  # of the newest rows, at least, have to be covered by labels before these can speak for them
_NAMES = 50  # columns whose effect is a curve of its own in the ledger
_ANSWER = "the answer"

Curve = tuple[str, float, float]
"""A metric's name, the end of a window in seconds since 1970, and the value there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one half of a look gave. `held` is whether labels show that the release is as good as it was."""

    findings: tuple[Finding, ...]
    exhibits: tuple[Exhibit, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    held: bool = False


@dataclass(frozen=True)
class Look:
    """At one live release, with what its environment's machine knows of it."""

    workspace: Workspace
    live: Manifest
    index: Index
    settings: ModelSettings

    @cached_property
    def read(self) -> Contract:
        """What the release reads and answers."""
        return champion.contract(self.workspace, self.live)

    @cached_property
    def _trained(self) -> pd.DataFrame | None:
        """A seeded sample of the release's training rows; None where they are not on this machine."""
        digest = self.live.training
        if not digest or not self.workspace.objects.has(digest):
            return None
        path, seed = self.workspace.objects.path(digest), self.workspace.config.seed
        return parquet.sample([path], parquet.columns(path), drift.MOST_ROWS, seed=seed)[0]

    def performance(self, met: Met | NothingMet) -> Part:
        """The metric on labelled rows that are new to the release, beside what it was when it was judged."""
        if isinstance(met, NothingMet):
            return Part(findings=gate.no_performance(met.reason, met.next_step))
        unknown = self._unknown(met)
        if unknown.any():  # no metric is defined for a label that the model does not know
            met = replace(met, labels=met.labels.mask(unknown))
        found = met.windows(self.workspace.config.monitor, labelled=True, seed=self.workspace.config.seed)
        if not found:
            reason = f"no label of {met.origin} has arrived"
            step = "wait for labels; where none ever come: [tool.mlops.severity] 'monitor.performance' = 'warn'"
            return Part(findings=(*met.findings, *gate.no_performance(reason, step), *self._labels(met, unknown, ())))
        try:
            return self._performance(met, Answered(met, found), unknown)
        except MlopsError as error:
            reason = f"{self.live.release} cannot answer {met.origin}: {error.message}"
            return Part(findings=gate.no_performance(reason, error.next_step))

    def drift(self, met: Met | NothingMet, labelled: Met | NothingMet, *, held: bool) -> Part:
        """What the release is given and answers, beside its training and its judging; `held` by labels."""
        if isinstance(met, NothingMet):
            return Part(findings=(*gate.no_drift(met.reason, met.next_step), self._answers(None, met.reason)))
        if self._trained is None:
            reason = f"the training rows of {self.live.release} are not on this machine"
            step = "bring the store along from where it was made"
            return Part(findings=(*gate.no_drift(reason, step), self._answers(None, reason)))
        found = met.windows(self.workspace.config.monitor, labelled=False, seed=self.workspace.config.seed)
        try:
            return self._drift(met, Answered(met, found), held=held and _speaks_for(labelled, met, found[-1]))
        except MlopsError as error:
            reason = f"{self.live.release} cannot read {met.origin}: {error.message}"
            return Part(findings=(*gate.no_drift(reason, error.next_step), self._answers(None, reason)))

    def _performance(self, met: Met, answered: Answered, unknown: NDArray[np.bool_]) -> Part:
        metric, chosen = self.live.metric, answered.chosen
        sides = [answers_of(met.labels.iloc[at], answered.said(at), self.read) for at in chosen]
        levels = [level(measure(metric, side)) for side in sides]
        then = judged(self.workspace, self.live, self.index, levels[-1])
        margin = tolerance(metric, self.settings.margin, then.value)
        tolerated = max(margin, tolerance(metric, self.settings.decline, then.value))
        found = decline(levels[-1], then, margin=margin, tolerated=tolerated)
        findings = gate.judge_performance(
            metric,
            found,
            release=self.live,
            rows=met.origin,
            margin=margin,
            floor=self.settings.floor,
            fewest=_fewest(met.labels.iloc[chosen[-1]], self.read),
        )
        seen = [
            _seen(met, at, level=one if np.isfinite(one.value) else None)
            for at, one in zip(chosen, levels, strict=True)
        ]
        return Part(
            findings=(*met.findings, *findings, *self._labels(met, unknown, chosen[-1])),
            exhibits=pictures.of_metric(seen, metric, then, self.settings.floor),
            metrics={metric: levels[-1].value, f"{metric}_when_judged": then.value, "labels": float(levels[-1].n)},
            curves=tuple((metric, s.instant, s.level.value) for s in seen if s.instant is not None and s.level),
            held=findings[0].outcome is Outcome.PASS,
        )

    def _labels(self, met: Met, unknown: NDArray[np.bool_], newest: Any) -> tuple[Finding, ...]:
        trained, name = self._trained, self.read.label
        strange = tuple(dict.fromkeys(str(value) for value in met.labels[unknown]))[:3] if unknown.any() else ()
        shift = None
        if trained is not None and len(newest):
            now = met.labels.iloc[newest]
            then = trained[name]
            both = [_worded(v) if self.read.classes else v.astype("float64") for v in (then, now)]
            [shift] = drift.shifts({name: both[0]}, {name: both[1]}, seed=self.workspace.config.seed)
        return (gate.judge_labels(shift, label=name, release=self.live, unknown=int(unknown.sum()), examples=strange),)

    def _drift(self, met: Met, answered: Answered, *, held: bool) -> Part:
        seed, newest = self.workspace.config.seed, answered.chosen[-1]
        before = self._trained
        assert before is not None  # noqa: S101 - the caller has looked
        then = model_inputs(before, self.read)
        every = [
            drift.shifts(_columns(then), _columns(now), seed=seed)
            for now in (answered.inputs(at) for at in answered.chosen)
        ]
        shifts, now = every[-1], answered.inputs(newest).reset_index(drop=True)
        moved = [shift.column for shift in shifts if shift.found]
        costs = ranked(self.workspace, self.live, moved, before, now)
        said = self._shift_of_answers(answered.said(newest))
        seen = [
            _seen(met, at, effects={s.column: s.effect for s in one})
            for at, one in zip(answered.chosen, every, strict=True)
        ]
        findings = (
            *gate.judge_drift(shifts, release=self.live, ranked=costs, held=held, origin=met.origin),
            self._answers(said),
        )
        return Part(
            findings=findings,
            exhibits=(*pictures.of_drift(seen), *_last(shifts, costs, then, now)),
            metrics={
                "rows_met": float(newest.size),
                "drift_largest": shifts[0].effect if shifts else 0.0,
                "drift_columns": float(len(moved)),
                **({"drift_of_answers": said.effect} if said else {}),
            },
            curves=_curves(seen, [shift.column for shift in shifts[:_NAMES]]),
        )

    def _answers(self, shift: Shift | None, reason: str = "") -> Finding:
        gone = reason or f"what {self.live.release} answered to its held-out rows is not on this machine"
        return gate.judge_predictions(shift, release=self.live.release, reason=gone if shift is None else "")

    def _shift_of_answers(self, said: Prediction) -> Shift | None:
        """How far the answers lie from those to the rows by which the release was judged."""
        kept = answers_when_judged(self.workspace, self.live, self.index)
        if kept is None:
            return None
        binary = self.read.task == "binary" and said.probabilities is not None and "probability_1" in kept
        if binary and said.probabilities is not None:
            both: tuple[Any, Any] = kept["probability_1"], pd.Series(said.probabilities[:, 1])
        elif self.read.task == "regression":
            both = kept["prediction"].astype("float64"), pd.Series(np.asarray(said.values, dtype="float64"))
        else:
            both = _worded(kept["prediction"]), _worded(pd.Series(np.asarray(said.values)))
        return drift.shifts({_ANSWER: both[0]}, {_ANSWER: both[1]}, seed=self.workspace.config.seed)[0]

    def _unknown(self, met: Met) -> NDArray[np.bool_]:
        """Which rows have a label that the release cannot answer."""
        if not self.read.classes:
            return np.zeros(len(met.labels), bool)
        return (met.labels.notna() & ~met.labels.isin(list(self.read.classes))).to_numpy()


def _speaks_for(labelled: Met | NothingMet, met: Met, newest: NDArray[np.intp]) -> bool:
    """Whether labels cover these rows: they are as new as half of them."""
    if isinstance(labelled, NothingMet):
        return False
    if labelled is met:
        return met.covered(newest) >= _HALF
    until = labelled.newest_label()
    if until is None or met.times is None or not met.dated:
        return False
    return float((met.times[newest] <= until).mean()) >= _HALF


def _seen(met: Met, at: NDArray[np.intp], **more: Any) -> Seen:
    first, last = met.when(at)
    return Seen(first=first, last=last, rows=int(at.size), instant=met.instant(at), **more)


def _fewest(labels: pd.Series, read: Contract) -> int:
    """The rows of the rarest class that the release knows, also where it has none; all rows of a regression."""
    if not read.classes:
        return len(labels)
    counts = labels.value_counts()
    return min(int(counts.get(name, 0)) for name in read.classes)


def _worded(values: pd.Series) -> pd.Series:
    """Classes as words: of numbered ones the distance between the numbers means nothing."""
    return values.astype(str).astype(object)


def _last(shifts: list[Shift], costs: Ranking, then: pd.DataFrame, now: pd.DataFrame) -> tuple[Exhibit, ...]:
    return of_skew(shifts, costs, _columns(then), _columns(now))


def _columns(table: pd.DataFrame) -> dict[str, pd.Series]:
    return {str(name): table[name] for name in table}


def _curves(seen: list[Seen], names: list[str]) -> tuple[Curve, ...]:
    dated = [(one, one.instant) for one in seen if one.instant is not None]
    largest = [("drift_largest", at, max(one.effects.values(), default=0.0)) for one, at in dated]
    each = [(f"drift.{name}", at, one.effects[name]) for one, at in dated for name in names]
    return (*largest, *each)
