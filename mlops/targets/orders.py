"""An order as a person gives it: which release, who wants it, and whether it can be tried at its place."""

from __future__ import annotations

import socket

from mlops.adapters import git
from mlops.declare import split_version
from mlops.errors import UsageError
from mlops.targets import chosen
from mlops.targets.local import LocalTarget
from mlops.targets.protocol import Order
from mlops.workspace import Workspace


def who(workspace: Workspace) -> str:
    """Who gives orders here, as histories name them: `NAME@MACHINE`."""
    return f"{git.who(workspace.root)}@{socket.gethostname()}"


def family_of(release: str) -> str:
    """The family of a release, by its whole name."""
    return split_version(release.rpartition("-")[0])[0]


def deployment(workspace: Workspace, release: str, reason: str) -> Order:
    """The order to bring live the release that is called so, or whose name begins so."""
    name = chosen.release(workspace, release)
    return Order(action="deploy", family=family_of(name), release=name, who=who(workspace), reason=reason)


def here(workspace: Workspace, environment: str, what: str) -> LocalTarget:
    """The environment of this machine; UsageError where it is elsewhere, where `what` is not for it."""
    target = chosen.target(workspace, environment)
    if isinstance(target, LocalTarget):
        return target
    raise UsageError(
        f'{environment} is not on this machine; {what} are for target = "local"',
        next_step="try the release in an environment of this machine, or deploy it without: "
        f"`mlops deploy {environment} RELEASE`",
    )
