"""A fairness gate that was loosened until it no longer fires is told with its setting."""

from __future__ import annotations

import dataclasses

import pytest

from mlops.config import Fairness, ModelSettings
from mlops.faults import fairness, own, segments
from mlops.faults.bench import Bench
from mlops.steps.selftest import selftest
from tests.steps.projects import BOOSTED, ModelProject, mixed
from tests.steps.test_selftest import material


@pytest.fixture
def project(tmp_path):
    return ModelProject(tmp_path / "project")


@pytest.mark.parametrize(("limit", "right"), [(0.2, True), (5.0, False)])
def test_a_limit_that_anything_keeps_is_reported_with_its_line(project, limit, right):
    given = material(project)
    model = dataclasses.replace(given.model, protected=("city",))
    settings = ModelSettings(fairness=Fairness(error=limit))
    loosened = dataclasses.replace(given, model=model, settings=settings)
    rows = selftest(project.workspace, material=loosened, deepchecks=None, gates=["fairness"])
    planted = next(row for row in rows if row.check and "treated otherwise" in row.fault)
    assert planted.right is right
    assert right or "[tool.mlops.models.risk] fairness lets the fault through" in planted.sentence


def test_a_regression_has_its_faults_too(project):
    frame = mixed(2_000)
    frame["y"] = frame["amount"].fillna(0) * 2.5 + frame["count"]
    model = project.declare(BOOSTED.replace("Classifier", "Regressor"))
    assembled = project.assemble(model, frame)
    given = dataclasses.replace(material_of(model), assembled=assembled, trained=project.train(model, assembled))
    bench = Bench(project.workspace, given, None)
    for gate in (segments, fairness, own):
        for case in gate.cases(bench):
            fired = any(found.fired for found in case.judge() if found.check == case.check)
            assert fired == bool(case.check), case.fault


def material_of(model):
    from mlops.faults.bench import Material
    from mlops.verdict import Record

    nothing = Record(step="none", subject="")
    return Material(model=model, snapshots={}, assembled=nothing, trained=nothing, settings=ModelSettings())
