"""Predictors: what they answer, and how little the fast one needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from mlops.adapters import models, onnx
from mlops.adapters.files import digest_bytes
from mlops.contract import Column, Contract
from mlops.errors import GateFailed
from mlops.serving.predictors import SkopsFacts, answers, columns_of, load_predictor

FRAME = pd.DataFrame(
    {
        "word": pd.Series(["a", "b", np.nan, "a"] * 10, dtype=object),
        "x": np.linspace(-1, 1, 40),
    }
)


def contract(classes: tuple[Any, ...], columns: tuple[str, ...] = ("word", "x")) -> Contract:
    return Contract(
        model="m_v1",
        task="regression" if not classes else "binary" if len(classes) == 2 else "multiclass",
        metric="",
        label="y",
        classes=classes,
        fields=(),
        stored=(),
        computed=(),
        columns=tuple(Column(name=n, kind="string" if n == "word" else "number") for n in columns),
    )


def fitted(y: Any, last: Any = None) -> Any:
    encode = ColumnTransformer([("w", OneHotEncoder(handle_unknown="ignore"), ["word"])], remainder="passthrough")
    return make_pipeline(encode, last or LogisticRegression()).fit(FRAME, y)


def payload(folder: Path, estimator: Any, agreed: Contract, form: str) -> Path:
    folder.mkdir(exist_ok=True)
    if form == "onnx":
        (folder / "model.onnx").write_bytes(onnx.convert(estimator, agreed))
    else:
        data = models.dump(estimator)
        (folder / "model.skops").write_bytes(data)
        (folder / "model.json").write_bytes(msgspec.json.encode(SkopsFacts(digest=digest_bytes(data))))
    return folder


@pytest.mark.parametrize("form", ["onnx", "skops"])
@pytest.mark.parametrize(
    "classes", [(0, 1), (False, True), (1.0, 2.0), ("no", "yes"), ("a", "b", "c")], ids=lambda c: str(c[0])
)
def test_labels_and_probabilities_are_the_contracts(tmp_path: Path, classes: tuple[Any, ...], form: str) -> None:
    y = np.array(classes)[np.arange(40) * len(classes) // 40]
    estimator, agreed = fitted(y), contract(classes)
    said = load_predictor(payload(tmp_path / "p", estimator, agreed, form), agreed).predict(columns_of(FRAME, agreed))
    expected = answers(estimator, FRAME, agreed)
    assert said.values.tolist() == estimator.predict(FRAME).tolist()
    assert {type(v) for v in said.values.tolist()} == {type(c) for c in classes}
    assert said.probabilities is not None
    assert said.probabilities.dtype == np.float64
    np.testing.assert_allclose(said.probabilities, expected.probabilities, atol=1e-12)


@pytest.mark.parametrize("form", ["onnx", "skops"])
def test_a_regression_gives_numbers_and_no_probabilities(tmp_path: Path, form: str) -> None:
    estimator, agreed = fitted(FRAME["x"] * 2, LinearRegression()), contract(())
    said = load_predictor(payload(tmp_path / "p", estimator, agreed, form), agreed).predict(columns_of(FRAME, agreed))
    assert said.values.shape == (40,)
    assert said.probabilities is None
    np.testing.assert_allclose(said.values, FRAME["x"] * 2, atol=1e-9)


def test_a_classifier_without_probabilities_has_none(tmp_path: Path) -> None:
    agreed = contract((0, 1))
    estimator = fitted(np.arange(40) // 20, RidgeClassifier())
    said = load_predictor(payload(tmp_path / "p", estimator, agreed, "skops"), agreed)
    assert said.predict(columns_of(FRAME, agreed)).probabilities is None


def test_probabilities_stand_in_the_contracts_order_even_for_classes_never_seen() -> None:
    agreed = contract(("a", "b", "c"))
    estimator = fitted(np.array(["c", "a"])[np.arange(40) // 20])
    said = answers(estimator, FRAME, agreed).probabilities
    assert said is not None
    assert said.shape == (40, 3)
    assert not said[:, 1].any()
    np.testing.assert_array_equal(said[:, [0, 2]], estimator.predict_proba(FRAME))


def test_the_fast_predictor_needs_neither_pandas_nor_scikit_learn(tmp_path: Path) -> None:
    agreed = contract((0, 1))
    folder = payload(tmp_path / "p", fitted(np.arange(40) // 20), agreed, "onnx")
    (folder / "contract.json").write_bytes(msgspec.json.encode(agreed))
    code = f"""
import sys, msgspec, numpy as np
from pathlib import Path
from mlops.contract import Contract
from mlops.serving.predictors import load_predictor
agreed = msgspec.json.decode(Path({str(folder)!r}, "contract.json").read_bytes(), type=Contract)
predictor = load_predictor(Path({str(folder)!r}), agreed)
columns = {{"word": np.array(["a"], dtype=object), "x": np.array([0.5])}}
assert predictor.fast and predictor.predict(columns).probabilities.shape == (1, 2)
heavy = {{"pandas", "sklearn", "skl2onnx", "onnx", "skops", "scipy", "bentoml"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="holds no model"):
        load_predictor(tmp_path, contract((0, 1)))


def test_a_flipped_byte_in_a_skops_model_is_refused(tmp_path: Path) -> None:
    """Promise 10."""
    agreed = contract((0, 1))
    folder = payload(tmp_path / "p", fitted(np.arange(40) // 20), agreed, "skops")
    data = bytearray((folder / "model.skops").read_bytes())
    data[100] ^= 1
    (folder / "model.skops").write_bytes(bytes(data))
    with pytest.raises(GateFailed, match="not the model that was recorded"):
        load_predictor(folder, agreed)
