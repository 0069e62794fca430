"""`check-features`: every view and on-demand feature is tested, whether a model reads it or not."""

from __future__ import annotations

from mlops import ingredients, pins
from mlops.actions.context import Action, Context
from mlops.gates.pinned import judge
from mlops.steps import check_features as step


def action(context: Context) -> Action:
    """Test every view and on-demand feature."""
    workspace, catalog = context.workspace, context.workspace.catalog
    sources = tuple(dict.fromkeys(view.source for view in catalog.views.values()))
    releases, unknown = pins.retained(workspace)
    pinned = judge(pins.changed(workspace, releases), unknown)
    return Action(
        version=step.VERSION,
        run=lambda done: step.check_features(
            workspace,
            views=tuple(catalog.views.values()),
            on_demands=tuple(catalog.on_demands.values()),
            snapshots={name: done[f"snapshot:{name}"] for name in sources},
            pinned=pinned,
        ),
        ingredients=lambda done: ingredients.tested(workspace, catalog, done.values(), pinned),
    )
