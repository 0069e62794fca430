"""Which checks of deepchecks are asked for, with what threshold and severity and why, and what their answers mean.

The thresholds are calibrated on real tables (`tests/gates/test_deepchecks.py`): deepchecks' own defaults fail an
honest table for one row in ten thousand with a conflicting label, or for two columns that go together.
Each check gives one finding. A check that does not apply is skipped with its reason, one by one; a check that
was asked for and gave no answer did not run, and that stops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mlops.verdict import Finding, Outcome, Severity

Suite = Literal["integrity", "train_test", "model_evaluation"]
Need = Literal[
    "label", "classes", "amounts", "timestamp", "no timestamp", "key", "probabilities", "estimator", "condition"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One check: its conditions as `(method, options)`, what it needs, and what happens when it fires."""

    suite: Suite
    check: str
    severity: Severity
    why: str
    next_step: str = ""
    conditions: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()
    excused: tuple[str, str] | None = None  # a part of an error's text that means "does not apply", and the reason
    on: Literal["train", "test"] = "train"

    @property
    def name(self) -> str:
        """The check's name in findings and in `[tool.mlops.severity]`."""
        return f"deepchecks.{self.suite}.{self.check}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the table at hand has; it decides which checks apply. `task` is "" where no model reads a label."""

    task: str = ""
    timestamp: bool = False
    key: bool = False
    probabilities: bool = False

    def lacks(self, need: Need) -> str:
        """Why a check with this need does not apply, "" when it does."""
        missing: dict[Need, tuple[bool, str]] = {
            "label": (self.task != "", "no model reads a label from this table"),
            "classes": (self.task in ("binary", "multiclass"), "the label is not a class"),
            "amounts": (self.task == "regression", "the label is not an amount"),
            "timestamp": (self.timestamp, "its sides are not split by time"),
            "no timestamp": (
                not self.timestamp,
                "rows are split by time, so whatever only follows time is of no use on the held-out rows",
            ),
            "key": (self.key, "the schema declares no unique key of one column"),
            "probabilities": (
                self.probabilities or self.task == "regression",
                "the model gives no probabilities (no predict_proba)",
            ),
            "estimator": (False, "it needs the estimator, which never leaves our process"),
            "condition": (False, "it draws a figure and judges nothing"),
        }
        applies, reason = missing[need]
        return "" if applies else reason


class Condition(Protocol):
    """What one condition of a check said: `category` is PASS, WARN, FAIL or ERROR."""

    @property
    def name(self) -> str:
        """What was asked."""

    @property
    def category(self) -> str:
        """PASS, WARN, FAIL or ERROR."""

    @property
    def details(self) -> str:
        """What was found."""


class Answer(Protocol):
    """What one check said; `error` is why it did not run."""

    @property
    def check(self) -> str:
        """The check, by deepchecks' name."""

    @property
    def conditions(self) -> tuple[Any, ...]:
        """What each of its conditions said."""

    @property
    def value(self) -> float | None:
        """The measured number, where there is one."""

    @property
    def error(self) -> str:
        """Why it did not run; empty when it did."""


_FAIL, _WARN = Severity.FAIL, Severity.WARN


def _spec(suite: Suite, check: str, severity: Severity, why: str, next_step: str, **rest: Any) -> Spec:
    return Spec(suite=suite, check=check, severity=severity, why=why, next_step=next_step, **rest)


_INTEGRITY = (
    _spec(
        "integrity",
        "IsSingleValue",
        _WARN,
        "a constant column is useless, not harmful (digits has three)",
        "leave the column out: ignore=[…]",
        conditions=(("add_condition_not_single_value", {}),),
    ),
    _spec(
        "integrity",
        "SpecialCharacters",
        _FAIL,
        "values of nothing but ? or ! stand for something that was lost",
        "declare them as missing in [tool.mlops.sources.NAME]: missing = ['?']",
        conditions=(("add_condition_ratio_of_special_characters_less_or_equal", {"max_ratio": 0.005}),),
    ),
    _spec(
        "integrity",
        "MixedNulls",
        _FAIL,
        "several words for missing become categories of their own",
        "declare them as missing in [tool.mlops.sources.NAME]: missing = ['none', …]",
        conditions=(("add_condition_different_nulls_less_equal_to", {"max_allowed_null_types": 1}),),
    ),
    _spec(
        "integrity",
        "MixedDataTypes",
        _WARN,
        "codes such as 85123 and 85123A are honest; a number that became text is schema.type",
        "look at the rows and mend the source",
        conditions=(("add_condition_rare_type_ratio_not_in_range", {"ratio_range": (0.01, 0.1)}),),
    ),
    _spec(
        "integrity",
        "StringMismatch",
        _FAIL,
        "one category under two spellings is two categories to a model; long lists of codes have some (retail: 2.3 %)",
        "spell it in one way at the source, or in a feature",
        conditions=(("add_condition_ratio_variants_less_or_equal", {"max_ratio": 0.05}),),
    ),
    _spec(
        "integrity",
        "DataDuplicates",
        _FAIL,
        "a table joined or loaded twice; coarse honest tables repeat a tenth of their rows (adult: 11 %)",
        "look for a join or a load that ran twice",
        conditions=(("add_condition_ratio_less_or_equal", {"max_ratio": 0.25}),),
    ),
    _spec(
        "integrity",
        "StringLengthOutOfBounds",
        _WARN,
        "free text has long tails",
        "look at the longest and shortest values",
        conditions=(("add_condition_ratio_of_outliers_less_or_equal", {"max_ratio": 0.01}),),
    ),
    _spec(
        "integrity",
        "ConflictingLabels",
        _FAIL,
        "equal rows with different labels cannot be learnt; coarse honest tables have some (adult: 6.5 %)",
        "look for labels that were swapped or loaded twice",
        conditions=(("add_condition_ratio_of_conflicting_labels_less_or_equal", {"max_ratio": 0.12}),),
        needs=("label", "classes"),
    ),
    _spec(
        "integrity",
        "FeatureLabelCorrelation",
        _FAIL,
        "a column that alone tells the label was written after it; honest ones come close (occupancy's light: 0.95)",
        "leave the column out: ignore=[…], or request=[…] without it",
        conditions=(("add_condition_feature_pps_less_than", {"threshold": 0.98}),),
        params={"random_state": 42},
        needs=("label",),
    ),
    _spec(
        "integrity",
        "FeatureFeatureCorrelation",
        _WARN,
        "columns that go together are common and harmless",
        "leave one of each pair out if you want importances to be readable",
        conditions=(("add_condition_max_number_of_pairs_above_threshold", {"threshold": 0.9, "n_pairs": 0}),),
    ),
    _spec(
        "integrity",
        "IdentifierLabelCorrelation",
        _FAIL,
        "a key that tells the label was given out by class",
        "leave the key out of the model, and ask how the rows were collected",
        conditions=(("add_condition_pps_less_or_equal", {"max_pps": 0.5}),),
        needs=("label", "key", "no timestamp"),
    ),
)

_TRAIN_TEST = (
    _spec(
        "train_test",
        "DatasetsSizeComparison",
        _FAIL,
        "a holdout of a hundredth decides nothing",
        "raise holdout in [tool.mlops.models.NAME]",
        conditions=(("add_condition_test_train_size_ratio_greater_than", {"ratio": 0.01}),),
    ),
    _spec(
        "train_test",
        "NewLabelTrainTest",
        _FAIL,
        "a class that was never trained on is always answered wrongly",
        "train on rows that hold every class",
        conditions=(("add_condition_new_labels_number_less_or_equal", {"max_new": 0}),),
        needs=("classes",),
    ),
    _spec(
        "train_test",
        "NewCategoryTrainTest",
        _WARN,
        "new customers and products are life; the encoder has to bear them",
        "make sure the encoder bears unknown values",
        conditions=(("add_condition_new_category_ratio_less_or_equal", {"max_ratio": 0.05}),),
    ),
    _spec(
        "train_test",
        "StringMismatchComparison",
        _WARN,
        "a new spelling in the newest rows; the integrity suite stops when it is common",
        "spell it in one way at the source, or in a feature",
        conditions=(("add_condition_no_new_variants", {}),),
    ),
    _spec(
        "train_test",
        "DateTrainTestLeakageDuplicates",
        _FAIL,
        "held-out rows of a moment that was trained on",
        "report this: rows of one moment are kept on one side",
        conditions=(("add_condition_leakage_ratio_less_or_equal", {"max_ratio": 0.01}),),
        needs=("timestamp",),
    ),
    _spec(
        "train_test",
        "DateTrainTestLeakageOverlap",
        _FAIL,
        "training rows newer than held-out rows let the model look ahead",
        "report this: training rows are older than held-out rows",
        conditions=(("add_condition_leakage_ratio_less_or_equal", {"max_ratio": 0.01}),),
        needs=("timestamp",),
    ),
    _spec(
        "train_test",
        "IndexTrainTestLeakage",
        _FAIL,
        "the same thing on both sides",
        "look for rows that were loaded twice",
        conditions=(("add_condition_ratio_less_or_equal", {"max_ratio": 0.01}),),
        needs=("key",),
    ),
    _spec(
        "train_test",
        "TrainTestSamplesMix",
        _FAIL,
        "held-out rows that were trained on; coarse honest tables have some (adult, split at random: 15 %)",
        "look for rows that were loaded twice",
        conditions=(("add_condition_duplicates_ratio_less_or_equal", {"max_ratio": 0.25}),),
    ),
    _spec(
        "train_test",
        "FeatureLabelCorrelationChange",
        _FAIL,
        "a column that tells the label in training and not later leaks; trends move it by half (occupancy: 0.52)",
        "leave the column out, or build it from what is known at the time",
        conditions=(("add_condition_feature_pps_difference_less_than", {"threshold": 0.7}),),
        params={"random_state": 42},
    ),
    _spec(
        "train_test",
        "FeatureDrift",
        _WARN,
        "seasons move features; drift against the champion is judged by data.value_skew",
        "look at the columns named",
        conditions=(("add_condition_drift_score_less_than", {}),),
    ),
    _spec(
        "train_test",
        "LabelDrift",
        _FAIL,
        "a label that means something else in the newest rows; growth moves it by a third (air quality: 0.33)",
        "ask what changed in how the label is made",
        conditions=(("add_condition_drift_score_less_than", {"max_allowed_drift_score": 0.45}),),
    ),
    _spec(
        "train_test",
        "MultivariateDrift",
        _WARN,
        "any clock or counter among the columns tells old rows from new",
        "look at the columns that tell the newest rows apart",
        conditions=(("add_condition_overall_drift_value_less_than", {"max_drift_value": 0.25}),),
        params={"n_samples": 5000},
    ),
)

_MODEL_EVALUATION = (
    _spec(
        "model_evaluation",
        "TrainTestPerformance",
        _WARN,
        "forests and boosting remember their rows; the floor judges the held-out ones",
        "try more regularisation",
        conditions=(("add_condition_train_test_relative_degradation_less_than", {"threshold": 0.2}),),
    ),
    _spec(
        "model_evaluation",
        "RocReport",
        _WARN,
        "the floor is the project's own; this is a rule of thumb",
        "look for features that tell the classes apart",
        conditions=(("add_condition_auc_greater_than", {"min_auc": 0.7}),),
        needs=("classes", "probabilities"),
        on="test",
    ),
    _spec(
        "model_evaluation",
        "PredictionDrift",
        _WARN,
        "predictions follow the features, and those follow seasons",
        "compare with the drift of the label",
        conditions=(("add_condition_drift_score_less_than", {"max_allowed_drift_score": 0.15}),),
    ),
    _spec(
        "model_evaluation",
        "SimpleModelComparison",
        _WARN,
        "model.baseline judges by the model's own metric, with an interval",
        "compare with a constant answer",
        conditions=(("add_condition_gain_greater_than", {"min_allowed_gain": 0.1}),),
    ),
    _spec(
        "model_evaluation",
        "WeakSegmentsPerformance",
        _WARN,
        "with enough cuts some segment is always weak",
        "look at the segments named; declare those that matter: segments=[…]",
        conditions=(("add_condition_segments_relative_performance_greater_than", {"max_ratio_change": 0.2}),),
        params={
            "n_samples": 5000,
            "n_top_features": 5,
            "random_state": 42,
        },  # pairs of features: 20 s with the defaults
        needs=("probabilities",),
        excused=("unable to train an error model", "the model's errors follow no feature: there is no weak segment"),
        on="test",
    ),
    _spec(
        "model_evaluation",
        "RegressionErrorDistribution",
        _WARN,
        "errors are rarely normal",
        "look at the largest errors",
        conditions=(
            ("add_condition_kurtosis_greater_than", {"threshold": -0.1}),
            ("add_condition_systematic_error_ratio_to_rmse_less_than", {"max_ratio": 0.2}),
        ),
        needs=("amounts",),
        on="test",
    ),
    _spec("model_evaluation", "ConfusionMatrixReport", _WARN, "a figure", "", needs=("condition",)),
    _spec("model_evaluation", "UnusedFeatures", _WARN, "tidiness", "", needs=("estimator",)),
    _spec("model_evaluation", "BoostingOverfit", _WARN, "model.overfit says the same", "", needs=("estimator",)),
    _spec("model_evaluation", "ModelInferenceTime", _WARN, "check-service measures it", "", needs=("estimator",)),
)

SPECS: tuple[Spec, ...] = (*_INTEGRITY, *_TRAIN_TEST, *_MODEL_EVALUATION)


def asked(suite: Suite, situation: Situation) -> tuple[Spec, ...]:
    """The checks of a suite that apply."""
    return tuple(s for s in SPECS if s.suite == suite and not _irrelevant(s, situation))


def job_checks(specs: Iterable[Spec]) -> list[dict[str, Any]]:
    """Checks in the form in which deepchecks' process takes them."""
    return [
        {
            "check": spec.check,
            "params": dict(spec.params),
            "conditions": [[name, dict(options)] for name, options in spec.conditions],
            "on": spec.on,
        }
        for spec in specs
    ]


def skipped(suite: Suite, reason: str) -> tuple[Finding, ...]:
    """One skipped finding per check of a suite, all for the same reason."""
    return tuple(_skip(spec, reason) for spec in SPECS if spec.suite == suite)


def findings(
    suite: Suite, situation: Situation, answers: Iterable[Answer], *, subject: str, n: int, of: int
) -> tuple[Finding, ...]:
    """One finding per check of the suite, in its order; `n` rows of `of` were looked at."""
    by_name = {answer.check: answer for answer in answers}
    found = []
    for spec in SPECS:
        if spec.suite != suite:
            continue
        reason = _irrelevant(spec, situation)
        if reason:
            found.append(_skip(spec, reason))
        else:
            found.append(_finding(spec, by_name.get(spec.check), subject, n, of))
    return tuple(found)


def _irrelevant(spec: Spec, situation: Situation) -> str:
    return next((reason for need in spec.needs if (reason := situation.lacks(need))), "")


def _skip(spec: Spec, reason: str) -> Finding:
    return Finding(check=spec.name, outcome=Outcome.SKIPPED, severity=spec.severity, message=reason)


def _finding(spec: Spec, answer: Answer | None, subject: str, n: int, of: int) -> Finding:
    if answer is not None and spec.excused is not None and spec.excused[0] in answer.error:
        return _skip(spec, spec.excused[1])
    if answer is None or answer.error or not answer.conditions or _crashed(answer):
        return Finding(
            check=spec.name,
            outcome=Outcome.NOT_RUN,
            severity=Severity.FAIL,
            subject=subject,
            message=f"{spec.check} did not run: {_why_not(answer)}",
            next_step=f'if you can do without it, say so: [tool.mlops.severity] "{spec.name}" = "warn"',
            n=n,
        )
    said = [f"{c.name}: {c.details}" for c in answer.conditions if c.category != "PASS"]
    passed = [c.details or c.name for c in answer.conditions]
    sample = f" (a sample of {n:,} of {of:,} rows)" if n < of else ""
    return Finding(
        check=spec.name,
        outcome=Outcome.FAIL if said else Outcome.PASS,
        severity=spec.severity,
        subject=subject,
        message="; ".join(said or passed) + sample,
        measured=answer.value,
        threshold=_threshold(spec),
        n=n,
        next_step=spec.next_step if said else "",
    )


def _crashed(answer: Answer) -> bool:
    return any(condition.category == "ERROR" for condition in answer.conditions)


def _why_not(answer: Answer | None) -> str:
    if answer is None:
        return "it gave no answer"
    if answer.error:
        return answer.error
    return "; ".join(c.details for c in answer.conditions if c.category == "ERROR") or "it judged nothing"


def _threshold(spec: Spec) -> float | str | None:
    options = [value for _, given in spec.conditions for value in given.values()]
    if len(options) == 1 and isinstance(options[0], int | float):
        return float(options[0])
    return ", ".join(str(option) for option in options) or None
