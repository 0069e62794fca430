"""Search for good parameters within a budget of trials and seconds, by Optuna."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.declare import Origin
from mlops.errors import DeclarationError, nearest

if TYPE_CHECKING:
    import optuna

_KINDS = ("int", "float", "log")
_FORM = '("int", low, high), ("float", low, high), ("log", low, high), or a list of choices'


Objective = Callable[[dict[str, Any]], float]
Together = Callable[[Objective, Sequence[dict[str, Any]]], Sequence[float]]
"""Scores of several parameters, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long a search may take: trials, seconds of wall time, whichever ends first."""

    trials: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The best parameters of a search, their score, and how many trials there were."""

    params: Mapping[str, Any]
    score: float
    trials: int


def check_space(space: Mapping[str, Any], origin: Origin) -> None:
    """Raise DeclarationError, with file and line, for a search space that means nothing."""
    for name, spec in space.items():
        wrong = _wrong(spec)
        if wrong:
            raise DeclarationError(f"{origin}: search[{name!r}] = {spec!r}: {wrong}", next_step=f"write {_FORM}")


def _wrong(spec: Any) -> str:
    if isinstance(spec, list):
        mistaken = len(spec) == 3 and spec[0] in _KINDS and all(_is_number(v) for v in spec[1:])
        return "a range is written as a tuple" if mistaken else "" if spec else "there is nothing to choose from"
    if not isinstance(spec, tuple) or len(spec) != 3:
        return "this is neither a range nor a list of choices"
    return _wrong_range(*spec)


def _wrong_range(kind: Any, low: Any, high: Any) -> str:
    if kind not in _KINDS:
        return f"unknown kind of range {kind!r}; {nearest(str(kind), _KINDS)}"
    if not (_is_number(low) and _is_number(high)):
        return "the ends of a range are finite numbers"
    if kind == "int" and not (isinstance(low, int) and isinstance(high, int)):
        return "the ends of an int range are whole numbers"
    if low > high:
        return "the low end lies above the high one"
    return "a logarithmic range begins above zero" if kind == "log" and low <= 0 else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def search(
    space: Mapping[str, Any],
    objective: Objective,
    *,
    budget: Budget,
    seed: int,
    first: Mapping[str, Any],
    progress: Callable[[str], None],
    at_once: int = 1,
    together: Together | None = None,
) -> Found | None:
    """The parameters with the greatest `objective`; None when no trial gave a finite score.

    `first` are parameters to try before all others (those that are in the space count), so that a search
    is never worse than no search. `at_once` trials are chosen before any of them is told, and scored by `together`.
    The same seed and numbers of trials give the same parameters. What the objective raises ends the search.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    start = {name: value for name, value in first.items() if name in space and _within(space[name], value)}
    if start:
        study.enqueue_trial({n: v if isinstance(space[n], tuple) else space[n].index(v) for n, v in start.items()})
    deadline = time.monotonic() + budget.seconds
    best: Found | None = None
    score_all = together or _one_by_one
    number = 0
    while number < budget.trials:
        trials = [study.ask() for _ in range(min(at_once, budget.trials - number))]
        batch = [{name: _suggest(trial, name, spec) for name, spec in space.items()} for trial in trials]
        for trial, params, score in zip(trials, batch, score_all(objective, batch), strict=True):
            number += 1
            finite = math.isfinite(score)
            study.tell(trial, score if finite else None, state=None if finite else optuna.trial.TrialState.FAIL)
            if finite and (best is None or score > best.score):
                best = Found(params=params, score=score, trials=number)
        progress(f"trial {number}/{budget.trials}" + (f" best {best.score:.4g}" if best else ""))
        if time.monotonic() >= deadline:
            break
    return best and Found(params=best.params, score=best.score, trials=number)


def _one_by_one(objective: Objective, batch: Sequence[dict[str, Any]]) -> list[float]:
    return [objective(params) for params in batch]


def _within(spec: tuple[str, float, float] | Sequence[Any], value: Any) -> bool:
    if isinstance(spec, tuple):
        return _is_number(value) and spec[1] <= value <= spec[2]
    return value in spec


def _suggest(trial: optuna.Trial, name: str, spec: Any) -> Any:
    if isinstance(spec, list):  # by position, so that choices may be anything
        return spec[trial.suggest_categorical(name, list(range(len(spec))))]
    kind, low, high = spec
    if kind == "int":
        return trial.suggest_int(name, low, high)
    return trial.suggest_float(name, low, high, log=kind == "log")
