"""`mlops init` writes a project that runs at once, or nothing and a sentence that says why."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops.discover import discover
from mlops.errors import GateFailed, MlopsError, NothingToDo, UsageError
from mlops.pyproject import load
from mlops.steps.init import init

ROWS = 300


def customers(**more) -> pd.DataFrame:
    random = np.random.default_rng(5)
    spend = random.gamma(2.0, 30.0, ROWS).round(2)
    plan = random.choice(["basic", "plus", "pro"], ROWS)
    left = np.where(spend + 20 * (plan == "pro") + random.normal(0, 20, ROWS) < 50, "yes", "no")
    return pd.DataFrame(
        {
            "customer_id": np.arange(ROWS) + 1000,
            "since": pd.date_range("2022-01-05", periods=ROWS).strftime("%m/%d/%Y"),
            "spend": pd.Series(spend).mask(random.random(ROWS) < 0.1),
            "plan": plan,
            "town": [f"town {i % 50}" for i in range(ROWS)],
            "country": "DE",
            "left": left,
            **more,
        }
    )


def table(folder: Path, frame: pd.DataFrame | None = None, name: str = "customers.csv", **how) -> str:
    (customers() if frame is None else frame).to_csv(folder / name, index=False, **how)
    return str(folder / name)


def refused(kind: type[MlopsError], folder: Path, *, data: str, label: str = "left", **more) -> str:
    before = sorted(p.name for p in folder.parent.iterdir())
    with pytest.raises(kind) as caught:
        init(folder, data=data, label=label, **more)
    assert sorted(p.name for p in folder.parent.iterdir()) == before, "something half-done was left behind"
    assert caught.value.next_step
    return str(caught.value)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    base = tmp_path_factory.mktemp("init")
    data = table(base, sep=";", decimal=",", encoding="cp1252")
    return init(base / "churn", data=data, label="left", timestamp="since", settings={"decimal": ","})


class TestWhatIsWritten:
    def test_it_holds_all_that_a_project_needs(self, project):
        assert set(project.files) == {
            *(".gitignore", "README.md", "bentofile.yaml", "pyproject.toml"),
            *("features/__init__.py", "features/customers.py", "features/customers.schema.yaml"),
            *("models/__init__.py", "models/churn.py"),
            *("tests/features/test_customers.py", "tests/models/test_churn.py"),
            *(".actrc", ".github/CODEOWNERS", ".github/dependabot.yml", ".github/zizmor.yml"),
            *(f".github/workflows/{name}.yml" for name in ("pull-request", "main", "rollback", "monitor", "retrain")),
        }
        assert all((project.folder / name).stat().st_mode & 0o444 for name in project.files)

    def test_its_configuration_and_declarations_load(self, project):
        config = load(project.folder)
        source = config.sources["customers"]
        assert source.timestamps == {"since": "%m/%d/%Y"}
        assert source.decimal == ","
        model = discover(project.folder, config).models["churn_v1"]
        assert (model.label, model.timestamp, model.task, model.metric) == ("left", "since", "binary", "roc_auc")
        assert model.ignore == ("customer_id", "country")
        assert 0.5 < config.settings("churn", "churn_v1").floor == project.floor < 1.0

    def test_its_comments_say_why(self, project):
        code = (project.folder / "models/churn.py").read_text()
        assert '"customer_id",  # counts or names the rows' in code
        assert '"country",  # is always DE' in code
        assert "halfway between a guess (0.5)" in " ".join(
            (project.folder / "pyproject.toml").read_text().replace("#", "").split()
        )

    def test_its_tests_pass_and_fail_with_the_model(self, project):
        def run() -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
            return subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=False)

        assert run().returncode == 0, run().stdout
        module = project.folder / "models/churn.py"
        whole = module.read_text()
        for broken in (
            whole.replace('handle_unknown="ignore"', 'handle_unknown="error"'),
            whole.replace('remainder="passthrough"', 'remainder="drop"').replace("CATEGORIES),", "[]),"),
            whole.replace("ignore=[", 'ignore=[\n        "nosuch",'),
        ):
            assert broken != whole
            module.write_text(broken)
            assert run().returncode == 1
        module.write_text(whole)

    def test_its_code_is_tidy(self, project):
        ruff = [sys.executable, "-m", "ruff"]
        for command in ([*ruff, "format", "--check", "."], [*ruff, "check", "--select", "E,F,I,B,UP,RUF", "."]):
            done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout

    def test_its_notes_tell_what_was_found(self, project):
        notes = "\n".join(project.notes)
        assert "'no' and 'yes'" in notes
        assert "customer_id is not read: it counts or names the rows" in notes


class TestGitHub:
    def test_owners_are_named_or_left_to_fill_in(self, project, tmp_path):
        assert "\n# /features/ @acme/data-science\n" in (project.folder / ".github/CODEOWNERS").read_text()
        init(tmp_path / "churn", data=table(tmp_path), label="left", owner="@acme/ml")
        owned = (tmp_path / "churn/.github/CODEOWNERS").read_text()
        for place in ("/features/", "/models/*.py", "/tests/", "/reviews/", "/pyproject.toml", "/.github/"):
            assert f"\n{place} @acme/ml\n" in owned
        assert "`pipeline / verdict`" in (tmp_path / "churn/README.md").read_text()

    @pytest.mark.parametrize("owner", ["nobody", "@a\n* @mallory", "@a @b", "", "@"])
    def test_an_owner_that_github_cannot_ask_is_refused(self, tmp_path, owner):
        assert "--owner" in refused(UsageError, tmp_path / "churn", data=table(tmp_path), owner=owner)

    def test_workflows_of_one_s_own_stay(self, tmp_path):
        data = table(tmp_path)
        (tmp_path / "churn/.github/workflows").mkdir(parents=True)
        (tmp_path / "churn/.github/workflows/main.yml").write_text("mine")
        started = init(tmp_path / "churn", data=data, label="left")
        assert (tmp_path / "churn/.github/workflows/main.yml").read_text() == "mine"
        assert not (tmp_path / "churn/.github/CODEOWNERS").exists()
        assert any(".github is there already" in note for note in started.notes)

    def test_without_github_nothing_of_it_is_written(self, tmp_path):
        started = init(tmp_path / "churn", data=table(tmp_path), label="left", github=False)
        assert not [name for name in started.files if name.startswith((".github", ".actrc"))]
        assert "GitHub" not in (tmp_path / "churn/README.md").read_text()

    def test_a_table_that_runners_cannot_read_is_told(self, project, tmp_path):
        assert any("runners cannot read the table" in note for note in project.notes)
        (tmp_path / "churn/data").mkdir(parents=True)
        inside = init(tmp_path / "churn", data=table(tmp_path / "churn/data"), label="left")
        assert not any("runners" in note for note in inside.notes)

    def test_workflows_call_the_version_that_wrote_them(self, project):
        from mlops import __version__

        for name in ("pull-request", "main", "rollback", "monitor", "retrain"):
            text = (project.folder / f".github/workflows/{name}.yml").read_text()
            assert "mlops-ci/mlops/.github/workflows/" in text
            assert set(re.findall(r"mlops-ci/mlops/\S+@(\S+)", text)) == {f"v{__version__}"}


class TestPaths:
    def test_a_relative_path_holds_from_the_project(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        table(tmp_path)
        init(Path("deep/churn"), data="customers.csv", label="left")
        document = tomllib.loads((tmp_path / "deep/churn/pyproject.toml").read_text())
        assert document["tool"]["mlops"]["sources"]["customers"]["path"] == "../../customers.csv"

    def test_an_absolute_path_stays(self, tmp_path):
        data = table(tmp_path)
        init(tmp_path / "churn", data=data, label="left")
        assert load(tmp_path / "churn").sources["customers"].path == data

    def test_a_fresh_repository_with_the_table_in_it_is_welcome(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / ".git").mkdir()
        (tmp_path / "data").mkdir()
        table(tmp_path / "data")
        started = init(Path(), data="data/customers.csv", label="left", name="Churn-2024!")
        assert started.model == "churn_v1"
        assert load(tmp_path).sources["customers"].path == "data/customers.csv"
        assert not list(tmp_path.glob(".init.*"))

    def test_a_folder_in_use_is_refused_by_what_lies_there(self, tmp_path):
        data = table(tmp_path)
        (tmp_path / "churn").mkdir()
        (tmp_path / "churn/README.md").write_text("mine")
        assert "README.md" in refused(UsageError, tmp_path / "churn", data=data)
        assert (tmp_path / "churn/README.md").read_text() == "mine"

    def test_a_file_is_no_folder(self, tmp_path):
        data = table(tmp_path)
        assert "is a file" in refused(UsageError, Path(data), data=data)

    def test_a_failure_in_a_folder_with_a_repository_leaves_it_as_it_was(self, tmp_path):
        data = table(tmp_path)
        (tmp_path / "churn/.git").mkdir(parents=True)
        refused(UsageError, tmp_path / "churn", data=data, label="lefft")
        assert [p.name for p in (tmp_path / "churn").iterdir()] == [".git"]


class TestBadInput:
    """Each is refused with a sentence, and nothing is written."""

    @pytest.mark.parametrize(
        ("kind", "more", "said"),
        [
            (UsageError, {"label": "lefft"}, "did you mean 'left'?"),
            (GateFailed, {"label": "country"}, "always DE"),
            (UsageError, {"timestamp": "sinse"}, "did you mean 'since'?"),
            (GateFailed, {"timestamp": "plan"}, "customers.csv:2: plan ="),
            (UsageError, {"ignore": ["plann"]}, "did you mean 'plan'?"),
            (UsageError, {"task": "regression"}, "leave --task out"),
            (UsageError, {"label": "spend", "task": "binary"}, "no binary task"),
            (UsageError, {"settings": {"encoding": 7}}, "a setting of the source is wrong"),
        ],
    )
    def test_a_wish_that_cannot_be_met(self, tmp_path, kind, more, said):
        assert said in refused(kind, tmp_path / "churn", data=table(tmp_path), **more)

    def test_a_label_without_values(self, tmp_path):
        data = table(tmp_path, customers(empty=np.nan))
        assert "no value at all" in refused(GateFailed, tmp_path / "churn", data=data, label="empty")

    def test_a_table_with_nothing_to_learn_from(self, tmp_path):
        data = table(tmp_path, customers()[["customer_id", "country", "left"]])
        assert "customer_id counts or names the rows" in refused(GateFailed, tmp_path / "churn", data=data)

    def test_a_time_that_does_not_parse_names_line_value_and_form(self, tmp_path):
        frame = customers()
        frame.loc[200, "since"] = "soon"
        message = refused(GateFailed, tmp_path / "churn", data=table(tmp_path, frame), timestamp="since")
        assert "customers.csv:202: since = 'soon' is not a time; 99.7% of the values have the form %m/%d/%Y" in message

    def test_unsound_files(self, tmp_path):
        assert "did you mean 'customers.csv'" in refused(
            MlopsError, tmp_path / "churn", data=table(tmp_path).replace("customers", "customer")
        )
        (tmp_path / "ragged.csv").write_text("a,left\n1,2\n3\n")
        assert "ragged.csv:3" in refused(GateFailed, tmp_path / "churn", data=str(tmp_path / "ragged.csv"))
        (tmp_path / "empty.csv").write_text("a,left\n")
        refused(NothingToDo, tmp_path / "churn", data=str(tmp_path / "empty.csv"))


class TestTables:
    @pytest.mark.parametrize("name", ["wine", "breast_cancer", "diabetes"])
    def test_bundled_tables(self, tmp_path, name):
        from sklearn import datasets

        data = table(tmp_path, getattr(datasets, f"load_{name}")(as_frame=True).frame, f"{name}.csv")
        started = init(tmp_path / name, data=data, label="target")
        assert started.task == {"wine": "multiclass", "breast_cancer": "binary", "diabetes": "regression"}[name]
        assert load(tmp_path / name).models[name].floor == started.floor

    def test_odd_names_of_columns_are_written_right(self, tmp_path):
        odd = 'a "quoted" \\ $name'
        data = table(tmp_path, customers(**{odd: np.random.default_rng(0).normal(size=ROWS)}))
        started = init(tmp_path / "churn", data=data, label="left", ignore=[odd])
        assert odd in discover(started.folder, load(started.folder)).models["churn_v1"].ignore
