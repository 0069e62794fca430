"""A retrain that is asked for: begun once at a time, kept in the history, proposed where it passed."""

from __future__ import annotations

import base64
import json
import re
import tomllib
from pathlib import Path

import pytest

from mlops.adapters.ledger import Ledger
from mlops.adapters.lock import locked
from mlops.errors import GateFailed, OutsideError, UsageError
from mlops.events import write_events
from mlops.release import Event
from mlops.steps.retrain import Wanted, look, reason_of, retrain
from mlops.targets import chosen, history
from mlops.verdict import Finding, Outcome, Record, Report, Verdict
from tests import small
from tests.adapters.github_api import REPOSITORY, GitHubApi

WANTED = Wanted(environment="staging", family="churn", reason="drift")


def report(*, accepted: bool = True, release: str = "churn_v1-new") -> Report:
    """What a run may give, without the run."""
    outcome = Outcome.PASS if accepted else Outcome.FAIL
    finding = Finding(check="model.champion", outcome=outcome, message="worse than the champion")
    record = Record(
        step="check-model",
        subject="churn_v1",
        verdict=Verdict(gate="check-model", subject="churn_v1", findings=(finding,)),
    )
    return Report(command="retrain", records=(record,), releases=(release,) if accepted else ())


def events(root: Path) -> list[Event]:
    return [one for one in history.read(root / ".mlops/environments/staging/churn") if one.action == "retrain"]


def test_what_passed_is_kept_in_the_history_and_then_there_is_a_rest(shop):
    workspace = small.opened(shop)
    record, _ = retrain(workspace, WANTED, lambda: (report(), ()))
    assert (record.facts["release"], record.facts["changed"]) == ("churn_v1-new", True)
    assert [one.outcome for one in events(shop)] == ["begun", "done"]
    again, made = retrain(workspace, WANTED, lambda: pytest.fail("it must not run"))
    assert (again.facts["said"], made) == ("resting", None)
    by_hand, made = retrain(workspace, Wanted(**{**vars_of(WANTED), "anyway": True}), lambda: (report(), ()))
    assert made is not None
    assert "anyway" in events(shop)[-1].reason
    assert by_hand.facts["said"] == "go"


def vars_of(wanted: Wanted) -> dict[str, object]:
    return {"environment": wanted.environment, "family": wanted.family, "reason": wanted.reason}


def test_a_retrain_is_no_release_that_a_rollback_could_return_to(shop):
    workspace = small.opened(shop)
    before = chosen.target(workspace, "staging").retained("churn")
    retrain(workspace, WANTED, lambda: (report(), ()))
    assert chosen.target(workspace, "staging").retained("churn") == before


def test_after_three_refusals_in_a_row_nothing_runs_until_a_person_says_so(shop):
    small.edit(
        shop / "pyproject.toml", "[tool.mlops.load]", '[tool.mlops.retrain]\ncooldown = "0s"\n\n[tool.mlops.load]'
    )
    workspace = small.opened(shop)
    for _ in range(3):
        retrain(workspace, WANTED, lambda: (report(accepted=False), ()))
    said = look(workspace, "staging", "churn")
    assert said.say == "a person"
    assert "check-model churn_v1 gave fail: worse than the champion" in said.why
    ended = small.mlops(shop, "retrain", "churn", "--because", "drift")
    assert ended.returncode == GateFailed.exit_code, ended.stderr
    assert "--anyway" in ended.stderr


def test_a_crash_counts_as_a_failure_and_is_raised(shop):
    workspace = small.opened(shop)

    def crash() -> object:
        raise OutsideError("the database is down", next_step="wait")

    with pytest.raises(OutsideError, match="database"):
        retrain(workspace, WANTED, crash)
    assert events(shop)[-1].outcome == "failed: OutsideError: the database is down\n  next: wait"


def test_two_at_once_on_one_machine_are_one(shop):
    workspace = small.opened(shop)
    with locked(shop / ".mlops/environments/staging/churn/.retrain.lock", "churn is being trained anew"):
        record, made = retrain(workspace, WANTED, lambda: pytest.fail("it must not run"))
    assert (record.facts["said"], made) == ("running", None)
    assert events(shop) == []


def test_the_ledger_tells_another_machine_what_happened_here(shop, monkeypatch):
    workspace = small.opened(shop)
    retrain(workspace, WANTED, lambda: (report(accepted=False), ()))
    assert write_events(workspace, "staging") == 0
    told = Ledger(shop / ".mlops", "shop").events("retrain", environment="staging", family="churn")
    assert sorted(one.outcome.partition(":")[0] for one in told) == ["begun", "failed"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shop / '.mlops/mlflow.db'}")
    (shop / ".mlops/environments/staging/churn/events.jsonl").unlink()
    assert look(workspace, "staging", "churn").say == "resting"


def test_a_reason_is_words_or_what_a_report_of_monitor_wishes(tmp_path):
    (tmp_path / "monitor.json").write_text(json.dumps({"wishes": [{"reason": "amount moved\nby 0.6"}]}))
    (tmp_path / "why.txt").write_text("not read: a form may name any file")
    assert reason_of("monitor.json", tmp_path) == "amount moved by 0.6"
    assert reason_of("why.txt", tmp_path) == "why.txt"
    assert reason_of("new terminals\n\x1b[31m", tmp_path) == "new terminals [31m"
    assert reason_of("$(id); `x`", tmp_path) == "$(id); `x`"
    for nothing in ("", " \n", "x.json"):
        (tmp_path / "x.json").write_text(json.dumps({"wishes": []}))
        with pytest.raises(UsageError, match="needs a reason"):
            reason_of(nothing, tmp_path)


@pytest.fixture
def github():
    with GitHubApi() as api:
        yield api


def test_what_passes_is_proposed_in_one_pull_request_that_names_data_and_evidence(shop, github, tmp_path):
    """The whole way: fresh data, every gate, a pull request; and no second one while it is open."""
    more = small.customers(900)
    more.to_csv(shop / "customers.csv", index=False)
    variables = github.environment(tmp_path, "repository_dispatch", {"action": "retrain"}, GITHUB_WORKSPACE=str(shop))
    variables.setdefault("GITHUB_TOKEN", "t")
    why = 'amount moved by 0.6 | "x" <b> @ada'
    ended = small.mlops(shop, "retrain", "churn", "--because", why, "--json", **variables)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr
    told = json.loads(ended.stdout)["retrain"]
    assert told["pull_request"].endswith("/pull/11")
    (pull,) = github.asked("POST", "/pulls")
    assert pull.body["head"] == "retrain/staging/churn"
    assert told["release"] in pull.body["title"]
    assert '\\| "x" &lt;b>' in pull.body["body"]
    assert "@ada" not in pull.body["body"]  # nobody is called by a reason

    commit = github.kept.objects[github.kept.refs["heads/retrain/staging/churn"]]
    [entry] = github.kept.objects[commit["tree"]["sha"]]["tree"]
    assert entry["path"] == "models/churn.retrain.toml"
    content = tomllib.loads(base64.b64decode(github.kept.objects[entry["sha"]]["content"]).decode())
    assert (content["release"], content["because"]) == (told["release"], why)
    assert content["champion"] == told["champion"] != told["release"]
    assert set(content["snapshots"]) == {"customers"}
    assert content["metrics"]["roc_auc"] > 0.6

    again = small.mlops(shop, "retrain", "churn", "--because", why, "--anyway", **variables)
    assert again.returncode == 0, again.stderr
    assert "pull request #11 waits for a person" in again.stdout
    assert len(github.asked("POST", "/pulls")) == 1
    assert_it_rests_on_a_laptop_too(shop)
    assert REPOSITORY in github.url + str(variables)


def test_what_is_to_be_deployed_may_be_left_to_the_workflow_s_own_job(shop, github, tmp_path):
    """A runner that forgets would lose what is live, and its job waits for no reviewer of the environment."""
    with (shop / "pyproject.toml").open("a") as file:
        file.write('[tool.mlops.retrain]\nthen = "deploy"\n')
    small.customers(900).to_csv(shop / "customers.csv", index=False)
    before = (shop / ".mlops/environments/staging/churn/pointer.json").read_bytes()
    variables = github.environment(tmp_path, "repository_dispatch", {"action": "retrain"}, GITHUB_WORKSPACE=str(shop))
    ended = small.mlops(shop, "retrain", "churn", "--because", "x", "--leave-deploy", **variables)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr
    (release,) = re.findall(r"(churn_v\S+) passed, and is left to be deployed", ended.stdout)
    outputs = (tmp_path / "output").read_text()
    assert re.search(r"deploy<<(\S+)\ntrue\n", outputs)
    assert re.search(rf"release<<(\S+)\n{release}\n", outputs)
    assert (shop / ".mlops/environments/staging/churn/pointer.json").read_bytes() == before, "nothing moved"
    assert not github.asked("POST", "/pulls")
    assert small.mlops(shop, "deploy", "staging", release).returncode == 0


def assert_it_rests_on_a_laptop_too(root: Path) -> None:
    ended = small.mlops(root, "retrain", "churn", "--because", "x", "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["retrain"]["said"] == "resting"


def test_monitor_asks_github_for_a_retrain_once(shop, github, tmp_path):
    small.edit(shop / "pyproject.toml", "margin = 0.2", "margin = 0.05")
    new = small.customers(1_500).iloc[600:]
    both = [small.customers(), new.assign(left=1 - new["left"])]
    import pandas as pd

    pd.concat(both).to_csv(shop / "customers.csv", index=False)
    variables = github.environment(tmp_path, "schedule", {}, GITHUB_WORKSPACE=str(shop))
    variables.setdefault("GITHUB_TOKEN", "t")
    github.fail("POST", "/dispatches$", 403, {"message": "Resource not accessible by integration"}, times=1)
    refused = small.mlops(shop, "monitor", "staging", "--request-retrain", **variables)
    assert "worse by more than the margin" in refused.stdout  # the report is not lost with the request
    assert "contents: write" in refused.stderr
    small.mlops(shop, "monitor", "staging", "--request-retrain", **variables)
    *_, asked = github.asked("POST", "/dispatches")
    sent = len(github.asked("POST", "/dispatches"))
    assert asked.body["event_type"] == "retrain"
    payload = asked.body["client_payload"]
    assert (payload["model"], payload["environment"]) == ("churn", "staging")
    assert "worse by more than the margin" in payload["because"]
    retrain(small.opened(shop), WANTED, lambda: (report(), ()))
    ended = small.mlops(shop, "monitor", "staging", "--request-retrain", **variables)
    assert "no retrain of churn was asked for: the last one ended at" in ended.stdout
    assert len(github.asked("POST", "/dispatches")) == sent
