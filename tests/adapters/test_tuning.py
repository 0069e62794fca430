"""The search: its spaces, its budget, its seed."""

from __future__ import annotations

import math

import pytest

from mlops.adapters.tuning import Budget, check_space, search
from mlops.declare import Origin
from mlops.errors import DeclarationError

HERE = Origin("models/risk.py", 7)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (("integer", 1, 5), "did you mean 'int'"),
        (("int", 1), "neither a range nor a list"),
        (("int", 1.5, 5), "whole numbers"),
        (("float", 5, 1), "low end lies above"),
        (("log", 0, 1), "begins above zero"),
        (("float", 0, math.inf), "finite"),
        (("float", True, 2), "finite"),
        (["int", 1, 5], "written as a tuple"),
        ([], "nothing to choose from"),
        (3, "neither a range nor a list"),
    ],
)
def test_a_space_that_means_nothing_is_refused(spec: object, reason: str) -> None:
    with pytest.raises(DeclarationError, match=rf"models/risk\.py:7: search\['x'\].*{reason}"):
        check_space({"x": spec}, HERE)


def test_sound_spaces_are_taken() -> None:
    check_space({"a": ("int", 1, 1), "b": ("log", 1e-9, 1), "c": [None, "x", (1, 2)], "d": ("float", -1, 1)}, HERE)


def _search(objective, *, space=None, trials=30, seconds=60.0, first=None, seed=3, progress=lambda _: None, **more):
    return search(
        space or {"x": ("float", -4.0, 4.0), "shape": [(1,), (2, 2)]},
        objective,
        budget=Budget(trials=trials, seconds=seconds),
        seed=seed,
        first=first or {},
        progress=progress,
        **more,
    )


def test_a_search_comes_near_the_best_and_to_the_same_place_again() -> None:
    def objective(params):
        return -((params["x"] - 1) ** 2) + len(params["shape"])

    found = _search(objective)
    assert abs(found.params["x"] - 1) < 0.5
    assert found.params["shape"] == (2, 2)
    assert _search(objective) == found


def test_the_declared_parameters_are_tried_first() -> None:
    tried = []
    _search(lambda params: tried.append(params) or 0.0, first={"x": 0.25, "shape": (2, 2), "other": 1}, trials=1)
    assert tried == [{"x": 0.25, "shape": (2, 2)}]


def test_seconds_end_a_search() -> None:
    assert _search(lambda _: 1.0, seconds=1e-9).trials == 1


def test_a_score_that_is_not_finite_does_not_win() -> None:
    assert _search(lambda p: math.nan if p["x"] < 0 else p["x"]).params["x"] > 0
    assert _search(lambda _: math.nan) is None


def test_optuna_says_nothing(capfd) -> None:
    said: list[str] = []
    _search(lambda p: p["x"], trials=2, progress=said.append)
    assert capfd.readouterr() == ("", "")
    assert said[-1].startswith("trial 2/2 best ")


def test_trials_at_once_are_chosen_together_and_told_in_their_order() -> None:
    batches: list[int] = []

    def objective(params):
        return -((params["x"] - 1) ** 2)

    def together(score, batch):
        batches.append(len(batch))
        return [score(params) for params in batch]

    found = _search(objective, trials=10, at_once=4, together=together)
    assert batches == [4, 4, 2]
    assert found.trials == 10
    assert _search(objective, trials=10, at_once=4) == found, "who scores them does not matter"
