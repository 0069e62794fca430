"""What a repository lacks for its workflows is found in their files, and in GitHub's settings with a token."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from mlops import __version__
from mlops.adapters.github import settings
from mlops.adapters.github.workflows import OPTIONAL, PRODUCTS
from mlops.health import Line
from mlops.repository import of_files
from mlops.repository_settings import of_settings
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
    with:
      environment: staging
    permissions:
      contents: read
      actions: read
      pull-requests: read
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


FOLDER_OF_OURS = Path(__file__).parents[1] / ".github/workflows"
AT = f"@v{__version__}"
PATH = "          path: x"
READS = "      issues: read"
FAULTS = {
    "depth": ("          fetch-depth: 0", PATH, "fail", "main.yml:6: the job plan plans without", "`fetch-depth: 0`"),
    "statuses": ("      statuses: write\n", "", "warn", "main.yml:13: the job report may not", "`statuses: write`"),
    "deploy": ("      deployments: write", READS, "fail", "refuses to start deploy.yml", "`deployments: write`"),
    "read": ("      actions: read\n", "", "fail", "does not grant `actions: read`", "`actions: read`"),
    "place": ("environment: staging", "environment: acceptance", "fail", "acceptance, which is not", "[tool.mlops.env"),
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
    assert line.found.endswith("secrets STORE_TOKEN; variables RUNNER; environments production, staging")


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
        reviewed = {"name": "production", "protection_rules": [{"type": "required_reviewers"}]}
        server.kept.environments = [reviewed, {"name": "staging"}]
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
        "GitHub environment staging": "ok",
        "branch main": "ok",
    }


def test_what_is_not_set_is_named_with_the_command_that_sets_it(api, root):
    api.kept.secrets, api.kept.variables, api.kept.environments = [], [], []
    lines = asked(root)
    assert lines["secret STORE_TOKEN"].fix.startswith("`gh secret set STORE_TOKEN`")
    assert ".github/workflows/main.yml:31 reads it" in lines["secret STORE_TOKEN"].found
    assert lines["variable RUNNER"].fix.startswith("`gh variable set RUNNER`")
    assert "it is not there" in lines["GitHub environment production"].found
    assert "main.yml:21 enters it" in lines["GitHub environment staging"].found
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


@pytest.fixture
def written(project, api, root):
    """A repository with the callers that `mlops init` writes, of which no setting is made yet."""
    folder = Path(__file__).parents[1] / "mlops/templates/github"
    for name in ("main", "pull-request", "rollback", "monitor", "retrain"):
        text = (folder / f"{name}.yml").read_text().replace("@VERSION", AT)
        (root / f".github/workflows/{name}.yml").write_text(text)
    api.kept.secrets, api.kept.variables, api.kept.environments, api.kept.rules = [], [], [], []
    return root


def test_of_what_init_writes_only_what_is_needed_is_missed(written):
    lines = asked(written)
    assert {what for what, line in lines.items() if line.health != "ok"} == {
        "GitHub environment production",
        "GitHub environment staging",
        "branch main",
    }
    assert lines["branch main"].fix.endswith("Require status checks: pipeline / verdict")
    assert "MLOPS_CANARY" in lines["variables"].found
    assert "which is a default" in lines["variables"].found
    assert [line.health for line in of_files(open_workspace(written))] == ["ok"]


def test_a_project_that_signs_by_a_key_needs_it_as_a_secret(written, api):
    with (written / "pyproject.toml").open("a") as file:
        file.write('[tool.mlops.signing]\nmethod = "key"\npublic_key = "release.pub"\n')
    assert "gh secret set MLOPS_SIGNING_KEY" in asked(written)["secret MLOPS_SIGNING_KEY"].fix
    api.kept.secrets = ["MLOPS_SIGNING_KEY"]
    lines = asked(written)
    assert "secret MLOPS_SIGNING_KEY" not in lines
    assert lines["secrets"].found.startswith("MLOPS_SIGNING_KEY set")


def test_signatures_that_are_demanded_and_that_no_workflow_makes_are_told(root):
    with (root / "pyproject.toml").open("a") as file:
        file.write("[tool.mlops.environments.staging]\nrequire_signature = true\n")
        file.write('[tool.mlops.signing]\nmethod = "key"\npublic_key = "release.pub"\n')
    (line,) = of_files(open_workspace(root))
    assert (line.health, "staging demands signatures" in line.found, "sign.yml" in line.fix) == ("warn", True, True)
    assert "demands" not in edited(root, "mlops status production", "mlops sign shop_v1")[0].found


def test_what_a_caller_must_grant_is_what_the_jobs_of_our_workflows_ask_for():
    def asked_for(name: str) -> dict[str, str]:
        found: dict[str, str] = {}
        whole = yaml.safe_load((FOLDER_OF_OURS / f"{name}.yml").read_text())
        for job in whole["jobs"].values():
            for one, access in job["permissions"].items():
                found[one] = max(found.get(one, access), access)  # "write" comes after "read"
        return found

    ours = {file.stem for file in FOLDER_OF_OURS.glob("*.yml") if "workflow_call:" in file.read_text()}
    assert {name: dict(needs) for name, needs in PRODUCTS.items()} == {name: asked_for(name) for name in ours}


def test_what_may_be_left_empty_is_what_the_callers_read():
    callers = (Path(__file__).parents[1] / "mlops/templates/github").glob("*.yml")
    read = set(re.findall(r"(?:vars|secrets)\.([A-Z_]+)", "".join(file.read_text() for file in callers)))
    assert read == OPTIONAL


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
