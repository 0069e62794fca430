"""A model for a device: a file, a contract and a program that needs two libraries, proven by running it so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlops.adapters import edge
from mlops.errors import GateFailed, UsageError
from mlops.serving.requests import Decoder
from mlops.steps.package_edge import package_edge
from mlops.verdict import Record
from tests import small
from tests.steps.projects import BOOSTED, ModelProject, mixed

LINEAR = "return make_pipeline(SimpleImputer(), {}()).fit(X.select_dtypes('number'), y)"
NUMBERS = "label='y', request=['amount', 'count']"


@pytest.fixture
def project(tmp_path: Path) -> ModelProject:
    return ModelProject(tmp_path / "project")


def made(project: ModelProject, body: str, declaration: str = "label='y'", *, y=None, before: str = "") -> Record:
    model = project.declare(body, declaration, before=before)
    frame = mixed() if y is None else mixed().assign(y=y)
    table = project.assemble(model, frame)
    packaged = project.package(model, project.train(model, table), table)
    folder = project.root / "devices"
    return package_edge(
        project.workspace, model=model, packaged=packaged, assembled=table, folder=folder, tolerance=1e-4
    )


def labels(*values: object) -> list[object]:
    known = mixed()["amount"].fillna(0)
    return [values[int(amount // 30) % len(values)] for amount in known]


@pytest.mark.parametrize(
    ("body", "declaration", "y"),
    [
        (BOOSTED, "label='y'", None),
        (BOOSTED, "label='y'", labels("low", "mid", "high")),
        (LINEAR.format("LogisticRegression"), NUMBERS, labels(False, True)),
        (LINEAR.format("LinearRegression"), f"{NUMBERS}, task='regression'", list(np.linspace(0, 9, 400))),
        (LINEAR.format("LogisticRegression"), f"{NUMBERS}, task='multiclass'", labels(1, 2, 3)),
    ],
    ids=["binary", "words", "truths", "regression", "numbers"],
)
def test_the_program_answers_as_the_bento_with_two_libraries_alone(project, body, declaration, y):
    record = made(project, body, declaration, y=y)
    folder = Path(record.facts["folder"])
    assert sorted(path.name for path in folder.iterdir()) == ["contract.json", "golden.json", "model.onnx", "run.py"]
    assert [path.name for path in folder.parent.iterdir()] == ["risk_v1"]
    assert record.facts["rows"] > 60
    assert record.facts["golden"] == 16
    assert record.facts["max_difference"] < 1e-6
    golden = json.loads((folder / "golden.json").read_bytes())
    said = edge.asked(folder, [one["request"] for one in golden])
    assert [type(one["prediction"]) for one in said] == [type(one["answer"]["prediction"]) for one in golden]
    assert [set(one) for one in said] == [set(one["answer"]) for one in golden]


def test_nothing_else_can_be_imported_where_it_is_proven(tmp_path):
    program = "import json, sys\nfound = []\nfor name in sys.stdin.read().split('\"')[1::2]:\n"
    program += "    try:\n        __import__(name)\n        found.append(name)\n    except ImportError:\n        pass\n"
    (tmp_path / "run.py").write_text(program + "print(json.dumps(found))\n")
    names = ["pandas", "mlops", "sklearn", "bentoml", "msgspec", "pyarrow", "onnxruntime", "numpy", "json"]
    (found,) = edge.asked(tmp_path, [dict.fromkeys([name]) for name in names])
    assert found == ["onnxruntime", "numpy", "json"]


@pytest.mark.parametrize(
    "request_",
    [
        {"amount": 1.5, "count": 2, "city": "Ulm"},
        {"amount": None, "count": 2},
        {"amount": 3, "count": 2.0, "city": None},
        {"amount": 1.5, "count": 2.5, "city": "Ulm"},
        {"amount": 1.5, "count": None, "city": "Ulm"},
        {"amount": "1.5", "count": 2, "city": "Ulm"},
        {"amount": 1.5, "count": True, "city": "Ulm"},
        {"amount": 1.5, "count": 2, "city": 7},
        {"amount": float("nan"), "count": 2, "city": "Ulm"},
        {"amount": float("inf"), "count": 2, "city": "Ulm"},
        {"amount": 1.5, "count": 2, "city": "Ulm", "more": 1},
        {},
    ],
)
def test_it_refuses_what_the_service_refuses(boosted, request_):
    folder, contract = boosted
    (said,) = edge.asked(folder, [request_])
    try:
        Decoder(contract, most_rows=1).decode(json.dumps(request_).encode())
    except Exception:  # noqa: BLE001 - whatever it says
        assert set(said) == {"error"}
        assert "must be" in said["error"]
    else:
        assert "prediction" in said


@pytest.fixture(scope="module")
def boosted(tmp_path_factory):
    project = ModelProject(tmp_path_factory.mktemp("boosted") / "project")
    model = project.declare(BOOSTED, "label='y'")
    table = project.assemble(model, mixed())
    packaged = project.package(model, project.train(model, table), table)
    folder = project.root / "devices"
    package_edge(project.workspace, model=model, packaged=packaged, assembled=table, folder=folder, tolerance=1e-4)
    return folder / "risk_v1", project.contract(table)


def test_a_program_that_answers_otherwise_is_not_written(project, monkeypatch):
    wrong = edge.runner().replace(b"chances[1]}", b"chances[0]}")
    assert wrong != edge.runner()
    monkeypatch.setattr(edge, "runner", lambda: wrong)
    with pytest.raises(GateFailed, match=r"run.py does not answer as the bento"):
        made(project, BOOSTED)
    assert list((project.root / "devices").iterdir()) == []


def test_a_program_that_needs_more_is_not_written(project, monkeypatch):
    text = edge.runner()
    monkeypatch.setattr(edge, "runner", lambda: b"import pandas\n" + text)
    with pytest.raises(GateFailed, match="No module named 'pandas'"):
        made(project, BOOSTED)


def test_a_model_in_skops_form_is_refused_with_what_to_do(project):
    body = BOOSTED.replace("max_iter=10", "max_iter=10, categorical_features=[0]")
    with pytest.raises(GateFailed, match=r"no ONNX form.*categorical_features") as caught:
        made(project, body)
    assert 'form = "onnx"' in caught.value.next_step


def test_a_model_that_computes_at_the_request_is_refused(project):
    before = (
        "from mlops import on_demand\n@on_demand(inputs=['amount'])\ndef doubled_v1(amount):\n    return amount * 2\n"
    )
    declaration = "label='y', features=[doubled_v1], request=['amount', 'count', 'city']"
    with pytest.raises(GateFailed, match="reads doubled_v1, computed by pandas code") as caught:
        made(project, BOOSTED, declaration, before=before)
    assert "fields of the request alone" in caught.value.next_step


def test_the_command_refuses_stored_features_and_writes_nothing(bank):
    ended = small.mlops(bank, "package", "fraud_v2", "--edge", "devices")
    assert ended.returncode == 1
    assert "fraud_v2 reads spend_v2.spend, stored in the feature store; a device has neither" in ended.stderr
    assert not list((bank / "devices").glob("*"))


def test_the_command_writes_anew_what_it_wrote_and_nothing_else(shop):
    for _ in "ab":
        ended = small.mlops(shop, "package", "churn_v1", "--edge", "devices")
        assert ended.returncode == 0, ended.stderr
        assert "with onnxruntime and numpy alone" in ended.stdout
    folder = shop / "devices/churn_v1"
    one = {"amount": 9.5, "visits": 2, "city": "Ulm"}
    answer = subprocess.run(
        [sys.executable, "run.py"], input=json.dumps(one), cwd=folder, capture_output=True, text=True, check=True
    )
    assert set(json.loads(answer.stdout)) == {"prediction", "probability"}
    (folder / "mine.txt").touch()
    ended = small.mlops(shop, "package", "churn_v1", "--edge", "devices")
    assert ended.returncode == UsageError.exit_code
    assert (folder / "mine.txt").exists()
