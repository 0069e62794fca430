"""An experiment: the sample is said before it begins, it lives through restarts, and ends by what outcomes tell."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner

from mlops.adapters import bentoserver, load
from mlops.adapters.segments import OpenSegment, named
from mlops.cli.experiment import command
from mlops.decisions import read
from mlops.errors import ConfigError, DeploymentFailed, InsufficientEvidence, NothingToDo, UsageError
from mlops.samples import Plan
from mlops.serving.decisions import schema_of
from mlops.serving.pointer import read_pointer
from mlops.steps.deploy import deploy
from mlops.steps.experiment import look, start, stop
from mlops.steps.rollback import rollback
from mlops.workspace import open_workspace
from tests.serving.releases import contract, make_project, make_release, publish_customers
from tests.serving.served import served

MODELS = """
from mlops import model

@model(source="payments", label="is_fraud", label_delay="2d", task="binary", metric="roc_auc")
def fraud_v1(X, y, params): ...

@model(source="payments", label="is_fraud", label_delay="2d", task="binary", metric="roc_auc")
def fraud_v2(X, y, params): ...
"""
SETTINGS = """
[tool.mlops.sources.payments]
path = "payments.csv"
[tool.mlops.sources.complaints]
path = "complaints.csv"
[tool.mlops.models.fraud]
outcomes = "complaints"
"""
DAY = 86_400.0


@pytest.fixture
def project(tmp_path):
    workspace = make_project(tmp_path, port=bentoserver.free_port(), settings=SETTINGS)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "fraud.py").write_text(MODELS)
    (tmp_path / "complaints.csv").write_text("request_id,is_fraud\n")
    return workspace


@pytest.fixture
def releases(project):
    """The live one, and a challenger that answers otherwise; both know customers by stored features."""
    publish_customers(project.environments / "staging" / "online.sqlite")
    names = [make_release(project.releases, contract(name, computed=False)) for name in ("fraud_v1", "fraud_v2")]
    deploy(project, environment="staging", release=names[0])
    return names


def remembered(project, release, *, days, errors, a_day=400):
    """A past of the live release: so many decisions a day, about a customer each, and their outcomes."""
    schema, now = schema_of(contract(computed=False), frozenset()), datetime.now(UTC)
    segment = OpenSegment(
        project.environments / "staging" / "fraud" / "decisions",
        named(now - timedelta(days=days), "w", release),
        schema,
    )
    count = days * a_day
    rows = [
        {
            "at": now - timedelta(days=days) + timedelta(days=days * n / count),
            "request_id": f"past{n}",
            "row": 0,
            "release": release,
            "arm": "live",
            "prediction": "0",
            "request.customer_id": n,
        }
        for n in range(count)
    ]
    segment.append(pa.RecordBatch.from_pylist(rows, schema=schema))
    segment.close()
    table = pd.DataFrame({"request_id": [one["request_id"] for one in rows], "is_fraud": 0})
    table.loc[table.index % 100 < round(100 * errors), "is_fraud"] = 1
    table.to_csv(project.root / "complaints.csv", index=False)


def asked(port, customers):
    bodies = [json.dumps({"customer_id": customer, "amount": 5.0}).encode() for customer in customers]
    answers = load.ask(f"http://127.0.0.1:{port}/predict", bodies)
    return [json.loads(one.body)["release"] for one in answers]


def told(project, right, wrong, *, decisions):
    """Outcomes of all decisions: of release `right` all but every tenth, of `wrong` every second was right."""
    deadline = time.monotonic() + 30  # they are written beside the answering path, a moment later
    while True:
        log = read(project.environments / "staging" / "fraud" / "decisions").to_pandas()
        log = log[log.release.isin([right, wrong])].drop_duplicates("request_id").reset_index(drop=True)
        if len(log) == decisions:
            break
        assert time.monotonic() < deadline, len(log)
        time.sleep(0.05)
    missed = (log.groupby("release").cumcount() % 10 == 0).where(log.release == right, log.index % 2 == 0)
    label = log.prediction.astype(int).where(~missed, 1 - log.prediction.astype(int))
    pd.DataFrame({"request_id": log.request_id, "is_fraud": label}).to_csv(project.root / "complaints.csv", index=False)


PLAN = Plan(effect=0.2, baseline=0.4, seconds=7 * DAY)


def test_it_lives_through_a_restart_and_promotes_what_outcomes_show_to_be_better(project, releases):
    """Issue 5, item 4: days, sticky, a stated sample, no data is no success, promoted on outcomes."""
    live, challenger = releases
    folder = project.environments / "staging" / "fraud"
    with served(project) as port:
        begun = start(project, environment="staging", release=challenger, plan=PLAN)
        assert begun.facts["needed_challenger"] > 50
        first = asked(port, range(500))
    with served(project) as port:
        again = asked(port, range(500))
        assert again == first, "the same customers, also after a restart"
        assert 180 < first.count(challenger) < 320
        with pytest.raises(DeploymentFailed, match="an experiment with"):
            deploy(project, environment="staging", release=challenger)
        early = look(project, environment="staging")
        assert (early.facts["said"], early.facts["labels_challenger"]) == ("go on", 0)
        told(project, challenger, live, decisions=1_000)
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        assert look(project, environment="staging", now=tomorrow).facts["said"] == "go on", "labels count after 2 days"
        later = datetime.now(UTC) + timedelta(days=3)
        found = look(project, environment="staging", now=later)
        assert (found.facts["said"], found.facts["ended"]) == ("promote", False), found.verdict
        assert read_pointer(folder).live == live, "promoted only where that is asked for"
        done = look(project, environment="staging", promote=True, now=later)
        assert done.facts["ended"]
        assert set(asked(port, range(50))) == {challenger}
    assert read_pointer(folder).canary is None
    assert not (folder / "experiment.json").exists()
    with pytest.raises(NothingToDo, match="no experiment runs"):
        look(project, environment="staging")


def test_a_worse_challenger_is_stopped_and_an_end_without_labels_is_no_success(project, releases):
    live, challenger = releases
    folder = project.environments / "staging" / "fraud"
    with served(project) as port:
        start(project, environment="staging", release=challenger, plan=PLAN)
        asked(port, range(500))
        told(project, live, challenger, decisions=500)
        found = look(project, environment="staging", promote=True, now=datetime.now(UTC) + timedelta(days=3))
        assert (found.facts["said"], found.facts["ended"]) == ("stop", True)
        assert set(asked(port, range(50))) == {live}
        (project.root / "complaints.csv").write_text("request_id,is_fraud\n")
        start(project, environment="staging", release=challenger, plan=PLAN)
        over = look(project, environment="staging", promote=True, now=datetime.now(UTC) + timedelta(days=10))
        assert (over.facts["said"], over.facts["ended"]) == ("insufficient", True)
        start(project, environment="staging", release=challenger, plan=PLAN)
        assert read_pointer(folder).canary.share == 0.5
        stop(project, environment="staging", reason="a holiday")
        assert read_pointer(folder).canary is None
        start(project, environment="staging", release=challenger, plan=PLAN)
        rollback(project, environment="staging", to=live)
        assert read_pointer(folder).canary is None, "a rollback ends it"
        printed = CliRunner().invoke(command, ["look", "staging", "--project", str(project.root)])
        assert isinstance(printed.exception, NothingToDo)


def test_the_sample_is_said_before_it_begins_out_of_the_live_release_s_past(project, releases):
    live, challenger = releases
    remembered(project, live, days=10, errors=0.1)
    plan = Plan(effect=0.04, seconds=14 * DAY)
    facts = start(project, environment="staging", release=challenger, plan=plan, only_say=True).facts
    assert facts["baseline"] == pytest.approx(0.1, abs=0.005)
    assert facts["labels_a_day"] == pytest.approx(400, rel=0.05)
    assert facts["days_needed"] == pytest.approx(facts["needed_challenger"] / 200, rel=0.05)
    assert not facts["begun"]
    said = ["start", "staging", challenger, "--effect", "4%", "--dry-run", "--project", str(project.root)]
    printed = CliRunner().invoke(command, said)
    assert f"{facts['needed_challenger']:,} outcomes of the challenger" in printed.output, printed
    assert "however often looked at" in printed.output


def test_an_experiment_that_cannot_tell_in_its_time_does_not_begin(project, releases):
    live, challenger = releases
    with pytest.raises(InsufficientEvidence, match="nobody knows 'error'") as caught:
        start(project, environment="staging", release=challenger, plan=Plan(effect=0.04), only_say=True)
    assert "--baseline" in caught.value.next_step
    remembered(project, live, days=10, errors=0.1)
    with pytest.raises(InsufficientEvidence, match="it is planned for 14") as caught:
        start(project, environment="staging", release=challenger, plan=Plan(effect=0.005), only_say=True)
    assert "--for" in caught.value.next_step


def test_what_cannot_be_compared_is_refused(project, releases):
    live, challenger = releases
    with pytest.raises(UsageError, match="is live itself"):
        start(project, environment="staging", release=live, plan=PLAN)
    with pytest.raises(NothingToDo, match="no server runs"):
        start(project, environment="staging", release=challenger, plan=PLAN)
    with (project.root / "pyproject.toml").open("a") as file:
        file.write('[tool.mlops.environments.staging.decisions]\nomit = ["customer_id"]\n')
    with pytest.raises(ConfigError, match="without 'customer_id', by which requests are dealt out"):
        start(open_workspace(project.root), environment="staging", release=challenger, plan=PLAN)
    with pytest.raises(UsageError, match="more than 0"):
        Plan(effect=0.0)
