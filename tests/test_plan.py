"""What a change affects, in real git repositories."""

from __future__ import annotations

import json
import subprocess

import pytest

from mlops.adapters import git
from mlops.plan import Trees, affected, everything
from mlops.workspace import open_workspace
from tests import small

FEATURES = """
from mlops import feature_view


def tidy(events):
    return events


@feature_view(source="events", entity="customer", timestamp="at")
def spend_v1(events):
    return tidy(events)


@feature_view(source="events", entity="customer", timestamp="at")
def visits_v1(events):
    return events
"""
MODELS = """
from mlops import model
from features.shop import spend_v1, visits_v1


@model(source="orders", label="left", features=[spend_v1], timestamp="at")
def churn_v1(X, y, params):
    return None


@model(source="orders", label="left", features=[visits_v1], timestamp="at")
def growth_v1(X, y, params):
    return None


@model(source="made", label="left")
def plain_v1(X, y, params):
    return None
"""
SETTINGS = """
[project]
name = "shop"
[tool.mlops.sources.orders]
path = "data/orders.csv"
[tool.mlops.sources.events]
path = "data/events/*.csv"
[tool.mlops.sources.made]
function = "features.maker:rows"
"""
AS_ANN = ("-c", "user.name=ann", "-c", "user.email=ann@example.com")


@pytest.fixture
def repository(tmp_path):
    root = small.write(
        tmp_path / "shop",
        {
            "pyproject.toml": SETTINGS,
            "features/__init__.py": "",
            "features/shop.py": FEATURES,
            "features/maker.py": "def rows():\n    return 1\n",
            "models/__init__.py": "",
            "models/churn.py": MODELS,
            "data/orders.csv": "a\n1\n",
            "data/events/one.csv": "a\n1\n",
            "README.md": "hello\n",
        },
    )
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        [*AS_ANN, "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    return root


def planned(root):
    workspace = open_workspace(root)
    changed = git.changed_files(workspace.root, "main")
    with git.tree_of(workspace.root, "main") as base_root:
        trees = Trees(root=workspace.root, base_root=base_root, base="main", changed=changed)
        return affected(workspace.catalog, workspace.config, trees)


def test_nothing_changed_affects_nothing(repository):
    plan = planned(repository)
    assert (plan.models, plan.views) == ({}, {})
    assert plan.untouched == ("churn_v1", "growth_v1", "plain_v1")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("features/shop.py", "def tidy", "# a remark\n\ndef tidy"),
        ("features/shop.py", "    return tidy(events)", '    """All that was spent."""\n    return tidy( events )'),
        ("models/churn.py", "def churn_v1(X, y, params)", "def churn_v1(X,  y,  params)"),
        ("README.md", "hello", "good morning"),
    ],
    ids=["comment", "docstring", "layout", "readme"],
)
def test_a_comment_affects_nothing(repository, file, old, new):
    small.edit(repository / file, old, new)
    assert planned(repository).models == {}


def test_a_change_of_one_view_affects_only_the_models_that_read_it(repository):
    """Promise 29, a part."""
    small.edit(
        repository / "features/shop.py",
        "def tidy(events):\n    return events",
        "def tidy(events):\n    return events * 2",
    )
    plan = planned(repository)
    assert set(plan.views) == {"spend_v1"}
    assert plan.models == {"churn_v1": "changed: spend_v1"}
    assert plan.untouched == ("growth_v1", "plain_v1")


def test_a_helper_that_moved_or_is_gone_affects_who_called_it(repository):
    text = (repository / "features/shop.py").read_text()
    small.write(repository, {"features/tidying.py": "def tidy(events):\n    return events\n"})
    (repository / "features/shop.py").write_text(
        text.replace("def tidy(events):\n    return events\n", "from features.tidying import tidy\n")
    )
    subprocess.run(["git", "-C", str(repository), "add", "-A"], check=True)
    subprocess.run(["git", "-C", str(repository), *AS_ANN, "commit", "-qm", "moved"], check=True)
    assert planned(repository).models == {}
    (repository / "features/tidying.py").rename(repository / "features/tidied.py")
    small.edit(repository / "features/shop.py", "features.tidying", "features.tidied")
    assert set(planned(repository).models) == {"churn_v1"}


def test_a_new_file_that_takes_the_place_of_another_affects_who_reads_it(repository):
    small.write(repository, {"features/maker/__init__.py": "def rows():\n    return 2\n"})
    (repository / "features/maker.py").unlink()
    assert set(planned(repository).models) == {"plain_v1"}


def test_a_change_of_a_model_affects_it_alone(repository):
    small.edit(
        repository / "models/churn.py",
        "def growth_v1(X, y, params):\n    return None",
        "def growth_v1(X, y, params):\n    return X",
    )
    assert set(planned(repository).models) == {"growth_v1"}


@pytest.mark.parametrize(
    ("added", "models"),
    [
        ("[tool.ruff]\nline-length = 100\n", {}),
        ('[tool.mlops]\nname = "other"\n', {}),
        ("[tool.mlops.environments.staging]\nport = 3100\n", {}),
        ("[tool.mlops.models.plain]\nmargin = 0.01\n", {}),
        (
            "[tool.mlops.models.churn]\nfloor = 0.5\nmargin = 0.02\n",
            {"churn_v1": "changed: [tool.mlops.models.churn] floor, margin"},
        ),
        ("[tool.mlops.models.churn_v1]\nfloor = 0.5\n", {"churn_v1": "changed: [tool.mlops.models.churn_v1] floor"}),
        ("[tool.mlops.models.churn_v2]\nfloor = 0.5\n", {}),
        ('[tool.mlops.sources.unread]\npath = "u.csv"\n', {}),
        ("[tool.pytest.ini_options]\nxfail_strict = true\n", "tool.pytest in pyproject.toml"),
        ("[tool.mlops]\nseed = 7\n", "[tool.mlops] seed"),
        ('[tool.mlops.severity]\n"schema.range" = "warn"\n', "[tool.mlops] severity"),
        ("[tool.mlops.load]\nqps = 1\n", "[tool.mlops] load"),
    ],
)
def test_a_setting_affects_whom_it_concerns(repository, added, models):
    with (repository / "pyproject.toml").open("a") as file:
        file.write(added)
    if isinstance(models, str):
        models = dict.fromkeys(("churn_v1", "growth_v1", "plain_v1"), f"changed: {models}")
    assert planned(repository).models == models


def test_a_source_s_settings_affect_who_reads_it(repository):
    small.edit(repository / "pyproject.toml", 'path = "data/orders.csv"', 'path = "data/orders.csv"\nmax_age = "1d"')
    reason = "changed: [tool.mlops.sources.orders] max_age"
    assert planned(repository).models == {"churn_v1": reason, "growth_v1": reason}


def test_a_dependency_affects_every_model(repository):
    small.edit(repository / "pyproject.toml", 'name = "shop"', 'name = "shop"\ndependencies = ["numpy>=2"]')
    assert planned(repository).models.keys() == {"churn_v1", "growth_v1", "plain_v1"}


def test_settings_that_could_not_be_read_before_affect_every_model(repository):
    text = (repository / "pyproject.toml").read_text()
    (repository / "pyproject.toml").write_text(text + "[tool.mlops.odd]\n")
    subprocess.run(["git", "-C", str(repository), *AS_ANN, "commit", "-qam", "odd"], check=True)
    (repository / "pyproject.toml").write_text(text)
    assert planned(repository).models == dict.fromkeys(("churn_v1", "growth_v1", "plain_v1"), "changed: pyproject.toml")


@pytest.mark.parametrize(
    ("file", "models"),
    [
        ("requirements.lock", {"churn_v1", "growth_v1", "plain_v1"}),
        ("uv.lock", {"churn_v1", "growth_v1", "plain_v1"}),
        ("tests/features/test_shop.py", {"churn_v1", "growth_v1", "plain_v1"}),
        ("tests/model/test_shop.py", {"churn_v1", "growth_v1", "plain_v1"}),
        ("tests/conftest.py", {"churn_v1", "growth_v1", "plain_v1"}),
        ("tests/other/test_site.py", set()),
        ("reviews/labels-churn_v1.csv", {"churn_v1"}),
        ("models/churn.retrain.toml", {"churn_v1"}),
        (".github/workflows/main.yml", set()),
    ],
)
def test_other_files_affect_whom_they_concern(repository, file, models):
    small.write(repository, {file: "x\n"})
    assert planned(repository).models.keys() == models


def test_the_newest_affected_version_of_a_family_is_what_runs(repository):
    with (repository / "models/churn.py").open("a") as file:
        file.write('\n\n@model(source="made", label="left")\ndef plain_v10(X, y, params):\n    return None\n')
    small.edit(repository / "features/maker.py", "return 1", "return 2")
    plan = planned(repository)
    assert set(plan.models) == {"plain_v1", "plain_v10"}
    assert plan.needed == ("plain_v10",)
    assert everything(open_workspace(repository).catalog, "asked for", ("plain_v1", "churn")).needed == (
        "plain_v1",
        "churn_v1",
    )


@pytest.mark.parametrize(
    ("file", "models"),
    [
        ("data/orders.csv", {"churn_v1", "growth_v1"}),
        ("data/events/two.csv", {"churn_v1", "growth_v1"}),
        ("features/events.schema.yaml", {"churn_v1", "growth_v1"}),
        ("features/made.schema.yaml", {"plain_v1"}),
        ("data/others.csv", set()),
    ],
)
def test_a_change_of_the_data_affects_who_reads_it(repository, file, models):
    (repository / file).write_text("a\n2\n")
    assert set(planned(repository).models) == models


def test_a_change_of_the_function_that_makes_a_source_affects_who_reads_it(repository):
    small.edit(repository / "features/maker.py", "return 1", "return 2")
    assert planned(repository).models == {"plain_v1": "changed: features.maker:rows"}


def test_a_new_model_needs_work(repository):
    with (repository / "models/churn.py").open("a") as file:
        file.write('\n\n@model(source="made", label="left")\ndef plain_v2(X, y, params):\n    return None\n')
    assert set(planned(repository).models) == {"plain_v2"}


def test_the_command_tells_the_plan_in_json(repository):
    small.edit(repository / "features/shop.py", "return tidy(events)", "return tidy(tidy(events))")
    done = small.mlops(repository, "plan", "--base", "main", "--json")
    whole = json.loads(done.stdout)
    assert whole["models"] == {"churn_v1": "changed: spend_v1"}
    assert whole["sentence"] == "1 of 3 models need work since main."


def test_an_unknown_base_is_a_usage_error_with_a_next_step(repository):
    done = small.mlops(repository, "plan", "--base", "mian")
    assert done.returncode == 2
    assert "'mian'" in done.stderr
    assert "next: name a commit or branch" in done.stderr
