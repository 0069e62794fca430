"""What a retained release pins stays as it is: an edit is refused with the diff, and nothing else is an edit."""

from __future__ import annotations

import shutil

import pytest

from mlops import pins
from mlops.closure import code_digest
from mlops.gates.pinned import Holder, judge
from mlops.release import Manifest
from mlops.targets import chosen
from mlops.verdict import Outcome
from tests import small

SPEND = "features/spend.py"


@pytest.fixture
def releases(banked):
    return sorted(banked[1].report.releases)


def changed(root, *environments):
    workspace = small.opened(root)
    return {one.name: one for one in pins.changed(workspace, pins.retained(workspace, *environments)[0])}


def pinned(ran):
    return [f for f in ran.record("check-features").verdict.findings if f.check == "features.pinned"]


def test_what_is_live_and_what_is_kept_for_a_rollback_is_retained(bank, releases):
    found, unknown = pins.retained(small.opened(bank))
    assert [(one.holder.release, one.holder.live, one.views) for one in found] == [
        (releases[1], True, ("spend_v2",)),
        (releases[0], False, ("spend_v1",)),
    ]
    assert unknown == ()
    assert [view.name for view in pins.kept(small.opened(bank), ["fraud"])] == ["spend_v2", "spend_v1"]
    assert pins.kept(small.opened(bank), ["churn"]) == ()


def test_comments_docstrings_formatting_moves_and_renamed_helpers_are_no_edits(bank):
    """Promise 6: no false alarm."""
    file = bank / SPEND
    text = file.read_text()
    text = text.replace(
        "    return past(payments, 3, ", '    """Mean of three days."""\n    # short\n    return past(payments,3, '
    )
    head, first, second = text.split("\n\n\n@feature_view")
    helper = head.replace("def past", "def before").replace("from mlops import feature_view\n", "")
    (bank / "features" / "windows.py").write_text(helper)
    views = "from mlops import feature_view\nfrom features import windows\n"
    views += f"\n\n@feature_view{second}\n\n@feature_view{first}\n".replace("past(", "windows.before(")
    file.unlink()
    (bank / "features" / "customers.py").write_text(views)
    small.edit(bank / "models/fraud.py", "features.spend", "features.customers")
    workspace = small.opened(bank)
    assert workspace.catalog.views["spend_v1"].module == "features.customers", "else nothing was moved"
    assert changed(bank) == {}


def test_another_version_of_python_or_of_the_framework_is_no_edit(bank, monkeypatch):
    """The digest in the manifest differs then; the release's own source tells that nothing was edited."""
    monkeypatch.setattr(pins, "code_digest", lambda *_: "of another Python")
    assert changed(bank) == {}
    small.edit(bank / SPEND, "return past(payments, 3, ", "return past(payments, 4, ")
    assert list(changed(bank)) == ["spend_v1"]


def test_an_edit_is_refused_with_the_diff_and_the_advice(bank, releases):
    """Promise 6: a version that a release pins is edited by nobody, not even in a helper."""
    small.edit(bank / SPEND, "    return past(payments, 3, ", "    # two days more\n    return past(payments, 5, ")
    ran = small.go(bank, until="check-features", environment=None)
    assert ran.report.outcome is Outcome.FAIL
    (found,) = pinned(ran)
    assert found.subject == "spend_v1"
    assert f"{releases[0]} (kept for a rollback in staging)" in found.message
    assert "features/spend.py:" in found.message
    assert "write spend_v3 beside it" in found.next_step
    lines = found.detail.splitlines()
    assert lines[:2] == [f"--- {releases[0]}/features/spend.py", "+++ features/spend.py"]
    assert lines[2].startswith("@@ -13,3 +13,4 @@"), "the lines of the file"
    assert '-    return past(payments, 3, "mean")' in lines
    assert '+    return past(payments, 5, "mean")' in lines
    assert not any("spend_v2" in line for line in lines), "of its neighbour nothing is said"
    small.edit(bank / SPEND, "    # two days more\n    return past(payments, 5, ", "    return past(payments, 3, ")
    again = small.go(bank, until="check-features", environment=None)
    assert again.report.outcome is Outcome.PASS
    assert pinned(again)[0].outcome is Outcome.PASS


def test_an_edited_helper_concerns_every_view_that_calls_it(bank, releases):
    small.edit(bank / SPEND, "fillna(0.0)", "fillna(-1.0)")
    found = changed(bank)
    assert set(found) == {"spend_v1", "spend_v2"}
    assert "-    found = " in found["spend_v2"].diff
    assert "def spend_v2" not in found["spend_v2"].diff
    assert found["spend_v2"].holders[0].live


def test_a_tested_project_is_judged_again_once_a_deployment_pins_what_was_edited(bank):
    """What check-features found before a release was live is no verdict on an edit after it."""
    shutil.move(bank / ".mlops/environments", bank / "elsewhere")
    small.edit(bank / SPEND, "return past(payments, 3, ", "return past(payments, 5, ")
    assert small.go(bank, until="check-features", environment=None).report.outcome is Outcome.PASS
    shutil.move(bank / "elsewhere", bank / ".mlops/environments")
    assert small.go(bank, until="check-features", environment=None).report.outcome is Outcome.FAIL


def test_a_view_that_is_gone_is_named_with_who_reads_it_and_where_its_source_is(bank, releases):
    text = (bank / SPEND).read_text()
    head, _, second = text.split("\n\n\n@feature_view")
    (bank / SPEND).write_text(f"{head}\n\n\n@feature_view{second}")
    models = (bank / "models/fraud.py").read_text().replace("import spend_v1, spend_v2", "import spend_v2")
    head, _, second = models.split("\n\n\n@model")
    (bank / "models/fraud.py").write_text(f"{head}\n\n\n@model{second}")
    (bank / "tests/features/test_spend.py").write_text(
        (bank / "tests/features/test_spend.py").read_text().replace("spend_v1, ", "")
    )
    ran = small.go(bank, until="check-features", environment=None)
    (found,) = pinned(ran)
    assert found.message == f"spend_v1 is gone, but read by {releases[0]} (kept for a rollback in staging)"
    assert f".mlops/releases/{releases[0]}/bento/src/features/spend.py" in found.next_step
    assert f"mlops features prune staging --retire {releases[0]}" in found.next_step
    target = chosen.local(small.opened(bank), "staging")
    target.retire("fraud", releases[0], who="me", reason="given up")
    assert changed(bank) == {}
    assert [one.action for one in target.history("fraud")][-1] == "retire"


def test_a_kept_release_that_is_lost_warns_and_a_live_one_stops(bank, releases):
    shutil.rmtree(bank / ".mlops/releases" / releases[0])
    ran = small.go(bank, until="check-features", environment=None)
    assert ran.report.outcome is Outcome.PASS
    lost, passed = pinned(ran)
    assert lost.fired
    assert str(bank) not in lost.message
    assert passed.outcome is Outcome.PASS
    shutil.rmtree(bank / ".mlops/releases" / releases[1])
    (found,) = [one for one in judge((), pins.retained(small.opened(bank))[1]) if one.outcome is Outcome.NOT_RUN]
    assert f"{releases[1]} (live in staging)" in found.message


def test_an_edited_or_removed_on_demand_feature_is_told_too(project):
    ratio = """
    from mlops import on_demand


    @on_demand(inputs=["amount", "limit"])
    def ratio_v1(amount, limit):
        return amount / limit
    """
    root = project({"features/ratio.py": ratio})
    workspace = small.opened(root)
    declared = workspace.catalog.on_demands["ratio_v1"]
    folder = root / ".mlops/releases/loan_v1-a/bento/src/features"
    shutil.copytree(root / "features", folder)
    holder = Holder(release="loan_v1-a", environment="production", live=True)
    made = dict.fromkeys(("form", "task", "metric", "commit", "code", "environment"), "")
    made |= {key: {} for key in ("snapshot", "metrics", "params", "evidence", "files")}
    digest = code_digest(declared, root)
    manifest = Manifest(release="loan_v1-a", model="loan_v1", dirty=False, features={"ratio_v1": digest}, **made)
    held = pins.Retained(holder=holder, family="loan", manifest=manifest, contract=None)
    assert pins.changed(workspace, [held]) == ()
    small.edit(root / "features/ratio.py", "amount / limit", "limit / amount")
    (edited,) = pins.changed(small.opened(root), [held])
    assert "+    return limit / amount" in edited.diff
    assert edited.successor == "ratio_v2"
    (root / "features/ratio.py").write_text("")
    (found,) = judge(pins.changed(small.opened(root), [held]))
    assert found.message == "ratio_v1 is gone, but read by loan_v1-a (live in production)"
    assert "deploy a release that does not read it to production, then give that release up" in found.next_step
