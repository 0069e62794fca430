"""`check-service`: the bento booted as a real server, asked golden and malformed requests, put under a short load."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlops.config import Load
from mlops.contract import Contract
from mlops.declare import Check
from mlops.gates import own
from mlops.gates import service as gate
from mlops.release import CONTRACT
from mlops.trial import DidNotBoot, Trial, asker, judge_boot, judge_golden, judge_malformed, loaded, on_trial
from mlops.verdict import Finding, Record, Verdict

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1


def check_service(
    workspace: Workspace,
    *,
    bento: Path,
    limits: Load,
    champion: Mapping[str, float] | None = None,
) -> Record:
    """The verdict on a bento; metrics `boot_seconds`, `qps`, `p50_ms`, `p95_ms`, `p99_ms`, `errors`, `requests`.

    The server gets a free loopback port and an online store of its own with the golden requests' features, and is
    gone when this returns. `champion` holds the same metrics of the release that serves, told beside the new ones.
    """
    contract = msgspec.json.decode((bento / "src" / "release" / CONTRACT).read_bytes(), type=Contract)
    checks = [check for check in workspace.catalog.checks.values() if check.on == "service"]
    place = Path(tempfile.mkdtemp(prefix="service-", dir=workspace.scratch))
    try:
        findings, metrics = _judged(bento, place, limits, champion, checks)
    except DidNotBoot as failed:
        silent = tuple(own.not_run(check, contract.model, "needs the service, which did not start") for check in checks)
        findings, metrics = (*failed.findings, *silent), {}
    finally:
        shutil.rmtree(place, ignore_errors=True)
    verdict = Verdict(gate="check-service", subject=contract.model, findings=findings)
    return Record(step="check-service", subject=contract.model, metrics=metrics, verdict=verdict)


def _judged(
    bento: Path, place: Path, limits: Load, champion: Mapping[str, float] | None, checks: Sequence[Check]
) -> tuple[tuple[Finding, ...], dict[str, float]]:
    with on_trial(bento, place) as trial:
        findings = (judge_boot(trial), judge_golden(trial), judge_malformed(trial), *_own(checks, trial))
        measured = loaded(trial, limits)
        under_load = gate.load(measured, limits, subject=trial.contract.model, champion=champion)
        if any(finding.fired for finding in under_load) and not measured.get("errors"):
            # A busy moment of the machine is not the model's fault; what is slow twice is slow.
            measured = loaded(trial, limits)
            under_load = gate.load(measured, limits, subject=trial.contract.model, champion=champion)
        return (*findings, *under_load), {"boot_seconds": trial.seconds, **measured}


def _own(checks: Sequence[Check], trial: Trial) -> list[Finding]:
    """The user's own checks; they may `ask` the service, and see golden `requests`, the `contract` and the `url`."""
    if not checks:
        return []
    ask, requests = asker(trial)
    values = {"ask": ask, "contract": trial.contract, "url": trial.url}
    return [
        finding
        for check in checks
        for finding in own.run(check, {**values, "requests": copy.deepcopy(requests)}, subject=trial.contract.model)
    ]
