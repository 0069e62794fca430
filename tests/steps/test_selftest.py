from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops.config import Load, ModelSettings, Packaging
from mlops.errors import NothingToDo, UsageError
from mlops.faults import GATES
from mlops.faults.bench import Material
from mlops.faults.online import FAULTS
from mlops.gates.severities import known_checks
from mlops.steps.schema import place, schema
from mlops.steps.selftest import selftest
from mlops.verdict import Record, Severity
from tests.steps.projects import BOOSTED, ModelProject, mixed

WITHOUT_A_FAULT = {"features.missing": "a feature that cannot bear a missing value raises: it shows as features.runs"}
"""Checks that stop and that the self-test does not plant a fault for, each with the reason."""


@pytest.fixture
def project(tmp_path: Path) -> ModelProject:
    return ModelProject(tmp_path / "project")


FEATURES = """
import pandas as pd
from mlops import feature_view, on_demand

@feature_view(source="table", entity="customer", timestamp="at", created="known", ttl="20d")
def spend_v1(payments: pd.DataFrame) -> pd.DataFrame:
    rows = payments.sort_values(["customer", "at"], kind="stable").drop_duplicates(["customer", "at"], keep="last")
    return rows[["customer", "at", "known"]].assign(so_far=rows.groupby("customer")["amount"].cumsum())

@on_demand(inputs=["amount", "spend_v1.so_far"])
def share_v1(amount: pd.Series, so_far: pd.Series) -> pd.Series:
    return amount / (so_far.fillna(0.0) + 1.0)
"""


def payments(rows: int = 1_500) -> pd.DataFrame:
    """Payments of 40 customers; who pays much late in the day is a fraud, which is known a day later."""
    random = np.random.default_rng(0)
    amount = random.gamma(2, 30, rows).round(2)
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(rows), unit="h")
    return pd.DataFrame(
        {
            "customer": random.integers(0, 40, rows),
            "at": at,
            "known": at + pd.Timedelta(hours=2),
            "id": np.arange(rows),
            "amount": amount,
            "fraud": (amount + random.normal(0, 10, rows) > 80).astype("float64"),
        }
    )


def of_payments(project: ModelProject) -> Material:
    frame = payments()
    schema(project.workspace, source="table", frame=frame)
    project.write("features/spend.py", FEATURES)
    declaration = "label='fraud', timestamp='at', label_delay='1d', features=[spend_v1, share_v1], request=['amount']"
    model = project.declare(BOOSTED, declaration, before="from features.spend import share_v1, spend_v1")
    assembled = project.assemble(model, frame)
    snapshot = Record(step="snapshot", subject="table", outputs={"data": project.workspace.put_frame(frame)})
    return Material(
        model=model,
        snapshots={"table": snapshot},
        assembled=assembled,
        trained=project.train(model, assembled),
        settings=ModelSettings(floor=0.8),
    )


def material(project: ModelProject, floor: float = 0.8, rows: int = 4_000, *, packaged: bool = False) -> Material:
    frame = mixed(rows)
    schema(project.workspace, source="table", frame=frame)
    model = project.declare(BOOSTED)
    assembled = project.assemble(model, frame)
    trained = project.train(model, assembled)
    snapshot = Record(step="snapshot", subject="table", outputs={"data": project.workspace.put_frame(frame)})
    return Material(
        model=model,
        snapshots={"table": snapshot},
        assembled=assembled,
        trained=trained,
        settings=ModelSettings(floor=floor),
        packaged=project.package(model, trained, assembled) if packaged else None,
    )


def test_every_gate_finds_every_planted_fault_and_passes_the_sound_case(project, deepchecks):
    """PROMISES 1."""
    rows = selftest(project.workspace, material=material(project, packaged=True), deepchecks=deepchecks)
    assert [row for row in rows if not row.right] == []
    assert {row.gate for row in rows} == set(GATES) - {"features", "online"}  # the table has no features; see below
    assert {row.gate for row in rows if not row.check} == set(GATES) - {"features", "online"}  # each has a sound case
    assert all(row.sentence for row in rows if row.check)
    assert list(project.workspace.scratch.iterdir()) == []  # servers and poisoned files are gone


def test_the_users_own_features_are_wrapped_with_faults_that_are_found(project):
    """PROMISES 1."""
    rows = selftest(project.workspace, material=of_payments(project), deepchecks=None, gates=["features"])
    assert [row for row in rows if not row.right] == []
    found = {row.check for row in rows}
    assert {f"features.{name}" for name in ("look-ahead", "label-delay", "row-order", "mutation", "tested")} <= found
    assert "features.row-wise" in found  # of the on-demand feature


def test_an_online_store_of_the_users_own_features_is_broken_in_every_way(project):
    """PROMISES 1."""
    rows = selftest(project.workspace, material=of_payments(project), deepchecks=None, gates=["online"])
    assert [row for row in rows if not row.right] == []
    found = {row.fault for row in rows if row.check == "service.features"}
    # The sums have no gap, the view one column: these two cannot show in it.
    assert found == set(FAULTS.values()) - {FAULTS["zero"], FAULTS["swapped"]}


def test_every_check_that_stops_has_a_fault_or_a_reason(tmp_path):
    """PROMISES 1: a new check cannot be forgotten."""
    plain, timed = ModelProject(tmp_path / "plain"), ModelProject(tmp_path / "timed")
    rows = selftest(plain.workspace, material=material(plain, packaged=True), deepchecks=None)
    rows += selftest(
        timed.workspace, material=of_payments(timed), deepchecks=None, gates=["features", "online", "schema"]
    )
    tried = {row.check for row in rows}
    stopping = {name for name, default in known_checks().items() if default.severity is Severity.FAIL}
    assert {name for name in stopping - tried if not name.startswith("deepchecks.")} == set(WITHOUT_A_FAULT)


def test_a_gate_that_was_loosened_until_it_no_longer_fires_is_reported_with_its_setting(project):
    given = material(project)
    path = place(project.workspace, "table")
    path.write_text(path.read_text().replace("strict: true", "strict: false"))
    rows = selftest(project.workspace, material=given, deepchecks=None, gates=["schema"])
    (wrong,) = [row for row in rows if not row.right]
    assert wrong.fault == "unexpected column"
    assert "features/table.schema.yaml lets the fault through" in wrong.sentence


def test_a_severity_that_was_lowered_is_reported_with_its_line(tmp_path):
    project = ModelProject(tmp_path / "project", severity={"model.leakage": "warn"})
    rows = selftest(project.workspace, material=material(project), deepchecks=None, gates=["model"])
    (wrong,) = [row for row in rows if not row.right]
    assert '[tool.mlops.severity] "model.leakage" = "warn" lets it through' in wrong.sentence


def test_a_floor_that_anything_passes_is_reported_with_its_line(project):
    rows = selftest(project.workspace, material=material(project, floor=0.0), deepchecks=None, gates=["model"])
    (wrong,) = [row for row in rows if not row.right]
    assert "[tool.mlops.models.risk] floor = 0.0 lets the fault through" in wrong.sentence


@pytest.mark.parametrize(
    ("settings", "gate", "words"),
    [
        ({"package": Packaging(tolerance=0.5)}, "package", "[tool.mlops.package] tolerance = 0.5"),
        ({"load": Load(p99_ms=60_000.0)}, "service", "[tool.mlops.load] p99_ms = 60000"),
    ],
)
def test_a_limit_that_anything_meets_is_reported_with_its_line(tmp_path, settings, gate, words):
    project = ModelProject(tmp_path / "project", **settings)
    rows = selftest(
        project.workspace, material=material(project, packaged=gate == "service"), deepchecks=None, gates=[gate]
    )
    wrong = [row for row in rows if not row.right]
    assert wrong
    assert all(words in row.sentence for row in wrong)


def test_one_gate_can_be_asked_for(project):
    rows = selftest(project.workspace, material=material(project), deepchecks=None, gates=["data"])
    assert {row.gate for row in rows} == {"data"}


def test_an_unknown_gate_is_an_error_and_no_case_is_no_pass(project):
    given = material(project, rows=400)
    with pytest.raises(UsageError, match="modle"):
        selftest(project.workspace, material=given, deepchecks=None, gates=["modle"])
    with pytest.raises(NothingToDo):
        selftest(project.workspace, material=given, deepchecks=None, gates=["integrity"])
