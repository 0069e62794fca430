"""`mlops report --comment`: one comment, a status for each gate; on a fork's pull request the summary alone."""

from __future__ import annotations

import json
import subprocess

import pytest

from mlops.cli import main
from mlops.steps import report as step
from mlops.workspace import open_workspace
from tests.adapters.github_api import REPOSITORY, GitHubApi
from tests.adapters.test_github_runner import commands
from tests.reports.reports import EVERY, FINE, report
from tests.steps.test_report import of_model, put


@pytest.fixture
def api():
    with GitHubApi() as server:
        yield server


@pytest.fixture
def root(project):
    folder = project({"models/__init__.py": ""})
    step.keep(open_workspace(folder), report(*EVERY))
    return folder


@pytest.fixture
def job(api, tmp_path, monkeypatch):
    """Puts this process into a job for an event."""

    def of(event: str = "pull_request", *, home: str = REPOSITORY, base: str = "b" * 40, **more: str) -> None:
        head = {"sha": "a" * 40, "repo": {"full_name": home}}
        payload = {"pull_request": {"number": 3, "base": {"sha": base}, "head": head}}
        payload = payload if event == "pull_request" else {}
        for name, value in api.environment(tmp_path / "job", event, payload, **more).items():
            monkeypatch.setenv(name, value)

    return of


def told(capsys, root, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["report", *arguments, "--project", str(root)])
    said = capsys.readouterr()
    return int(end.value.code), said.out, said.err


def test_the_report_is_one_comment_which_a_later_run_updates(api, job, root, capsys):
    job()
    code, out, _ = told(capsys, root, "--comment")
    assert (code, out.startswith("wrote the report: https://github.com/ada/shop/pull/3#")) == (0, True)
    step.keep(open_workspace(root), report(FINE))
    job(GITHUB_RUN_ID="8")
    assert told(capsys, root, "--comment")[1].startswith("updated the report")
    (comment,) = api.kept.comments[3]
    assert comment["body"].startswith("<!-- mlops report of shop run 8 -->\n## ✓ shop: every verdict passes\n")


def test_each_gate_has_its_status_and_the_whole_has_one(api, job, root, capsys, tmp_path):
    job()
    told(capsys, root, "--comment")
    states = {one["context"]: (one["state"], one["description"]) for one in api.kept.statuses}
    assert states == {
        "mlops/shop": ("failure", "a gate said no"),
        "mlops/shop/check-model": ("failure", "fail: roc_auc is below the floor"),
    }
    assert {one["sha"] for one in api.kept.statuses} == {"a" * 40}
    assert (tmp_path / "job/summary").read_text().startswith("## ✗ shop: a gate said no\n")


def test_a_fork_s_pull_request_has_the_report_in_the_summary_alone(api, job, root, capsys, tmp_path):
    """Promise 21, a part: nothing is written where a fork's commits run."""
    job(home="eve/shop")
    code, out, err = told(capsys, root, "--comment")
    assert (code, commands(err), api.requests) == (0, [], [])
    assert "comes from a fork" in out
    summary = (tmp_path / "job/summary").read_text()
    assert summary.startswith("## ✗ shop: a gate said no\n")
    assert "comes from a fork" in summary


@pytest.mark.parametrize(
    ("path", "permission"), [("/comments$", "pull-requests: write"), ("/statuses/", "statuses: write")]
)
def test_a_missing_permission_is_a_warning_that_names_it(api, job, root, capsys, path, permission):
    api.fail("POST", path, 403, {"message": "Resource not accessible by integration"})
    job()
    code, _, err = told(capsys, root, "--comment")
    assert code == 0
    (warning,) = commands(err)
    assert warning.startswith("::warning title=mlops could not tell GitHub::")
    assert permission in warning
    assert bool(api.kept.comments) != bool(api.kept.statuses)


def test_github_s_trouble_is_a_warning_too(api, job, root, capsys):
    api.fail("GET", "/comments$", 404)
    job()
    assert told(capsys, root, "--comment")[0] == 0


def test_without_a_token_the_report_is_in_the_summary(job, api, root, capsys, tmp_path):
    job(GITHUB_TOKEN="")
    code, _, err = told(capsys, root, "--comment")
    assert (code, api.requests) == (0, [])
    assert "env: GITHUB_TOKEN" in err
    assert "a gate said no" in (tmp_path / "job/summary").read_text()


def test_a_push_has_statuses_and_no_comment(api, job, root, capsys):
    job("push")
    assert "there is no pull request here" in told(capsys, root, "--comment")[1]
    assert {one["sha"] for one in api.kept.statuses} == {"c" * 40}
    assert api.kept.comments == {}


def test_outside_of_actions_there_is_nothing_to_comment_on(root, capsys, monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    code, _, err = told(capsys, root, "--comment")
    assert code == 2
    assert "needs a workflow" in err


def test_reports_of_a_matrix_are_one_comment_and_the_exit_code_is_their_verdict(api, job, root, capsys, tmp_path):
    put(tmp_path, "reports/a.json", of_model("churn_v2", FINE))
    job()
    merge = ("--merge", str(tmp_path / "reports"), "--comment", "--verdict")
    assert told(capsys, root, *merge, "--expect", '["churn_v2"]')[0] == 0
    code, _, _ = told(capsys, root, *merge, "--expect", json.dumps(["churn_v2", "fraud_v1"]))
    assert code == 1
    (comment,) = api.kept.comments[3]
    assert "no job reported on fraud_v1" in comment["body"]


def repository(root, capsys) -> tuple[str, str]:
    """The project in git, and its first and second commit, of which the second affects nothing."""
    git = ["git", "-C", str(root), "-c", "user.name=ann", "-c", "user.email=ann@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    commits = []
    for text in ("one", "two"):
        (root / "README.md").write_text(text)
        (root / ".gitignore").write_text(".mlops\n__pycache__\n")
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", text], check=True)
        done = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
        commits.append(done.stdout.strip())
    return commits[0], commits[1]


def test_a_change_that_affects_nothing_has_its_status_and_no_comment(api, job, root, capsys, tmp_path):
    first, _ = repository(root, capsys)
    step.begin(open_workspace(root))  # nothing was judged
    job(base=first)
    code, out, _ = told(capsys, root, "--comment")
    assert (code, out.startswith("Nothing that a model reads has changed")) == (0, True)
    assert [(one["context"], one["state"]) for one in api.kept.statuses] == [("mlops/shop", "success")]
    assert api.kept.comments == {}
    assert "Nothing that a model reads has changed" in (tmp_path / "job/summary").read_text()


def test_a_comment_of_an_earlier_push_says_when_nothing_is_affected_any_more(api, job, root, capsys):
    first, _ = repository(root, capsys)
    job(base=first)
    told(capsys, root, "--comment")
    step.begin(open_workspace(root))
    told(capsys, root, "--comment")
    (comment,) = api.kept.comments[3]
    assert "## ✓ shop: nothing to judge" in comment["body"]


def test_a_report_that_is_missing_is_no_pass(api, job, root, capsys):
    """Promise 2, a part: what the clone cannot tell, or what a job owes, is not taken for nothing."""
    repository(root, capsys)
    step.begin(open_workspace(root))
    job(base="b" * 40)
    assert told(capsys, root, "--comment")[0] == 3
    job()
    code, _, _ = told(capsys, root, "--comment", "--verdict", "--merge", str(root / "nothing"), "--expect", "churn_v2")
    assert (code, api.kept.statuses[0]["state"]) == (1, "failure")
    assert "no job reported on churn_v2" in api.kept.comments[3][0]["body"]


def test_what_is_expected_is_a_name_or_a_list_of_names(root, capsys, tmp_path):
    put(tmp_path, "r.json", of_model("churn_v2", FINE))
    for names, code in (("churn_v2", 0), ("churn_v2 fraud_v1", 1), ('["churn_v2"]', 0)):
        here = ("--merge", str(tmp_path / "r.json"), "--expect", names, "--verdict")
        assert told(capsys, root, str(tmp_path / "r.md"), *here)[0] == code
    assert told(capsys, root, "--expect", "churn_v2")[0] == 2
    code, _, err = told(capsys, root, "--merge", ".", "--expect", "[1]")
    assert (code, "a JSON list of names" in err) == (2, True)
