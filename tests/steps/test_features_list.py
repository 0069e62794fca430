"""`mlops features` shows what there is before somebody writes it again."""

from __future__ import annotations

import json

import pytest

from mlops.adapters.index import Index
from mlops.reports.views import render
from mlops.steps.features_list import features
from tests import small

AGAIN = '''

@feature_view(source="payments", entity="customer", timestamp="at", ttl="36h",
              columns={"mean_of_three_days": "mean amount of the customer's payments in the three days before"})
def habits_v1(payments):
    """What somebody wrote without looking whether it was there already."""
    return past(payments, 3, "mean").rename(columns={"spend": "mean_of_three_days"})


@feature_view(source="payments", entity="customer", timestamp="at", columns=["spend"])
def money_v1(payments):
    # the very code of spend_v2
    return past(payments, 10, "mean")
'''


@pytest.fixture
def releases(banked):
    return sorted(banked[1].report.releases)


def listed(root):
    workspace = small.opened(root)
    index = Index(workspace.home / "index.db")
    try:
        facts = features(workspace, index).facts
    finally:
        index.close()
    return facts, {one["name"]: one for one in facts["views"]}


def test_each_view_comes_with_its_statistics_freshness_and_readers(bank, releases):
    _, views = listed(bank)
    one = views["spend_v1"]
    assert (one["entity"], one["source"], one["version"], one["origin"]) == (
        "customer",
        "payments",
        1,
        "features/spend.py:13",
    )
    assert (one["models"], one["releases"]) == (["fraud_v1"], [f"{releases[0]} (kept for a rollback in staging)"])
    assert (one["stored"]["rows"], one["stored"]["entities"]) == (800, 20)
    (column,) = one["columns"]
    assert (column["name"], column["type"], column["missing"]) == ("spend", "number", 0.0)
    assert column["low"] < column["mean"] < column["high"]
    assert set(one["online"]) == {"staging"}
    assert one["online"]["staging"]["newest"] == one["stored"]["newest"]
    assert not one["unused"]


def test_what_nobody_reads_and_what_says_the_same_is_pointed_out(bank):
    """Promise 6: discover and reuse before you write a new one."""
    with (bank / "features/spend.py").open("a") as file:
        file.write(AGAIN)
    facts, views = listed(bank)
    assert [name for name, one in views.items() if one["unused"]] == ["habits_v1", "money_v1"]
    assert views["habits_v1"]["stored"] is None
    assert facts["alike"] == [{"first": "spend_v2", "second": "money_v1", "why": "one code"}], "known without a value"
    workspace = small.opened(bank)
    made = small.mlops(bank, "features", "diff", "habits_v1", "money_v1")
    assert made.returncode == 0, made.stderr
    facts, _ = listed(bank)
    assert {(one["first"], one["second"], one["why"]) for one in facts["alike"]} == {
        ("spend_v2", "money_v1", "one code"),
        ("spend_v1.spend", "habits_v1.mean_of_three_days", "equal values"),
    }
    assert workspace.catalog.views["habits_v1"].doc in render(facts, width=120)


@pytest.mark.parametrize("width", [80, 120])
def test_the_text_fits_the_terminal(bank, width):
    with (bank / "features/spend.py").open("a") as file:
        file.write(AGAIN)
    facts, _ = listed(bank)
    text = render(facts, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "nobody reads habits_v1, money_v1" in text
    assert "good for 36 h" in text


def test_the_command_says_it_as_text_and_for_machines(bank):
    said = small.mlops(bank, "features", COLUMNS="80")
    assert said.returncode == 0, said.stderr
    assert "spend_v2  of customer, from payments" in said.stdout
    assert max(map(len, said.stdout.splitlines())) <= 80
    facts = json.loads(small.mlops(bank, "features", "--json").stdout)
    assert [one["name"] for one in facts["views"]] == ["spend_v1", "spend_v2"]


def test_a_project_without_features_says_so(shop):
    said = small.mlops(shop, "features")
    assert said.returncode == 3
    assert "no feature is declared" in said.stderr
