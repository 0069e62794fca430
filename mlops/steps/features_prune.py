"""`features prune`: takes the versions that no retained release reads out of the online stores."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops import pins
from mlops.errors import GateFailed, UsageError, nearest
from mlops.gates.pinned import Unknown
from mlops.pins import Retained
from mlops.release import Event
from mlops.stores import open_store
from mlops.stores.reading import published
from mlops.targets import chosen, history
from mlops.targets.lock import environment_lock
from mlops.targets.orders import who
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a prune of one environment would do: releases given up, views removed, views kept and by whom."""

    environment: str
    retire: tuple[Retained | Unknown, ...]
    remove: tuple[str, ...]
    keep: dict[str, tuple[str, ...]]

    def facts(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "environment": self.environment,
            "retire": [one.holder.release for one in self.retire],
            "remove": list(self.remove),
            "keep": {view: list(readers) for view, readers in self.keep.items()},
        }


def planned(workspace: Workspace, environments: Sequence[str] = (), retire: Sequence[str] = ()) -> Record:
    """What `prune` would do, as facts; it changes nothing and raises what `prune` would."""
    return _record(_plans(workspace, environments, retire), done=False)


def prune(
    workspace: Workspace, environments: Sequence[str] = (), retire: Sequence[str] = (), *, reason: str = ""
) -> Record:
    """Give up the releases in `retire` and remove every view that no other retained release reads; none named: all.

    GateFailed where it is not known what a retained release reads; UsageError for a release that is live or not kept.
    What was done is an event in the environment's history, and in the ledger.
    """
    plans = _plans(workspace, environments, retire)
    by = who(workspace)
    done = []
    for plan in plans:
        for one in plan.retire:
            family = one.family if isinstance(one, Retained) else _family(workspace, one)
            place = chosen.local(workspace, plan.environment)
            place.retire(family, one.holder.release, who=by, reason=reason)
        done.append(_pruned(workspace, plan, by, reason))
    return _record(done, done=True)


def _pruned(workspace: Workspace, plan: Plan, by: str, reason: str) -> Plan:
    """Do it under the environment's lock, by what is retained at that moment: a deployment may have come before."""
    target = chosen.local(workspace, plan.environment)
    started = time.monotonic()
    with environment_lock(target.folder):
        now = _plan(workspace, plan.environment, ())
        gone = open_store(workspace, target.folder).prune(list(now.keep)) if now.remove else ()
        if gone:
            event = Event(
                at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                action="prune",
                environment=plan.environment,
                family="",
                to=", ".join(gone),
                previous="",
                who=by,
                reason=reason,
                outcome="done",
                seconds=round(time.monotonic() - started, 3),
            )
            history.append(target.folder, event)
    return Plan(environment=plan.environment, retire=plan.retire, remove=tuple(gone), keep=now.keep)


def _plans(workspace: Workspace, environments: Sequence[str], retire: Sequence[str]) -> list[Plan]:
    names = tuple(environments) or tuple(workspace.config.environments)
    for name in names:
        chosen.environment(workspace, name)
    plans = [_plan(workspace, name, retire) for name in names]
    for wanted in retire:
        if not any(one.holder.release.startswith(wanted) for plan in plans for one in plan.retire):
            kept = [one.holder.release for one in _everyone(workspace, names) if not one.holder.live]
            where = " and ".join(names)
            raise UsageError(
                f"no release {wanted!r} is kept for a rollback in {where}", next_step=nearest(wanted, kept)
            )
    return plans


def _plan(workspace: Workspace, environment: str, retire: Sequence[str]) -> Plan:
    releases, unknown = pins.retained(workspace, *_sharing(workspace, environment))
    everyone: list[Retained | Unknown] = [*releases, *unknown]
    given_up = [
        one
        for one in everyone
        if one.holder.environment == environment and any(one.holder.release.startswith(wanted) for wanted in retire)
    ]
    for one in given_up:
        if one.holder.live:
            raise UsageError(
                f"{one.holder.release} is live in {environment}, and cannot be given up",
                next_step=f"make another release live first: `mlops deploy {environment} RELEASE`",
            )
    for lost in unknown:
        if lost not in given_up:
            raise GateFailed(
                f"nothing was pruned: what {lost.holder} reads is not known: {lost.reason}",
                next_step=f"restore its folder, or give it up: --retire {lost.holder.release}",
            )
    keep: dict[str, tuple[str, ...]] = {}
    for release in releases:
        if release not in given_up:
            for view in release.views:
                keep[view] = (*keep.get(view, ()), str(release.holder))
    there = [one.view for one in published(chosen.local(workspace, environment).online)]
    return Plan(
        environment=environment,
        retire=tuple(given_up),
        remove=tuple(view for view in there if view not in keep),
        keep={view: keep[view] for view in sorted(keep)},
    )


def _sharing(workspace: Workspace, environment: str) -> tuple[str, ...]:
    """The environments whose features lie in the same online store: with Feast, those without a file of their own."""
    store = workspace.config.store
    repository = workspace.root / store.repo
    if store.home != "feast" or (repository / f"feature_store.{environment}.yaml").is_file():
        return (environment,)
    names = workspace.config.environments
    return tuple(name for name in names if not (repository / f"feature_store.{name}.yaml").is_file())


def _everyone(workspace: Workspace, environments: Sequence[str]) -> list[Retained | Unknown]:
    releases, unknown = pins.retained(workspace, *environments)
    return [*releases, *unknown]


def _family(workspace: Workspace, lost: Unknown) -> str:
    target = chosen.target(workspace, lost.holder.environment)
    return next(name for name in target.families() if lost.holder.release in target.retained(name))


def _record(plans: Sequence[Plan], *, done: bool) -> Record:
    facts = {"done": done, "environments": [plan.facts() for plan in plans]}
    return Record(step="features", subject="prune", facts=facts)
