"""`check-data`: a source judged against its schema and for integrity; a model's table, side against side.

Two functions, because a source is judged as soon as it is there, and a model's table when it is assembled.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from mlops.adapters import schema_files
from mlops.adapters.deepchecks import Deepchecks
from mlops.contract import Contract
from mlops.declare import Model
from mlops.gates import data as gate
from mlops.gates import deepchecks as suites
from mlops.gates import own, questions
from mlops.gates import schema as schema_gate
from mlops.gates.severities import apply
from mlops.release import Manifest
from mlops.statistics import drift
from mlops.verdict import Finding, Record, Verdict
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1

_SWITCHED_OFF = "switched off: [tool.mlops] deepchecks = false"
_BROKEN = "the table does not fit its schema; mend that first"


def check_source(
    workspace: Workspace,
    *,
    source: str,
    snapshot: Record,
    models: Sequence[Model],
    deepchecks: Deepchecks | None,
) -> Record:
    """The verdict over a source: schema skew, the labels of the models that read it, and deepchecks' integrity."""
    frame = workspace.frame(snapshot.outputs["data"])
    schema, skew = _schema(workspace, source, frame)
    labels = [gate.judge_label(frame.get(m.label), label=m.label, model=m.name) for m in models]
    found = [*skew, *_one_per_subject(labels)]
    if any(finding.fired for finding in found):
        found += suites.skipped("integrity", _BROKEN)
    elif deepchecks is None:
        found += suites.skipped("integrity", _SWITCHED_OFF)
    else:
        key, reader = (schema.key if schema is not None else None), (models[0] if models else None)
        asked = questions.of_source(frame, source=source, key=key, reader=reader, seed=workspace.config.seed)
        found += asked.findings(deepchecks.run(asked))
    for check in workspace.catalog.checks.values():
        if check.on == "data" and source in inspect.signature(check.function).parameters:
            found += own.run(check, {source: frame.copy()}, subject=source)
    verdict = Verdict(gate="check-data", subject=source, findings=apply(found, workspace.config.severity))
    return Record(step="check-data", subject=source, verdict=verdict, metrics=_counts(verdict, len(frame)))


def check_table(
    workspace: Workspace,
    *,
    model: Model,
    assembled: Record,
    champion: Manifest | None,
    deepchecks: Deepchecks | None,
) -> Record:
    """The verdict over a model's table: deepchecks' train-test suite, and drift since the champion was trained."""
    contract = msgspec.json.decode(workspace.objects.get(assembled.outputs["contract"]), type=Contract)
    train, holdout = (workspace.frame(assembled.outputs[side]) for side in ("train", "holdout"))
    inputs = [column.name for column in contract.columns]
    found = [*gate.judge_sides(train[inputs], holdout[inputs])]
    found += _value_skew(workspace, contract, train, holdout, champion)
    if deepchecks is None:
        found += suites.skipped("train_test", _SWITCHED_OFF)
    else:
        asked = questions.of_sides(contract, train, holdout, seed=workspace.config.seed)
        found += asked.findings(deepchecks.run(asked))
    verdict = Verdict(gate="check-data", subject=model.name, findings=apply(found, workspace.config.severity))
    metrics = _counts(verdict, len(train) + len(holdout))
    facts = {"champion": champion.release if champion else "", "retrain": verdict.retrain}
    return Record(step="check-data", subject=model.name, verdict=verdict, metrics=metrics, facts=facts)


def _schema(
    workspace: Workspace, source: str, frame: pd.DataFrame
) -> tuple[schema_gate.Schema | None, tuple[Finding, ...]]:
    name = workspace.config.sources[source].schema or f"features/{source}.schema.yaml"
    try:
        document = schema_files.read(workspace.root / name)
        schema = schema_gate.parse(document)
    except FileNotFoundError:
        return None, (schema_gate.no_file(source, name),)
    except ValueError as error:
        return None, (schema_gate.bad_file(source, name, str(error)),)
    found = schema_gate.judge(schema, frame, source=source)
    if schema.foreign and not any(finding.fired for finding in found):
        try:
            failures = schema_files.failures(document, frame)
        except ValueError as error:
            return schema, (*found, schema_gate.bad_file(source, name, str(error)))
        found = (*found, *schema_gate.constraint_findings(failures, rows=len(frame)))
    return schema, found


def _one_per_subject(findings: Sequence[Finding]) -> list[Finding]:
    return list({finding.subject: finding for finding in findings}.values())


def _value_skew(
    workspace: Workspace, contract: Contract, train: pd.DataFrame, holdout: pd.DataFrame, champion: Manifest | None
) -> tuple[Finding, ...]:
    import pandas as pd

    if champion is None:
        return (gate.no_champion("first release: there is no training data to compare with"),)
    if not champion.training or not workspace.objects.has(champion.training):
        return (gate.no_champion(f"the training data of {champion.release} is not on this machine"),)
    before = workspace.frame(champion.training)
    names = [column.name for column in contract.columns if column.name in before]
    # The newest rows are what the champion meets now; where there is no time, all rows are.
    now = holdout if contract.timestamp else pd.concat([train, holdout], ignore_index=True)
    found = drift.shifts({n: before[n] for n in names}, {n: now[n] for n in names}, seed=workspace.config.seed)
    return gate.judge_shifts(found, champion=champion.release)


def _counts(verdict: Verdict, rows: int) -> dict[str, float]:
    return {"rows": float(rows), "checks": float(len(verdict.findings)), "fired": float(len(verdict.fired))}
