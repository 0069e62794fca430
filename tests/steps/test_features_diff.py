"""`mlops features diff` compares two views on real rows, in every format."""

from __future__ import annotations

import json

import pytest

from mlops.errors import UsageError
from mlops.steps.features_diff import views
from tests import small


def test_two_versions_are_compared_as_text_json_and_a_page(bank):
    said = small.mlops(bank, "features", "diff", "spend_v1", "spend_v2", "--report", "diff.html", "--report", "diff.md")
    assert said.returncode == 0, said.stderr
    assert "800 rows and 1 column in common: spend differs" in said.stdout
    assert "spend_v2 minus spend_v1" in said.stdout
    assert "the rows that differ most" in said.stdout
    assert "The rows that differ most" in (bank / "diff.html").read_text()
    assert "spend_v2 minus spend_v1" in (bank / "diff.md").read_text()
    found = json.loads(small.mlops(bank, "features", "diff", "spend_v1", "spend_v2", "--json").stdout)["difference"]
    assert (found["rows"], found["only_rows"]) == (800, [0, 0])
    (spend,) = found["columns"]
    assert 0 < spend["equal"] < 0.5
    assert len(spend["examples"]) == 5


def test_what_cannot_be_compared_is_told(bank):
    with (bank / "features/spend.py").open("a") as file:
        file.write(
            '\n\n@feature_view(source="payments", entity="amount", timestamp="at")\n'
            "def other_v1(payments):\n    return payments\n"
        )
    workspace = small.opened(bank)
    with pytest.raises(UsageError, match="no feature view 'spent_v1'") as caught:
        views(workspace, "spend_v1", "spent_v1")
    assert "did you mean 'spend_v1'?" in caught.value.next_step
    with pytest.raises(UsageError, match="one view"):
        views(workspace, "spend_v1", "spend_v1")
    with pytest.raises(UsageError, match="spend_v1 is of customer, other_v1 of amount"):
        views(workspace, "spend_v1", "other_v1")
