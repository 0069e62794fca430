"""Deployments and rollbacks do not wait for the ledger; it is told when it answers again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlops.adapters.ledger import Ledger
from mlops.events import write_events
from mlops.steps.deploy import deploy
from mlops.targets import chosen
from tests import small

AWAY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


def told(root):
    ledger = Ledger(root / ".mlops", "shop")
    runs = ledger.client.search_runs([ledger.experiment], "tags.`mlops.environment` != ''", order_by=["start_time"])
    return [(r.data.tags["mlops.action"], r.data.tags["mlops.environment"], r.data.tags["mlops.outcome"]) for r in runs]


def test_a_deployment_with_the_ledger_down_goes_live_and_is_told_later(shop, released):
    (release,) = released[1].report.releases
    done = small.mlops(shop, "deploy", "production", release, "--reason", "friday", "--allow-dirty", **AWAY)
    assert done.returncode == 0, done.stderr
    assert "the ledger does not answer; 1 events wait" in done.stderr
    workspace = small.opened(shop)
    (event,) = chosen.target(workspace, "production").history("churn")
    assert (event.to, event.reason.partition(";")[0], event.recorded) == (release, "friday", False)
    assert write_events(workspace, "production") == 0
    assert told(shop)[-1] == ("deploy", "production", "done")
    assert all(e.recorded for e in chosen.target(workspace, "production").history("churn"))


def test_a_rollback_with_the_ledger_down_goes_through(shop, released):
    """Promise 8, a part."""
    (release,) = released[1].report.releases
    second = shop / "models" / "churn.py"
    small.edit(second, "fitted(X, y, 1.0)", "fitted(X, y, 0.7)")
    newer = small.go(shop).report.releases[0]
    done = small.mlops(shop, "rollback", "staging", "--reason", "complaints", **AWAY)
    assert done.returncode == 0, done.stderr
    assert f"{release} is live (before: {newer})" in done.stdout
    workspace = small.opened(shop)
    assert chosen.target(workspace, "staging").standing("churn").live == release
    assert write_events(workspace, "staging") == 0
    assert told(shop)[-1] == ("rollback", "staging", "done")
    alias = Ledger(shop / ".mlops", "shop").client.get_model_version_by_alias("churn", "staging")
    assert alias.tags["mlops.release"] == release


def test_events_are_told_once_and_in_order(shop, released):
    (release,) = released[1].report.releases
    workspace = small.opened(shop)
    before = len(told(shop))
    deploy(workspace, environment="production", release=release)
    for _ in range(2):
        assert write_events(workspace, "production") == 0
    assert len(told(shop)) == before + 1


def test_with_nothing_to_tell_no_ledger_is_opened(shop, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", AWAY["MLFLOW_TRACKING_URI"])
    assert write_events(small.opened(shop), "staging") == 0


def test_how_many_wait_is_told_when_the_ledger_is_away(shop, released, monkeypatch):
    workspace = small.opened(shop)
    deploy(workspace, environment="production", release=released[1].report.releases[0])
    for name, value in AWAY.items():
        monkeypatch.setenv(name, value)
    assert write_events(workspace, "production") == 1


@pytest.mark.parametrize(("environment", "code"), [("staging", 0), ("stagign", 2)])
def test_the_process_that_is_left_behind_ends_with_an_exit_code(shop, environment, code):
    command = [sys.executable, "-m", "mlops.events", str(shop), environment]
    done = subprocess.run(command, env=small.variables(), capture_output=True, check=False)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
