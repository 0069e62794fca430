"""What holds for our workflows and for those that `mlops init` writes, read and not run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlops import __version__
from tests.workflows import graph
from tests.workflows.runner import OURS, ROOT, tool

TEMPLATES = ROOT / "mlops/templates/github"
PRODUCTS = [file for file in sorted(OURS.glob("*.yml")) if "workflow_call" in graph.triggers(graph.read(file))]
CALLERS = [file for file in sorted(OURS.glob("*.yml")) if file not in PRODUCTS and file.name != "self.yml"]
WRITTEN = [file for file in sorted(TEMPLATES.glob("*.yml")) if file.name not in ("dependabot.yml", "zizmor.yml")]
EVERY = [*PRODUCTS, *CALLERS, *WRITTEN]
SETUP = 3
"""Steps before a job's first command: check out, set Python up, install."""


def names(files: list[Path]) -> list[str]:
    return [file.relative_to(ROOT).as_posix() for file in files]


@pytest.fixture(scope="module")
def scaffolded(tmp_path_factory) -> Path:
    """What `mlops init` writes, as a repository."""
    from sklearn.datasets import load_wine

    from mlops.steps.init import init

    folder = tmp_path_factory.mktemp("scaffolded")
    load_wine(as_frame=True).frame.to_csv(folder / "wine.csv", index=False)
    init(folder / "wine", data=str(folder / "wine.csv"), label="target", owner="@acme/ml")
    subprocess.run(["git", "init", "--quiet", folder / "wine"], check=True)
    return folder / "wine"


class TestTools:
    @pytest.mark.parametrize("place", ["ours", "written"])
    def test_zizmor_s_auditor_finds_nothing(self, place, scaffolded):
        """Promise 20."""
        root = ROOT if place == "ours" else scaffolded
        zizmor = shutil.which("zizmor", path=str(Path(sys.executable).parent))
        assert zizmor, "zizmor is a development dependency"
        command = [zizmor, "--offline", "--persona=auditor", "--format=json", "--no-progress", ".github"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert json.loads(done.stdout) == []
        assert done.returncode == 0, done.stderr

    def test_every_exception_of_zizmor_has_a_reason(self):
        for file in (ROOT / ".github/zizmor.yml", TEMPLATES / "zizmor.yml"):
            text = file.read_text()
            assert re.search(r"^\s+# \w.*\n(\s+#.*\n)*\s+[-\w\"]", text, re.MULTILINE), file
        for file in EVERY:
            assert "zizmor: ignore" not in file.read_text()

    @pytest.mark.parametrize("place", ["ours", "written"])
    def test_actionlint_finds_nothing(self, place, scaffolded):
        """Promise 20."""
        root = ROOT if place == "ours" else scaffolded
        done = subprocess.run([tool("actionlint")], cwd=root, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "")


class TestSecurity:
    @pytest.mark.parametrize("file", EVERY, ids=names(EVERY))
    def test_nothing_is_granted_but_job_by_job_with_a_reason(self, file):
        workflow, text = graph.read(file), file.read_text()
        assert workflow["permissions"] == {}
        for job in workflow["jobs"].values():
            for name, access in job["permissions"].items():
                assert re.search(rf"^ +{name}: {access} # \w", text, re.MULTILINE), f"{name}: {access} has no reason"

    @pytest.mark.parametrize("file", EVERY, ids=names(EVERY))
    def test_no_workflow_runs_a_stranger_s_code_with_our_rights(self, file):
        """Promise 21."""
        assert not graph.triggers(graph.read(file)) & {"pull_request_target", "workflow_run", "issue_comment"}

    @pytest.mark.parametrize("folder", [OURS, TEMPLATES], ids=["ours", "written"])
    def test_a_fork_s_pull_request_reaches_no_secret_no_identity_and_no_right_to_write(self, folder):
        """Promise 21."""
        files = [file for file in folder.glob("*.yml") if file in EVERY or file.name == "self.yml"]
        found = [
            job
            for file in files
            if "pull_request" in graph.triggers(graph.read(file))
            for job in graph.reached(file, OURS, forks=True)
        ]
        assert {job.path[-1] for job in found} >= {
            "plan",
            "check-features",
            "check-data",
            "train",
            "package",
            "verdict",
        }
        for job in found:
            assert set(job.permissions.values()) == {"read"}, job.path
            assert "id-token" not in job.permissions, job.path
            assert not job.secrets, job.path
            assert "environment" not in job.job, job.path  # its secrets would be there

    @pytest.mark.parametrize("folder", [OURS, TEMPLATES], ids=["ours", "written"])
    def test_a_fork_s_code_runs_on_no_machine_of_one_s_own(self, folder):
        """Promise 21: what such a machine keeps between its jobs is what is live, and anybody could write it."""
        for name, job in graph.read(folder / "pull-request.yml")["jobs"].items():
            home = "github.event.pull_request.head.repo.full_name == github.repository"
            guarded = f"{home} && vars.MLOPS_RUNNER || 'ubuntu-24.04'" in job["with"]["runner"]
            assert guarded or home in job.get("if", ""), name

    def test_an_identity_is_given_to_who_signs_and_to_nobody_else(self):
        found = [job for file in (*CALLERS, *WRITTEN) for job in graph.reached(file, OURS, forks=False)]
        having = {job.path[-2:] for job in found if "id-token" in job.permissions}
        assert having == {("attest.yml", "attest"), ("sign.yml", "sign")}
        for job in found:
            ours = [step["run"] for step in graph.lines(job.job) if "mlops " in step["run"]]
            assert "signing-key" not in job.secrets or job.path[-1] == "sign", job.path
            assert job.path[-1] != "sign" or not [run for run in ours if re.search(r"mlops (run|train|deploy)\b", run)]

    @pytest.mark.parametrize("file", WRITTEN, ids=names(WRITTEN))
    def test_no_job_asks_for_more_than_its_caller_grants(self, file):
        assert list(graph.reached(file, OURS, forks=False))

    @pytest.mark.parametrize("file", EVERY, ids=names(EVERY))
    def test_what_people_type_reaches_the_shell_by_the_environment_alone(self, file):
        """Promise 22."""
        for job in graph.read(file)["jobs"].values():
            for step in graph.lines(job):
                assert "${{" not in step["run"]

    @pytest.mark.parametrize("file", EVERY, ids=names(EVERY))
    def test_every_action_is_pinned_by_digest_with_its_version_beside(self, file):
        for line in re.findall(r"(?:^| )uses: (.*)", file.read_text(), re.MULTILINE):
            if not line.startswith(("./", "mlops-ci/mlops/")):
                assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


class TestShape:
    @pytest.mark.parametrize("file", PRODUCTS, ids=names(PRODUCTS))
    def test_a_product_stands_alone_and_tells_what_it_takes_and_gives(self, file):
        workflow = graph.read(file)
        call = workflow["on"]["workflow_call"]
        for name, one in {**call["inputs"], **call.get("outputs", {}), **call.get("secrets", {})}.items():
            assert one["description"].endswith("."), name
        assert all("type" in one for one in call["inputs"].values())
        assert file.read_text().startswith("# ")
        assert workflow["name"] == file.stem
        for job in workflow["jobs"].values():
            if "steps" in job:
                assert job["timeout-minutes"]
                assert not [step for step in job["steps"] if str(step.get("uses", "")).startswith("./")]

    def test_the_steps_that_set_a_runner_up_are_the_same_everywhere(self):
        jobs = [job for file in PRODUCTS for job in graph.read(file)["jobs"].values() if "steps" in job]
        assert len({json.dumps(job["steps"][1:SETUP]) for job in jobs}) == 1
        assert {job["steps"][0]["uses"].partition("@")[0] for job in jobs} == {"actions/checkout"}

    def test_no_job_cleans_away_what_is_live_on_a_machine_of_one_s_own(self):
        """All jobs of a runner share its checkout, and `git clean -ffdx` would take `.mlops` with the pointers."""
        for file in PRODUCTS:
            for step in (step for job in graph.read(file)["jobs"].values() for step in job.get("steps", ())):
                if str(step.get("uses", "")).startswith("actions/checkout@"):
                    assert step["with"]["clean"] is False, file.name

    @pytest.mark.parametrize("file", PRODUCTS, ids=names(PRODUCTS))
    def test_every_line_after_the_setup_is_one_mlops_command_that_exists(self, file):
        from click.testing import CliRunner

        from mlops.cli.group import SUMMARIES, mlops

        for job in graph.read(file)["jobs"].values():
            for step in list(graph.lines(job))[1:]:
                (line,) = [one for one in step["run"].splitlines() if not one.startswith("#")]
                words = line.split()
                assert words[0] == "mlops"
                assert words[1] in SUMMARIES
                help_text = CliRunner().invoke(
                    mlops, [*words[1:3], "--help"] if words[1] == "state" else [words[1], "--help"]
                )
                known = set(re.findall(r"--[a-z-]+", help_text.output))
                assert set(re.findall(r"--[a-z][a-z-]*", line)) <= known, line

    @pytest.mark.parametrize("file", [*CALLERS, *WRITTEN], ids=names([*CALLERS, *WRITTEN]))
    def test_a_caller_gives_what_the_product_takes_and_nothing_else(self, file):
        """GitHub refuses to start otherwise; actionlint looks at calls by `./` alone, and act at none."""
        for name, job in graph.read(file)["jobs"].items():
            product = graph.read(OURS / graph.OURS.fullmatch(job["uses"])[1])
            call = product["on"]["workflow_call"]
            given = set(job.get("with", {}))
            assert given <= set(call["inputs"]), name
            assert {n for n, one in call["inputs"].items() if one.get("required")} <= given, name
            assert set(job.get("secrets", {})) <= set(call.get("secrets", {})), name
            for other, output in re.findall(r"needs\.([a-z-]+)\.outputs\.([a-z-]+)", json.dumps(job)):
                needed = graph.read(file)["jobs"][other]
                known = graph.read(OURS / graph.OURS.fullmatch(needed["uses"])[1])["on"]["workflow_call"]["outputs"]
                assert output in known, f"{name}: {other}.{output}"

    @pytest.mark.parametrize(("affected", "runs"), [("true", True), ("false", False), ("", True)])
    def test_only_a_plan_that_affects_nothing_skips_the_verdict(self, affected, runs):
        """A plan that failed says nothing; a skipped job would pass where a branch requires `pipeline / verdict`."""
        condition = graph.read(OURS / "pipeline.yml")["jobs"]["verdict"]["if"]
        plain = condition.removeprefix("${{").removesuffix("}}").replace("needs.plan.outputs.affected", repr(affected))
        plain = plain.replace("!cancelled()", "True").replace("&&", "and")
        assert re.fullmatch(r"[\w\s'!=]+", plain), "a condition that this test can read"
        assert eval(plain.strip()) is runs

    @pytest.mark.parametrize("file", [*CALLERS, *WRITTEN], ids=names([*CALLERS, *WRITTEN]))
    def test_a_job_after_one_that_may_be_skipped_says_when_it_runs(self, file):
        """GitHub skips a job where any that it waits for, however far back, was skipped; act asks the last alone."""
        jobs = graph.read(file)["jobs"]

        def before(name: str) -> set[str]:
            needs = jobs[name].get("needs", [])
            direct = {needs} if isinstance(needs, str) else set(needs)
            return direct.union(*map(before, direct))

        for name, job in jobs.items():
            if any("if" in jobs[other] for other in before(name) - {"pipeline"}):  # which skips all where it is skipped
                assert "!cancelled() && needs." in str(job.get("if")), name

    def test_our_callers_are_those_that_init_writes(self):
        """But for where mlops and its workflows come from, and the names of those that are products here too."""
        for file in WRITTEN:
            ours = OURS / (file.name if file.name in ("pull-request.yml", "main.yml") else f"example-{file.name}")
            expected = re.sub(r"mlops-ci/mlops/(\S+)@VERSION", r"./\1", file.read_text())
            expected = expected.replace("${{ vars.MLOPS_INSTALL }}", "${{ vars.MLOPS_INSTALL || '.' }}")
            expected = expected.replace(f"\nname: {file.stem}\n", f"\nname: {ours.stem}\n")
            assert ours.read_text() == expected, ours.name

    def test_the_version_that_is_installed_is_this_one(self):
        for file in PRODUCTS:
            for version in re.findall(r"mlops @ git\+https://github.com/mlops-ci/mlops@(\S+?)'", file.read_text()):
                assert version == f"v{__version__}"


class TestInstalling:
    """The one step that is no mlops command, run with a `uv` that writes down what it is asked."""

    @pytest.mark.parametrize(
        ("files", "install", "said"),
        [
            ({}, "", ["pip install --quiet --requirements pyproject.toml DEFAULT"]),
            ({}, "./mlops.whl", ["pip install --quiet --requirements pyproject.toml ./mlops.whl"]),
            (
                {"requirements.lock": "pandas==2.3.3\n"},
                "",
                [
                    "pip install --quiet --requirements requirements.lock",
                    "pip install --quiet --requirements pyproject.toml DEFAULT",
                ],
            ),
            ({"requirements.lock": "mlops==0.1.0\n"}, "", ["pip install --quiet --requirements requirements.lock"]),
        ],
    )
    def test_what_is_installed(self, files, install, said, tmp_path):
        job = graph.read(OURS / "train.yml")["jobs"]["train"]
        step = job["steps"][SETUP - 1]
        default = re.search(r"'(mlops @ \S+)'", step["env"]["INSTALL"])[1]
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        (tmp_path / "bin").mkdir()
        uv = tmp_path / "bin/uv"
        uv.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
        uv.chmod(0o755)
        environment = {"PATH": f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}", "INSTALL": install or default}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "asked").read_text().splitlines() == [line.replace("DEFAULT", default) for line in said]
