"""Packaging: the fast form where it is proven, the safe one where it is not, and a bento that stands alone."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops.adapters import files
from mlops.errors import ConfigError
from mlops.gates.parity import FORM, GOLDEN, PARITY
from mlops.serving.runtime import load_payload
from mlops.steps import package as step
from mlops.verdict import Finding, Outcome, Record, Severity
from tests.steps.projects import BOOSTED, ModelProject, mixed

CATEGORICAL = BOOSTED.replace("max_iter=10", "max_iter=10, categorical_features=[0]")


@pytest.fixture
def project(tmp_path: Path) -> ModelProject:
    return ModelProject(tmp_path / "project")


def packaged(project: ModelProject, body: str = BOOSTED, declaration: str = "label='y'", **settings: Any) -> Record:
    model = project.declare(body, declaration)
    table = project.assemble(model, mixed())
    return project.package(model, project.train(model, table), table, **settings)


def found(record: Record, check: str) -> Finding:
    assert record.verdict is not None
    (finding,) = [f for f in record.verdict.findings if f.check == check]
    return finding


def golden(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "src/release/golden.json").read_bytes())


def test_a_bento_holds_all_that_it_needs_and_answers(project: ModelProject) -> None:
    record = packaged(project)
    assert record.verdict is not None
    assert record.verdict.outcome is Outcome.PASS
    assert record.facts["form"] == "onnx"
    assert record.facts["parity"]["max_difference"] < 1e-12
    folder = project.unpack(record)
    held = files.tree(folder)
    for name in (
        "bento.yaml",
        "src/bentofile.yaml",
        "src/mlops/serving/service.py",
        "src/models/__init__.py",
        "src/models/risk.py",
        "src/release/contract.json",
        "src/release/golden.json",
        "src/release/model.onnx",
        "env/python/requirements.txt",
        "env/docker/Dockerfile",
    ):
        assert name in held
    assert not [name for name in held if "__pycache__" in name or name.endswith((".skops", ".pkl"))]
    load_payload(folder / "src/release", folder / "src", release="risk_v1-x", online=None).close()
    assert held["src/release/contract.json"]
    assert len(record.outputs) == 3


def test_requirements_are_exact_and_only_those_of_serving(project: ModelProject) -> None:
    text = (project.unpack(packaged(project)) / "env/python/requirements.txt").read_text()
    names = [line.partition("==")[0] for line in text.splitlines()]
    assert all("==" in line for line in text.splitlines())
    assert len(names) == len(set(names))
    assert {"bentoml", "onnxruntime", "numpy", "msgspec"} <= set(names)
    assert not {"pandas", "scikit-learn", "skops", "mlflow", "skl2onnx", "onnx"} & set(names)


def test_the_same_work_gives_the_same_bento(project: ModelProject) -> None:
    model = project.declare(BOOSTED)
    table = project.assemble(model, mixed())
    trained = project.train(model, table)
    first, second = (project.package(model, trained, table) for _ in "ab")
    assert first.outputs == second.outputs


def test_golden_requests_cover_classes_and_missing_values(project: ModelProject) -> None:
    answers = golden(project.unpack(packaged(project)))
    assert len(answers) == 16
    assert {a["answer"]["prediction"] for a in answers} == {0, 1}
    assert any(a["request"]["city"] is None for a in answers)
    assert any(a["request"]["amount"] is None for a in answers)
    assert set(answers[0]["request"]) == {"amount", "count", "city"}
    assert all(0 <= a["answer"]["probability"] <= 1 for a in answers)


def test_golden_requests_are_as_many_as_wanted(project: ModelProject) -> None:
    assert len(golden(project.unpack(packaged(project, golden=3)))) == 3


def test_a_model_without_an_onnx_form_travels_in_skops_and_says_why(project: ModelProject) -> None:
    record = packaged(project, CATEGORICAL)
    assert record.verdict is not None
    assert record.verdict.accepted
    assert record.facts["form"] == "skops"
    assert "categorical_features" in record.facts["reason"]
    assert found(record, FORM).severity is Severity.WARN
    folder = project.unpack(record)
    assert (folder / "src/release/model.skops").exists()
    assert not (folder / "src/release/model.onnx").exists()
    assert "scikit-learn==" in (folder / "env/python/requirements.txt").read_text()
    load_payload(folder / "src/release", folder / "src", release="risk_v1-x", online=None).close()


def test_skops_by_wish_is_no_warning(project: ModelProject) -> None:
    record = packaged(project, form="skops")
    assert record.facts["form"] == "skops"
    assert found(record, FORM).outcome is Outcome.PASS


def test_onnx_by_wish_fails_where_there_is_none(project: ModelProject) -> None:
    record = packaged(project, CATEGORICAL, form="onnx")
    assert record.verdict is not None
    assert record.verdict.outcome is Outcome.FAIL
    assert record.outputs == {}
    assert 'form = "auto"' in found(record, FORM).next_step


def test_a_graph_that_differs_in_one_row_is_not_used(project: ModelProject, monkeypatch: pytest.MonkeyPatch) -> None:
    real = step.OnnxPredictor.predict

    def wrong(self: Any, columns: Any) -> Any:
        said = real(self, columns)
        said.probabilities[len(said.values) // 2] += (0.001, -0.001)
        return said

    monkeypatch.setattr(step.OnnxPredictor, "predict", wrong)
    record = packaged(project)
    assert record.facts["form"] == "skops"
    assert "largest difference 1.0e-03" in record.facts["reason"]


def test_a_graph_that_differs_only_on_values_the_holdout_lacks_is_not_used(
    project: ModelProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = step.OnnxPredictor.predict

    def wrong(self: Any, columns: Any) -> Any:
        said = real(self, columns)
        said.probabilities[columns["city"] == step._UNSEEN] = 0.5
        return said

    monkeypatch.setattr(step.OnnxPredictor, "predict", wrong)
    assert packaged(project).facts["reason"] == "ONNX differs where city is new"


def test_a_payload_that_answers_otherwise_after_loading_fails(
    project: ModelProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Off:
        fast = True

        def __init__(self, real: Any) -> None:
            self.real = real

        def predict(self, columns: Any) -> Any:
            said = self.real.predict(columns)
            said.probabilities[0] = 1 - said.probabilities[0]
            return said

    real = step.load_predictor
    monkeypatch.setattr(step, "load_predictor", lambda payload, contract: Off(real(payload, contract)))
    record = packaged(project)
    assert found(record, PARITY).outcome is Outcome.FAIL
    assert record.outputs == {}


RATIO = """
import pandas as pd
from mlops import on_demand

@on_demand(inputs=["amount"])
def share_v1(amount: pd.Series) -> pd.Series:
    return amount / {per}
"""


def test_an_on_demand_feature_travels_with_its_code(project: ModelProject) -> None:
    project.write("features/ratio.py", RATIO.format(per="100.0"))
    record = packaged(project, declaration="label='y', features=['share_v1'], request=['city']")
    assert record.verdict is not None
    assert record.verdict.accepted
    folder = project.unpack(record)
    assert (folder / "src/features/ratio.py").exists()
    assert "pandas==" in (folder / "env/python/requirements.txt").read_text()


def test_what_an_on_demand_feature_imports_is_required_where_it_is_served(project: ModelProject) -> None:
    """Elsewhere, in an environment or image made of the requirements, the service would not start."""
    project.write("features/ratio.py", f"from scipy import special\n{RATIO.format(per='special.gamma(5.0)')}")
    record = packaged(project, declaration="label='y', features=['share_v1'], request=['city']")
    requirements = (project.unpack(record) / "env/python/requirements.txt").read_text()
    assert "scipy==" in requirements
    assert "scikit-learn==" not in requirements


def test_an_on_demand_feature_that_looks_at_other_rows_is_found(project: ModelProject) -> None:
    """Training and serving must not differ: at the request there are no other rows."""
    project.write("features/ratio.py", RATIO.format(per="amount.sum()"))
    record = packaged(project, declaration="label='y', features=['share_v1'], request=['city']")
    assert found(record, GOLDEN).outcome is Outcome.FAIL
    assert record.outputs == {}


def test_an_on_demand_feature_that_raises_at_a_request_is_found(project: ModelProject) -> None:
    project.write("features/ratio.py", RATIO.format(per="len(amount[16])"))
    model = project.declare(BOOSTED, "label='y'")
    table = project.assemble(model, mixed())
    trained = project.train(model, table)
    contract = json.loads(project.workspace.objects.get(table.outputs["contract"]))
    contract["computed"] = [{"name": "share_v1", "module": "features.ratio", "inputs": ["amount"], "kind": "number"}]
    outputs = {**table.outputs, "contract": project.workspace.objects.put_json(contract)}
    record = step.package(
        project.workspace,
        model=model,
        trained=trained,
        assembled=dataclasses.replace(table, outputs=outputs),
        settings=project.workspace.config.package,
        sources=["features/ratio.py", "models/risk.py"],
    )
    finding = found(record, GOLDEN)
    assert finding.outcome is Outcome.FAIL
    assert "KeyError" in finding.message


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_other_tasks_are_packaged_alike(project: ModelProject, task: str) -> None:
    random = np.random.default_rng(1)
    X = random.normal(size=(300, 3))
    y = X.sum(axis=1) * 10 if task == "regression" else np.digitize(X.sum(axis=1), [-1, 1])
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=y)
    kind = "Regressor" if task == "regression" else "Classifier"
    model = project.declare(f"return HistGradientBoosting{kind}(max_iter=10).fit(X, y)", f"label='y', task='{task}'")
    table = project.assemble(model, frame)
    record = project.package(model, project.train(model, table), table)
    assert record.verdict is not None
    assert record.verdict.outcome is Outcome.PASS
    answer = golden(project.unpack(record))[0]["answer"]
    assert set(answer) == ({"prediction"} if task == "regression" else {"prediction", "probabilities"})


def test_a_project_without_a_bentofile_is_told_what_to_write(project: ModelProject) -> None:
    (project.root / "bentofile.yaml").unlink()
    with pytest.raises(ConfigError, match=r"there is no bentofile\.yaml"):
        packaged(project)


def test_nothing_is_left_in_scratch(project: ModelProject) -> None:
    packaged(project)
    assert list(project.workspace.scratch.iterdir()) == []


def test_bentoml_exports_and_imports_it_again(project: ModelProject, tmp_path: Path) -> None:
    folder = project.unpack(packaged(project))
    home = tmp_path / "bentoml"
    home.mkdir()
    code = f"""
import pathlib, shutil, bentoml
from mlops.adapters import files
folder = pathlib.Path({str(folder)!r})
target = pathlib.Path({str(home)!r}, "bentos", "risk_v1", "x")
lines = (folder / "bento.yaml").read_text().splitlines()
version = [line.split()[-1] for line in lines if line.startswith("version")][0]
shutil.copytree(folder, target.with_name(version))
archive = bentoml.bentos.export_bento("risk_v1:" + version, {str(tmp_path / "risk.bento")!r})
bentoml.bentos.delete("risk_v1:" + version)
bento = bentoml.bentos.import_bento(archive)
assert files.tree(pathlib.Path(bento.path)) == files.tree(folder)
"""
    variables = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, check=False)
    assert done.returncode == 0, done.stderr
