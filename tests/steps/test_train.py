"""Training: what comes out of an honest function, and what is said of one that is not."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops.adapters import models
from mlops.config import Engine
from mlops.errors import DeclarationError
from mlops.gates.training import CONVERGED, FINITE, FITTED, RAN, SAVED
from mlops.verdict import Finding, Outcome, Severity
from tests.steps.projects import BOOSTED, ModelProject, mixed


@pytest.fixture
def project(tmp_path: Path) -> ModelProject:
    return ModelProject(tmp_path / "project")


def numbers(rows: int = 120) -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=(rows, 2))
    return pd.DataFrame({"a": values[:, 0], "b": values[:, 1], "y": (values.sum(axis=1) > 0).astype(int)})


def stopped(project: ModelProject, body: str, frame: pd.DataFrame | None = None, **declaration: str) -> Finding:
    """Train with this function body, and give the one finding that stops."""
    model = project.declare(body, **declaration)
    record = project.train(model, project.assemble(model, numbers() if frame is None else frame))
    assert record.outputs == {}
    assert record.verdict is not None
    assert record.verdict.outcome is Outcome.FAIL
    (finding,) = record.verdict.fired
    return finding


def test_an_honest_function_gives_a_model_that_can_be_loaded(project: ModelProject) -> None:
    model = project.declare(BOOSTED)
    record = project.train(model, project.assemble(model, mixed()))
    assert record.verdict is not None
    assert record.verdict.accepted
    assert record.params == {"seed": 7}
    assert record.metrics["train_score"] > 0.9
    assert record.facts["estimator"] == "ColumnTransformer > HistGradientBoostingClassifier"
    digest = record.outputs["model"]
    assert models.load(project.workspace.objects.path(digest), digest=digest).classes_.tolist() == [0, 1]


def test_the_same_seed_gives_the_same_file(project: ModelProject) -> None:
    body = "return RandomForestClassifier(3).fit(X, y)"  # no random_state: it draws from NumPy's global generator
    model = project.declare(body)
    table = project.assemble(model, numbers())
    first = project.train(model, table)
    np.random.seed(99)  # noqa: NPY002 - what comes before must not matter
    random.seed(99)
    assert project.train(model, table).outputs == first.outputs


def test_parameters_come_from_the_declaration_the_settings_and_the_seed(project: ModelProject) -> None:
    body = "return LogisticRegression(C=params['C'], l1_ratio=params['mix'], random_state=params['seed']).fit(X, y)"
    model = project.declare(body, "label='y', params={'C': 1.0, 'mix': 0}")
    record = project.train(model, project.assemble(model, numbers()), params={"C": 0.5})
    assert dict(record.params) == {"C": 0.5, "mix": 0, "seed": 7}


def test_a_function_that_raises_is_named_with_the_line_that_raised(project: ModelProject) -> None:
    finding = stopped(project, "rate = 1\nreturn rate / 0")
    assert finding.check == RAN
    assert finding.message == (
        "risk_v1 (models/risk.py:13) raised ZeroDivisionError at models/risk.py:16: division by zero"
    )


def test_a_library_that_raises_is_named_by_the_line_that_called_it(project: ModelProject) -> None:
    frame = numbers()
    frame.loc[3, "a"] = np.nan
    finding = stopped(project, "return LogisticRegression().fit(X, y)", frame)
    assert "raised ValueError at models/risk.py:15: Input X contains NaN" in finding.message


@pytest.mark.parametrize(
    ("body", "check", "words"),
    [
        ("LogisticRegression().fit(X, y)", RAN, "returned None"),
        ("return 3", RAN, "returned int, which has no predict"),
        ("return LogisticRegression", RAN, "returned the class LogisticRegression"),
        ("raise SystemExit(1)", RAN, "raised SystemExit"),
        ("return LogisticRegression()", FITTED, "returned an estimator without fitting it"),
        ("return make_pipeline(StandardScaler(), LogisticRegression())", FITTED, "without fitting it"),
        ("return LogisticRegression().fit(X[['a']], y)", FITTED, "cannot predict its own training rows"),
        ("return LogisticRegression().fit(X, y + 5)", FITTED, "classes 5, 6, which the label 'y' does not have"),
        ("return LinearRegression().fit(X, y)", FITTED, "not one of the 2 labels"),
        ("m = LogisticRegression().fit(X, y)\nm.coef_ = m.coef_ * np.nan\nreturn m", FINITE, "not a finite number in"),
        (
            "m = RidgeClassifier().fit(X, y)\nm.intercept_ = np.array([np.inf])\nreturn m",
            FINITE,
            "RidgeClassifier.intercept_ holds a number that is not finite",
        ),
        (
            "return make_pipeline(FunctionTransformer(lambda x: x), LogisticRegression()).fit(X, y)",
            SAVED,
            "holds a type that nobody trusts",
        ),
    ],
)
def test_what_is_no_model_is_refused_with_function_file_and_line(
    project: ModelProject, body: str, check: str, words: str
) -> None:
    finding = stopped(project, body)
    assert finding.check == check
    assert finding.message.startswith("risk_v1 (models/risk.py:13)")
    assert words in finding.message
    assert finding.next_step


def test_a_prediction_that_is_not_finite_is_refused(project: ModelProject) -> None:
    body = "m = LinearRegression().fit(X, y)\nm.coef_[0] = np.inf\nreturn m"
    frame = numbers().assign(y=np.linspace(0, 1, 120))
    assert stopped(project, body, frame, declaration="label='y', task='regression'").check == FINITE


def test_a_model_without_the_probabilities_that_its_metric_needs_is_refused(project: ModelProject) -> None:
    finding = stopped(project, "return RidgeClassifier().fit(X, y)")
    assert finding.check == FITTED
    assert "roc_auc needs probabilities" in finding.message
    assert "accuracy" in finding.next_step


def test_a_classifier_is_no_regression(project: ModelProject) -> None:
    frame = numbers().assign(y=np.arange(120) % 30)
    finding = stopped(
        project, "return DecisionTreeClassifier().fit(X, y)".replace("DecisionTree", "RandomForest"), frame,
        declaration="label='y', task='regression'",
    )  # fmt: skip
    assert "classifier, but the task is regression" in finding.message


def test_a_model_that_did_not_converge_fails_and_says_how_to_go_on(project: ModelProject) -> None:
    model = project.declare("return LogisticRegression(max_iter=1).fit(X * 1000, y)")
    record = project.train(model, project.assemble(model, numbers()))
    assert record.verdict is not None
    assert record.verdict.outcome is Outcome.FAIL
    (finding,) = record.verdict.fired
    assert finding.check == CONVERGED
    assert "did not converge" in finding.message
    assert '"train.convergence" = "warn"' in finding.next_step


def test_not_converging_is_a_warning_where_the_configuration_says_so(tmp_path: Path) -> None:
    project = ModelProject(tmp_path / "project", severity={CONVERGED: "warn"})
    model = project.declare("return LogisticRegression(max_iter=1).fit(X * 1000, y)")
    record = project.train(model, project.assemble(model, numbers()))
    assert record.verdict is not None
    assert record.verdict.accepted
    assert [f.severity for f in record.verdict.fired] == [Severity.WARN]


def test_a_function_of_ones_own_inside_the_model_is_trusted_by_name(tmp_path: Path) -> None:
    from mlops.config import Packaging

    project = ModelProject(tmp_path / "project", package=Packaging(trusted=("models.risk.doubled",)))
    body = "return make_pipeline(FunctionTransformer(doubled), LogisticRegression()).fit(X, y)"
    model = project.declare(body, before="def doubled(x):\n    return 2 * x")
    record = project.train(model, project.assemble(model, numbers()))
    assert record.verdict is not None
    assert record.verdict.accepted, record.verdict.fired


def test_what_the_function_prints_stays_out_of_our_output(project: ModelProject, capsys) -> None:
    model = project.declare("print('hello')\nreturn LogisticRegression().fit(X, y)")
    project.train(model, project.assemble(model, numbers()))
    said = capsys.readouterr()
    assert said.out == ""
    assert "hello" in said.err


# -- the search


SEARCH = "label='y', params={'C': 1e-9}, search={'C': ('log', 1e-6, 1e3), 'p': ['no', 'yes']}"
SEARCHED = "return LogisticRegression(C=params['C'], fit_intercept=params['p'] == 'yes').fit(X, y)"


def test_a_search_finds_better_parameters_and_the_same_ones_again(project: ModelProject) -> None:
    model = project.declare(SEARCHED, SEARCH)
    table = project.assemble(model, numbers())
    first, second = (project.train(model, table, trials=5) for _ in "ab")
    assert first.params == second.params
    assert first.outputs == second.outputs
    assert first.metrics["trials"] == 5.0
    assert first.params["C"] > 1e-6
    assert first.params["p"] in ("no", "yes")


def test_a_search_says_how_far_it_is(project: ModelProject) -> None:
    from mlops.config import ModelSettings
    from mlops.steps.train import train

    model = project.declare(SEARCHED, SEARCH)
    said: list[str] = []
    table = project.assemble(model, numbers())
    train(
        project.workspace, model=model, assembled=table, settings=ModelSettings(trials=3), seed=1, progress=said.append
    )
    assert [line.partition(" best")[0] for line in said] == ["trial 1/3", "trial 2/3", "trial 3/3"]


def test_a_search_compares_on_other_entities_where_the_table_is_split_by_them(project: ModelProject) -> None:
    """The body learns customers by heart, which helps on their own rows alone."""
    from mlops.config import ModelSettings
    from mlops.steps.train import train

    random = np.random.default_rng(0)
    who = random.integers(0, 60, 900)
    table = pd.DataFrame(
        {"who": who, "x": random.normal(size=900), "y": np.where(random.permutation(60)[who] < 30, "yes", "no")}
    )
    tree = "DecisionTreeClassifier(max_leaf_nodes=params['k'])"
    body = f"from sklearn.tree import DecisionTreeClassifier\nreturn {tree}.fit(X, y)"
    model = project.declare(body, "label='y', search={'k': ('int', 100, 120)}")
    scores = {}
    for split in ("", "entity:who"):
        settings = ModelSettings(trials=2, split=split)
        assembled = project.assemble(model, table, settings=settings)
        record = train(project.workspace, model=model, assembled=assembled, settings=settings, seed=1)
        scores[split] = record.metrics["search_score"]
    assert scores[""] > 0.95
    assert scores["entity:who"] < 0.8


def test_no_trials_is_no_search(project: ModelProject) -> None:
    model = project.declare(SEARCHED.replace("params['p']", "params.get('p')"), SEARCH)
    record = project.train(model, project.assemble(model, numbers()))
    assert record.params == {"C": 1e-9, "seed": 7}


def test_trials_that_raise_are_passed_over_unless_all_do(project: ModelProject) -> None:
    body = "if params['k'] > 2:\n    raise ValueError('too many')\nreturn LogisticRegression().fit(X, y)"
    model = project.declare(body, "label='y', search={'k': ('int', 1, 4)}")
    record = project.train(model, project.assemble(model, numbers()), trials=8)
    assert record.params["k"] <= 2


def test_a_search_that_always_raises_is_the_functions_fault(project: ModelProject) -> None:
    model = project.declare("return 1 / 0", "label='y', search={'k': ('int', 1, 4)}")
    record = project.train(model, project.assemble(model, numbers()), trials=3)
    assert record.verdict is not None
    assert "ZeroDivisionError at models/risk.py:15" in record.verdict.fired[0].message


def test_a_search_space_that_means_nothing_is_refused_with_file_and_line(project: ModelProject) -> None:
    model = project.declare("...", "label='y', search={'k': ('integer', 1, 4)}")
    with pytest.raises(DeclarationError, match=r"risk\.py:\d+: search\['k'\].*did you mean 'int'"):
        project.train(model, project.assemble(model, numbers()))


HELD = "def held(value):\n    return value\n"  # what the function calls has to be there too


@pytest.mark.parametrize("at_once", [1, 3])
def test_trials_side_by_side_find_what_one_process_does(tmp_path: Path, at_once: int) -> None:
    found = []
    for place in ("a", "b"):
        project = ModelProject(tmp_path / f"{place}{at_once}", engine=Engine(trials_at_once=at_once))
        model = project.declare(SEARCHED.replace("params['C']", "held(params['C'])"), SEARCH, before=HELD)
        found.append(project.train(model, project.assemble(model, numbers()), trials=6))
    assert found[0].params == found[1].params
    assert found[0].metrics["trials"] == 6
    assert found[0].metrics["search_score"] > 0.9


def test_a_trial_in_another_process_that_raises_names_the_line(tmp_path: Path) -> None:
    project = ModelProject(tmp_path / "project", engine=Engine(trials_at_once=2))
    model = project.declare("raise KeyError('gone')", "label='y', search={'k': ('int', 1, 4)}")
    record = project.train(model, project.assemble(model, numbers()), trials=4)
    assert record.verdict is not None
    (finding,) = record.verdict.fired
    assert "raised KeyError at models/risk.py:" in finding.message
