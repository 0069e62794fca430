"""`mlops features prune`: what nobody reads goes, on demand and with an event; what a retained release reads stays."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from mlops.adapters.ledger import Ledger
from mlops.errors import GateFailed, RollbackFailed, UsageError
from mlops.events import write_events
from mlops.steps.features_prune import planned, prune
from mlops.steps.rollback import rollback
from mlops.stores.exchange import publish
from mlops.stores.online import published
from mlops.targets import chosen, history
from tests import small


@pytest.fixture
def releases(banked):
    return sorted(banked[1].report.releases)


@pytest.fixture
def staging(bank):
    """The environment, with a view online that no release reads any more."""
    target = chosen.local(small.opened(bank), "staging")
    publish(target.online, "spend_v9", "customer", pd.DataFrame({"customer": [1], "spend": [1.0]}))
    return target


def online(target):
    return {one.view for one in published(target.online)}


def plan(record, environment="staging"):
    return next(one for one in record.facts["environments"] if one["environment"] == environment)


def test_what_is_read_by_nobody_goes_and_what_a_retained_release_reads_never_does(bank, staging, releases):
    workspace = small.opened(bank)
    said = plan(planned(workspace))
    assert said["remove"] == ["spend_v9"]
    assert said["keep"] == {
        "spend_v1": [f"{releases[0]} (kept for a rollback in staging)"],
        "spend_v2": [f"{releases[1]} (live in staging)"],
    }
    assert online(staging) == {"spend_v1", "spend_v2", "spend_v9"}, "what is planned is not done"
    assert plan(prune(workspace, reason="tidy"))["remove"] == ["spend_v9"]
    assert online(staging) == {"spend_v1", "spend_v2"}
    assert plan(prune(workspace))["remove"] == [], "a second time there is nothing to do"
    (event,) = history.read(staging.folder)
    assert (event.action, event.to, event.reason, event.outcome) == ("prune", "spend_v9", "tidy", "done")


def test_what_was_done_is_in_the_ledger_as_a_run(bank, staging):
    workspace = small.opened(bank)
    prune(workspace, ["staging"], reason="tidy")
    ledger = Ledger(workspace.home, "bank")
    before = ledger.client.get_model_version_by_alias("fraud", "staging").version
    assert write_events(workspace, "staging", ledger) == 0
    (run,) = ledger.client.search_runs([ledger.experiment], "tags.`mlops.step` = 'prune'")
    assert run.data.tags["mlops.to"] == "spend_v9"
    assert ledger.client.get_model_version_by_alias("fraud", "staging").version == before


def test_a_release_that_is_given_up_takes_its_views_along_and_is_not_returned_to(bank, staging, releases):
    """Promise 7: a rollback to what was pruned is refused, and a deployment mends it."""
    workspace = small.opened(bank)
    done = plan(prune(workspace, ["staging"], [releases[0]]))
    assert (done["retire"], sorted(done["remove"])) == ([releases[0]], ["spend_v1", "spend_v9"])
    with pytest.raises(RollbackFailed, match="spend_v1"):
        rollback(workspace, environment="staging")
    assert staging.standing("fraud").live == releases[1]
    assert staging.retained("fraud") == (releases[1],)
    ran = small.go(bank, "fraud_v2")
    assert "build-features:spend_v1" not in ran.started
    assert online(staging) == {"spend_v2"}
    assert small.mlops(bank, "deploy", "staging", releases[0]).returncode == 0
    assert staging.retained("fraud") == (releases[0], releases[1])
    assert online(staging) == {"spend_v1", "spend_v2"}


def test_what_is_live_is_not_given_up_and_what_is_unknown_is_named(bank, staging, releases):
    workspace = small.opened(bank)
    with pytest.raises(UsageError, match="is live in staging"):
        prune(workspace, ["staging"], [releases[1]])
    with pytest.raises(UsageError, match="'frad_v1' is kept for a rollback") as caught:
        planned(workspace, ["staging"], ["frad_v1"])
    assert releases[0] in caught.value.next_step
    with pytest.raises(UsageError, match="unknown environment"):
        planned(workspace, ["stagign"])
    assert online(staging) == {"spend_v1", "spend_v2", "spend_v9"}


def test_nothing_goes_while_it_is_not_known_what_a_kept_release_reads(bank, staging, releases):
    shutil.rmtree(bank / ".mlops/releases" / releases[0])
    workspace = small.opened(bank)
    with pytest.raises(GateFailed, match="is not known") as caught:
        prune(workspace, ["staging"])
    assert f"--retire {releases[0]}" in caught.value.next_step
    assert online(staging) == {"spend_v1", "spend_v2", "spend_v9"}
    assert sorted(plan(prune(workspace, ["staging"], [releases[0]]))["remove"]) == ["spend_v1", "spend_v9"]


def test_without_a_terminal_the_command_only_says_what_it_would_do(bank, staging):
    said = small.mlops(bank, "features", "prune", "staging")
    assert said.returncode == 0, said.stderr
    assert "removes spend_v9" in said.stdout
    assert "nothing was removed; to do it: --yes" in said.stdout
    assert "spend_v9" in online(staging)
    done = small.mlops(bank, "features", "prune", "staging", "--yes", "--json")
    assert json.loads(done.stdout)["done"] is True
    assert "spend_v9" not in online(staging)
