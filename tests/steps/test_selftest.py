from __future__ import annotations

from pathlib import Path

import pytest

from mlops.config import ModelSettings
from mlops.errors import NothingToDo, UsageError
from mlops.faults import GATES
from mlops.faults.bench import Material
from mlops.steps.schema import place, schema
from mlops.steps.selftest import selftest
from mlops.verdict import Record
from tests.steps.projects import BOOSTED, ModelProject, mixed

PURE = ("schema", "data", "model")  # the gates that need no other process


@pytest.fixture
def project(tmp_path: Path) -> ModelProject:
    return ModelProject(tmp_path / "project")


def material(project: ModelProject, floor: float = 0.8, rows: int = 4_000) -> Material:
    frame = mixed(rows)
    schema(project.workspace, source="table", frame=frame)
    model = project.declare(BOOSTED)
    assembled = project.assemble(model, frame)
    return Material(
        model=model,
        snapshot=Record(step="snapshot", subject="table", outputs={"data": project.workspace.put_frame(frame)}),
        assembled=assembled,
        trained=project.train(model, assembled),
        settings=ModelSettings(floor=floor),
    )


def test_every_gate_finds_every_planted_fault_and_passes_the_sound_case(project, deepchecks):
    """PROMISES 1."""
    rows = selftest(project.workspace, material=material(project), deepchecks=deepchecks)
    assert [row for row in rows if not row.right] == []
    assert {row.gate for row in rows} == set(GATES)
    assert {row.gate for row in rows if not row.check} == set(GATES)  # each has its sound case
    assert all(row.sentence for row in rows if row.check)


def test_a_gate_that_was_loosened_until_it_no_longer_fires_is_reported(project):
    given = material(project)
    path = place(project.workspace, "table")
    path.write_text(path.read_text().replace("strict: true", "strict: false"))
    rows = selftest(project.workspace, material=given, deepchecks=None, gates=["schema"])
    assert [row.fault for row in rows if not row.right] == ["unexpected column"]


def test_a_severity_that_was_lowered_is_reported(tmp_path):
    project = ModelProject(tmp_path / "project", severity={"model.leakage": "warn"})
    rows = selftest(project.workspace, material=material(project), deepchecks=None, gates=["model"])
    assert [row.check for row in rows if not row.right] == ["model.leakage"]


def test_a_floor_that_anything_passes_is_reported(project):
    rows = selftest(project.workspace, material=material(project, floor=0.0), deepchecks=None, gates=["model"])
    assert [row.check for row in rows if not row.right] == ["model.floor"]


def test_one_gate_can_be_asked_for(project):
    rows = selftest(project.workspace, material=material(project), deepchecks=None, gates=["data"])
    assert {row.gate for row in rows} == {"data"}


def test_an_unknown_gate_is_an_error_and_no_case_is_no_pass(project):
    given = material(project, rows=400)
    with pytest.raises(UsageError):
        selftest(project.workspace, material=given, deepchecks=None, gates=["modle"])
    with pytest.raises(NothingToDo):
        selftest(project.workspace, material=given, deepchecks=None, gates=["integrity"])
