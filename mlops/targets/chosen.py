"""Environments by name, and releases by name or by the beginning of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlops.config import Environment
from mlops.errors import NothingToDo, UsageError, nearest
from mlops.release import MANIFEST
from mlops.signatures import Demand, demand
from mlops.stores import online_file
from mlops.targets.local import LocalTarget
from mlops.targets.protocol import Target
from mlops.workspace import Workspace


def environment(workspace: Workspace, name: str) -> Environment:
    """The settings of an environment; UsageError with the nearest name when there is none of that name."""
    known = workspace.config.environments
    if name not in known:
        raise UsageError(f"unknown environment {name!r}", next_step=nearest(name, known))
    return known[name]


def target(workspace: Workspace, name: str) -> Target:
    """The target of an environment, as its settings choose."""
    settings = environment(workspace, name)
    if settings.target == "local":
        return local(workspace, name)
    online = online_file(workspace.config)
    folder, releases = workspace.environments / name, workspace.releases
    signed = _signed(workspace, settings)
    if settings.target == "command":
        from mlops.targets.command import CommandTarget

        return CommandTarget(folder, releases, settings.keep, online, settings.command, workspace.root, signed=signed)
    from mlops.targets.kubernetes import KubernetesTarget

    return KubernetesTarget(folder, releases, settings.keep, online, settings, signed=signed)


def local(workspace: Workspace, name: str) -> LocalTarget:
    """An environment on this machine; of any other, what is kept of it on this machine."""
    settings = environment(workspace, name)
    return LocalTarget(
        workspace.environments / name,
        workspace.releases,
        keep=settings.keep,
        online_name=online_file(workspace.config),
        shared=settings.packages == "shared",
        signed=_signed(workspace, settings),
    )


def _signed(workspace: Workspace, settings: Environment) -> Demand | None:
    """What refuses a release without a signature; None where none is demanded."""
    return demand(workspace.root, workspace.config.signing) if settings.require_signature else None


def release(workspace: Workspace, name: str) -> str:
    """The release that is called so, or the only one whose name begins so; UsageError otherwise."""
    return one_of(releases(workspace.releases), name)


def one_of(known: Sequence[str], name: str) -> str:
    """The release among these that is called so, or the only one whose name begins so; UsageError otherwise."""
    matching = [one for one in known if one == name] or [one for one in known if name and one.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(f"{name!r} could be {' or '.join(matching)}", next_step="give more of the name")
    raise UsageError(f"there is no release {name!r}", next_step=nearest(name, known))


def releases(folder: Path) -> tuple[str, ...]:
    """The releases on this machine."""
    return tuple(sorted(p.parent.name for p in folder.glob(f"*/{MANIFEST}") if not p.parent.name.startswith(".")))


def family(families: tuple[str, ...], name: str | None, environment: str) -> str:
    """The family meant: the one given, or the only one there; NothingToDo where nothing was ever deployed."""
    if not families:
        raise NothingToDo(
            f"nothing has been deployed to {environment}", next_step=f"deploy a release: `mlops deploy {environment}`"
        )
    if name is None and len(families) == 1:
        return families[0]
    if name is None:
        raise UsageError(f"{environment} has releases of {', '.join(families)}", next_step="say which: --model NAME")
    if name not in families:
        raise UsageError(
            f"no release of {name!r} was ever deployed to {environment}", next_step=nearest(name, families)
        )
    return name
