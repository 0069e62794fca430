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
from mlops.exhibits import OUTPUT, Exhibit, encode
from mlops.gates import load as gate
from mlops.gates import online, own
from mlops.release import CONTRACT
from mlops.trial import (
    DidNotBoot,
    Trial,
    UnderLoad,
    asker,
    judge_boot,
    judge_golden,
    judge_load,
    judge_malformed,
    on_trial,
)
from mlops.verdict import Finding, Record, Verdict

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What the release learnt from: the record of its table, the views that it reads, and the records of these."""

    assembled: Record
    views: tuple[FeatureView, ...]
    features: Mapping[str, Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """The release that serves now, and a copy of its bento."""

    release: str
    bento: Path


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
    rival: Rival | None = None,
) -> Record:
    """The verdict on a bento; metrics `boot_seconds`, `qps`, `p50_ms` and so on (`trial.UnderLoad.measured`).

    `training` is what the service is compared with, at moments of the past; without it those checks did not run.

    The server gets a free loopback port and an online store of its own with the golden requests' features, and is
    gone when this returns. `rival` is the champion, served beside it and put under the same load in turn; then the
    metrics have `slower` (times its mean latency) and the champion's own as `champion_…`. Output `exhibits`.
    """
    payload = bento / "src" / "release"
    contract = msgspec.json.decode((payload / CONTRACT).read_bytes(), type=Contract)
    checks = [check for check in workspace.catalog.checks.values() if check.on == "service"]
    place = Path(tempfile.mkdtemp(prefix="service-", dir=workspace.scratch))
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="past") as beside:  # a boot waits for another process
            past = beside.submit(_past, workspace, training, bento, place)
            try:
                findings, metrics, shown = _judged(
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
                shown = ()
    finally:
        shutil.rmtree(place, ignore_errors=True)
    verdict = Verdict(gate="check-service", subject=contract.model, findings=findings)
    outputs = {OUTPUT: workspace.objects.put(encode(shown))} if shown else {}
    return Record(step="check-service", subject=contract.model, outputs=outputs, metrics=metrics, verdict=verdict)


def _judged(
    bento: Path,
    place: Path,
    limits: Load,
    rival: Rival | None,
    users: Callable[[Trial], list[Finding]],
    past: Callable[[Trial], tuple[Finding, ...]],
) -> tuple[tuple[Finding, ...], dict[str, float], tuple[Exhibit, ...]]:
    with _beside(rival, place / "champion") as champion, on_trial(bento, place) as trial:
        findings = (judge_boot(trial), judge_golden(trial), judge_malformed(trial), *users(trial))
        under_load, metrics, shown = _under_load(trial, champion(), limits)
        # Last, because it changes what is online.
        return (*findings, *under_load, *past(trial)), {"boot_seconds": trial.seconds, **metrics}, (shown,)


_Champion = tuple[str, Trial] | str
"""The champion's release and its server, or why there is none."""


@contextlib.contextmanager
def _beside(rival: Rival | None, place: Path) -> Iterator[Callable[[], _Champion]]:
    """Boots the champion while the challenger boots and is asked; gives what waits for it.

    It was judged when it was accepted, so what keeps it from booting today (a library that it was built for is gone)
    is not the challenger's fault: then nothing is compared, and the finding says why.
    """
    if rival is None:
        yield lambda: "no release is live to be compared with"
        return
    place.mkdir()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(1, thread_name_prefix="champion") as beside:
        booted = beside.submit(lambda: stack.enter_context(on_trial(rival.bento, place)))

        def champion() -> _Champion:
            try:
                return rival.release, booted.result()
            except DidNotBoot as failed:
                return f"the champion {rival.release} does not boot here any more: {failed}"

        try:
            yield champion
        finally:
            champion()  # never leave before its server is known, so that it is stopped


def _under_load(
    trial: Trial, champion: _Champion, limits: Load
) -> tuple[tuple[Finding, ...], dict[str, float], Exhibit]:
    """What the load says, its figures, and a table of both services' figures."""
    why, rival = (champion, None) if isinstance(champion, str) else ("", champion)
    load = UnderLoad(trial, rival, limits, why=why)
    findings, beside = judge_load(load, limits, subject=trial.contract.model)
    ratio = beside.slower
    slower = {} if ratio is None else {"slower": ratio.value, "slower_low": ratio.low, "slower_high": ratio.high}
    theirs = {f"champion_{name}": value for name, value in (beside.figures or {}).items()}
    return findings, {**load.measured, **slower, **theirs}, gate.table(load.measured, beside)


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
