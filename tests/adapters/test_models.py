"""Model files: they come back as they were, they are the same every time, and hostile ones run nothing."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from mlops.adapters import models
from mlops.adapters.files import digest_bytes
from mlops.errors import GateFailed

X, Y = load_breast_cancer(return_X_y=True)
X, Y = X[:200], Y[:200]
X[:, 0] = X[:, 0].round() % 5

HONEST = [
    LogisticRegression(max_iter=5000),
    make_pipeline(SimpleImputer(), StandardScaler(), Ridge()),
    DecisionTreeClassifier(max_depth=3),
    RandomForestClassifier(5, random_state=0),
    GradientBoostingClassifier(n_estimators=5),
    HistGradientBoostingClassifier(max_iter=5),
    HistGradientBoostingClassifier(max_iter=5, categorical_features=[0]),
    HistGradientBoostingRegressor(max_iter=5),
    make_pipeline(FunctionTransformer(np.log1p), SelectKBest(f_classif, k=4), LogisticRegression(max_iter=5000)),
    make_pipeline(
        ColumnTransformer([("n", StandardScaler(), make_column_selector(dtype_include=np.number))]),
        LogisticRegression(max_iter=5000),
    ),
    GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, scoring="roc_auc", cv=2),
    KNeighborsClassifier(),
    MLPClassifier((5,), max_iter=20),
    SVC(),
    VotingClassifier([("tree", DecisionTreeClassifier(max_depth=2)), ("near", KNeighborsClassifier())]),
]


@pytest.mark.parametrize("estimator", HONEST, ids=lambda e: type(getattr(e, "steps", [("", e)])[-1][1]).__name__)
@pytest.mark.filterwarnings("ignore")
def test_an_honest_estimator_comes_back_with_the_same_predictions(estimator, tmp_path: Path) -> None:
    """Promise 11: honest models load without naming a type."""
    import pandas as pd

    frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])])
    estimator.fit(frame, Y)
    data = models.dump(estimator)
    path = tmp_path / "model.skops"
    path.write_bytes(data)
    again = models.load(path, digest=digest_bytes(data))
    np.testing.assert_array_equal(again.predict(frame), estimator.predict(frame))


def test_the_same_estimator_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib, sys; from mlops.adapters import models\n"
        "from sklearn.ensemble import RandomForestClassifier as R; from sklearn.datasets import load_iris\n"
        "data = models.dump(R(3, random_state=0).fit(*load_iris(return_X_y=True)))\n"
        "print(hashlib.sha256(data).hexdigest())"
    )
    made = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in "ab"
    }
    assert len(made) == 1


def test_a_file_of_another_digest_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    """Promise 10."""
    data = bytearray(models.dump(LogisticRegression().fit(X[:, :1], Y)))
    digest = digest_bytes(bytes(data))
    data[len(data) // 2] ^= 1
    (tmp_path / "model.skops").write_bytes(bytes(data))
    with pytest.raises(GateFailed, match="not the model that was recorded"):
        models.load(tmp_path / "model.skops", digest=digest)


class Boom:
    """What a hostile pickle does when it is read."""

    def __reduce__(self) -> tuple:
        return (Path("/tmp/mlops-was-here").write_text, ("x",))


def _joblib(compress: int | tuple[str, int]) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(Boom(), buffer, compress=compress)
    return buffer.getvalue()


def _archive(members: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression=compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _schema(**changed: object) -> bytes:
    with zipfile.ZipFile(io.BytesIO(models.dump(LogisticRegression().fit(X[:, :1], Y)))) as archive:
        schema = json.loads(archive.read("schema.json"))
    return json.dumps({**schema, **changed}).encode()


def _function(module: str, name: str) -> bytes:
    node = {"__class__": name, "__module__": module, "__loader__": "FunctionNode", "__id__": 1}
    return _schema(content={"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "__id__": 2,
                            "key_types": {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode",
                                          "__id__": 3, "content": []}, "content": {"coef_": node}})  # fmt: skip


HOSTILE: dict[str, Callable[[], bytes]] = {
    "pickle 0": lambda: pickle.dumps(Boom(), protocol=0),
    "pickle 2": lambda: pickle.dumps(Boom(), protocol=2),
    "pickle 5": lambda: pickle.dumps(Boom(), protocol=5),
    "joblib": partial(_joblib, 0),
    "joblib zlib": partial(_joblib, 3),
    "joblib gzip": partial(_joblib, ("gzip", 3)),
    "joblib bz2": partial(_joblib, ("bz2", 3)),
    "joblib xz": partial(_joblib, ("xz", 3)),
    "numpy object array": lambda: (b := io.BytesIO(), np.save(b, np.array([Boom()], dtype=object)), b.getvalue())[-1],
    "empty": lambda: b"",
    "text": lambda: b"import os",
    "zip of a pickle": lambda: _archive({"data.pkl": pickle.dumps(Boom())}),
    "zip with a pickle too": lambda: _archive({"schema.json": _schema(), "data.pkl": pickle.dumps(Boom())}),
    "zip with code": lambda: _archive({"schema.json": _schema(), "code/__init__.py": b"import os"}),
    "zip that climbs": lambda: _archive({"schema.json": _schema(), "../0.npy": b"x"}),
    "zip without schema": lambda: _archive({"0.npy": b"x"}),
    "zip bomb": lambda: _archive({"schema.json": b" " * (8 << 20)}, compression=zipfile.ZIP_DEFLATED),
    "broken zip": lambda: b"PK\x03\x04" + b"\0" * 40,
    "cut zip": lambda: _archive({"schema.json": _schema()})[:-10],
    "schema is a list": lambda: _archive({"schema.json": b"[]"}),
    "schema is no JSON": lambda: _archive({"schema.json": b"{"}),
    "schema nested deeply": lambda: _archive({"schema.json": b'{"content":' * 9000 + b"1" + b"}" * 9000}),
    "protocol of the future": lambda: _archive({"schema.json": _schema(protocol=999)}),
    "unknown loader": lambda: _archive({"schema.json": _schema(__loader__="EvalNode")}),
    "os.system": lambda: _archive({"schema.json": _function("os", "system")}),
    "builtins.eval": lambda: _archive({"schema.json": _function("builtins", "eval")}),
    "sklearn's own os": lambda: _archive({"schema.json": _function("sklearn.utils._testing", "os")}),
    "subprocess.Popen": lambda: _archive({"schema.json": _schema(__module__="subprocess", __class__="Popen")}),
    "trusts itself": lambda: _archive({"schema.json": _schema(trusted=["os.fork"], __module__="os", __class__="fork")}),
    "pickle in an array": lambda: _archive({"schema.json": _array(), "0.npy": HOSTILE["numpy object array"]()}),
    "array beyond memory": lambda: _archive({"schema.json": _array(), "0.npy": _huge()}),
}  # fmt: skip


def _array() -> bytes:
    return _schema(__class__="ndarray", __module__="numpy", __loader__="NdArrayNode", type="numpy", file="0.npy")


def _huge() -> bytes:
    header = str({"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_in_a_sentence_and_runs_nothing(kind: str, tmp_path: Path) -> None:
    """Promise 11: even under the digest that is expected, no code runs from a model file."""
    witness = Path("/tmp/mlops-was-here")
    witness.unlink(missing_ok=True)
    data = HOSTILE[kind]()
    (tmp_path / "model.skops").write_bytes(data)
    with pytest.raises(GateFailed) as refused:
        models.load(tmp_path / "model.skops", digest=digest_bytes(data))
    assert not witness.exists()
    assert "Traceback" not in str(refused.value)


def test_a_type_of_ones_own_is_refused_with_the_line_that_would_trust_it() -> None:
    data = models.dump(make_pipeline(FunctionTransformer(subprocess.list2cmdline), LogisticRegression()))
    with pytest.raises(GateFailed, match=r"subprocess\.list2cmdline") as refused:
        models.loads(data)
    assert 'trusted = ["subprocess.list2cmdline"]' in refused.value.next_step
    models.loads(data, trusted=["subprocess.list2cmdline"])


def test_what_skops_cannot_express_is_refused_when_it_is_saved() -> None:
    from sklearn.cluster import Birch

    with pytest.raises(GateFailed, match="Birch cannot be saved without pickle"):
        models.dump(Birch())
