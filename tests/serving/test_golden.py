from __future__ import annotations

import pytest

from mlops.serving.golden import Golden, differences

BINARY = {"prediction": 1, "probability": 0.7}


def case(answer):
    return [Golden(request={}, answer=answer)]


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (BINARY, {"prediction": 1, "probability": 0.70005, "release": "r"}),
        ({"prediction": 2e6}, {"prediction": 2e6 + 100}),
        ({"prediction": "a", "probabilities": {"a": 1.0}}, {"prediction": "a", "probabilities": {"a": 1}}),
    ],
)
def test_answers_within_the_tolerance_agree(expected, got):
    assert differences(case(expected), [got]) == []


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (BINARY, {"prediction": 0, "probability": 0.7}),
        (BINARY, {"prediction": 1, "probability": 0.701}),
        (BINARY, {"prediction": 1, "probability": float("nan")}),
        (BINARY, {"prediction": 1}),
        (BINARY, {"status": 500}),
        ({"prediction": 2e6}, {"prediction": 2.001e6}),
        ({"prediction": "a", "probabilities": {"a": 1.0}}, {"prediction": "a", "probabilities": {"b": 1.0}}),
    ],
)
def test_answers_beyond_it_differ(expected, got):
    assert len(differences(case(expected), [got])) == 1


def test_a_missing_answer_differs():
    assert differences(case(BINARY), []) != []
