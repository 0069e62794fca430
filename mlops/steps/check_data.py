"""`check-data`: a source judged against its schema and for integrity; a model's table, side against side.

Two functions, because a source is judged as soon as it is there, and a model's table when it is assembled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mlops.adapters import schema_files
from mlops.adapters.deepchecks import Deepchecks, Job
from mlops.contract import Contract
from mlops.declare import Model
from mlops.gates import data as gate
from mlops.gates import deepchecks as suites
from mlops.gates import schema as schema_gate
from mlops.gates.severities import apply
from mlops.release import Manifest
from mlops.statistics import drift, sampling
from mlops.statistics.kinds import inferred_task
from mlops.verdict import Finding, Record, Verdict
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1

SAMPLE = 20_000
"""Rows that deepchecks sees; its own time on a million is minutes."""

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
    else:
        found += _integrity(workspace, source, frame, schema, models, deepchecks)
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
    found = [
        *_value_skew(workspace, contract, train, holdout, champion),
        *_train_test(workspace, contract, train, holdout, deepchecks),
    ]
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


def _integrity(
    workspace: Workspace,
    source: str,
    frame: pd.DataFrame,
    schema: schema_gate.Schema | None,
    models: Sequence[Model],
    deepchecks: Deepchecks | None,
) -> tuple[Finding, ...]:
    if deepchecks is None:
        return suites.skipped("integrity", _SWITCHED_OFF)
    reader = models[0] if models else None
    key = schema.key if schema is not None else None
    timestamp = reader.timestamp if reader is not None and _is_time(frame, reader.timestamp) else None
    table, task, label = frame, "", None
    if reader is not None:
        label = reader.label
        table = frame[frame[label].notna()].reset_index(drop=True)
        task = reader.task or inferred_task(table[label])[0]
    ignored = {label, timestamp, key, *(reader.ignore if reader is not None else ())}
    features = [name for name in table.columns if name not in ignored and not _is_time(table, name)]
    rows = sampling.by_content(table, features, SAMPLE)
    wanted = [*features, *(name for name in (label, timestamp, key) if name is not None)]
    sample = table.iloc[rows][list(dict.fromkeys(wanted))].reset_index(drop=True)
    situation = suites.Situation(task=task, timestamp=timestamp is not None, key=key is not None and key != label)
    classes = _encode(sample, label, task)
    job = Job(
        train=sample,
        checks=suites.job_checks(suites.asked("integrity", situation)),
        features=features,
        categorical=_categorical(sample, features),
        label=label,
        task=task or None,
        classes=classes,
        index=key if situation.key else None,
        timestamp=timestamp,
        seed=workspace.config.seed,
    )
    answers = deepchecks.run(job)
    return suites.findings("integrity", situation, answers, subject=source, n=len(sample), of=len(table))


def _train_test(
    workspace: Workspace, contract: Contract, train: pd.DataFrame, holdout: pd.DataFrame, deepchecks: Deepchecks | None
) -> tuple[Finding, ...]:
    if deepchecks is None:
        return suites.skipped("train_test", _SWITCHED_OFF)
    features = [column.name for column in contract.columns]
    timestamp = contract.timestamp if _is_time(train, contract.timestamp) else None
    wanted = [*features, contract.label, *([timestamp] if timestamp else [])]
    strata = train[contract.label] if contract.classes else None
    sides = [
        side.iloc[sampling.stratified(labels, len(side), SAMPLE, seed=workspace.config.seed)][wanted].reset_index(
            drop=True
        )
        for side, labels in ((train, strata), (holdout, holdout[contract.label] if contract.classes else None))
    ]
    for side in sides:
        encode_label(side, contract)
    situation = suites.Situation(task=contract.task, timestamp=timestamp is not None)
    job = Job(
        train=sides[0],
        test=sides[1],
        checks=suites.job_checks(suites.asked("train_test", situation)),
        features=features,
        categorical=[column.name for column in contract.columns if column.kind == "string"],
        label=contract.label,
        task=contract.task,
        classes=len(contract.classes),
        timestamp=timestamp,
        seed=workspace.config.seed,
    )
    n, of = sum(map(len, sides)), len(train) + len(holdout)
    return suites.findings("train_test", situation, deepchecks.run(job), subject=contract.model, n=n, of=of)


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


def encode_label(side: pd.DataFrame, contract: Contract) -> None:
    """Replace the label's classes by their codes, in place; amounts stay."""
    if contract.classes:
        codes = {value: code for code, value in enumerate(contract.classes)}
        side[contract.label] = side[contract.label].map(codes).astype("int64")


def _encode(sample: pd.DataFrame, label: str | None, task: str) -> int:
    import pandas as pd

    if label is None or task == "regression":
        return 0
    codes, values = pd.factorize(sample[label], sort=True)
    sample[label] = codes
    return len(values)


def _categorical(sample: pd.DataFrame, features: Sequence[str]) -> list[str]:
    import pandas as pd

    return [name for name in features if not pd.api.types.is_numeric_dtype(sample[name].dtype)]


def _is_time(frame: pd.DataFrame, name: Any) -> bool:
    return name is not None and name in frame and getattr(frame[name].dtype, "kind", "") == "M"


def _counts(verdict: Verdict, rows: int) -> dict[str, float]:
    return {"rows": float(rows), "checks": float(len(verdict.findings)), "fired": float(len(verdict.fired))}
