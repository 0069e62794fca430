"""Every check of deepchecks that is asked for, with its threshold, what it does when it fires, and why.

The thresholds are calibrated on real tables (`tests/steps/test_check_data.py`): deepchecks' own defaults fail an
honest table for one row in ten thousand with a conflicting label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mlops.verdict import Severity

Suite = Literal["integrity", "train_test", "model_evaluation"]
Need = Literal[
    "label", "classes", "amounts", "timestamp", "no timestamp", "key", "probabilities", "estimator", "condition", "harm"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One check: its conditions as `(method, options)`, what it needs, and what happens when it fires.

    COLUMN in the next step stands for the column that is the worst.
    """

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


_FAIL, _WARN = Severity.FAIL, Severity.WARN


def _spec(suite: Suite, check: str, severity: Severity, why: str, next_step: str, **rest: Any) -> Spec:
    return Spec(suite=suite, check=check, severity=severity, why=why, next_step=next_step, **rest)


_INTEGRITY = (
    _spec(
        "integrity",
        "IsSingleValue",
        _WARN,
        "a constant column is useless, not harmful (digits has three)",
        "leave it out: ignore=[COLUMN]",
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
        "leave it out: ignore=[COLUMN], or request=[…] without it",
        conditions=(("add_condition_feature_pps_less_than", {"threshold": 0.98}),),
        params={"random_state": 42},
        needs=("label",),
    ),
    _spec("integrity", "FeatureFeatureCorrelation", _WARN, "columns that go together are common", "", needs=("harm",)),
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
        "leave it out (ignore=[COLUMN]), or build it from what is known at the time",
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
