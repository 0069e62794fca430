"""`snapshot`: a source is taken; a file is known by its content, a function or query by `max_age`."""

from __future__ import annotations

import time

from mlops import ingredients
from mlops.actions.context import Action, Context
from mlops.adapters.sources import fingerprint
from mlops.declare import duration
from mlops.execution import Records
from mlops.steps import snapshot as step
from mlops.verdict import Record

_WITHOUT_CHECKS = ("snapshot", "check-features", "build-features", "assemble", "train", "package", "check-service")


def action(context: Context, source: str) -> Action:
    """Take a source."""
    root = context.workspace.root
    settings = context.workspace.config.sources[source]
    age = duration(settings.max_age).total_seconds()
    by_content = settings.path is not None

    def identity(_: Records) -> dict[str, str]:
        content = fingerprint(settings, root) if by_content else None
        return {"source": content or ingredients.origin(settings, root)}

    return Action(
        version=step.VERSION,
        run=lambda _: _taken(context, source),
        ingredients=identity if by_content or age > 0 else None,
        still=lambda record: by_content or abs(time.time() - record.started) < age,  # a clock may go back
    )


def _taken(context: Context, source: str) -> Record:
    if context.wish.until not in _WITHOUT_CHECKS:
        context.deepchecks()  # it imports for seconds: from now on, beside what comes before it
    return step.snapshot(context.workspace, source=source)
