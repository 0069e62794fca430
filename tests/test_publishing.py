"""Two versions of a model up and down again, while both versions of the feature stay fresh; and what is refused."""

from __future__ import annotations

import time

import pandas as pd
import pytest

from mlops.adapters.index import Index
from mlops.errors import DeploymentFailed, RollbackFailed
from mlops.publishing import publish_features
from mlops.serving.integrity import read_manifest
from mlops.serving.runtime import load_release
from mlops.steps.rollback import rollback
from mlops.stores.exchange import forget
from mlops.stores.online import OnlineReader, published
from mlops.targets import chosen
from tests import small

CUSTOMER = 7


@pytest.fixture
def releases(banked):
    return sorted(banked[1].report.releases)


def pay(root, *amounts):
    """Further payments of the customer, one a day, after all that there are."""
    table = pd.read_csv(root / "payments.csv", parse_dates=["at"])
    last = table["at"].max()
    new = [
        {"customer": CUSTOMER, "at": last + pd.Timedelta(days=1 + n), "amount": amount, "fraud": int(amount > 100)}
        for n, amount in enumerate(amounts)
    ]
    pd.concat([table, pd.DataFrame(new)], ignore_index=True).to_csv(root / "payments.csv", index=False)


def target(root):
    return chosen.local(small.opened(root), "staging")


def spend(root, view):
    """What the service would read of the customer."""
    (values,) = OnlineReader(target(root).online).read(view, [CUSTOMER], time.time())
    return values["spend"]


def asked(root):
    """What the live release says of one payment of the customer."""
    place = target(root)
    loaded = load_release(place.releases, place.standing("fraud").live, place.online)
    try:
        (answer,) = loaded.answer([{"customer": CUSTOMER, "amount": 40.0}])
    finally:
        loaded.close()
    return answer


def expected(root, days):
    """The mean of the customer's payments in the days before the last one, by plain pandas."""
    table = pd.read_csv(root / "payments.csv", parse_dates=["at"])
    own = table[table["customer"] == CUSTOMER].sort_values("at")
    last = own["at"].iloc[-1]
    before = own[(own["at"] < last) & (own["at"] >= last - pd.Timedelta(days=days))]
    return before["amount"].mean()


def test_upgraded_and_downgraded_both_versions_of_the_features_stay_fresh(bank, releases):
    """Promise 7: what is rolled back to answers with the newest values of its own version of the features."""
    assert rollback(small.opened(bank), environment="staging", to=releases[0]).facts["release"] == releases[0]
    stale = asked(bank)
    assert rollback(small.opened(bank), environment="staging", to=releases[1]).facts["release"] == releases[1]
    for amounts in ((400.0, 500.0), (600.0, 700.0)):
        pay(bank, *amounts)
        ran = small.go(bank, "fraud_v2")  # as `mlops run` does: the newest version of each model alone
        assert not ran.errors, ran
        assert "build-features:spend_v1" in ran.computed
        assert "train:fraud_v1" not in ran.computed
        for view, days in (("spend_v1", 3), ("spend_v2", 10)):
            assert spend(bank, view) == pytest.approx(expected(bank, days)), view
    back = rollback(small.opened(bank), environment="staging", to=releases[0])
    assert back.facts["from"] not in releases, "the new payments made a new release of fraud_v2"
    fresh = asked(bank)
    assert fresh["release"] == stale["release"] == releases[0]
    assert fresh["probability"] > stale["probability"] + 0.05, "it knows what the customer has spent since"
    forget(target(bank).online, "spend_v1")
    again = small.go(bank, "fraud_v2")
    assert "rolled back" in again.record("deploy:fraud_v2").facts["summary"]
    assert target(bank).standing("fraud").live == releases[0]
    assert spend(bank, "spend_v1") == pytest.approx(expected(bank, 3)), "fresh, though nothing was deployed"


def test_who_is_gone_from_the_source_is_gone_online_after_a_run(bank):
    table = pd.read_csv(bank / "payments.csv")
    newest = table["at"] == table["at"].max()
    table[newest | (table["customer"] != CUSTOMER)].to_csv(bank / "payments.csv", index=False)
    assert CUSTOMER not in set(table[newest]["customer"]), "so the newest row does not tell that anything is newer"
    small.go(bank, "fraud_v2")
    for view in ("spend_v1", "spend_v2"):
        (values,) = OnlineReader(target(bank).online).read(view, [CUSTOMER], time.time())
        assert values == {}, view


def test_a_release_whose_features_are_not_online_gets_them_when_it_is_promoted(bank, releases):
    root = small.opened(bank)
    production = chosen.local(root, "production")
    made = small.mlops(bank, "deploy", "production", releases[0], "--allow-dirty")
    assert made.returncode == 0, made.stderr
    assert [one.view for one in published(production.online)] == ["spend_v1"]


def test_features_that_were_never_computed_here_are_computed_for_the_deployment(bank, releases):
    (bank / ".mlops/index.db").unlink()
    made = small.mlops(bank, "deploy", "production", releases[0], "--allow-dirty")
    assert made.returncode == 0, made.stderr
    assert "build-features" in made.stderr
    assert [one.view for one in published(chosen.local(small.opened(bank), "production").online)] == ["spend_v1"]


def test_a_promotion_whose_features_were_edited_or_are_gone_is_refused_before_anything_moves(bank, releases):
    small.edit(bank / "features/spend.py", "return past(payments, 3, ", "return past(payments, 5, ")
    made = small.mlops(bank, "deploy", "production", releases[0], "--allow-dirty")
    assert made.returncode == DeploymentFailed.exit_code == 5
    assert "which was edited since; nothing was deployed" in made.stderr
    assert f".mlops/releases/{releases[0]}/bento/src/features/spend.py" in made.stderr
    production = chosen.local(small.opened(bank), "production")
    assert production.standing("fraud").live is None
    assert published(production.online) == ()


def test_values_of_edited_code_never_come_online_for_a_release_that_pins_the_old(bank, releases):
    before = spend(bank, "spend_v1")
    pay(bank, 500.0, 700.0)
    small.edit(bank / "features/spend.py", "return past(payments, 3, ", "return past(payments, 5, ")
    small.go(bank, until="build-features", environment=None)
    workspace = small.opened(bank)
    index = Index(workspace.home / "index.db")
    left = publish_features(workspace, index, read_manifest(workspace.releases / releases[1]), target(bank).online)
    index.close()
    assert left == {"spend_v1": "was edited"}
    assert spend(bank, "spend_v1") == before


def test_a_rollback_to_pruned_features_is_refused_and_says_what_mends_it(bank, releases):
    place = target(bank)
    forget(place.online, "spend_v1")
    with pytest.raises(RollbackFailed, match="spend_v1") as caught:
        rollback(small.opened(bank), environment="staging")
    assert caught.value.message.startswith("nothing was rolled back: ")
    assert f"mlops deploy staging {releases[0]}" in caught.value.next_step
    assert place.standing("fraud").live == releases[1]
    mended = small.mlops(bank, "deploy", "staging", releases[0])
    assert mended.returncode == 0, mended.stderr
    assert place.standing("fraud").live == releases[0]
