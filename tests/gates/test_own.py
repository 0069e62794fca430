"""A user's own check passes only when it ran and said so."""

from __future__ import annotations

import numpy as np
import pytest

from mlops import Finding, Outcome, check
from mlops.errors import DeclarationError
from mlops.gates import own


def outcome(function, **values):
    declared = check(on="model")(function)
    return own.run(declared, values or {"rows": [1, 2]}, subject="fraud_v1")


def holds(rows):
    """Nobody is refused."""
    assert rows


def breaks(rows):
    assert len(rows) == 3, "there are not three rows"


def says_no(rows):
    return False


def says_yes(rows):
    return np.bool_(True)


def raises(rows):
    return rows["no such column"]


def returns_text(rows):
    return "fine"


def finds(rows):
    return [Finding(check="own.finds", outcome=Outcome.FAIL, message="found it", rows=(1,))]


def finds_nothing(rows):
    return []


@pytest.mark.parametrize(
    ("function", "expected", "words"),
    [
        (holds, Outcome.PASS, "Nobody is refused"),
        (says_yes, Outcome.PASS, "says_yes"),
        (finds_nothing, Outcome.PASS, "found nothing"),
        (breaks, Outcome.FAIL, "there are not three rows"),
        (says_no, Outcome.FAIL, "returned False"),
        (finds, Outcome.FAIL, "found it"),
        (raises, Outcome.NOT_RUN, "TypeError"),
        (returns_text, Outcome.NOT_RUN, "returned str"),
    ],
)
def test_what_a_check_said_is_a_finding(function, expected, words):
    """PROMISES 2: what crashed or said nothing that can be understood did not run."""
    (finding,) = outcome(function)
    assert finding.outcome is expected
    assert words in finding.message
    assert finding.fired == (expected is not Outcome.PASS)


def test_a_check_that_asks_for_what_is_not_there_did_not_run():
    (finding,) = outcome(lambda rows, table: True, rows=[], predictions=[])
    assert finding.outcome is Outcome.NOT_RUN
    assert "'table'" in finding.message
    assert "rows, predictions" in finding.message


def test_a_finding_speaks_for_its_own_check_alone_and_says_where_that_is():
    """Else a check could override another, or hide from `[tool.mlops.severity]`."""
    foreign = Finding(check="model.floor", outcome=Outcome.FAIL, message="too low")
    (finding,) = outcome(lambda rows: foreign)
    assert finding.check == "own.<lambda>"
    assert finding.subject == "fraud_v1"
    assert "test_own.py:" in finding.next_step


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('@check(on="service")\ndef quick(answer): ...', "it can have ask, requests, contract, url"),
        ('@check(on="model")\ndef fair(row): ...', "did you mean 'rows'?"),
        ('@check(on="features")\ndef whole(features): ...', "declares no feature view"),
        ('@check(on="data")\ndef whole(ordres): ...', "did you mean 'orders'?"),
        ('@check(on="data")\ndef whole(): ...', "one parameter"),
    ],
)
def test_a_check_that_no_gate_would_call_is_refused_when_it_is_declared(project, text, says):
    from mlops.discover import discover
    from mlops.pyproject import load

    root = project(
        {"models/rules.py": f"from mlops import check\n{text}\n"}, '[tool.mlops.sources.orders]\npath = "a.csv"\n'
    )
    with pytest.raises(DeclarationError) as caught:
        discover(root, load(root))
    assert says in str(caught.value)
    assert "rules.py:2" in str(caught.value)
