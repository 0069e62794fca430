"""A packaged model that answers otherwise than the one that was trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from mlops.adapters import onnx
from mlops.adapters.onnx_graph import CannotConvert
from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.gates import parity as gate
from mlops.serving.predictors import Columns, OnnxPredictor, Prediction, columns_of
from mlops.verdict import Finding

_OFF = 0.01
"""How far the answers are moved: a probability by a hundredth, an amount by a hundredth of the answers' spread."""


def cases(bench: Bench) -> Generator[Case]:
    """Answers a little off, in one row, of swapped columns; requests that are answered otherwise; no fast form."""
    said, settings = bench.prediction, bench.config.package
    tolerance, regression = settings.tolerance, bench.contract.task == "regression"
    setting = f"[tool.mlops.package] tolerance = {tolerance}"

    def judge(candidate: Prediction) -> list[Finding]:
        return [gate.judge_payload(gate.compare(said, candidate, regression=regression), tolerance, "the package")]

    def judge_golden(candidate: Prediction) -> list[Finding]:
        return [gate.judge_golden(gate.compare(said, candidate, regression=regression), tolerance)]

    if said.probabilities is not None or regression:
        yield Case(
            fault="answers off by a hundredth", check=gate.PARITY, judge=lambda: judge(off(said)), setting=setting
        )
        yield Case(
            fault="requests answered off by a hundredth",
            check=gate.GOLDEN,
            judge=lambda: judge_golden(off(said)),
            setting=setting,
        )
    if not regression:
        yield Case(fault="another label in one row", check=gate.PARITY, judge=lambda: judge(relabelled(said)))
    yield Case(fault="rows that get no answer", check=gate.PARITY, judge=lambda: judge(said.take([0])))
    yield Case(fault="no request to ask", check=gate.GOLDEN, judge=lambda: [gate.judge_golden(None, tolerance)])
    yield Case(
        fault="ONNX is demanded, and there is none",
        check=gate.FORM,
        judge=lambda: [gate.judge_form("skops", "onnx", "planted")],
    )
    yield from _of_graph(bench, judge)
    yield sound(lambda: [*judge(said), *judge_golden(said)])


def _of_graph(bench: Bench, judge: Any) -> Iterator[Case]:
    """The real graph, read with two columns changed for each other; nothing where the model has none."""
    try:
        graph = OnnxPredictor(onnx.convert(bench.estimator, bench.contract), bench.contract)
    except (CannotConvert, ValueError, RuntimeError):
        return
    columns = columns_of(bench.inputs, bench.contract)
    swapped = exchanged(columns, graph, bench.prediction)
    if swapped is not None:
        yield Case(fault="ONNX reads two columns swapped", check=gate.PARITY, judge=lambda: judge(swapped))


def off(said: Prediction) -> Prediction:
    """The answers, a hundredth off."""
    if said.probabilities is not None:
        return dataclasses.replace(said, probabilities=np.abs(said.probabilities - _OFF))
    spread = float(np.std(said.values)) or 1.0
    return dataclasses.replace(said, values=said.values + 2 * _OFF * np.maximum(np.abs(said.values), spread))


def relabelled(said: Prediction) -> Prediction:
    """The answers with that of another row in the last row that differs."""
    values = np.array(said.values, copy=True)
    others = np.flatnonzero(values != values[-1])
    values[-1] = values[others[0]] if len(others) else "another"
    return dataclasses.replace(said, values=values)


def exchanged(columns: Columns, graph: OnnxPredictor, said: Prediction) -> Prediction | None:
    """What the graph says when two numbers are swapped whose order matters to it; None where none does."""
    numbers = [name for name, values in columns.items() if values.dtype != object]
    for one, other in pairwise(numbers):
        found = graph.predict({**columns, one: columns[other], other: columns[one]})
        if not np.array_equal(found.values, said.values):
            return found
    return None
