"""`package`: a bento of the model in its fastest proven form, with its contract and golden answers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlops.adapters import bento, files, models, onnx
from mlops.adapters.onnx_graph import CannotConvert
from mlops.config import Packaging
from mlops.contract import Contract, model_inputs
from mlops.declare import Model
from mlops.gates import parity
from mlops.keys import versions
from mlops.release import CONTRACT, GOLDEN
from mlops.serving.asking import Asked, as_prediction, ask, requests
from mlops.serving.golden import Golden
from mlops.serving.predictors import (
    ONNX_FILE,
    SKOPS_FACTS,
    SKOPS_FILE,
    OnnxPredictor,
    Prediction,
    Predictor,
    SkopsFacts,
    answers,
    columns_of,
    load_predictor,
)
from mlops.serving.refusal import Refused
from mlops.verdict import Finding, Record, Verdict
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

VERSION = 2

PAYLOAD_FOLDER = "release"
_VERSION_DIGITS = 12

_ALWAYS = ("bentoml", "onnxruntime", "numpy", "msgspec", "pyarrow", "httptools", "uvloop")
_WITH_PANDAS = ("pandas",)
_WITH_SKOPS = ("pandas", "scikit-learn", "skops")
_PROBED = 8
"""Held-out rows on which missing and unseen values are tried, column by column."""
_UNSEEN = "a value that was never seen"


@dataclass(frozen=True, slots=True)
class _Form:
    """The form in which the model travels: its files, and why it is not the fast one."""

    name: Literal["onnx", "skops"]
    files: Mapping[str, bytes]
    reason: str = ""
    precision: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    """The trained model and what it says of the held-out rows."""

    estimator: Any
    digest: str
    contract: Contract
    table: pd.DataFrame
    frame: pd.DataFrame
    said: Prediction


def package(
    workspace: Workspace,
    *,
    model: Model,
    trained: Record,
    assembled: Record,
    settings: Packaging,
    sources: Sequence[str],
    needs: Sequence[str] = (),
) -> Record:
    """The record of a bento: outputs `bento` (a tree), `contract` and `golden`; facts `form`, `reason`, `parity`.

    `sources` are the project's files that travel with it, relative to its root, `needs` the distributions that those
    import which are called when it is served. A verdict of failure, without
    a bento, where the model cannot be packaged as it was trained. ConfigError for a wrong `bentofile.yaml`.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

    bentofile = bento.read_bentofile(workspace.root)
    home = Path(tempfile.mkdtemp(prefix=f"package-{model.name}-", dir=workspace.scratch))
    try:
        # The tables are small: more threads would only wait for each other while other steps run beside this one.
        with bento.Builder(home / "bentoml", bentofile.service) as builder, threadpool_limits(1, user_api="openmp"):
            known = _known(workspace, trained, assembled, settings)
            form = _form(workspace, known, settings)
            staging = home / "build"
            _stage(workspace, staging, known.contract, form, sources)
            found, findings, golden = _proven(staging, known, form, settings)
            if not Verdict(gate="package", subject=model.name, findings=findings).accepted:
                return _record(model, form, found, findings, {})
            trusted = versions(name.partition(".")[0] for name in settings.trusted) if form.name == "skops" else ()
            plan = _plan(staging, model, known.contract, form, bentofile, (*needs, *trusted))
            outputs = {
                "bento": workspace.objects.put_tree(builder.build(plan)),
                "contract": assembled.outputs["contract"],
                "golden": workspace.objects.put(golden),
            }
        return _record(model, form, found, findings, outputs)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _record(
    model: Model, form: _Form, found: parity.Parity, findings: tuple[Finding, ...], outputs: Mapping[str, str]
) -> Record:
    measured = {
        "rows": found.rows,
        "max_difference": found.largest,
        "worst_row": found.worst,
        "labels": found.labels,
        "precision": form.precision,
    }
    size = sum(len(data) for data in form.files.values())
    return Record(
        step="package",
        subject=model.name,
        outputs=outputs,
        metrics={"max_difference": found.largest, "rows": float(found.rows), "model_bytes": float(size)},
        facts={
            "form": form.name,
            "reason": form.reason,
            "parity": measured,
            "summary": f"{form.name}, {size / 1024:.0f} KiB, {found.rows} held-out rows answered alike"
            if outputs
            else f"{form.name} was refused",
        },
        verdict=Verdict(gate="package", subject=model.name, findings=findings),
    )


# -- the form -----------------------------------------------------------------------------------------------------


def _known(workspace: Workspace, trained: Record, assembled: Record, settings: Packaging) -> _Known:
    contract = msgspec.json.decode(workspace.objects.get(assembled.outputs["contract"]), type=Contract)
    digest = trained.outputs["model"]
    estimator = models.load(workspace.objects.path(digest), digest=digest, trusted=settings.trusted)
    table = workspace.frame(assembled.outputs["holdout"]).reset_index(drop=True)
    frame = model_inputs(table, contract)
    return _Known(estimator, digest, contract, table, frame, answers(estimator, frame, contract))


def _form(workspace: Workspace, known: _Known, settings: Packaging) -> _Form:
    """ONNX in the first precision that agrees on all held-out rows and on odd values; else skops, and why not."""
    reason = ""
    for precision in ("double", "float") if settings.form != "skops" else ():
        try:
            data = onnx.convert(known.estimator, known.contract, precision=precision)
            problem = _disagreement(OnnxPredictor(data, known.contract), known, settings.tolerance)
        except CannotConvert as error:
            problem = error.message
        except Exception as error:  # noqa: BLE001 - the runtime raises its own kinds for a graph that it cannot run
            problem = f"ONNX Runtime refuses the graph: {' '.join(str(error).split())[:200]}"
        if not problem:
            return _Form("onnx", {ONNX_FILE: data}, precision=precision)
        reason = reason or problem
    facts = SkopsFacts(digest=known.digest, trusted=settings.trusted)
    content = {SKOPS_FILE: workspace.objects.get(known.digest), SKOPS_FACTS: msgspec.json.encode(facts)}
    return _Form("skops", content, reason)


def _disagreement(predictor: Predictor, known: _Known, tolerance: float) -> str:
    """In which way the candidate differs from the trained model, "" where it does not."""
    found = _compared(predictor, known, known.frame, known.said)
    if not found.agrees(tolerance):
        return f"ONNX differs: {found.sentence(tolerance)}"
    probes = _probes(known.frame, known.contract)
    if _agree(predictor, known, list(probes.values()), tolerance):
        return ""
    # Some differ, or are refused by the trained model itself, which is no difference: so one by one.
    wrong = [what for what, frame in probes.items() if not _agree(predictor, known, [frame], tolerance, refused=True)]
    return f"ONNX differs where {wrong[0]}" + (f" (and {len(wrong) - 1} more)" if wrong[1:] else "") if wrong else ""


def _agree(
    predictor: Predictor, known: _Known, frames: Sequence[pd.DataFrame], tolerance: float, *, refused: bool = False
) -> bool:
    """Whether both say the same of these rows; `refused` is the answer when the trained model refuses them."""
    import pandas as pd

    frame = pd.concat(frames, ignore_index=True)
    try:
        expected = answers(known.estimator, frame, known.contract)
    except ValueError:
        return refused
    return _compared(predictor, known, frame, expected).agrees(tolerance)


def _compared(predictor: Predictor, known: _Known, frame: pd.DataFrame, expected: Prediction) -> parity.Parity:
    said = predictor.predict(columns_of(frame, known.contract))
    return parity.compare(expected, said, regression=known.contract.task == "regression")


def _probes(frame: pd.DataFrame, contract: Contract) -> dict[str, pd.DataFrame]:
    """What is odd -> a few rows again with one column missing or, for text, never seen before."""
    import numpy as np
    import pandas as pd

    few = frame.head(_PROBED)
    probes = {"nothing is odd": few}
    for column in contract.columns:
        kind = "float64" if column.kind == "number" else "object"
        tries = {"missing": np.nan} if column.kind == "number" else {"missing": np.nan, "new": _UNSEEN}
        for what, value in tries.items():
            changed = pd.Series([value] * len(few), index=few.index, dtype=kind)
            probes[f"{column.name} is {what}"] = few.assign(**{column.name: changed})
    return probes


# -- the bento ----------------------------------------------------------------------------------------------------


def _stage(workspace: Workspace, staging: Path, contract: Contract, form: _Form, sources: Sequence[str]) -> None:
    """Lay out the build folder: our source, the project's, and the release's payload without golden answers."""
    import mlops

    ours = Path(mlops.__file__).parent
    shutil.copytree(ours, staging / "mlops", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    packages = {str(parent / "__init__.py") for name in sources for parent in list(Path(name).parents)[:-1]}
    for name in sorted({*sources, *(p for p in packages if (workspace.root / p).is_file())}):
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(workspace.root / name, staging / name)
    payload = staging / PAYLOAD_FOLDER
    payload.mkdir()
    (payload / CONTRACT).write_bytes(_readable(contract))
    (payload / GOLDEN).write_bytes(b"[]")
    for name, data in form.files.items():
        (payload / name).write_bytes(data)


def _readable(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"))


def _plan(
    staging: Path, model: Model, contract: Contract, form: _Form, given: bento.Bentofile, needs: Sequence[str]
) -> bento.Plan:
    usual = [*_ALWAYS, *(_WITH_PANDAS if contract.computed else ()), *(_WITH_SKOPS if form.name == "skops" else ())]
    needed = [*usual, *needs]
    requirements = bento.locked(needed)
    content = msgspec.json.encode([files.tree(staging), requirements, given], order="sorted")
    return bento.Plan(
        context=staging,
        name=model.name,
        version=files.digest_bytes(content)[:_VERSION_DIGITS],
        bentofile=given,
        requirements=requirements,
        labels={"model": model.name, "task": contract.task, "form": form.name},
        description=f"{model.name}: {model.doc or contract.task}",
    )


# -- the proof ----------------------------------------------------------------------------------------------------


def _proven(
    staging: Path, known: _Known, form: _Form, settings: Packaging
) -> tuple[parity.Parity, tuple[Finding, ...], bytes]:
    """What the staged payload says, loaded again as the service will, and the golden requests with their answers."""
    payload = staging / PAYLOAD_FOLDER
    found = _compared(load_predictor(payload, known.contract), known, known.frame, known.said)
    asked = requests(known.table, known.frame, known.contract, settings.golden)
    golden, about_golden = _answered(staging, asked, known, settings.tolerance)
    (payload / GOLDEN).write_bytes(golden)
    findings = (
        parity.judge_payload(found, settings.tolerance, form.name),
        parity.judge_form(form.name, settings.form, form.reason),
        about_golden,
    )
    return found, findings, golden


def _answered(staging: Path, asked: Asked, known: _Known, tolerance: float) -> tuple[bytes, Finding]:
    """The golden file, and whether requests get the answers that their rows got in the table."""
    if not asked.rows:
        return b"[]", parity.judge_golden(None, tolerance)
    try:
        said = ask(asked, staging / PAYLOAD_FOLDER, staging)
    except Exception as error:  # noqa: BLE001 - the user's on-demand code runs here, and may raise anything
        text = " ".join((error.reason if isinstance(error, Refused) else str(error)).split())[:300]
        problem = f"the request of held-out row {asked.rows[0]} or a later one failed: {type(error).__name__}: {text}"
        return b"[]", parity.judge_golden(None, tolerance, problem)
    golden = [Golden(request=r, stored=s, answer=a) for r, s, a in zip(asked.requests, asked.stored, said, strict=True)]
    expected = known.said.take(asked.rows)
    regression = known.contract.task == "regression"
    found = parity.compare(expected, as_prediction(said, known.contract), regression=regression)
    return _readable(golden), parity.judge_golden(found, tolerance)
