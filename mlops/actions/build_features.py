"""`build-features`: a view is computed, and which views a wish computes."""

from __future__ import annotations

from mlops import champion, ingredients, pins
from mlops.actions.context import Action, Context
from mlops.declare import FeatureView
from mlops.parts.building import forget_parts
from mlops.steps import build_features as step
from mlops.verdict import Record


def compared(context: Context) -> tuple[FeatureView, ...]:
    """The wished views, those that the wished models read, and those that their champions do, if still declared."""
    catalog, wish = context.workspace.catalog, context.wish
    views = {v.name: v for v in wish.views}
    views |= {v.name: v for model in wish.models for v in catalog.pinned(model)[0]}
    for model in wish.models:
        read = champion.views(context.workspace, model.family, wish.environment)
        views |= {name: catalog.views[name] for name in read if name in catalog.views}
    return tuple(views.values())


def kept(context: Context) -> tuple[FeatureView, ...]:
    """The views that retained releases read, so that they stay fresh; none where nothing is to be deployed.

    Those of the wished families; where all families are wished, those of families that are no more too.
    """
    if context.wish.environment is None:
        return ()
    families = {model.family for model in context.wish.models}
    everything = families >= set(context.workspace.catalog.families())
    return pins.kept(context.workspace, None if everything else families)


def action(context: Context, view: FeatureView) -> Action:
    """Compute a view."""
    taken = f"snapshot:{view.source}"
    return Action(
        version=step.VERSION,
        run=lambda done: _built(context, view, done[taken]),
        ingredients=lambda done: ingredients.built(context.workspace, view, done[taken]),
    )


def _built(context: Context, view: FeatureView, taken: Record) -> Record:
    if "build-features" in context.wish.anew:
        forget_parts(context.workspace, view)
    return step.build_features(
        context.workspace,
        view=view,
        snapshot=taken,
        progress=lambda text: context.observer.progress(f"build-features:{view.name}", text),
    )
