"""`package`: a model becomes a bento."""

from __future__ import annotations

from mlops import ingredients
from mlops.actions.context import Action, Context
from mlops.declare import Model
from mlops.steps import package as step


def action(context: Context, model: Model) -> Action:
    """Build the bento."""
    workspace = context.workspace
    sources = ingredients.travelling(workspace, model)
    return Action(
        version=step.VERSION,
        run=lambda done: step.package(
            workspace,
            model=model,
            trained=done[f"train:{model.name}"],
            assembled=done[f"assemble:{model.name}"],
            settings=workspace.config.package,
            sources=sources,
            needs=ingredients.served(workspace, model),
        ),
        ingredients=lambda done: ingredients.packaged(workspace, model, done.values(), sources),
    )
