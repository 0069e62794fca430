"""What a repository lacks for its workflows is found in their files, and in GitHub's settings with a token."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlops import __version__
from mlops.adapters.github import settings
from mlops.health import Line
from mlops.repository import of_files, of_settings
from mlops.workspace import open_workspace
from tests.adapters.github_api import TOKEN, GitHubApi

GOOD = f"""
on:
  pull_request:
permissions: {{}}
jobs:
  plan:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2
        with:
          fetch-depth: 0
      - run: mlops plan
  report:
    permissions:
      pull-requests: write
      statuses: write
    steps:
      - run: mlops report --comment
        env:
          GITHUB_TOKEN: ${{{{ github.token }}}}
  live:
    uses: mlops-ci/mlops/.github/workflows/deploy.yml@v{__version__}
    permissions:
      deployments: write
    secrets:
      token: ${{{{ secrets.STORE_TOKEN }}}}
  place:
    environment: production
    steps:
      - run: echo "${{{{ vars.RUNNER }}}}" && ./.venv/bin/mlops status production
"""


@pytest.fixture
def root(project):
    return project({".github/workflows/main.yml": GOOD, "models/__init__.py": ""})


def edited(root: Path, old: str, new: str) -> list[Line]:
    file = root / ".github/workflows/main.yml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    return list(of_files(open_workspace(root)))


def test_workflows_without_a_fault_are_one_line(root):
    (line,) = of_files(open_workspace(root))
    assert (line.health, line.found) == ("ok", "1 run mlops: main.yml")


AT = f"@v{__version__}"
PATH = "          path: x"
READS = "      contents: read"
FAULTS = {
    "depth": ("          fetch-depth: 0", PATH, "fail", "main.yml:6: the job plan plans without", "`fetch-depth: 0`"),
    "statuses": ("      statuses: write\n", "", "warn", "main.yml:13: the job report may not", "`statuses: write`"),
    "deploy": ("      deployments: write", READS, "warn", "may not write deployments", "`deployments: write`"),
    "token": ("          GITHUB_TOKEN:", "          X:", "warn", "`mlops report --comment` no token", "github.token"),
    "target": ("  pull_request:", "  pull_request_target:", "fail", "pull_request_target gives", "use pull_request"),
    "old": (AT, "@v0.0.1", "warn", f"main.yml:22: @v0.0.1 is older than mlops {__version__}", AT),
    "branch": (AT, "@main", "warn", "@main moves by itself", AT),
    "commit": (AT, f"@{'a' * 40} # v0.0.1", "warn", "@v0.0.1 is older", AT),
}


@pytest.mark.parametrize(("old", "new", "health", "found", "fix"), FAULTS.values(), ids=FAULTS)
def test_each_fault_has_its_line_and_its_fix(root, old, new, health, found, fix):
    (line,) = edited(root, old, new)
    assert line.health == health
    assert found in line.found
    assert ".github/workflows/main.yml" in line.found
    assert fix in line.fix


@pytest.mark.parametrize("text", ["permissions: write-all", "name: x"])
def test_what_a_job_may_is_what_its_workflow_says_or_unknown(root, text):
    edited(root, "permissions: {}", text)
    assert (
        edited(root, "      pull-requests: write\n      statuses: write\n", "      contents: read\n")[0].health
        == "warn"
    )
    assert edited(root, "    permissions:\n      contents: read\n    steps", "    steps")[0].health == "ok"


def test_a_version_of_a_commit_or_an_expression_is_not_guessed(root):
    assert edited(root, f"@v{__version__}", f"@{'a' * 40}")[0].health == "ok"


def test_a_file_that_is_no_yaml_is_named_with_its_line(root):
    (line,) = edited(root, "jobs:", "jobs: [")
    assert (line.health, "main.yml:" in line.found) == ("fail", True)


def test_a_repository_without_workflows_is_told(project):
    (line,) = of_files(open_workspace(project({"models/__init__.py": ""})))
    assert line.health == "warn"
    assert "not judged" in line.found
    assert list(of_settings(open_workspace(project({})))) == []


def test_without_a_token_the_names_are_told_and_nothing_is_asked(root, monkeypatch):
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    monkeypatch.delenv("GH_TOKEN", raising=False)
    (line,) = of_settings(open_workspace(root))
    assert line.health == "ok"
    assert line.found.endswith("secrets STORE_TOKEN; variables RUNNER; environments production")


@pytest.fixture
def api(root, monkeypatch):
    """GitHub, for a clone of ada/shop on a person's machine."""
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "remote", "add", "origin", "git@github.com:ada/shop.git"], cwd=root, check=True)
    with GitHubApi() as server:
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        monkeypatch.setenv("GITHUB_API_URL", server.url)
        server.kept.secrets = ["store_token"]
        server.kept.variables = ["RUNNER"]
        server.kept.environments = [{"name": "production", "protection_rules": [{"type": "required_reviewers"}]}]
        server.kept.rules = [requires("mlops/shop")]
        yield server


def requires(check: str) -> dict:
    return {"type": "required_status_checks", "parameters": {"required_status_checks": [{"context": check}]}}


def asked(root) -> dict[str, Line]:
    return {line.what: line for line in of_settings(open_workspace(root))}


def test_settings_that_hold_what_the_workflows_read_are_well(api, root):
    assert {what: line.health for what, line in asked(root).items()} == {
        "secrets": "ok",
        "variables": "ok",
        "GitHub environment production": "ok",
        "branch main": "ok",
    }


def test_what_is_not_set_is_named_with_the_command_that_sets_it(api, root):
    api.kept.secrets, api.kept.variables, api.kept.environments = [], [], []
    lines = asked(root)
    assert lines["secret STORE_TOKEN"].fix.startswith("`gh secret set STORE_TOKEN`")
    assert ".github/workflows/main.yml:26 reads it" in lines["secret STORE_TOKEN"].found
    assert lines["variable RUNNER"].fix.startswith("`gh variable set RUNNER`")
    assert "it is not there" in lines["GitHub environment production"].found
    assert {line.health for what, line in lines.items() if what != "branch main"} == {"warn"}


def test_production_without_a_reviewer_is_a_warning(api, root):
    api.kept.environments = [{"name": "production"}]
    assert "Required reviewers" in asked(root)["GitHub environment production"].fix


@pytest.mark.parametrize(
    ("rules", "protection", "health", "found"),
    [
        ([], None, "warn", "anybody may push to it"),
        ([{"type": "pull_request"}], None, "warn", "no check of ours must pass (required: none)"),
        (
            [requires("lint")],
            None,
            "warn",
            "required: lint",
        ),
        (
            [requires("x / report")],
            None,
            "ok",
            "x / report",
        ),
        ([], {"required_status_checks": {"contexts": ["mlops/shop"], "checks": []}}, "ok", "mlops/shop must pass"),
        ([], {"required_status_checks": None}, "warn", "no check of ours must pass"),
    ],
)
def test_a_branch_that_no_gate_guards_is_told(api, root, rules, protection, health, found):
    api.kept.rules, api.kept.protection = rules, protection
    line = asked(root)["branch main"]
    assert line.health == health
    assert found in line.found
    assert line.health == "ok" or "mlops/shop" in line.fix


def test_what_a_token_may_not_see_is_a_warning_with_its_permission(api, root):
    api.fail("GET", "/actions/secrets$", 403, {"message": "Resource not accessible by integration"})
    lines = asked(root)
    assert lines["GitHub secrets"].health == "warn"
    assert "`secrets: read`" in lines["GitHub secrets"].fix
    assert lines["variables"].health == "ok"


@pytest.mark.parametrize(
    ("url", "asks"),
    [
        ("https://github.com/ada/shop.git", True),
        ("https://x:y@github.com/ada/shop", True),
        ("ssh://git@github.com/ada/shop.git", True),
        ("https://github.com.evil.example/ada/shop", False),
        ("https://gitlab.com/ada/shop", False),
        ("/srv/git/shop.git", False),
    ],
)
def test_a_token_goes_to_github_and_to_no_other_host(api, root, url, asks):
    subprocess.run(["git", "remote", "set-url", "origin", url], cwd=root, check=True)
    github = settings.of_repository(root)
    assert (github is not None) == asks
    if github is not None:
        with github:
            assert github.event.repository == "ada/shop"


def test_our_own_workflows_have_no_fault():
    root = Path(__file__).parents[1]
    assert [line.found for line in of_files(open_workspace(root)) if line.health == "fail"] == []
