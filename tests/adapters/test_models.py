"""Model files: they come back as they were, they are the same every time, and hostile ones run nothing."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
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
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from mlops.adapters import models
from mlops.adapters.files import digest_bytes
from mlops.errors import GateFailed
from tests.adapters import hostile

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
    CalibratedClassifierCV(LogisticRegression(max_iter=5000), cv=2),
    CalibratedClassifierCV(DecisionTreeClassifier(max_depth=2), method="isotonic", cv=2),
    StackingRegressor([("tree", DecisionTreeRegressor(max_depth=2))], final_estimator=Ridge()),
    RandomForestRegressor(5, random_state=0),
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
    if hasattr(estimator, "predict_proba"):
        np.testing.assert_array_equal(again.predict_proba(frame), estimator.predict_proba(frame))


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


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """The canary and every hostile file by name."""
    canary = tmp_path_factory.mktemp("hostile") / "canary"
    return canary, hostile.files(canary)


def test_the_corpus_is_large_enough() -> None:
    """Promise 11: at least 25 hostile files."""
    assert len(hostile.KINDS) >= 25


@pytest.mark.parametrize("kind", hostile.KINDS)
@pytest.mark.filterwarnings("ignore")
def test_a_hostile_file_is_refused_in_a_sentence_and_runs_nothing(
    kind: str, corpus: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    """Promise 11: even under the digest that is expected, no code runs from a model file."""
    canary, files = corpus
    data = files[kind]
    (tmp_path / "model.skops").write_bytes(data)
    with pytest.raises(GateFailed) as refused:
        models.load(tmp_path / "model.skops", digest=digest_bytes(data))
    assert not canary.exists()
    assert "Traceback" not in str(refused.value)
    assert "model.skops" in refused.value.message
    assert refused.value.next_step


@pytest.mark.parametrize("kind", hostile.EXECUTING)
def test_the_canary_sings_where_the_type_is_trusted(kind: str, tmp_path: Path) -> None:
    """Else the tests above would prove nothing. skops itself, told to trust the type, runs it."""
    import skops.io

    canary = tmp_path / "canary"
    name, make = hostile.EXECUTING[kind]
    skops.io.loads(hostile.of(make(canary)), trusted=[name, "functools.partial"])
    assert canary.exists()


@pytest.mark.parametrize("kind", hostile.EXECUTING)
def test_what_runs_commands_is_refused_even_if_the_user_lists_it(kind: str, tmp_path: Path) -> None:
    """Promise 11: a list that travels with the file, or was pasted from a message, does not open the door."""
    canary = tmp_path / "canary"
    name, make = hostile.EXECUTING[kind]
    with pytest.raises(GateFailed, match="no model needs it"):
        models.loads(hostile.of(make(canary)), trusted=[name, "functools.partial"])
    assert not canary.exists()


def test_a_link_to_another_file_or_to_no_file_is_refused(tmp_path: Path) -> None:
    """Promise 11."""
    (tmp_path / "other").write_bytes(pickle.dumps(hostile.Bomb(tmp_path / "canary")))
    (tmp_path / "model.skops").symlink_to(tmp_path / "other")
    with pytest.raises(GateFailed, match="not the model that was recorded"):
        models.load(tmp_path / "model.skops", digest=digest_bytes(hostile.honest()))
    for what in ("/dev/zero", tmp_path, tmp_path / "nowhere"):
        (tmp_path / "model.skops").unlink()
        (tmp_path / "model.skops").symlink_to(what)
        with pytest.raises(GateFailed, match="no regular file"):
            models.load(tmp_path / "model.skops", digest="0" * 64)
    assert not (tmp_path / "canary").exists()


def test_a_type_of_ones_own_is_refused_with_the_line_that_would_trust_it() -> None:
    data = models.dump(make_pipeline(FunctionTransformer(textwrap.dedent), LogisticRegression()))
    with pytest.raises(GateFailed, match=r"textwrap\.dedent") as refused:
        models.loads(data)
    assert 'trusted = ["textwrap.dedent"]' in refused.value.next_step
    models.loads(data, trusted=["textwrap.dedent"])


def test_what_skops_cannot_express_is_refused_when_it_is_saved() -> None:
    from sklearn.cluster import Birch

    with pytest.raises(GateFailed, match="Birch cannot be saved without pickle"):
        models.dump(Birch())
