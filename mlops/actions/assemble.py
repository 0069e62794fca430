"""`assemble`: a model's table is joined and split."""

from __future__ import annotations

from mlops import ingredients
from mlops.actions.context import Action, Context
from mlops.declare import Model
from mlops.steps import assemble as step


def action(context: Context, model: Model) -> Action:
    """Join and split a model's table."""
    workspace, settings = context.workspace, context.settings(model)
    views, _ = workspace.catalog.pinned(model)
    return Action(
        version=step.VERSION,
        run=lambda done: step.assemble(
            workspace,
            model=model,
            snapshot=done[f"snapshot:{model.source}"],
            features={v.name: done[f"build-features:{v.name}"] for v in views},
            settings=settings,
        ),
        ingredients=lambda done: ingredients.joined(workspace, model, done.values(), settings),
    )
