from __future__ import annotations

from pathlib import Path

import pytest

from mlops.adapters import aggregates, schema_files
from mlops.errors import ConfigError, UsageError
from mlops.gates import schema as gate
from mlops.steps.schema import place, schema
from tests.steps.projects import ModelProject, mixed


@pytest.fixture
def project(tmp_path: Path) -> ModelProject:
    return ModelProject(tmp_path / "project")


def columns(path: Path) -> dict:
    return schema_files.read(path)["columns"]


def test_the_first_schema_is_written_where_the_configuration_says(project):
    written = schema(project.workspace, source="table", frame=mixed())
    assert written.path == project.root / "features" / "table.schema.yaml"
    assert written.diff.startswith("--- before")
    assert set(columns(written.path)) == set(mixed())


def test_a_schema_that_is_there_is_not_overwritten_by_accident(project):
    schema(project.workspace, source="table", frame=mixed())
    with pytest.raises(UsageError) as error:
        schema(project.workspace, source="table", frame=mixed())
    assert "--update" in error.value.next_step


def test_an_update_on_the_same_data_changes_nothing(project):
    path = schema(project.workspace, source="table", frame=mixed()).path
    before = path.read_bytes()
    assert schema(project.workspace, source="table", frame=mixed(), update=True).diff == ""
    assert path.read_bytes() == before


def test_an_update_leaves_the_text_alone_where_only_comments_or_spaces_differ(project):
    path = schema(project.workspace, source="table", frame=mixed()).path
    ours = (
        "# our own words\n"
        + path.read_text().partition("schema_type")[1]
        + path.read_text().partition("schema_type")[2]
    )
    path.write_text(ours)
    assert schema(project.workspace, source="table", frame=mixed(500), update=True).diff == ""
    assert path.read_text() == ours


def test_an_update_keeps_what_people_added_and_drops_what_no_longer_holds(project):
    path = schema(project.workspace, source="table", frame=mixed()).path
    added = "  constraints: [count <= amount + 1000, amount < 0]\n"
    text = path.read_text().replace("isin: [Bonn, Köln, Ulm]", "str_length: {max_value: 9}\n      isin: [Bonn, Köln]")
    path.write_text(text.replace("metadata:\n", f"metadata:\n{added}"))
    schema(project.workspace, source="table", frame=mixed(), update=True)
    after = schema_files.read(path)
    assert after["metadata"]["constraints"] == ["count <= amount + 1000"]
    assert after["columns"]["city"]["checks"] == {"str_length": {"max_value": 9}, "isin": ["Bonn", "Köln", "Ulm"]}


def test_a_schema_from_before_there_were_scales_gets_them(project):
    path = schema(project.workspace, source="table", frame=mixed()).path
    lines = path.read_text().splitlines(keepends=True)
    start = next(k for k, line in enumerate(lines) if line.startswith("  scales:"))
    end = next(k for k, line in enumerate(lines[start + 1 :], start + 1) if not line.startswith("    "))
    path.write_text("".join(lines[:start] + lines[end:]))
    assert "scales" not in schema_files.read(path)["metadata"]
    schema(project.workspace, source="table", frame=mixed(), update=True)
    assert set(schema_files.read(path)["metadata"]["scales"]) == {"amount"}


def test_an_update_changes_only_what_the_data_breaks(project):
    path = schema(project.workspace, source="table", frame=mixed()).path
    path.write_text(path.read_text().replace("isin: [Bonn, Köln, Ulm]", "isin: [Bonn, Köln, Ulm, Trier]"))
    later = mixed().assign(new=1.5)
    later["amount"] *= 1000
    schema(project.workspace, source="table", frame=later, update=True)
    after = columns(path)
    assert after["city"]["checks"]["isin"] == ["Bonn", "Köln", "Ulm", "Trier"]
    assert after["amount"]["checks"]["in_range"]["max_value"] > 100_000
    assert "new" in after


def test_after_an_update_the_data_passes(project):
    schema(project.workspace, source="table", frame=mixed())
    later = mixed().drop(columns="count").assign(new="a", y=None)
    later["city"] = later["city"].where(later["city"] != "Ulm", "Trier")
    path = schema(project.workspace, source="table", frame=later, update=True).path
    with aggregates.of_frame(later) as table:
        found = gate.judge(gate.parse(schema_files.read(path)), table, source="table")
    assert [f for f in found if f.fired] == []


def test_a_source_that_nobody_declared_is_an_error_with_the_nearest_name(project):
    with pytest.raises(ConfigError) as error:
        place(project.workspace, "tabel")
    assert "table" in error.value.next_step


def test_a_schema_that_cannot_be_read_is_not_updated(project):
    path = schema(project.workspace, source="table", frame=mixed()).path
    path.write_text("columns: [")
    with pytest.raises(ConfigError):
        schema(project.workspace, source="table", frame=mixed(), update=True)
