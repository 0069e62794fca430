from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops.release import Manifest
from mlops.steps.check_data import check_source, check_table
from mlops.steps.schema import place, schema
from mlops.verdict import Finding, Outcome, Record, Verdict
from tests.steps.honest import SHARED, TABLES
from tests.steps.projects import ModelProject, mixed


@pytest.fixture
def project(tmp_path: Path) -> ModelProject:
    return ModelProject(tmp_path / "project")


def snapshot(project: ModelProject, frame: pd.DataFrame) -> Record:
    return Record(step="snapshot", subject="table", outputs={"data": project.workspace.put_frame(frame)})


def source(project: ModelProject, frame: pd.DataFrame, deepchecks=None, declaration: str = "label='y'") -> Verdict:
    if not place(project.workspace, "table").exists():
        schema(project.workspace, source="table", frame=frame)
    model = project.declare("...", declaration)
    taken = snapshot(project, frame)
    record = check_source(project.workspace, source="table", snapshot=taken, models=[model], deepchecks=deepchecks)
    assert record.verdict is not None
    return record.verdict


def fired(verdict: Verdict) -> dict[str, Finding]:
    return {finding.check: finding for finding in verdict.fired}


def test_a_sound_source_passes_and_deepchecks_ran(project, deepchecks):
    verdict = source(project, mixed(), deepchecks)
    assert verdict.outcome is Outcome.PASS, verdict.fired
    ran = [f.check for f in verdict.findings if f.check.startswith("deepchecks.") and f.outcome is Outcome.PASS]
    assert len(ran) >= 8


def test_without_a_schema_the_source_fails_with_the_command_to_write_one(project):
    model = project.declare("...")
    record = check_source(
        project.workspace, source="table", snapshot=snapshot(project, mixed()), models=[model], deepchecks=None
    )
    assert not record.verdict.accepted
    assert "mlops schema table" in fired(record.verdict)["schema.file"].next_step


def test_skew_stops_and_integrity_is_skipped_with_that_reason(project, deepchecks):
    source(project, mixed())
    verdict = source(project, mixed().drop(columns="amount"), deepchecks)
    assert set(fired(verdict)) == {"schema.column"}
    skipped = [f for f in verdict.findings if f.check.startswith("deepchecks.")]
    assert {f.outcome for f in skipped} == {Outcome.SKIPPED}
    assert "schema" in skipped[0].message


def test_a_finding_names_file_and_line_where_the_committed_value_stands(project):
    source(project, mixed())
    later = mixed()
    later.loc[3, "amount"] = 1e9
    found = fired(source(project, later))["schema.range"]
    place_ = next(p for p in found.next_step.replace(",", " ").split() if p.startswith("features/"))
    file, line = place_.split(":")
    assert "in_range" in (project.root / file).read_text().splitlines()[int(line) - 1]


def test_the_integrity_sample_is_drawn_from_all_rows_and_says_of_how_many(project, deepchecks):
    verdict = source(project, mixed(30_000), deepchecks)
    one = next(f for f in verdict.findings if f.check == "deepchecks.integrity.DataDuplicates")
    assert 18_000 < one.n < 22_000
    assert "30,000" in one.message


def test_checks_that_are_switched_off_are_said_to_be(project):
    verdict = source(project, mixed())
    assert any("deepchecks = false" in f.message for f in verdict.findings if f.outcome is Outcome.SKIPPED)


@pytest.mark.parametrize("label", [1, None])
def test_a_label_that_cannot_teach_fails(project, label):
    assert "data.label" in fired(source(project, mixed().assign(y=label)))


def test_a_constraint_that_only_pandera_knows_is_checked_by_it(project):
    source(project, mixed())
    path = place(project.workspace, "table")
    path.write_text(path.read_text().replace("isin: [Bonn, Köln, Ulm]", "str_length: {min_value: 0, max_value: 3}"))
    found = fired(source(project, mixed()))["schema.constraint"]
    assert found.subject == "city"
    assert "str_length" in found.message


def test_a_schema_file_that_is_broken_fails(project):
    source(project, mixed())
    place(project.workspace, "table").write_text("columns: [")
    assert "is not a schema" in fired(source(project, mixed()))["schema.file"].message


def test_a_severity_of_the_configuration_is_heeded(tmp_path):
    project = ModelProject(tmp_path / "project", severity={"schema.unexpected": "warn"})
    source(project, mixed())
    verdict = source(project, mixed().assign(new=1))
    assert verdict.accepted
    assert [f.check for f in verdict.fired] == ["schema.unexpected"]


# -- a model's table -------------------------------------------------------------------------------------------


def table(project: ModelProject, frame: pd.DataFrame, declaration: str, deepchecks=None, champion=None) -> Verdict:
    model = project.declare("...", declaration)
    assembled = project.assemble(model, frame)
    record = check_table(project.workspace, model=model, assembled=assembled, champion=champion, deepchecks=deepchecks)
    assert record.facts["champion"] == (champion.release if champion else "")
    assert record.verdict is not None
    return record.verdict


def champion(project: ModelProject, training: pd.DataFrame) -> Manifest:
    blank = {f.name: {} if "Mapping" in str(f.type) else "" for f in dataclasses.fields(Manifest)}
    values = {**blank, "release": "risk_v1-abc", "dirty": False, "training": project.workspace.put_frame(training)}
    return Manifest(**values)


def test_sides_of_one_table_pass(project, deepchecks):
    verdict = table(project, mixed(2_000), "label='y'", deepchecks)
    assert verdict.outcome is Outcome.PASS, verdict.fired


def test_a_first_release_skips_value_skew_with_that_reason(project):
    verdict = table(project, mixed(), "label='y'")
    [skew] = [f for f in verdict.findings if f.check == "data.value_skew"]
    assert skew.outcome is Outcome.SKIPPED
    assert "first release" in skew.message


def test_values_that_moved_since_the_champion_ask_for_a_retrain_and_do_not_stop(project):
    before = mixed(4_000)
    verdict = table(
        project, before.assign(amount=before["amount"] * 1.5), "label='y'", champion=champion(project, before)
    )
    assert verdict.accepted or verdict.outcome is Outcome.PASS
    assert verdict.retrain
    assert [f.subject for f in verdict.fired] == ["amount"]


def test_values_that_stayed_ask_for_nothing(project):
    verdict = table(project, mixed(4_000), "label='y'", champion=champion(project, mixed(4_000)))
    assert verdict.fired == ()
    assert verdict.outcome is Outcome.PASS


def test_a_champion_whose_training_data_is_elsewhere_is_a_skip_with_that_reason(project):
    gone = dataclasses.replace(champion(project, mixed()), training="0" * 64)
    verdict = table(project, mixed(), "label='y'", champion=gone)
    assert "not on this machine" in next(f.message for f in verdict.findings if f.check == "data.value_skew")


def test_a_label_that_turns_over_in_the_newest_rows_is_found(project, deepchecks):
    frame = mixed(2_000)
    frame["at"] = pd.date_range("2024-01-01", periods=len(frame), freq="h")
    frame["y"] = np.where(np.arange(2_000) < 1_600, (np.arange(2_000) % 10 == 0), (np.arange(2_000) % 10 != 0)).astype(
        int
    )
    verdict = table(project, frame, "label='y', timestamp='at'", deepchecks)
    assert "deepchecks.train_test.LabelDrift" in fired(verdict)


# -- odd tables ------------------------------------------------------------------------------------------------

_N = 300
_NAMES = (
    *("count", "index", "level_0", "_dc_index", "target", "label", "prediction", "predictions", "value", "values"),
    *("class", "size", "dataset", "name", "cluster", "score", "column", "feature", "key", "data", "columns", "0"),
    *("cumsum", "sum", "mean", "proba", "row", "train", "test", "hash", "ppscore", "temp", "x", "freq", "all"),
)
_ODD = {
    "one column of words": lambda r: {"w": r.choice(["a", "b", "c"], _N)},
    "one column of numbers": lambda r: {"n": r.normal(size=_N)},
    "truth values": lambda r: {"t": r.random(_N) < 0.5, "n": r.normal(size=_N)},
    "nearly all missing": lambda r: {"gone": np.where(np.arange(_N) < 297, np.nan, 1.0), "n": r.normal(size=_N)},
    "a word for each row": lambda r: {"w": [f"w{k:04d}" for k in range(_N)], "n": r.normal(size=_N)},
    "names that deepchecks uses itself": lambda r: {n: r.integers(0, 5, _N) for n in _NAMES},
    "wide": lambda r: {f"n{k}": r.normal(size=_N) for k in range(120)},
}


@pytest.mark.parametrize("name", _ODD)
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_every_check_runs_on_odd_tables(project, deepchecks, name, task):
    """PROMISES 2: a check that does not run stops, so none may stumble over an honest table."""
    random = np.random.default_rng(0)
    y = random.normal(size=_N)
    frame = pd.DataFrame(_ODD[name](random)).assign(y=(y > 0).astype(int) if task == "binary" else y)
    both = [source(project, frame, deepchecks), table(project, frame, "label='y'", deepchecks)]
    stumbled = [f.message for verdict in both for f in verdict.findings if f.outcome is Outcome.NOT_RUN]
    assert stumbled == []


# -- honest tables ---------------------------------------------------------------------------------------------


_BUNDLED = ("wine", "breast_cancer", "diabetes", "digits")


@pytest.mark.parametrize(
    "name", [name if name in _BUNDLED else pytest.param(name, marks=pytest.mark.acceptance) for name in TABLES]
)
def test_honest_tables_pass_both_parts(project, deepchecks, name):
    """The calibration of every severity and threshold of the data gate."""
    if name not in _BUNDLED and not SHARED.exists():
        pytest.skip("the real tables are not beside this repository")
    read, declaration = TABLES[name]
    frame = read()
    for verdict in (source(project, frame, deepchecks, declaration), table(project, frame, declaration, deepchecks)):
        assert verdict.outcome is Outcome.PASS, verdict.fired
