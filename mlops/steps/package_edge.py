"""`package --edge`: the model's ONNX file with its contract and a small program, for a device without a service."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from mlops.adapters import edge
from mlops.adapters.files import disk_errors, sync
from mlops.contract import Contract, model_inputs
from mlops.declare import Model
from mlops.errors import GateFailed, UsageError
from mlops.gates import parity
from mlops.release import CONTRACT, GOLDEN
from mlops.serving.asking import as_prediction, as_requests, possible_rows
from mlops.serving.golden import Golden, differences
from mlops.serving.predictors import ONNX_FILE, OnnxPredictor, columns_of
from mlops.verdict import Record
from mlops.workspace import Workspace

VERSION = 1

_PAYLOAD = "src/release"  # of a bento
_FILES = (ONNX_FILE, CONTRACT, GOLDEN, edge.RUNNER)


def package_edge(
    workspace: Workspace, *, model: Model, packaged: Record, assembled: Record, folder: Path, tolerance: float
) -> Record:
    """The record of `folder`/MODEL with the model, its contract, golden requests and `run.py`; it appears whole.

    `run.py` has answered every held-out row and every golden request as the bento does, with onnxruntime and numpy
    alone. GateFailed where it does not, or where the model needs what a device does not have.
    """
    contract = msgspec.json.decode(workspace.objects.get(assembled.outputs["contract"]), type=Contract)
    place = folder / model.name
    _demand_plain(model, contract, packaged)
    _demand_ours(place)
    listing: dict[str, str] = workspace.objects.get_json(packaged.outputs["bento"])
    with disk_errors(place):
        folder.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{model.name}.", suffix=".tmp", dir=folder))
    try:
        for name in (ONNX_FILE, CONTRACT, GOLDEN):
            (made / name).write_bytes(workspace.objects.get(listing[f"{_PAYLOAD}/{name}"]))
        (made / edge.RUNNER).write_bytes(edge.runner())
        facts = _proven(workspace, made, contract, assembled, tolerance)
        _put(made, place)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    size = (place / ONNX_FILE).stat().st_size
    return Record(step="package-edge", subject=model.name, facts={"folder": str(place), "model_bytes": size, **facts})


def _demand_plain(model: Model, contract: Contract, packaged: Record) -> None:
    """A device has no store, no pandas and no scikit-learn."""
    if packaged.facts["form"] != "onnx":
        why = packaged.facts["reason"] or "as configured"
        raise GateFailed(
            f"{model.name} has no ONNX form, and a device runs ONNX alone: {why}",
            next_step='change the model so that form = "onnx" under [tool.mlops.package] passes, or serve the bento',
        )
    needs = [f"{one.view}.{one.column}" for one in contract.stored] + [one.name for one in contract.computed]
    if needs:
        more = f" and {len(needs) - 1} more" if needs[1:] else ""
        kind = "stored in the feature store" if contract.stored else "computed by pandas code at the request"
        raise GateFailed(
            f"{model.name} reads {needs[0]}{more}, {kind}; a device has neither",
            next_step="write a version that reads fields of the request alone (request=[…], no features=), "
            "or let the device ask the service",
        )


def _demand_ours(place: Path) -> None:
    if place.exists() and not (place.is_dir() and {path.name for path in place.iterdir()} <= set(_FILES)):
        raise UsageError(f"{place} holds other things", next_step="give an empty or a new folder")


def _proven(
    workspace: Workspace, made: Path, contract: Contract, assembled: Record, tolerance: float
) -> dict[str, Any]:
    """Facts on how the program's answers compare with the bento's; GateFailed where they differ."""
    table = workspace.frame(assembled.outputs["holdout"]).reset_index(drop=True)
    table = table.iloc[possible_rows(table, contract)].reset_index(drop=True)
    golden = msgspec.json.decode((made / GOLDEN).read_bytes(), type=list[Golden])
    said = edge.asked(made, [*as_requests(table, contract), *(one.request for one in golden)])
    refused = next((one["error"] for one in said if "error" in one), None)
    if refused is not None or len(said) != len(table) + len(golden):
        raise _differs(f"a held-out row is refused: {refused}" if refused else "a request got no answer")
    expected = OnnxPredictor(made / ONNX_FILE, contract).predict(columns_of(model_inputs(table, contract), contract))
    regression = contract.task == "regression"
    found = parity.compare(expected, as_prediction(said[: len(table)], contract), regression=regression)
    wrong = differences(golden, said[len(table) :], tolerance)
    if not found.agrees(tolerance) or wrong:
        raise _differs(wrong[0] if wrong else found.sentence(tolerance))
    return {"rows": len(table), "golden": len(golden), "max_difference": found.largest}


def _differs(how: str) -> GateFailed:
    return GateFailed(
        f"{edge.RUNNER} does not answer as the bento: {how}",
        next_step="compare the versions of onnxruntime and numpy; nothing was written",
    )


def _put(made: Path, place: Path) -> None:
    """Let the folder take its place; one that was there before goes when the new one is whole."""
    with disk_errors(place):
        made.chmod(0o755)
        for path in made.iterdir():
            sync(path)
        sync(made)
        old = place.with_name(f".{place.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if place.exists():
            place.rename(old)
        made.rename(place)
        sync(place.parent)
        shutil.rmtree(old, ignore_errors=True)
