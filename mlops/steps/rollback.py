"""`rollback`: the previous release, or a named one, live again with its features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.errors import NothingToDo, RollbackFailed, UsageError
from mlops.targets import chosen, trying
from mlops.targets.local import LocalTarget
from mlops.targets.orders import family_of, who
from mlops.targets.protocol import Order, Standing
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1


def rollback(
    workspace: Workspace,
    *,
    environment: str,
    to: str | None = None,
    family: str | None = None,
    reason: str = "",
) -> Record:
    """The move back to the release that was live before, or to `to`; facts say from what to what, and in how long.

    Needs neither the ledger nor the network. A release that is missing or not whole is refused before anything
    moves (RollbackFailed, exit 6); running it twice with the same `to` changes nothing the second time.
    While a canary or a shadow is on, it ends that at once; without `to`, that is all it does, and facts say which.
    """
    target = chosen.target(workspace, environment)
    name = chosen.family(target.families(), _family(workspace, to) or family, environment)
    standing = target.standing(name)
    by = who(workspace)
    ended = trying.halt(target, name, by) if isinstance(target, LocalTarget) else ()
    release = str(standing.live) if ended and to is None else _wanted(workspace, standing, to, environment)
    order = Order(action="rollback", family=name, release=release, who=by, reason=reason)
    moved = target.move(order)
    return Record(
        step="rollback",
        subject=environment,
        seconds=moved.seconds,
        facts={
            "environment": environment,
            "family": name,
            "from": standing.live,
            "ended": [journal.release for journal in ended],
            "release": moved.release,
            "previous": moved.previous,
            "changed": moved.changed,
            "workers": moved.workers,
            "who": by,
            "reason": reason,
        },
    )


def _family(workspace: Workspace, to: str | None) -> str | None:
    if to is None:
        return None
    try:
        return family_of(chosen.release(workspace, to))
    except UsageError:
        # What was typed is compared, and never made a path: it may lead anywhere.
        if workspace.releases.is_dir() and to in {place.name for place in workspace.releases.iterdir()}:
            raise RollbackFailed(
                f"nothing was rolled back: the release {to} is not whole: its manifest is missing",
                next_step="restore its folder from a copy, or roll back to another release: --to RELEASE",
            ) from None
        raise


def _wanted(workspace: Workspace, standing: Standing, to: str | None, environment: str) -> str:
    if to is not None:
        return chosen.release(workspace, to)
    if standing.previous is None:
        raise NothingToDo(
            f"{environment} has no release before {standing.live}",
            next_step=f"name the one you want: `mlops rollback {environment} --to RELEASE`",
        )
    return standing.previous
