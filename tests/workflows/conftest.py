"""A repository that `mlops init` wrote around a real table, and what stands for GitHub around it."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.github_api import TOKEN, GitHubApi
from tests.workflows.runner import GitHub, Ran, tool

REPOSITORY = "acme/tumours"
SETTINGS = """
deepchecks = false
load = { seconds = 0.5, connections = 2, p99_ms = 5000, qps = 1 }
"""


@dataclass
class Second:
    """The second repository, and the runs that it has had."""

    root: Path
    github: GitHub
    api: GitHubApi
    secrets: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
        done = subprocess.run(["git", *identity, *arguments], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def branch(self, name: str) -> None:
        """A new branch off main."""
        self.git("checkout", "--quiet", "-B", name, "main")

    def edit(self, name: str, old: str, new: str) -> None:
        file = self.root / name
        text = file.read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
        file.write_text(text.replace(old, new))

    @property
    def repository(self) -> dict[str, Any]:
        return {"full_name": REPOSITORY, "name": "tumours", "owner": {"login": "acme"}, "default_branch": "main"}

    def pull_request(self, number: int, *, fork: bool = False, base: str = "main") -> Ran:
        """The pull request of the branch that is checked out."""
        head = {"sha": self.git("rev-parse", "HEAD"), "ref": self.git("branch", "--show-current")}
        home = {**self.repository, "full_name": "mallory/tumours"} if fork else self.repository
        onto = {"sha": self.git("rev-parse", base), "ref": "main", "repo": self.repository}
        pull = {"number": number, "head": {**head, "repo": home}, "base": onto}
        of = {"head_branch": head["ref"], "head_sha": head["sha"], "head_repository_id": 2 if fork else 1}
        return self.run("pull_request", "pull-request.yml", {"number": number, "pull_request": pull}, of)

    def push(self, before: str) -> Ran:
        """A push to main of what is checked out."""
        after = self.git("rev-parse", "HEAD")
        payload = {"ref": "refs/heads/main", "before": before, "after": after}
        return self.run("push", "main.yml", payload, {"head_branch": "main", "head_sha": after})

    def run(self, event: str, workflow: str, payload: Mapping[str, Any], of: Mapping[str, Any] | None = None) -> Ran:
        """Run a workflow; what it uploads is there by the API afterwards."""
        number = next(self._numbers)
        whole = {"repository": self.repository, "sender": {"login": "ann"}, **payload}
        secrets = {"GITHUB_TOKEN": TOKEN, **self.secrets}
        ran = self.github.run(self.root, event, whole, workflow=workflow, run_id=number, secrets=secrets)
        ran.number = number
        for folder in sorted((self.github.artifacts / str(number)).glob("*")):
            files = {path.name: path.read_bytes() for path in folder.iterdir()}
            self.api.artifact(number, folder.name, files, **(of or {"head_branch": "main"}))
        return ran


@pytest.fixture(scope="package")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    """The repository after its first push, which no run has seen yet."""
    from sklearn.datasets import load_breast_cancer

    from mlops.steps.init import init

    tool("act")
    place = tmp_path_factory.mktemp("second")
    root = place / "tumours"
    (root / ".git").mkdir(parents=True)
    (root / "data").mkdir()
    load_breast_cancer(as_frame=True).frame.to_csv(root / "data/tumours.csv", index=False)
    init(root, data=str(root / "data/tumours.csv"), label="target", owner="@acme/oncology")
    pyproject = root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("[tool.mlops]\n", f"[tool.mlops]{SETTINGS}", 1))
    with GitHubApi(repository=REPOSITORY) as api:
        github = GitHub(place, api.url)
        github.publish()
        repository = Second(root, github, api)
        (root / ".git").rmdir()
        repository.git("init", "--quiet", "--initial-branch", "main")
        repository.commit("Everything as `mlops init` wrote it")
        yield repository
