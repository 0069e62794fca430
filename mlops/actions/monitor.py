"""`monitor`: a live release is judged by how it is served, and by what it meets, anew every time."""

from __future__ import annotations

from mlops.actions.context import Action, Context
from mlops.actions.monitored import Monitored
from mlops.execution import Records
from mlops.steps import monitor as step
from mlops.verdict import Record
from mlops.watched.logged import of_decisions, of_outcomes
from mlops.watched.met import Met, NothingMet
from mlops.watched.new_rows import of_source


def of_health(context: Context, watched: Monitored) -> Action:
    """Judge how a live release is served."""
    return Action(
        version=step.VERSION,
        run=lambda _: step.health(context.workspace, environment=watched.environment, live=watched.live),
        ingredients=None,
    )


def of_quality(context: Context, watched: Monitored) -> Action:
    """Judge what a live release meets."""

    def run(done: Records) -> Record:
        new = _new_rows(context, watched, done)
        return step.quality(
            context.workspace,
            environment=watched.environment,
            live=watched.live,
            given=_asked(context, watched, new),
            labelled=_known_by(context, watched, new),
            settings=context.workspace.config.settings(watched.live.family, watched.live.model),
            index=context.index,
        )

    return Action(version=step.VERSION, run=run, ingredients=None)


def _asked(context: Context, watched: Monitored, new: Met | NothingMet) -> Met | NothingMet:
    """What the service was asked; the source's new rows where that is too little, and these are more."""
    try:
        asked = of_decisions(context.workspace, watched.live, watched.environment)
    except NothingMet:
        return new
    few = len(asked.labels) < context.workspace.config.monitor.rows
    return new if few and not isinstance(new, NothingMet) and len(new.labels) > len(asked.labels) else asked


def _known_by(context: Context, watched: Monitored, new: Met | NothingMet) -> Met | NothingMet:
    """What came of the service's answers, where the model names where that is told; else the source's new rows."""
    settings = context.workspace.config.settings(watched.live.family, watched.live.model)
    if settings.outcomes is None or watched.model is None:
        return new
    try:
        return of_outcomes(context.workspace, watched.live, watched.environment)
    except NothingMet as nothing:
        return nothing


def _new_rows(context: Context, watched: Monitored, done: Records) -> Met | NothingMet:
    model, live = watched.model, watched.live
    if model is None:
        return NothingMet(f"{live.model} is no longer declared", f"deploy a declared version of {live.family}")
    broken = [r.subject for r in done.values() if r.verdict is not None and not r.verdict.accepted]
    if broken:  # skew of the schema stops: what cannot be read right must not look like drift
        return NothingMet(f"the source {', '.join(broken)} did not pass check-data", "mend the source")
    features = {record.subject: record for record in done.values() if record.step == "build-features"}
    try:
        return of_source(context.workspace, live, model, done[f"snapshot:{model.source}"], features)
    except NothingMet as nothing:
        return nothing
