"""`check-model`: a model is judged, and compared with the champion, which is fitted anew where that tells more."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from mlops import champion, ingredients
from mlops.actions.context import Action, Context
from mlops.declare import Model
from mlops.errors import GateFailed
from mlops.execution import Records
from mlops.refitting import NotRefitted, Refittable
from mlops.release import Manifest
from mlops.steps import check_model as step
from mlops.verdict import Record

if TYPE_CHECKING:
    import pandas as pd


def action(context: Context, model: Model) -> Action:
    """Judge a model, and compare it with the champion."""
    table, fit = f"assemble:{model.name}", f"train:{model.name}"
    settings = context.settings(model)

    def run(done: Records) -> Record:
        against = context.champion(model, done[fit])
        record = step.check_model(
            context.workspace,
            model=model,
            assembled=done[table],
            trained=done[fit],
            settings=settings,
            champion=None if against is None else _to_beat(context, against, done),
            deepchecks=context.deepchecks(),
        )
        before = {"champion": champion.named(against), "champion_metrics": dict(against.metrics) if against else {}}
        return dataclasses.replace(record, facts={**record.facts, **before})

    return Action(
        version=step.VERSION,
        run=run,
        ingredients=lambda done: ingredients.judged(
            context.workspace, model, done.values(), settings, champion.named(context.champion(model, done[fit]))
        ),
    )


def _to_beat(context: Context, live: Manifest, done: Records) -> step.Champion:
    features = {record.subject: record for record in done.values() if record.step == "build-features"}
    return step.Champion(
        release=live.release,
        classes=champion.contract(context.workspace, live).classes,
        predict=lambda rows: champion.predictions(context.workspace, live, rows, features),
        again=lambda rows: _again(context, live, rows, features),
    )


def _again(context: Context, live: Manifest, rows: pd.DataFrame, features: Records) -> Refittable:
    """The live release's estimator, as its training recorded it, to be fitted anew on some of these rows."""
    workspace = context.workspace
    fit = context.index.find(live.records.get(f"train:{live.model}", ""))
    digest = "" if fit is None else fit.outputs.get("model", "")
    if not digest or not workspace.objects.has(digest):
        raise NotRefitted("the estimator of its training is not in this store")
    try:
        estimator = champion.estimator(workspace, digest)
        inputs = champion.inputs(workspace, live, rows, features)
    except GateFailed as error:
        raise NotRefitted(error.message) from error
    return Refittable(estimator, inputs, champion.contract(workspace, live))
