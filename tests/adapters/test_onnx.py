"""ONNX: the same answers as scikit-learn, to the last digits, or a reason why not."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_diabetes, load_digits, load_wine
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier

from mlops.adapters import onnx
from mlops.adapters.onnx_graph import CannotConvert
from mlops.contract import Column, Contract
from mlops.serving.predictors import OnnxPredictor, answers, columns_of

NUMBERS, WORDS = ["a", "b", "c"], ["s", "t"]
ORDINAL = {"handle_unknown": "use_encoded_value", "unknown_value": -1}


def table(rows: int = 600) -> pd.DataFrame:
    """Numbers and words in mixed order, both with missing values, and numbers that float32 cannot tell apart."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": random.normal(1e6, 1.0, rows),
            "s": random.choice(["x", "y", "z"], rows).astype(object),
            "b": random.exponential(1.0, rows).round(2),
            "t": random.choice([f"k{i}" for i in range(20)], rows).astype(object),
            "c": random.integers(0, 50, rows).astype(float),
        }
    )
    frame.loc[::11, "a"] = np.nan
    frame.loc[::7, "s"] = np.nan
    for word in WORDS:
        frame[word] = pd.Series(frame[word], dtype=object)
    return frame


def label(frame: pd.DataFrame) -> pd.Series:
    return ((frame["a"].fillna(1e6) - 1e6) + (frame["s"] == "x") + frame["b"] > 1).astype(int)


def split(numbers: Any, words: Any) -> ColumnTransformer:
    return ColumnTransformer([("n", numbers, NUMBERS), ("w", words, WORDS)])


def boost(**given: Any) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=10, random_state=0, **given)


def ignoring(**given: Any) -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="ignore", **given)


def stump() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(min_samples_leaf=500)


def rare() -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.05, drop="first")


def ordinal(**given: Any) -> OrdinalEncoder:
    return OrdinalEncoder(**ORDINAL, **given)


def scaled() -> Any:
    return make_pipeline(SimpleImputer(), StandardScaler())


def logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=2000)


MIXED = {
    "boosting on ordinals": make_pipeline(split("passthrough", ordinal()), boost()),
    "boosting, missing words as a code": make_pipeline(
        split("passthrough", ordinal(encoded_missing_value=-2)), boost()
    ),
    "boosting, rare words together": make_pipeline(split("passthrough", ordinal(max_categories=4)), boost()),
    "boosting on target means": make_pipeline(split("passthrough", TargetEncoder(random_state=0)), boost()),
    "forest": make_pipeline(split(SimpleImputer(), ignoring()), RandomForestClassifier(10, random_state=0)),
    "logistic": make_pipeline(split(scaled(), ignoring()), logistic()),
    "logistic, rare words together": make_pipeline(split(scaled(), rare()), logistic()),
    "logistic, words imputed": make_pipeline(
        split(scaled(), make_pipeline(SimpleImputer(strategy="most_frequent"), ignoring())),
        logistic(),
    ),
    "logistic, logarithm": make_pipeline(
        ColumnTransformer([("l", FunctionTransformer(np.log1p), ["b"]), ("w", ignoring(), ["t"])]),
        logistic(),
    ),
    "columns picked by type": make_pipeline(
        ColumnTransformer(
            [("w", ignoring(sparse_output=False), make_column_selector(dtype_include=object))],
            remainder="passthrough",
        ),
        boost(),
    ),
    "searched": GridSearchCV(
        make_pipeline(split(scaled(), ignoring()), logistic()),
        {"logisticregression__C": [1]},
        cv=2,
    ),
    "tree that is one leaf": make_pipeline(split("passthrough", ordinal()), stump()),
}


def contract(frame: pd.DataFrame, fitted: Any) -> Contract:
    classes = tuple(np.asarray(getattr(fitted, "classes_", ())).tolist())
    return Contract(
        model="m_v1",
        task="regression" if not classes else "binary" if len(classes) == 2 else "multiclass",
        metric="",
        label="y",
        classes=classes,
        fields=(),
        stored=(),
        computed=(),
        columns=tuple(
            Column(name=name, kind="string" if frame[name].dtype == object else "number") for name in frame.columns
        ),
    )


def differences(fitted: Any, frame: pd.DataFrame, **given: Any) -> tuple[float, int]:
    """The largest difference (relative, of a regression), and how many labels differ."""
    agreed = contract(frame, fitted)
    said = OnnxPredictor(onnx.convert(fitted, agreed, **given), agreed).predict(columns_of(frame, agreed))
    expected = answers(fitted, frame, agreed)
    if expected.probabilities is None:
        return float(np.max(np.abs(said.values / expected.values - 1))), 0
    apart = np.abs(said.probabilities - expected.probabilities).max()
    return float(apart), int((said.values != expected.values).sum())


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.filterwarnings("ignore")
def test_numbers_and_words_with_missing_and_unseen_values_are_answered_alike(name: str) -> None:
    frame = table()
    fitted = MIXED[name].fit(frame, label(frame))
    odd = frame.head(40).copy()
    odd.loc[:9, "s"] = "never seen"
    odd.loc[10:19, "t"] = np.nan
    odd.loc[20:29, "t"] = "nan"  # the text, which is not the same as nothing
    for rows in (frame, odd.assign(**{w: pd.Series(odd[w], dtype=object) for w in WORDS})):
        apart, labels = differences(fitted, rows)
        assert apart < 1e-12
        assert labels == 0


@pytest.mark.parametrize(
    "estimator",
    [
        boost(),
        RandomForestClassifier(10, random_state=0),
        ExtraTreesClassifier(5, random_state=0),
        GradientBoostingClassifier(n_estimators=5, random_state=0),
        make_pipeline(RobustScaler(), logistic()),
    ],
    ids=lambda e: type(e).__name__,
)
@pytest.mark.parametrize("load", [load_wine, load_digits], ids=lambda f: f.__name__)
@pytest.mark.filterwarnings("ignore")
def test_several_classes_are_answered_alike(estimator: Any, load: Any) -> None:
    X, y = load(return_X_y=True, as_frame=True)
    X = X.astype(float)
    apart, labels = differences(estimator.fit(X, y), X)
    assert apart < 1e-9
    assert labels == 0


@pytest.mark.parametrize(
    "estimator",
    [
        HistGradientBoostingRegressor(max_iter=10),
        HistGradientBoostingRegressor(max_iter=10, loss="poisson"),
        GradientBoostingRegressor(n_estimators=10),
        RandomForestRegressor(10, random_state=0),
        make_pipeline(StandardScaler(), Ridge()),
    ],
)
def test_a_regression_is_answered_alike(estimator: Any) -> None:
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    apart, _ = differences(estimator.fit(X, y), X)
    assert apart < 1e-9


def test_labels_are_text_where_the_label_is_text() -> None:
    frame = table()
    y = pd.Series(np.where(label(frame) == 1, "yes", "no"), dtype=object)
    fitted = make_pipeline(split("passthrough", ordinal()), boost()).fit(frame, y)
    assert differences(fitted, frame)[1] == 0


def test_rows_on_a_threshold_go_the_way_they_were_trained_only_in_double() -> None:
    """The reason for double: float32 cannot tell these numbers apart."""
    X = pd.DataFrame({"x": 1e9 + np.arange(200.0)})
    y = (np.arange(200) % 100 > 50).astype(int)
    fitted = HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=2).fit(X, y)
    assert differences(fitted, X) < (1e-12, 1)
    assert differences(fitted, X, precision="float")[0] > 0.1


def test_the_same_estimator_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib; from tests.adapters.test_onnx import *\n"
        "frame = table(); fitted = MIXED['logistic'].fit(frame, label(frame))\n"
        "print(hashlib.sha256(onnx.convert(fitted, contract(frame, fitted))).hexdigest())"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "87")
    }  # fmt: skip
    assert len(made) == 1, "the order of a set of strings, which differs from process to process, is in the bytes"


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (make_pipeline(split("passthrough", ordinal()), boost(categorical_features=[3])), "categorical"),
        (make_pipeline(split(SimpleImputer(), OneHotEncoder()), logistic()), "handle_unknown"),
        (make_pipeline(split(FunctionTransformer(np.nan_to_num), ignoring()), logistic()), "FunctionTransformer"),
        (make_pipeline(split(SimpleImputer(add_indicator=True), ignoring()), logistic()), "add_indicator"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_has_no_onnx_form_is_refused_with_the_reason(estimator: Any, reason: str, capfd: Any) -> None:
    frame = table()
    fitted = estimator.fit(frame, label(frame))
    with pytest.raises(CannotConvert, match=reason):
        onnx.convert(fitted, contract(frame, fitted))
    assert capfd.readouterr() == ("", "")


def test_an_estimator_that_nobody_converts_is_refused_with_the_reason() -> None:
    fitted = make_pipeline(KMeans(2, n_init=1), FunctionTransformer(np.sin), logistic())
    frame = table()[["b", "c"]]
    fitted.fit(frame, label(table()))
    with pytest.raises(CannotConvert):
        onnx.convert(fitted, contract(frame, fitted))


def test_the_runtime_of_the_floor_can_read_what_is_written() -> None:
    frame = table()
    fitted = MIXED["boosting on ordinals"].fit(frame, label(frame))
    import onnx as format_

    model = format_.load_from_string(onnx.convert(fitted, contract(frame, fitted)))
    assert model.ir_version <= 10
    assert {o.domain: o.version for o in model.opset_import} == {"": 19, "ai.onnx.ml": 5}
    assert onnxruntime.get_available_providers()
