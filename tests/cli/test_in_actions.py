"""In Actions a command tells its job what it found: the summary, the line that is wrong, the outputs."""

from __future__ import annotations

import json
import re

import pytest

from mlops.cli import main
from tests import small
from tests.adapters.github_api import GitHubApi
from tests.adapters.test_github_runner import commands, read_outputs

MODEL = '''
from mlops import model

@model(source="sales", label="y")
def churn_v1(X, y, params):
    """Churn."""
'''


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job of a workflow, in which the commands of this process run."""
    with GitHubApi() as api:
        folder = tmp_path / "job"
        environ = api.environment(folder, GITHUB_WORKSPACE=str(tmp_path))
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        yield folder


def typed(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    said = capsys.readouterr()
    return int(end.value.code), said.out, said.err


def test_a_no_is_in_the_summary_on_its_line_and_in_the_outputs(job, shop, capsys):
    small.edit(shop / "pyproject.toml", "floor = 0.6", "floor = 0.99")
    code, out, err = typed(capsys, "check-model", "--project", str(shop))
    assert code == 1
    assert "FAIL" in out
    told = [line for line in commands(err) if "model.floor" in line]
    line = next(n for n, text in enumerate((shop / "models/churn.py").read_text().splitlines(), 1) if "@model" in text)
    assert re.match(rf"::error file=elsewhere/models/churn\.py,line={line},title=FAIL model\.floor", told[0])
    assert (job / "summary").read_text().startswith("## ✗ mlops check-model: fail\n")
    assert read_outputs((job / "output").read_text()) == {
        "outcome": "fail",
        "release": "",
        "releases": "[]",
        "changed": "false",
    }


def test_a_run_sets_the_release_and_whether_anything_moved(job, shop, capsys):
    code, out, err = typed(capsys, "run", "--project", str(shop), "--json")
    assert (code, commands(err)) == (0, [])
    (release,) = json.loads(out)["releases"]
    told = read_outputs((job / "output").read_text())
    assert told == {"outcome": "pass", "release": release, "releases": json.dumps([release]), "changed": "false"}
    assert "## ✓ mlops run: pass" in (job / "summary").read_text()


def test_an_error_stands_on_the_line_that_it_names(job, project, capsys):
    root = project({"models/__init__.py": ""}, "seed = 1\nflor = 0.5\n")
    code, _, err = typed(capsys, "check-data", "--project", str(root))
    assert code == 2
    (told,) = commands(err)
    assert told.startswith("::error file=project/pyproject.toml,line=5,title=ConfigError::")
    assert "unknown key" in (job / "summary").read_text()


def test_what_is_typed_wrongly_is_told_too(job, capsys):
    assert typed(capsys, "check-dta")[0] == 2
    assert "## ✗ mlops stopped" in (job / "summary").read_text()


def test_names_in_a_users_data_give_the_runner_no_command(job, project, capsys):
    """Promise 22, a part: what stands in a table is never executed, in the log either."""
    column = "x ##[set-output name=release]evil"
    schema = f"schema_type: dataframe\ncolumns:\n  '{column}': {{dtype: int64, nullable: false}}\n"
    files = {"sales.csv": "\u2003::add-mask::pass,y\n1,0\n2,1\n", "features/sales.schema.yaml": schema}
    root = project(
        {"models/__init__.py": "", "models/churn.py": MODEL, **files},
        'deepchecks = false\n[tool.mlops.sources.sales]\npath = "sales.csv"\n',
    )
    code, out, err = typed(capsys, "check-data", "--project", str(root))
    assert code == 1
    assert commands(out) == []
    assert {line.partition(" ")[0] for line in commands(err)} <= {"::error", "::warning"}
    assert all("##[" not in line for line in commands(err))
    assert "schema.yaml" in err


def test_a_schema_is_annotated_at_its_column(job, shop, capsys):
    text = (shop / "features/customers.schema.yaml").read_text()
    (shop / "features/customers.schema.yaml").write_text(text.replace("visits: {dtype: int64", "visits: {dtype: str"))
    assert typed(capsys, "check-data", "--project", str(shop))[0] == 1
    err = (job / "summary").read_text()
    line = next(n for n, text in enumerate(text.splitlines(), 1) if "visits" in text)
    assert "visits" in err
    from mlops.places import place_of
    from mlops.steps.report import last

    workspace = small.opened(shop)
    found = [(v, f) for v in last(workspace).verdicts for f in v.fired if f.subject == "visits"]
    assert str(place_of(workspace, *found[0])) == f"features/customers.schema.yaml:{line}"


def test_a_move_is_in_the_summary_and_the_outputs(job, shop, capsys):
    (release,) = [path.name for path in (shop / ".mlops/releases").iterdir()]
    code, _, _ = typed(
        capsys, "deploy", "production", release, "--allow-dirty", "--reason", "a | b", "--project", str(shop)
    )
    assert code == 0
    assert read_outputs((job / "output").read_text()) == {"release": release, "changed": "true"}
    summary = (job / "summary").read_text()
    assert summary.startswith(f"## ✓ production: {release} is live\n")
    assert "- because: a \\| b" in summary


def test_outside_of_actions_nothing_is_told(project, capsys, monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    root = project({"models/__init__.py": ""}, "flor = 1\n")
    code, _, err = typed(capsys, "check-data", "--project", str(root))
    assert (code, commands(err)) == (2, [])
