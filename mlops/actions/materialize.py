"""`materialize`: views are published, as of the moment at which their sources were read."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mlops.actions.context import Action, Context
from mlops.declare import FeatureView
from mlops.steps import materialize as step


def action(context: Context, views: Sequence[FeatureView], environment: str) -> Action:
    """Publish views, as of the moment at which their sources were read."""
    began = time.time()
    return Action(
        version=step.VERSION,
        run=lambda done: step.materialize(
            context.workspace,
            environment=environment,
            views=views,
            built={view.name: done[f"build-features:{view.name}"] for view in views},
            as_of=context.read_at(done, began),
        ),
        ingredients=None,
        recorded=False,
    )
