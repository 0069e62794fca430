"""`selftest`: known faults planted into the user's own data and model; every gate must find them, and pass the rest.

A gate that was loosened until it no longer fires shows here as a row that is wrong.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from mlops.adapters import models, schema_files
from mlops.adapters.deepchecks import Deepchecks
from mlops.config import ModelSettings
from mlops.contract import Contract, model_inputs
from mlops.declare import Model
from mlops.errors import NothingToDo, UsageError, nearest
from mlops.gates import data as data_gate
from mlops.gates import faults, questions
from mlops.gates import model as model_gate
from mlops.gates import schema as schema_gate
from mlops.gates.severities import apply
from mlops.serving.predictors import answers
from mlops.statistics import drift
from mlops.statistics.influence import Answers, measure, needs_probabilities
from mlops.verdict import Finding, Outcome, Record, Verdict
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1

GATES = ("schema", "data", "integrity", "train_test", "model")
STOPS, RETRAINS, PASSES = "stops", "retrains", "passes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a model was made of; faults are planted into copies of it."""

    model: Model
    snapshot: Record
    assembled: Record
    trained: Record
    settings: ModelSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One planted fault (or none), what the gate must say and what it said, with the sentence that a user reads."""

    gate: str
    fault: str
    check: str
    expected: str
    got: str
    sentence: str
    seconds: float

    @property
    def right(self) -> bool:
        """Whether the gate said what it must."""
        return self.expected == self.got


@dataclass(frozen=True, slots=True)
class _Bench:
    """The material, loaded."""

    workspace: Workspace
    material: Material
    contract: Contract
    deepchecks: Deepchecks | None

    def frame(self, record: Record, name: str) -> pd.DataFrame:
        return self.workspace.frame(record.outputs[name])

    @property
    def source(self) -> str:
        return self.material.model.source

    @property
    def seed(self) -> int:
        return self.workspace.config.seed


_Case = tuple[str, str, str, Callable[[], Sequence[Finding]]]
"""A fault, the check that must fire (for a sound case: ""), what is expected, and the judgement."""


def selftest(
    workspace: Workspace,
    *,
    material: Material,
    deepchecks: Deepchecks | None,
    gates: Collection[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Row, ...]:
    """One row per gate and fault; `gates` names some of `GATES`, all by default.

    NothingToDo when no fault applies, because a self-test that tests nothing is no pass.
    """
    for name in gates:
        if name not in GATES:
            raise UsageError(f"there is no gate {name!r} to test", next_step=nearest(name, GATES))
    contract = msgspec.json.decode(workspace.objects.get(material.assembled.outputs["contract"]), type=Contract)
    bench = _Bench(workspace, material, contract, deepchecks)
    rows = []
    for gate in gates or GATES:
        for case in _CASES[gate](bench):
            progress(f"{gate}: {case[0]}")
            rows.append(_tried(bench, gate, case))
    if not rows:
        raise NothingToDo("no fault applies to these gates", next_step="name other gates, or none for all")
    return tuple(rows)


def _tried(bench: _Bench, gate: str, case: _Case) -> Row:
    fault, check, expected, judge = case
    start = time.perf_counter()
    found = apply(judge(), bench.workspace.config.severity)
    verdict = Verdict(gate=gate, subject=bench.material.model.name, findings=found)
    telling = [finding for finding in verdict.fired if finding.check == check] or list(verdict.fired)
    return Row(
        gate=gate,
        fault=fault,
        check=check,
        expected=expected,
        got=_said(verdict, check),
        sentence=telling[0].message if telling else "",
        seconds=round(time.perf_counter() - start, 3),
    )


def _said(verdict: Verdict, check: str) -> str:
    """What a verdict does, on account of `check` if it is named."""
    findings = verdict.findings if not check else tuple(f for f in verdict.findings if f.check == check)
    named = dataclasses.replace(verdict, findings=findings)
    if named.outcome is Outcome.NOT_RUN and check:
        return "not run"
    if not named.accepted:
        return STOPS
    return RETRAINS if named.retrain else PASSES


def _schema_cases(bench: _Bench) -> Iterator[_Case]:
    declared = bench.workspace.config.sources[bench.source].schema or f"features/{bench.source}.schema.yaml"
    frame = bench.frame(bench.material.snapshot, "data")
    schema = schema_gate.parse(schema_files.read(bench.workspace.root / declared))
    yield "no schema", "schema.file", STOPS, lambda: [schema_gate.no_file(bench.source, declared)]
    for fault, (check, broken) in faults.schema_faults(schema, frame).items():
        yield fault, check, STOPS, partial(schema_gate.judge, schema, broken, source=bench.source)
    yield "none", "", PASSES, lambda: schema_gate.judge(schema, frame, source=bench.source)


def _data_cases(bench: _Bench) -> Iterator[_Case]:
    model, train = bench.material.model, bench.frame(bench.material.assembled, "train")
    label = train[model.label]

    def judge_label(values: pd.Series) -> list[Finding]:
        return [data_gate.judge_label(values, label=model.label, model=model.name)]

    yield (
        "a label that never changes",
        "data.label",
        STOPS,
        lambda: judge_label(label.where(label.isna(), label.iloc[0])),
    )
    yield "no label at all", "data.label", STOPS, lambda: judge_label(label.where(label.isna() & False))
    yield "none", "", PASSES, lambda: judge_label(label)
    yield from _drift_cases(bench, train)


def _drift_cases(bench: _Bench, train: pd.DataFrame) -> Iterator[_Case]:
    mixed = train.sample(frac=1, random_state=bench.seed)
    columns = [column.name for column in bench.contract.columns]
    before = {name: mixed[name].iloc[::2] for name in columns}
    after = {name: mixed[name].iloc[1::2] for name in columns}
    if len(mixed) // 2 < drift.LEAST_ROWS:
        return

    def judge(now: dict[str, pd.Series]) -> tuple[Finding, ...]:
        return data_gate.judge_shifts(drift.shifts(before, now, seed=bench.seed), champion="the champion")

    moved = faults.shifted(after)
    if moved is not None:
        yield f"{moved[0]} moved by half a sd", "data.value_skew", RETRAINS, lambda: judge(moved[1])
    yield "none (two halves)", "", PASSES, lambda: judge(after)


def _integrity_cases(bench: _Bench) -> Iterator[_Case]:
    deepchecks = bench.deepchecks
    if deepchecks is None:
        return
    model, frame = bench.material.model, bench.frame(bench.material.snapshot, "data")

    def judge(broken: pd.DataFrame, lost: str = "") -> tuple[Finding, ...]:
        asked = questions.of_source(broken, source=bench.source, key=None, reader=model, seed=bench.seed)
        return asked.findings(a for a in deepchecks.run(asked) if a.check != lost)

    classes = bench.contract.task != "regression"
    planted = faults.integrity_faults(_readable(bench, frame), label=model.label, classes=classes)
    for fault, (check, broken) in planted.items():
        yield fault, f"deepchecks.integrity.{check}", STOPS, partial(judge, broken)
    lost = "DataDuplicates"
    yield "a check without an answer", f"deepchecks.integrity.{lost}", STOPS, lambda: judge(frame, lost)
    yield "none", "", PASSES, lambda: judge(frame)


def _readable(bench: _Bench, frame: pd.DataFrame) -> pd.DataFrame:
    """Without keys and times, which make every row differ, so that copies of rows stay copies."""
    model = bench.material.model
    fields = {field.name for field in bench.contract.fields if field.kind != "timestamp"}
    fields -= {stored.entity for stored in bench.contract.stored}
    kept = [name for name in frame.columns if name in fields or name in (model.label, model.timestamp)]
    return frame[kept]


def _train_test_cases(bench: _Bench) -> Iterator[_Case]:
    deepchecks, contract = bench.deepchecks, bench.contract
    if deepchecks is None:
        return
    train, holdout = (bench.frame(bench.material.assembled, side) for side in ("train", "holdout"))

    def judge(first: pd.DataFrame, second: pd.DataFrame) -> tuple[Finding, ...]:
        asked = questions.of_sides(contract, first, second, seed=bench.seed)
        return asked.findings(deepchecks.run(asked))

    numbers = [column.name for column in contract.columns if column.kind == "number"]
    planted = faults.side_faults(train, holdout, label=contract.label, numbers=numbers)
    for fault, (check, first, second) in planted.items():
        yield fault, f"deepchecks.train_test.{check}", STOPS, partial(judge, first, second)
    yield "none", "", PASSES, lambda: judge(train, holdout)


def _model_cases(bench: _Bench) -> Iterator[_Case]:
    contract, settings = bench.contract, bench.material.settings
    inputs, said = _answered(bench)
    train = bench.frame(bench.material.assembled, "train")
    known = model_gate.coded(train[contract.label], train[contract.label], None, contract.classes, ()).actual
    metric, family = contract.metric, bench.material.model.family
    if needs_probabilities(metric) and said.probabilities is None:
        return

    def floor(answers: Answers, value: float | None) -> list[Finding]:
        return [model_gate.judge_floor(metric, measure(metric, answers), value, model=family)]

    def champion(challenger: Answers) -> list[Finding]:
        return [model_gate.judge_champion(metric, challenger, said, margin=settings.margin, release="the champion")]

    def baseline(answers: Answers) -> list[Finding]:
        return [model_gate.judge_baseline(metric, answers, len(contract.classes), known)]

    def leakage(first: pd.DataFrame, second: pd.DataFrame) -> tuple[Finding, ...]:
        return model_gate.judge_leakage(first, second, (known, said.actual), classes=len(contract.classes))

    sides = model_inputs(train, contract), inputs
    leaking = sides[0].assign(__leak=known), sides[1].assign(__leak=said.actual)
    mad, broken = faults.without_sense(said), faults.not_numbers(said)
    yield "no floor", "model.floor", STOPS, lambda: floor(said, None)
    yield "shuffled answers", "model.floor", STOPS, lambda: floor(mad, settings.floor)
    yield "shuffled answers", "model.baseline", STOPS, lambda: baseline(mad)
    yield "half the answers shuffled", "model.champion", STOPS, lambda: champion(faults.without_sense(said, 0.5))
    yield "NaN", "model.finite", STOPS, lambda: [model_gate.judge_finite(broken.predicted, broken.probabilities)]
    yield "the answer as a feature", "model.leakage", STOPS, lambda: leakage(*leaking)
    yield (
        "none",
        "",
        PASSES,
        lambda: [
            *floor(said, settings.floor),
            *baseline(said),
            *champion(said),
            *leakage(*sides),
            model_gate.judge_finite(said.predicted, said.probabilities),
        ],
    )


def _answered(bench: _Bench) -> tuple[pd.DataFrame, Answers]:
    """The held-out rows as the model sees them, and its answers."""
    contract = bench.contract
    digest = bench.material.trained.outputs["model"]
    path = bench.workspace.objects.path(digest)
    estimator = models.load(path, digest=digest, trusted=bench.workspace.config.package.trusted)
    holdout = bench.frame(bench.material.assembled, "holdout")
    inputs = model_inputs(holdout, contract)
    said = answers(estimator, inputs, contract)
    labels = holdout[contract.label]
    return inputs, model_gate.coded(labels, said.values, said.probabilities, contract.classes, contract.classes)


_CASES: dict[str, Callable[[_Bench], Iterator[_Case]]] = {
    "schema": _schema_cases,
    "data": _data_cases,
    "integrity": _integrity_cases,
    "train_test": _train_test_cases,
    "model": _model_cases,
}
