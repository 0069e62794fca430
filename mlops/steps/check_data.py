"""`check-data`: a source judged against its schema and for integrity; a model's table, side against side.

Two functions, because a source is judged as soon as it is there, and a model's table when it is assembled.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import msgspec

from mlops import exhibits, own_tests
from mlops.adapters import aggregates, schema_files
from mlops.adapters.deepchecks import Deepchecks
from mlops.contract import Contract
from mlops.declare import Model
from mlops.doubts import doubted, in_doubt
from mlops.gates import data as gate
from mlops.gates import deepchecks as suites
from mlops.gates import own, questions
from mlops.gates import schema as schema_gate
from mlops.gates.severities import apply
from mlops.release import Manifest
from mlops.skew import value_skew
from mlops.verdict import Finding, Record, Verdict
from mlops.workspace import Workspace

VERSION = 2

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
    """The verdict over a source: schema skew, the labels of the models that read it, and deepchecks' integrity.

    All rows are judged where they lie, in Parquet; a frame is only made for a check that cannot do without.
    """
    digest = snapshot.outputs["data"]
    with aggregates.of_parquet(workspace.objects.path(digest), scratch=workspace.scratch) as table:
        rows = table.rows
        schema, skew = _schema(workspace, source, table, digest)
        labels = [gate.judge_label(table.column(m.label), label=m.label, model=m.name) for m in models]
        found = [*skew, *_one_per_subject(labels)]
        if any(finding.fired for finding in found):
            found += suites.skipped("integrity", _BROKEN)
        elif deepchecks is None:
            found += suites.skipped("integrity", _SWITCHED_OFF)
        else:
            key, reader = (schema.key if schema is not None else None), (models[0] if models else None)
            asked = _integrity(table, source=source, key=key, reader=reader, seed=workspace.config.seed)
            found += asked.findings(deepchecks.run(asked))
    for check in workspace.catalog.checks.values():
        if check.on == "data" and source in inspect.signature(check.function).parameters:
            found += own.run(check, {source: workspace.frame(digest).copy()}, subject=source)
    found += own_tests.run(workspace, own_tests.of_source(workspace, source, digest))
    verdict = Verdict(gate="check-data", subject=source, findings=apply(found, workspace.config.severity))
    return Record(step="check-data", subject=source, verdict=verdict, metrics=_counts(verdict, rows))


def check_table(
    workspace: Workspace,
    *,
    model: Model,
    assembled: Record,
    champion: Manifest | None,
    deepchecks: Deepchecks | None,
) -> Record:
    """The verdict over a model's table: what is empty on a side, drift since the champion was trained, wrong labels.

    And deepchecks' train-test suite. Output `exhibits`: what moved and what it costs, labels in doubt.
    """
    contract = msgspec.json.decode(workspace.objects.get(assembled.outputs["contract"]), type=Contract)
    train, holdout = (workspace.frame(assembled.outputs[side]) for side in ("train", "holdout"))
    inputs = [column.name for column in contract.columns]
    found = [*gate.judge_sides(train[inputs], holdout[inputs])]
    skew, noise = value_skew(workspace, contract, assembled, champion), doubted(workspace, contract, assembled)
    found += [*skew.findings, noise.finding]
    if deepchecks is None:
        found += suites.skipped("train_test", _SWITCHED_OFF)
    else:
        split = assembled.facts["split"]["kind"]
        asked = questions.of_sides(contract, train, holdout, seed=workspace.config.seed, split=split)
        found += asked.findings(deepchecks.run(asked))
    verdict = Verdict(gate="check-data", subject=model.name, findings=apply(found, workspace.config.severity))
    metrics = _counts(verdict, len(train) + len(holdout))
    facts = {"champion": champion.release if champion else "", "retrain": verdict.retrain}
    shown = [*skew.exhibits, *in_doubt(noise)]
    outputs = {exhibits.OUTPUT: workspace.objects.put(exhibits.encode(shown))} if shown else {}
    return Record(step="check-data", subject=model.name, outputs=outputs, verdict=verdict, metrics=metrics, facts=facts)


def _schema(
    workspace: Workspace, source: str, table: aggregates.Aggregates, digest: str
) -> tuple[schema_gate.Schema | None, tuple[Finding, ...]]:
    name = workspace.config.sources[source].schema or f"features/{source}.schema.yaml"
    try:
        document = schema_files.read(workspace.root / name)
        schema = schema_gate.parse(document, file=name, lines=schema_files.lines(workspace.root / name))
    except FileNotFoundError:
        return None, (schema_gate.no_file(source, name),)
    except ValueError as error:
        return None, (schema_gate.bad_file(source, name, str(error)),)
    found = schema_gate.judge(schema, table, source=source)
    if schema.foreign and not any(finding.fired for finding in found):
        try:
            failures = schema_files.failures(document, workspace.frame(digest))
        except ValueError as error:
            return schema, (*found, schema_gate.bad_file(source, name, str(error)))
        found = (*found, *schema_gate.constraint_findings(schema, failures, source=source, rows=table.rows))
    return schema, found


def _integrity(
    table: aggregates.Aggregates, *, source: str, key: str | None, reader: Model | None, seed: int
) -> questions.Question:
    """What deepchecks is asked of a source, on a sample that was drawn where the rows lie."""
    left_out = {key, *((reader.label, reader.timestamp, *reader.ignore) if reader is not None else ())}
    features = [name for name, kind in table.kinds.items() if kind != "time" and name not in left_out]
    label = reader.label if reader is not None else None
    sample = table.by_content(features, questions.SAMPLE, wanted=list(table.kinds), filled=label)
    of = table.rows if label is None else table.present(label)
    return questions.of_source(sample, source=source, key=key, reader=reader, seed=seed, of=of)


def _one_per_subject(findings: Sequence[Finding]) -> list[Finding]:
    return list({finding.subject: finding for finding in findings}.values())


def _counts(verdict: Verdict, rows: int) -> dict[str, float]:
    return {"rows": float(rows), "checks": float(len(verdict.findings)), "fired": float(len(verdict.fired))}
