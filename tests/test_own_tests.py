"""A project's own pytest tests are checks of the data, model and service gates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops import ingredients, own_tests
from mlops.config import ModelSettings
from mlops.declare import Model
from mlops.steps.check_data import check_source
from mlops.steps.check_model import check_model
from mlops.steps.schema import schema
from mlops.verdict import Finding, Outcome, Record
from tests import small
from tests.steps.projects import BOOSTED, ModelProject, mixed

OF_DATA = """
import pytest

def test_nobody_pays_less_than_nothing(mlops_rows, mlops_subject):
    assert mlops_subject == "table"
    assert mlops_rows["amount"].min() >= 0

def test_there_is_a_city_for_everyone(mlops_rows):
    empty = mlops_rows["city"].isna().sum()
    assert not empty, f"{empty} rows have no city"

def test_a_column_that_is_not_there(mlops_rows):
    assert mlops_rows["country"].notna().all()
"""
OF_MODEL = """
import pytest
from mlops import expect
from tests.limits import MOST

def test_the_estimator_answers_as_the_gate_saw_it(mlops_predict, mlops_rows, mlops_predictions):
    assert mlops_predict(mlops_rows) == pytest.approx(mlops_predictions["probability_1"].to_numpy())

def test_what_is_on_demand_is_computed_anew(mlops_predict, mlops_rows):
    assert (mlops_rows["dear_v1"] == mlops_rows["amount"].gt(60).astype(float)).all()
    changed = mlops_rows.assign(amount=mlops_rows["amount"] + 1000)
    same = changed.assign(dear_v1=0.0)
    assert (mlops_predict(changed) == mlops_predict(same)).all()

def test_rows_are_a_copy(mlops_rows):
    mlops_rows["amount"] = 0.0

def test_and_stay_as_they_were(mlops_rows):
    assert mlops_rows["amount"].max() > 0

def test_no_city_is_treated_otherwise(mlops_predict, mlops_rows):
    assert expect.invariant(mlops_predict, mlops_rows, change={"city": "Ulm"}, allowed=MOST)

@pytest.mark.skip(reason="only in winter")
def test_in_winter(mlops_predict): ...

@pytest.mark.mlops_model("other")
def test_of_another_model(): assert False
"""
DEAR = """
from mlops import on_demand

@on_demand(inputs=["amount"])
def dear_v1(amount):
    return amount.gt(60).astype(float)
"""


@pytest.fixture
def project(tmp_path: Path) -> ModelProject:
    return ModelProject(tmp_path / "project")


def write(project: ModelProject, files: dict[str, str]) -> None:
    small.write(project.root, files)


def own(record: Record) -> dict[str, Finding]:
    assert record.verdict is not None
    return {f.check.rpartition("::")[2]: f for f in record.verdict.findings if f.check.startswith("own.")}


def judged_source(project: ModelProject) -> Record:
    frame = mixed()
    model = project.declare(BOOSTED)
    schema(project.workspace, source="table", frame=frame)
    taken = Record(step="snapshot", subject="table", outputs={"data": project.workspace.put_frame(frame)})
    return check_source(project.workspace, source="table", snapshot=taken, models=[model], deepchecks=None)


def judged_model(project: ModelProject, declaration: str = "label='y'", before: str = "") -> Record:
    model: Model = project.declare(BOOSTED, declaration, before=before)
    assembled = project.assemble(model, mixed().fillna({"amount": 1.0, "city": "Bonn"}))
    return check_model(
        project.workspace,
        model=model,
        assembled=assembled,
        trained=project.train(model, assembled),
        settings=ModelSettings(floor=0.1),
        champion=None,
        deepchecks=None,
    )


def test_tests_of_data_look_at_the_source_that_is_judged(project):
    """Promise 2: one that asks for what is not there did not run, and the gate says no."""
    write(project, {"tests/data/test_table.py": OF_DATA})
    record = judged_source(project)
    found = own(record)
    assert {name: f.outcome for name, f in found.items()} == {
        "test_nobody_pays_less_than_nothing": Outcome.PASS,
        "test_there_is_a_city_for_everyone": Outcome.FAIL,
        "test_a_column_that_is_not_there": Outcome.NOT_RUN,
    }
    failed = found["test_there_is_a_city_for_everyone"]
    assert failed.message.endswith("tests/data/test_table.py:10: AssertionError: 31 rows have no city")
    assert failed.subject == "table"
    assert "`mlops check-data`" in failed.next_step
    assert "KeyError: 'country'" in found["test_a_column_that_is_not_there"].message
    assert record.verdict.outcome is Outcome.FAIL


def test_tests_of_a_model_ask_it_as_the_service_would(project):
    files = {"tests/model/test_risk.py": OF_MODEL, "tests/limits.py": "MOST = 0.0\n", "features/dear.py": DEAR}
    write(project, files)
    before = 'from features.dear import dear_v1\n\n@model(source="table", label="y")\ndef other_v1(X, y, params): ...\n'
    record = judged_model(project, "label='y', features=['dear_v1'], request=['amount', 'city']", before)
    found = own(record)
    assert {name: f.outcome for name, f in found.items()} == {
        "test_the_estimator_answers_as_the_gate_saw_it": Outcome.PASS,
        "test_what_is_on_demand_is_computed_anew": Outcome.PASS,
        "test_rows_are_a_copy": Outcome.PASS,
        "test_and_stay_as_they_were": Outcome.PASS,
        "test_no_city_is_treated_otherwise": Outcome.FAIL,
        "test_in_winter": Outcome.SKIPPED,
    }, [f.message for f in found.values()]
    assert "city = 'Ulm' moves answers by more than 0.01" in found["test_no_city_is_treated_otherwise"].message
    assert "only in winter" in found["test_in_winter"].message
    assert not list(project.workspace.scratch.iterdir())


def test_without_a_folder_no_process_is_started(project, monkeypatch):
    def started(*_: object, **__: object) -> None:
        raise AssertionError("pytest was started")

    monkeypatch.setattr(own_tests, "RunningTests", started)
    assert own(judged_model(project)) == {}
    write(project, {"tests/model/conftest.py": "", "tests/model/rows.csv": "a\n"})
    assert own_tests.folders(project.workspace, "model") == []


def test_files_without_a_test_are_no_pass(project):
    """Promise 2."""
    write(project, {"tests/model/test_nothing.py": "def tset_it(): ...\n"})
    [found] = own(judged_model(project)).values()
    assert (found.check, found.outcome) == ("own.tests/model", Outcome.NOT_RUN)


def test_severities_and_overrides_may_name_a_test(project):
    text = "def test_a(): ...\nclass TestB:\n    def test_c(self): ...\n    def helper(self): ...\n"
    write(project, {"tests/model/test_risk.py": text, "tests/features/test_x.py": "def test_d(): ...\n"})
    project.declare(BOOSTED)
    file = "tests/model/test_risk.py"
    assert own_tests.checks(project.workspace) == {file, f"{file}::test_a", f"{file}::TestB::test_c"}


def test_what_a_test_is_made_of_is_in_the_gate_s_key(project):
    def key() -> object:
        return ingredients._own_tests(project.workspace, "model")

    project.declare(BOOSTED)
    assert key() == {}
    files = {
        "tests/model/test_risk.py": "from tests import limits\nfrom tests.rules.most import MOST\ndef test_a(): ...\n",
        "tests/limits.py": "import features.money\n",
        "tests/rules/__init__.py": "",
        "tests/rules/most.py": "MOST = 1\n",
        "features/money.py": "POUND = 1\n",
        "features/other.py": "",
        "tests/conftest.py": "",
        "conftest.py": "",
        "tests/model/expected.csv": "a\n",
    }
    write(project, files)
    read, imported = set(key()["tests"]), set(key()["imported"])
    assert read | imported == {*files} - {"features/other.py"} | {"features/__init__.py"}
    assert imported == {
        name for name in read | imported if name.startswith(("features/", "tests/limits", "tests/rules"))
    }

    def changed(name: str, by: str) -> bool:
        before = key()
        with (project.root / name).open("a", encoding="utf-8") as file:
            file.write(by)
        return key() != before

    for name in read | imported:
        assert changed(name, "# a comment\n") == (name in read), name
        assert changed(name, "MORE = 1\n"), name


def test_a_developer_s_own_pytest_stays_green_and_says_which_command_gives_what(project):
    write(
        project,
        {"tests/data/test_table.py": OF_DATA, "tests/model/test_risk.py": OF_MODEL, "tests/limits.py": "MOST = 0\n"},
    )
    write(project, {"pytest.ini": "[pytest]\naddopts = --strict-markers\npythonpath = .\n"})
    write(project, {"tests/service/test_asked.py": "def test_it(mlops_ask, mlops_requests): assert 0\n"})
    write(project, {"tests/model/test_risk.py": OF_MODEL.replace("assert False", "...")})
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        "tests",
    ]
    ran = subprocess.run(
        command, cwd=project.root, env=small.variables(), capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout
    assert "mlops_rows comes from a gate: run `mlops check-data` or `mlops check-model`" in ran.stdout
    assert "mlops_predict comes from a gate: run `mlops check-model`" in ran.stdout
    assert "mlops_ask comes from a gate: run `mlops check-service`" in ran.stdout
