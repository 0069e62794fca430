"""`package --sbom`: the bill of materials of a packaged model, beside the bento and no part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import yaml

from mlops.adapters import sbom
from mlops.adapters.files import write_atomically
from mlops.adapters.index import Index
from mlops.closure import code_digest
from mlops.contract import Contract
from mlops.declare import Model
from mlops.verdict import Record
from mlops.workspace import Workspace

VERSION = 1

_PAYLOAD = "src/release/"  # of a bento
_REQUIREMENTS = "env/python/requirements.txt"


def package_sbom(workspace: Workspace, *, model: Model, records: Mapping[str, Record], file: Path) -> Record:
    """The record of `file`, in CycloneDX 1.6 JSON; the same model gives the same bytes.

    `records` are those of the run that packaged the model, by name. Its metrics are those that check-model measured,
    where that was done for this very model.
    """
    name = model.name
    packaged, trained, assembled = (records[f"{step}:{name}"] for step in ("package", "train", "assemble"))
    contract = msgspec.json.decode(workspace.objects.get(assembled.outputs["contract"]), type=Contract)
    listing: dict[str, str] = workspace.objects.get_json(packaged.outputs["bento"])
    about = yaml.safe_load(workspace.objects.get(listing["bento.yaml"]))
    requirements = _requirements(workspace, listing)
    views, computed = workspace.catalog.pinned(model)
    made = sbom.Made(
        model=name,
        version=str(about["version"]),
        description=model.doc or "",
        task={"regression": "regression"}.get(contract.task, f"{contract.task} classification"),
        estimator=str(trained.facts["estimator"]),
        form=str(packaged.facts["form"]),
        inputs={field.name: field.kind + (" or null" if field.nullable else "") for field in contract.fields},
        output=f"{contract.label}: {contract.task}",
        files={path.removeprefix(_PAYLOAD): digest for path, digest in listing.items() if path.startswith(_PAYLOAD)},
        data=_data(records, assembled),
        features={one.name: code_digest(one, workspace.root) for one in (*views, *computed)},
        params=trained.params,
        metrics=_metrics(workspace, name, trained),
        requirements=requirements,
        hashes=sbom.locked_hashes(workspace.root),
    )
    write_atomically(file, sbom.document(made))
    summary = f"{len(requirements)} packages, {len(made.data)} tables, {len(made.metrics)} metrics"
    return Record(step="package-sbom", subject=name, facts={"file": str(file), "summary": summary})


def _requirements(workspace: Workspace, listing: Mapping[str, str]) -> Sequence[str]:
    text = workspace.objects.get(listing[_REQUIREMENTS]).decode()
    return [line.strip() for line in text.splitlines() if "==" in line]


def _data(records: Mapping[str, Record], assembled: Record) -> dict[str, str]:
    """The snapshots, and the rows that the model was fitted to and judged on."""
    snapshots = {one.subject: one.outputs["data"] for one in records.values() if one.step == "snapshot"}
    return {**snapshots, **{f"{side} rows": assembled.outputs[side] for side in ("train", "holdout")}}


def _metrics(workspace: Workspace, name: str, trained: Record) -> dict[str, float]:
    """What check-model measured of this very model; empty where it has not judged it."""
    judged = Index(workspace.home / "index.db").latest("check-model", name)
    if judged is None or trained.outputs["model"] not in judged.inputs.values():
        return {}
    return dict(judged.metrics)
