"""The live releases that a wish monitors, with what is still declared of what they read."""

from __future__ import annotations

from dataclasses import dataclass

from mlops import champion
from mlops.actions.context import Context
from mlops.declare import FeatureView, Model
from mlops.release import Manifest
from mlops.targets import chosen
from mlops.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """A live release that is monitored: its model where that is still declared, and the views and sources it reads."""

    environment: str
    live: Manifest
    model: Model | None
    views: tuple[FeatureView, ...] = ()
    sources: tuple[str, ...] = ()


def monitored(context: Context) -> tuple[Monitored, ...]:
    """What is live in the wished environments, of the wished families."""
    found = []
    for environment in context.wish.environments:
        target = chosen.target(context.workspace, environment)
        for family in context.wish.families:
            release = target.standing(family).live
            if release is not None:
                manifest = champion.manifest(context.workspace, release)
                found.append(_monitored(context.workspace, environment, manifest))
    return tuple(found)


def _monitored(workspace: Workspace, environment: str, live: Manifest) -> Monitored:
    catalog = workspace.catalog
    model = catalog.models.get(live.model)
    if model is None:
        return Monitored(environment=environment, live=live, model=None)
    read = dict.fromkeys(one.view for one in champion.contract(workspace, live).stored)
    views = tuple(catalog.views[name] for name in read if name in catalog.views)
    return Monitored(environment=environment, live=live, model=model, views=views, sources=(model.source,))
