"""[tool.mlops] -> frozen Config: every mistake names file, line and the nearest right name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.errors import ConfigError
from mlops.pyproject import line_of, load


def written(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_a_whole_configuration_is_read_into_frozen_values(tmp_path):
    config = load(
        written(
            tmp_path,
            '[project]\nname = "shop"\n[tool.mlops]\nseed = 7\n'
            '[tool.mlops.sources.orders]\npath = "orders.csv"\ndelimiter = ";"\nmissing = [-200, "n/a"]\n'
            "[tool.mlops.models.churn]\nfloor = 0.7\nmargin = 0.02\n"
            "[tool.mlops.models.churn_v2]\nfloor = 0.8\n",
        )
    )
    assert config.name == "shop"
    assert config.seed == 7
    assert config.sources["orders"].missing == (-200, "n/a")
    assert config.settings("churn", "churn_v1").margin == 0.02
    assert config.settings("churn", "churn_v2").floor == 0.8
    assert config.settings("churn", "churn_v2").margin == 0.02, "what a version does not say, its family does"
    assert config.settings("other", "other_v1").floor is None
    with pytest.raises(AttributeError):
        config.seed = 8


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[tool.mlops]\nseeds = 1\n", 2, "did you mean 'seed'?"),
        ('[tool.mlops.sources.t]\npath = "a"\ndelimeter = ";"\n', 3, "did you mean 'delimiter'?"),
        ("[tool.mlops.models.fraud]\n\nmargin = -1\n", 3, "> 0.0"),
        ('[tool.mlops.sources.a]\npath="a.csv"\n[tool.mlops.sources.t]\npath = 3\n', 4, "Expected `str | null`"),
        ("[tool.mlops.environments.staging]\nport = 99999\n", 2, "<= 65535"),
        (
            '[tool.mlops.environments.staging]\nport = 1\ndecisions = { keep = "a month" }\n',
            3,
            "decisions.keep: Expected",
        ),
        ('[tool.mlops.tests]\nmodels = ["a"]\n', 2, "did you mean 'model'?"),
        ('[tool.mlops.tests]\nmodel = "a"\n', 2, "tests.model: Expected"),
        ("[tool.mlops.sources.t]\n", 1, "one of path, query or function (found: none)"),
        ('[tool.mlops.sources.t]\npath = "a"\nquery = "select 1"\n', 1, "found: path and query"),
        ("[tool.mlops]\nload = { seconds = 2, conections = 3 }\n", 2, "did you mean 'connections'?"),
    ],
)
def test_a_mistake_names_the_file_the_line_and_the_next_step(tmp_path, text, line, says):
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text))
    assert f"pyproject.toml:{line}:" in caught.value.message
    assert says in str(caught.value)
    assert caught.value.exit_code == 2


def test_staging_and_production_are_always_there_and_what_is_written_is_laid_over_them(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        "[tool.mlops.environments.staging]\nworkers = 2\n"
        "[tool.mlops.environments.production]\nport = 8080\n[tool.mlops.environments.canada]\n"
    )
    found = load(tmp_path).environments
    assert {name: (one.port, one.workers) for name, one in found.items()} == {
        "staging": (3001, 2),
        "production": (8080, 1),
        "canada": (3000, 1),
    }


def test_the_folders_of_tests_are_a_table_and_a_list_names_those_of_the_features(tmp_path):
    table = load(written(tmp_path, '[tool.mlops.tests]\nmodel = ["checks/model"]\n'))
    assert table.tests_of("model") == ("checks/model",)
    assert table.tests_of("features") == ("tests/features",)
    plain = load(written(tmp_path, '[tool.mlops]\ntests = ["checks/features"]\n'))
    assert plain.tests_of("features") == ("checks/features",)
    assert plain.tests_of("data") == ("tests/data",)


def test_a_folder_without_a_project_says_how_to_start_one(tmp_path):
    with pytest.raises(ConfigError, match="mlops init"):
        load(tmp_path)


def test_broken_toml_names_the_line(tmp_path):
    with pytest.raises(ConfigError, match="line 2"):
        load(written(tmp_path, "[tool.mlops]\nseed = = 1\n"))


def test_the_line_of_a_dotted_key_is_found():
    assert line_of('[tool]\nmlops.seed = 3\n[tool.mlops.models."fraud"]\nfloor = 1', ("tool", "mlops", "seed")) == 2
    assert line_of('[tool.mlops.models."fraud"]\nfloor = 1', ("tool", "mlops", "models", "fraud", "floor")) == 2
