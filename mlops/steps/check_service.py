"""`check-service`: the bento booted as a real server, asked golden and malformed requests, put under a short load."""

from __future__ import annotations

import contextlib
import copy
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlops import own_tests, rehearsal
from mlops.config import Load
from mlops.contract import Contract
from mlops.declare import Check, FeatureView
from mlops.errors import MlopsError
from mlops.gates import online, own
from mlops.gates import service as gate
from mlops.release import CONTRACT
from mlops.trial import (
    DidNotBoot,
    Trial,
    asker,
    judge_boot,
    judge_golden,
    judge_malformed,
    loaded,
    loaded_in_turn,
    on_trial,
)
from mlops.verdict import Finding, Record, Verdict

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What the release learnt from: the record of its table, the views that it reads, and the records of these."""

    assembled: Record
    views: tuple[FeatureView, ...]
    features: Mapping[str, Record]


@dataclass(frozen=True, slots=True)
class _Past:
    """What is asked about the past, and what the stores and the release's code have said of it."""

    material: rehearsal.Material | None
    asked: rehearsal.Questions | None
    findings: tuple[Finding, ...]


def check_service(
    workspace: Workspace,
    *,
    bento: Path,
    limits: Load,
    training: Training | None,
    rival: Path | None = None,
) -> Record:
    """The verdict on a bento; metrics `boot_seconds`, `qps`, `p50_ms`, `p95_ms`, `p99_ms`, `errors`, `requests`.

    `training` is what the service is compared with, at moments of the past; without it those checks did not run.

    The server gets a free loopback port and an online store of its own with the golden requests' features, and is
    gone when this returns. `rival` is the bento of the champion, served beside it and put under the same load in turn;
    then the metrics have `memory_mb`, `slower` (times its mean latency) and the champion's own as `champion_…`.
    """
    payload = bento / "src" / "release"
    contract = msgspec.json.decode((payload / CONTRACT).read_bytes(), type=Contract)
    checks = [check for check in workspace.catalog.checks.values() if check.on == "service"]
    place = Path(tempfile.mkdtemp(prefix="service-", dir=workspace.scratch))
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="past") as beside:  # a boot waits for another process
            past = beside.submit(_past, workspace, training, bento, place)
            try:
                findings, metrics = _judged(
                    bento,
                    place,
                    limits,
                    rival,
                    partial(_own, workspace, checks),
                    partial(_asked, workspace, past, payload),
                )
            except DidNotBoot as failed:
                needs = "needs the service, which did not start"
                silent = [own.not_run(check, contract.model, needs) for check in checks]
                silent += own_tests.silent(workspace, "service", contract.model, needs)
                parity = online.not_run(online.ANSWERS, needs, subject=contract.model)
                findings, metrics = (*failed.findings, *silent, *past.result().findings, parity), {}
    finally:
        shutil.rmtree(place, ignore_errors=True)
    verdict = Verdict(gate="check-service", subject=contract.model, findings=findings)
    return Record(step="check-service", subject=contract.model, metrics=metrics, verdict=verdict)


def _judged(
    bento: Path,
    place: Path,
    limits: Load,
    rival: Path | None,
    users: Callable[[Trial], list[Finding]],
    past: Callable[[Trial], tuple[Finding, ...]],
) -> tuple[tuple[Finding, ...], dict[str, float]]:
    with _beside(rival, place / "champion") as champion, on_trial(bento, place) as trial:
        findings = (judge_boot(trial), judge_golden(trial), judge_malformed(trial), *users(trial))
        under_load, measured = _under_load(trial, champion, limits)
        if any(finding.fired for finding in under_load) and not measured.get("errors"):
            # A busy moment of the machine is not the model's fault; what is slow twice is slow.
            under_load, measured = _under_load(trial, champion, limits)
        # Last, because it changes what is online.
        return (*findings, *under_load, *past(trial)), {"boot_seconds": trial.seconds, **measured}


@contextlib.contextmanager
def _beside(rival: Path | None, place: Path) -> Iterator[Callable[[], Trial | None]]:
    """Boots the champion while the challenger boots and is asked; gives what waits for it, None where it does not boot.

    It was judged when it was accepted, so what keeps it from booting today (a library that it was built for is gone)
    is not the challenger's fault.
    """
    if rival is None:
        yield lambda: None
        return
    place.mkdir()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(1, thread_name_prefix="champion") as beside:
        booted = beside.submit(lambda: stack.enter_context(on_trial(rival, place)))

        def champion() -> Trial | None:
            try:
                return booted.result()
            except DidNotBoot:
                return None

        try:
            yield champion
        finally:
            champion()  # never leave before its server is known, so that it is stopped


def _under_load(
    trial: Trial, champion: Callable[[], Trial | None], limits: Load
) -> tuple[tuple[Finding, ...], dict[str, float]]:
    other = champion()
    measured, beside = (loaded(trial, limits), {}) if other is None else loaded_in_turn(trial, other, limits)
    findings = gate.load(measured, limits, subject=trial.contract.model, champion=beside)
    return findings, {**measured, **{f"champion_{name}": value for name, value in beside.items()}}


def _past(workspace: Workspace, training: Training | None, bento: Path, place: Path) -> _Past:
    """What needs no running service: the home's online store and the release's code beside the training table."""
    payload = bento / "src" / "release"
    contract = msgspec.json.decode((payload / CONTRACT).read_bytes(), type=Contract)
    subject = contract.model
    if training is None:
        reason = "nothing says what the model learnt from"
        found = [online.not_run(check, reason, subject=subject) for check in (online.FEATURES, online.INPUTS)]
        return _Past(None, None, tuple(found))
    seed = workspace.config.seed
    material = rehearsal.Material(
        table=workspace.frame(training.assembled.outputs["holdout"]),
        views={view.name: view for view in training.views},
        written={view.name: training.features[view.name].outputs["features"] for view in training.views},
        seed=seed,
    )
    found = []
    for at, view in enumerate(training.views):
        home = place / f"online-{at}"
        written = material.written[view.name]
        found.append(
            _tried(
                online.FEATURES,
                subject,
                partial(rehearsal.judge_store, workspace, view, written, home, subject=subject, seed=seed),
            )
        )
    asked = rehearsal.questions(material, contract, workspace.objects)
    inputs = partial(rehearsal.judge_inputs, workspace, material, asked, bento, place / "inputs", subject=subject)
    return _Past(material, asked, (*found, _tried(online.INPUTS, subject, inputs)))


def _tried(check: str, subject: str, judge: Callable[[], Finding]) -> Finding:
    """A comparison that cannot be made, whatever the reason, did not run."""
    try:
        return judge()
    except Exception as error:  # noqa: BLE001 - a home's drivers and the user's on-demand code may raise anything
        text = error.message if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}"
        return online.not_run(check, f"it could not be compared: {text}", subject=subject)


def _asked(workspace: Workspace, past: Future[_Past], payload: Path, trial: Trial) -> tuple[Finding, ...]:
    """What was found beside the boot, and what the running service answers to the same rows."""
    known, subject = past.result(), trial.contract.model
    if known.material is None or known.asked is None:
        reason = "nothing says what the model learnt from"
        return (*known.findings, online.not_run(online.ANSWERS, reason, subject=subject))
    service = rehearsal.Running(url=trial.url, online=trial.online, payload=payload, contract=trial.contract)
    judge = partial(rehearsal.judge_answers, known.material, known.asked, service, workspace.objects)
    return (*known.findings, _tried(online.ANSWERS, subject, judge))


def _own(workspace: Workspace, checks: Sequence[Check], trial: Trial) -> list[Finding]:
    """The user's own checks and tests.

    A check may `ask` the service, and see `requests`, the `contract` and the `url`; a test gets them as fixtures.
    """
    if not checks and not own_tests.folders(workspace, "service"):
        return []
    ask, requests = asker(trial)
    values = {"ask": ask, "contract": trial.contract, "url": trial.url}
    found = [
        finding
        for check in checks
        for finding in own.run(check, {**values, "requests": copy.deepcopy(requests)}, subject=trial.contract.model)
    ]
    return [*found, *own_tests.run(workspace, own_tests.of_service(workspace, trial, requests))]
