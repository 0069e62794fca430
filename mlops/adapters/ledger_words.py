"""Our values in MLflow's words, and back: tags, parameters, metrics, datasets, within what every backend takes."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops.contract import Contract
from mlops.release import Event, Manifest
from mlops.verdict import Override, Record, Verdict

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Param

TAG_LENGTH = 4500
_PARAM_LENGTH = 500


def name(text: str) -> str:
    """A name as MLflow takes it: a colon is none of its characters."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in text)


def milliseconds(text: str) -> int:
    """Milliseconds since 1970 of a moment in ISO 8601."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def tags(facts: Mapping[str, str]) -> dict[str, str]:
    """Tags, without the empty ones."""
    return {key: str(value)[:TAG_LENGTH] for key, value in facts.items() if value != ""}


def shortened(values: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as texts."""
    return {key: str(value)[:_PARAM_LENGTH] for key, value in values.items()}


def params(values: Mapping[str, Any]) -> list[Param]:
    """Parameters of a run."""
    from mlflow.entities import Param

    return [Param(name(key), text) for key, text in shortened(values).items()]


def datasets(digests: Mapping[str, str], context: str = "input") -> list[DatasetInput]:
    """Tables by their names and digests, as what a run was given."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    found = []
    for table, digest in digests.items():
        source, profile = json.dumps({"uri": table}), json.dumps({"sha256": digest, "rows": ""})
        # MLflow keeps 36 characters of a digest: ours, whole, is in the profile.
        described = Dataset(name=table, digest=digest[:32], source_type="local", source=source, profile=profile)
        found.append(DatasetInput(described, [InputTag("mlflow.data.context", context)]))
    return found


def metrics(record: Record) -> list[Metric]:
    """All that a step measured: its own metrics, the champion's, memory, seconds, and values of earlier times."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    before = {f"champion.{key}": value for key, value in record.facts.get("champion_metrics", {}).items()}
    memory = {f"memory.{key}_mb": size / 1e6 for key, size in record.memory.items()}
    curves = _curves(record)
    drawn = {curve[0] for _, curve in curves}
    plain = {**record.metrics, **before, **memory, "seconds": record.seconds}
    return [
        *(Metric(name(key), float(value), now, 0) for key, value in plain.items() if key not in drawn),
        *(Metric(name(key), float(value), int(at * 1000), step) for step, (key, at, value) in curves),
    ]


def _curves(record: Record) -> list[tuple[int, tuple[str, float, float]]]:
    """Values that a record knows of earlier times: (name, seconds since 1970, value), numbered in order of time."""
    curves = sorted(record.facts.get("curves", ()), key=lambda one: one[1])
    steps = {at: step for step, at in enumerate(dict.fromkeys(one[1] for one in curves))}
    return [(steps[one[1]], tuple(one)) for one in curves]


def facts(record: Record) -> dict[str, str]:
    """What tags tell of a record: what it was given, gave and called, what it was judged against, and the verdict."""
    return {
        "mlops.key": record.key,
        "mlops.step": record.step,
        "mlops.subject": record.subject,
        **{f"mlops.input.{name(key)}": digest for key, digest in record.inputs.items()},
        **{f"mlops.output.{key}": digest for key, digest in record.outputs.items()},
        **{f"mlops.code.{key}": digest for key, digest in record.code.items()},
        "mlops.champion": str(record.facts.get("champion", "")),
        **(_judged(record.verdict) if record.verdict is not None else {}),
    }


def _judged(verdict: Verdict) -> dict[str, str]:
    fired = "; ".join(f"{f.check} {f.subject}: {f.message}" for f in verdict.fired)
    let_pass = "; ".join(f"{f.check}: {f.override.who}: {f.override.reason}" for f in verdict.overridden if f.override)
    return {"mlops.verdict": verdict.outcome.value, "mlops.fired": fired, "mlops.overridden": let_pass}


def event(told: Mapping[str, str]) -> Event:
    """The event that a run's tags tell."""
    words = ("at", "action", "environment", "family", "to", "previous", "who", "reason", "outcome")
    fields: dict[str, Any] = {word: told.get(f"mlops.{word}", "") for word in words}
    return Event(**fields, seconds=0.0, recorded=True)


def override(told: Mapping[str, str]) -> Override:
    """The override, or its end, that a run's tags tell."""
    names = [one.name for one in dataclasses.fields(Override) if one.name != "ended"]
    return Override(**{key: told.get(f"mlops.{key}", "") for key in names}, ended=told.get("mlops.ended") == "True")


def description(manifest: Manifest) -> str:
    """A release in a sentence."""
    features = ", ".join(sorted(manifest.features)) or "none stored"
    return f"Release {manifest.release} ({manifest.form}), commit {manifest.commit[:12]}, features: {features}"


def signature(contract: Contract) -> Any:
    """The request's fields and the answer as an MLflow ModelSignature."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    kinds = {
        "float": DataType.double,
        "int": DataType.long,
        "bool": DataType.boolean,
        "string": DataType.string,
        "timestamp": DataType.datetime,
    }
    inputs = [ColSpec(kinds[f.kind], f.name, required=not f.nullable) for f in contract.fields]
    answer = DataType.double if contract.task == "regression" else DataType.string
    outputs = [ColSpec(answer, "prediction")]
    if contract.task == "binary":
        outputs.append(ColSpec(DataType.double, "probability"))
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))
