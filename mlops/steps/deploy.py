"""`deploy`: a release live in an environment, or the old one still serving.

With a plan the release is a canary first, or a shadow: judged beside the live one, then promoted, rolled back or held.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from mlops.errors import MlopsError, NothingToDo
from mlops.gates import canary as gate
from mlops.judging import ROLLED_BACK, Judge, Plan, Tell
from mlops.serving.pointer import read_pointer
from mlops.targets import chosen, trying
from mlops.targets.local import LocalTarget
from mlops.targets.orders import deployment, here
from mlops.targets.protocol import Moved, Order, Prepare
from mlops.targets.trying import Journal
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 2

_TRIALS = "canaries and shadows"


def deploy(
    workspace: Workspace, *, environment: str, release: str, reason: str = "", prepare: Prepare | None = None
) -> Record:
    """The move to `release` (its name, or the beginning of it); facts say from what, and how many workers took it over.

    `prepare` publishes the stored features that the release reads, before it goes live. Deploying what is live
    already changes nothing. Raises DeploymentFailed when it did not go live; then the old release serves.
    A canary that nobody judges any more is ended first, and facts say so under `mended`.
    """
    target = chosen.target(workspace, environment)
    order = deployment(workspace, release, reason)
    mended = trying.mend(target, order.family) if isinstance(target, LocalTarget) else ()
    return _record(environment, order, target.move(order, prepare=prepare), mended)


def preview(workspace: Workspace, *, environment: str, release: str, reason: str = "", plan: Plan | None = None) -> str:
    """What the deployment, or the trial of a plan, would do, in the language of the environment's target.

    Nothing is touched; raises what would refuse it.
    """
    order = deployment(workspace, release, reason)
    if plan is None:
        return chosen.target(workspace, environment).preview(order)
    target = here(workspace, environment, _TRIALS)
    said = target.preview(order)
    if target.standing(order.family).live == order.release:
        return said
    pointer = trying.demand_comparison(target, order.family, order.release, plan.kind)
    return f"{order.release} would {plan.sentence(pointer.live)}, in {environment}"


def try_out(
    workspace: Workspace,
    *,
    environment: str,
    release: str,
    plan: Plan,
    reason: str = "",
    prepare: Prepare | None = None,
    tell: Tell = lambda _: None,
) -> Record:
    """The trial of `release` beside the live one: how it ended in facts under `outcome`, the verdict with its evidence.

    A canary is promoted, rolled back as soon as a sequential test says that it is worse, or held where the requests
    could not tell. A shadow is compared. NothingToDo where no server runs or nothing is live.
    """
    target = here(workspace, environment, _TRIALS)
    order = deployment(workspace, release, reason)
    mended = trying.mend(target, order.family)
    record = _tried(workspace, target, order, plan, prepare=prepare, tell=tell)
    return replace(record, facts={**record.facts, **({"mended": mended} if mended else {})})


def _tried(
    workspace: Workspace, target: LocalTarget, order: Order, plan: Plan, *, prepare: Prepare | None, tell: Tell
) -> Record:
    pointer = read_pointer(target.folder / order.family)
    if pointer is not None and pointer.live == order.release:
        return _record(target.environment, order, target.move(order))
    journal = Journal(
        kind=plan.kind,
        trial=uuid4().hex[:12],
        environment=target.environment,
        family=order.family,
        release=order.release,
        live=pointer.live if pointer else "",
        share=plan.share,
        seconds=plan.seconds,
        requests=plan.requests,
        since=datetime.now(UTC).isoformat(timespec="milliseconds"),
        who=order.who,
        reason=order.reason,
    )
    with trying.judging(target.folder / order.family, plan.kind):
        try:
            refused = trying.begin(target, journal, prepare)
        except (MlopsError, KeyboardInterrupt) as error:
            trying.end(target, journal, f"failed: {error}")
            raise
        if refused is not None:
            findings = gate.not_ready(refused, subject=order.release)
            trying.end(target, journal, f"{ROLLED_BACK}: it did not get ready: {refused}", (findings[0].message,))
            return Judge(workspace, target, journal, plan.look, tell).record(ROLLED_BACK, findings)
        return Judge(workspace, target, journal, plan.look, tell).run()


def resume(
    workspace: Workspace,
    *,
    environment: str,
    family: str | None = None,
    seconds: float | None = None,
    look: float = 1.0,
    tell: Tell = lambda _: None,
) -> Record:
    """The rest of a trial whose deployer died, or that was held; with all that was seen before."""
    target = here(workspace, environment, _TRIALS)
    name = chosen.family(target.families(), family, environment)
    folder = target.folder / name
    journal = next((one for kind in trying.JUDGED if (one := trying.read_journal(folder, kind)) is not None), None)
    if journal is None or journal.decided is not None:
        trying.mend(target, name)
        raise NothingToDo(f"nothing is on trial in {environment}", next_step="name a release and --canary 10%")
    with trying.judging(folder, journal.kind):
        if seconds is not None:
            journal = msgspec.structs.replace(journal, seconds=journal.spent + seconds)
        return Judge(workspace, target, journal, look, tell).run()


def _record(environment: str, order: Order, moved: Moved, mended: tuple[str, ...] = ()) -> Record:
    return Record(
        step=order.action,
        subject=environment,
        seconds=moved.seconds,
        facts={
            "environment": environment,
            "family": order.family,
            "release": moved.release,
            "previous": moved.previous,
            "changed": moved.changed,
            "workers": moved.workers,
            "who": order.who,
            "reason": order.reason,
            **({"mended": mended} if mended else {}),
        },
    )
