"""An override is an event in the ledger: it lets a "no" pass, shows everywhere, and ends by itself."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest

from mlops.adapters.ledger import Ledger
from mlops.errors import NothingToDo, UsageError
from mlops.serving.integrity import read_manifest
from mlops.steps import override as step
from mlops.steps.lineage import lineage
from mlops.steps.status import status
from mlops.verdict import Outcome
from mlops.workspace import open_workspace
from tests import small

TODAY = datetime.now(UTC).date()


def day(number: int) -> str:
    return str(TODAY + timedelta(days=number))


@pytest.fixture
def refused(shop):
    """A released project whose floor has been raised above what its model reaches."""
    small.edit(shop / "pyproject.toml", "floor = 0.6", "floor = 0.99")
    return shop


def test_an_overridden_no_goes_on_to_build_and_deploy_and_ends_when_it_ends(released, refused):
    """Nothing of an overridden verdict is reused: the gate says no again once the override is over."""
    assert small.go(refused).report.outcome is Outcome.FAIL
    workspace = open_workspace(refused)
    done = step.override(workspace, gate="model.floor", subject="churn", until=day(3), reason="new rows on Monday")
    let_pass = small.go(refused)
    assert let_pass.report.outcome is Outcome.OVERRIDDEN, let_pass
    assert let_pass.report.deployed == {let_pass.report.releases[0]: "staging"}
    assert let_pass.report.releases != released[1].report.releases, "one that needed an override is another release"
    (found,) = let_pass.record("check-model:churn_v1").verdict.overridden
    assert found.override == done.facts["override"]
    assert (found.check, found.found, found.threshold) == ("model.floor", Outcome.FAIL, 0.99)

    assert "check-model:churn_v1" in small.go(refused).computed, "it was judged anew"
    release = let_pass.report.releases[0]
    said = read_manifest(workspace.releases / release).evidence["check-model:churn_v1"]
    for part in ("overridden", "model.floor", found.override.who, day(3), "new rows on Monday"):
        assert part in said
    node = lineage(workspace, subject=release).facts["graph"].nodes[f"release:{release}"]
    assert node.facts["gates"]["check-model:churn_v1"] == said
    (family,) = status(workspace, environment="staging").facts["families"]
    assert family["overridden"] == {"check-model:churn_v1": said}
    judged = ledger(refused).client.search_runs([ledger(refused).experiment], "tags.`mlops.overridden` != ''")
    assert "new rows on Monday" in judged[0].data.tags["mlops.overridden"]

    step.end(workspace, gate="model.floor", subject="churn", reason="they came")
    after = small.go(refused)
    assert after.report.outcome is Outcome.FAIL
    assert not after.report.releases


def test_past_its_day_the_gate_says_no_again(refused):
    done = step.override(open_workspace(refused), gate="model.floor", until=day(0), reason="today only")
    assert small.go(refused, until="check-model").report.outcome is Outcome.OVERRIDDEN
    event = done.facts["override"]
    over = dataclasses.replace(event, until=day(-1), at=datetime.now(UTC).isoformat(timespec="microseconds"))
    ledger(refused).override(over)  # as the ledger will read tomorrow
    assert small.go(refused, until="check-model").report.outcome is Outcome.FAIL


def test_a_ledger_that_does_not_answer_overrides_nothing(refused, monkeypatch):
    step.override(open_workspace(refused), gate="model.floor", until=day(1), reason="because")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    ran = small.go(refused, until="check-model")
    assert ran.report.outcome is Outcome.FAIL
    assert ran.errors


def test_where_no_gate_says_no_the_ledger_is_not_asked(shop, monkeypatch):
    monkeypatch.setattr(Ledger, "overrides", lambda *_, **__: pytest.fail("the ledger was asked"))
    small.edit(shop / "pyproject.toml", "floor = 0.6", "floor = 0.61")
    assert small.go(shop, until="check-model").report.outcome is Outcome.PASS


def test_overrides_are_listed_with_who_when_why_and_until(shop):
    workspace = open_workspace(shop)
    step.override(workspace, gate="model.champion", subject="churn", until=day(2), reason=" the champion \n leaked ")
    step.override(workspace, gate="check-service", until=day(90), reason="a slow week")
    step.end(workspace, gate="check-service")
    facts = step.overrides(workspace).facts
    (held,) = facts["in_force"]
    assert (held.gate, held.subject, held.until, held.reason) == (
        "model.champion",
        "churn",
        day(2),
        "the champion leaked",
    )
    assert held.who
    assert datetime.fromisoformat(held.at).date() == TODAY
    assert [(one.gate, one.ended) for one in facts["over"]] == [("check-service", True), ("check-service", False)]
    shown = small.mlops(shop, "override", "--list")
    assert f"model.champion for churn         until {day(2)}" in shown.stdout
    assert json.loads(small.mlops(shop, "override", "--list", "--json").stdout)["in_force"][0]["who"] == held.who


@pytest.mark.parametrize(
    ("gate", "until", "reason", "subject", "message", "next_step"),
    [
        ("modle.floor", day(1), "r", "", "no gate or check 'modle.floor'", "model.floor"),
        ("check-modle", day(1), "r", "", "no gate or check", "check-model"),
        ("model.floor", day(-1), "r", "", "in the past", "from today on"),
        ("model.floor", day(91), "r", "", "91 days away", "pyproject.toml"),
        ("model.floor", "tomorrow", "r", "", "'tomorrow' is no date", "YEAR-MONTH-DAY"),
        ("model.floor", day(1), "  ", "", "needs a reason", "--reason"),
        ("model.floor", day(1), "r", "chrun", "no model, feature or source 'chrun'", "churn"),
        ("train.saved", day(1), "r", "", "cannot be overridden", "mend"),
    ],
)
def test_what_cannot_be_is_refused_with_the_next_step(released, gate, until, reason, subject, message, next_step):
    with pytest.raises(UsageError, match=message) as error:
        step.override(open_workspace(released[0]), gate=gate, until=until, reason=reason, subject=subject)
    assert next_step in error.value.next_step


def test_ending_what_is_not_in_force_is_nothing_to_do(shop):
    with pytest.raises(NothingToDo, match=r"no override of model\.floor is in force"):
        step.end(open_workspace(shop), gate="model.floor")


def test_a_command_line_without_a_gate_or_a_day_says_what_is_missing(shop):
    assert "which gate?" in small.mlops(shop, "override").stderr
    asked = small.mlops(shop, "override", "model.floor", "--reason", "r")
    assert (asked.returncode, "--until" in asked.stderr) == (2, True)


def ledger(root) -> Ledger:
    return Ledger(root / ".mlops", "shop")
