"""`check-data`: a source is judged as it was taken, and a model's table as it was assembled."""

from __future__ import annotations

from mlops import champion, ingredients
from mlops.actions.context import Action, Context
from mlops.actions.monitored import monitored
from mlops.declare import Model
from mlops.steps import check_data as step


def of_source(context: Context, source: str) -> Action:
    """Judge a source against its schema, and for integrity."""
    workspace, wish = context.workspace, context.wish
    watched = [one.model for one in monitored(context) if one.model] if wish.until == "monitor" else []
    readers = tuple(m for m in watched or wish.models if m.source == source)
    taken = f"snapshot:{source}"
    return Action(
        version=step.VERSION,
        run=lambda done: step.check_source(
            workspace, source=source, snapshot=done[taken], models=readers, deepchecks=context.deepchecks()
        ),
        ingredients=lambda done: ingredients.source_judged(workspace, source, done[taken], readers),
    )


def of_table(context: Context, model: Model) -> Action:
    """Judge a model's table, and its drift since the champion was trained."""
    table = f"assemble:{model.name}"
    return Action(
        version=step.VERSION,
        run=lambda done: step.check_table(
            context.workspace,
            model=model,
            assembled=done[table],
            champion=context.champion(model, done[table]),
            deepchecks=context.deepchecks(),
        ),
        ingredients=lambda done: ingredients.table_judged(
            context.workspace, model, done[table], champion.named(context.champion(model, done[table]))
        ),
    )
