"""Runs workflows under `act` as GitHub would: events, jobs on fresh folders, artifacts, variables, an API that answers.

Third-party actions are replaced by the stubs in `actions/`. `./` in a product workflow that another repository calls
means, on GitHub, the product's own repository; act looks into the caller's (nektos/act#1875), so the published copy
that act is given names the repository in full.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops import __version__

ROOT = Path(__file__).parents[2]
OURS = ROOT / ".github/workflows"
ACTIONS = Path(__file__).parent / "actions"
OWN = "mlops-ci/mlops"
PINS = {
    "astral-sh/setup-uv": "setup-uv",
    "actions/upload-artifact": "upload-artifact",
    "actions/download-artifact": "download-artifact",
    "actions/attest-build-provenance": "attest-build-provenance",
}
SECONDS = 600


def tool(name: str) -> str:
    """The path of act or actionlint; skips the test where neither `make` nor the user has built it."""
    found = shutil.which(name, path=os.pathsep.join([*_PLACES, os.environ.get("PATH", "")]))
    if found is None:
        pytest.skip(f"{name} is not here; `make test` builds it where Go is installed")
    return found


_PLACES = (str(Path(sys.executable).parent), str(Path.home() / "go/bin"))


@dataclass
class Step:
    """A step of a job that came to an end."""

    job: str
    called_by: str
    name: str
    passed: bool
    seconds: float


@dataclass
class Ran:
    """A workflow run that is over."""

    code: int
    steps: list[Step] = field(default_factory=list)
    summary: str = ""
    summaries: dict[str, str] = field(default_factory=dict)
    log: str = ""
    annotations: list[dict[str, str]] = field(default_factory=list)
    number: int = 0

    @property
    def jobs(self) -> set[str]:
        """The jobs that did something, by the last part of their name."""
        return {step.job for step in self.steps}

    @property
    def red(self) -> list[str]:
        """`job: step` of each step that failed."""
        return [f"{step.job}: {step.name}" for step in self.steps if not step.passed]

    def red_of(self, caller: str) -> list[str]:
        """The steps that failed in what a job of the caller called."""
        return [step.name for step in self.steps if step.called_by == caller and not step.passed]

    @property
    def commands(self) -> list[str]:
        """The `mlops` commands that passed or failed, in order."""
        return [step.name for step in self.steps if step.name.startswith("mlops ")]

    def __str__(self) -> str:
        return f"exit {self.code}, red: {self.red}\n{self.summary}\n{self.log[-6000:]}"


@dataclass(frozen=True)
class GitHub:
    """What stands for GitHub: the published workflows, the artifacts, and the address of the API."""

    folder: Path
    api: str
    variables: Mapping[str, str] = field(default_factory=lambda: {"MLOPS_INSTALL": "none", "MLOPS_ATTEST": "true"})

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def run(
        self,
        repository: Path,
        event: str,
        payload: Mapping[str, Any],
        *,
        workflow: str,
        run_id: int,
        secrets: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run one workflow of a repository for an event."""
        file = self.folder / f"event-{run_id}.json"
        file.write_text(json.dumps(payload))
        command = [
            tool("act"),
            event,
            "--json",
            "--workflows",
            f".github/workflows/{workflow}",
            "--eventpath",
            str(file),
        ]
        command += ["--platform", "ubuntu-24.04=-self-hosted", "--concurrent-jobs", "1", "--no-cache-server"]
        command += ["--actor", "ann", "--defaultbranch", "main"]
        command += self._local()
        environment = {
            "GITHUB_RUN_ID": str(run_id),
            "GITHUB_REPOSITORY": payload["repository"]["full_name"],
            "GITHUB_API_URL": self.api,
            "MLOPS_TESTS_BIN": str(Path(sys.executable).parent),
            "MLOPS_TESTS_ARTIFACTS": str(self.artifacts),
        }
        command += [f"--env={name}={value}" for name, value in environment.items()]
        command += [f"--var={name}={value}" for name, value in self.variables.items()]
        command += [f"--secret={name}={value}" for name, value in {"GITHUB_TOKEN": "t0ken", **(secrets or {})}.items()]
        done = subprocess.run(
            command,
            cwd=repository,
            env=_plain(self.folder),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return _read(done.returncode, done.stdout + done.stderr)

    def _local(self) -> list[str]:
        uses = {use for file in OURS.glob("*.yml") for use in re.findall(r"uses: (\S+@[0-9a-f]{40})", file.read_text())}
        stubs = {use: ACTIONS / PINS[use.partition("@")[0]] for use in uses if use.partition("@")[0] in PINS}
        places = {**stubs, f"{OWN}@v{__version__}": self.folder / "published"}
        return [f"--local-repository={name}={place}" for name, place in places.items()]

    def publish(self) -> None:
        """Put our workflows where another repository finds them."""
        target = self.folder / "published/.github/workflows"
        target.mkdir(parents=True)
        for file in OURS.glob("*.yml"):
            text = file.read_text(encoding="utf-8")
            if "workflow_call" in yaml.safe_load(text)[True]:
                whole = text.replace("uses: ./.github/workflows/", f"uses: {OWN}/.github/workflows/")
                whole = re.sub(rf"(uses: {OWN}/\S+\.yml)$", rf"\1@v{__version__}", whole, flags=re.MULTILINE)
                (target / file.name).write_text(whole, encoding="utf-8")


def _plain(home: Path) -> dict[str, str]:
    """Our environment without what would lead a run elsewhere; act keeps its working folders below `home`."""
    own = ("MLFLOW_", "MLOPS_", "BENTOML_", "GIT_", "GITHUB_", "PYTEST_", "ACT_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**kept, "XDG_CACHE_HOME": str(home / "cache"), "NO_COLOR": "1"}


def _read(code: int, output: str) -> Ran:
    ran = Ran(code)
    for line in output.splitlines():
        try:
            _take(ran, json.loads(line))
        except ValueError:
            ran.log += f"{line}\n"
    return ran


def _take(ran: Ran, entry: Mapping[str, Any]) -> None:
    """Add what one line of act's log tells."""
    caller = str(entry.get("job", "")).partition("/")[0].strip()
    if entry.get("raw_output"):
        ran.log += str(entry["msg"])
    elif entry.get("level") in ("error", "fatal"):
        ran.log += f"{entry.get('msg')}\n"
    if entry.get("command") in ("error", "warning"):
        ran.annotations.append({**entry.get("kvPairs", {}), "message": str(entry.get("arg", ""))})
    if entry.get("command") == "summary":
        text = str(entry.get("content") or "")
        ran.summary += text
        ran.summaries[caller] = ran.summaries.get(caller, "") + text
    if entry.get("stage") == "Main" and "stepResult" in entry and len(entry.get("stepID", [])) == 1:
        name = next(word for word in str(entry["step"]).splitlines() if not word.startswith("#"))
        seconds = int(entry.get("executionTime", 0)) / 1e9
        ran.steps.append(Step(str(entry["jobID"]), caller, name, entry["stepResult"] != "failure", seconds))
