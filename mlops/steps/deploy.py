"""`deploy`: a release live in an environment, or the old one still serving."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from mlops.adapters import git
from mlops.declare import split_version
from mlops.targets import chosen
from mlops.targets.protocol import Moved, Order, Prepare
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1


def deploy(
    workspace: Workspace, *, environment: str, release: str, reason: str = "", prepare: Prepare | None = None
) -> Record:
    """The move to `release` (its name, or the beginning of it); facts say from what, and how many workers took it over.

    `prepare` publishes the stored features that the release reads, before it goes live. Deploying what is live
    already changes nothing. Raises DeploymentFailed when it did not go live; then the old release serves.
    """
    target = chosen.target(workspace, environment)
    name = chosen.release(workspace, release)
    family = split_version(name.rpartition("-")[0])[0]
    who = f"{git.who(workspace.root)}@{socket.gethostname()}"
    order = Order(action="deploy", family=family, release=name, who=who, reason=reason)
    return _record(environment, order, target.move(order, prepare=prepare))


def _record(environment: str, order: Order, moved: Moved) -> Record:
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
        },
    )
