"""`train`: a model is fitted."""

from __future__ import annotations

from mlops import ingredients
from mlops.actions.context import Action, Context
from mlops.declare import Model
from mlops.steps import train as step


def action(context: Context, model: Model) -> Action:
    """Fit a model."""
    workspace, settings = context.workspace, context.settings(model)
    table = f"assemble:{model.name}"
    return Action(
        version=step.VERSION,
        run=lambda done: step.train(
            workspace,
            model=model,
            assembled=done[table],
            settings=settings,
            seed=workspace.config.seed,
            progress=lambda text: context.observer.progress(f"train:{model.name}", text),
        ),
        ingredients=lambda done: ingredients.fitted(workspace, model, done[table], settings),
    )
