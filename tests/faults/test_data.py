from __future__ import annotations

import numpy as np
import pytest

from mlops.config import ModelSettings
from mlops.faults.bench import Bench, Material
from mlops.faults.data import cases
from mlops.verdict import Outcome, Record
from tests.steps.projects import BOOSTED, ModelProject, mixed


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    project = ModelProject(tmp_path_factory.mktemp("bench") / "project")
    model = project.declare(BOOSTED, "label='y'")
    frame = mixed(4_000)
    assembled = project.assemble(model, frame)
    snapshot = Record(step="snapshot", subject="table", outputs={"data": project.workspace.put_frame(frame)})
    material = Material(
        model=model,
        snapshots={"table": snapshot},
        assembled=assembled,
        trained=Record(step="train", subject="risk_v1"),
        settings=ModelSettings(),
    )
    return Bench(project.workspace, material, None)


def test_every_fault_fires_the_check_that_it_names_and_nothing_sound_does(bench):
    """Promise 1, the data gate."""
    tried = list(cases(bench))
    for case in tried:
        fired = {finding.check for finding in case.judge() if finding.outcome is Outcome.FAIL}
        assert fired == ({case.check} if case.check else set()), case.fault
    assert {case.check for case in tried} == {"", "data.label", "data.value_skew", "data.sides", "data.label_noise"}
    assert sum(case.check == "data.value_skew" for case in tried) == 3, "numbers, words and gaps"


def test_the_table_itself_stays_as_it_is(bench):
    before = bench.train["y"].to_numpy().copy()
    for case in cases(bench):
        case.judge()
    assert np.array_equal(bench.train["y"].to_numpy(), before)
