"""`register`: what was judged becomes a release, here and in the ledger."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops import exhibits, ingredients
from mlops.actions.context import Action, Context
from mlops.contract import Contract
from mlops.declare import Model
from mlops.execution import Records
from mlops.release import Manifest
from mlops.steps import register as step
from mlops.verdict import Record


def action(context: Context, model: Model, snapshots: Sequence[str], gates: Sequence[str]) -> Action:
    """Put the release in place; `snapshots` and `gates` name the tasks whose records it is made of."""
    workspace, push = context.workspace, context.push
    where = os.environ.get("MLFLOW_TRACKING_URI", "")

    def recorded(manifest: Manifest, contract: Contract, payload: Path) -> tuple[str, str]:
        return context.recorder.call(
            lambda ledger, run_id: ledger.register(manifest, contract, payload, run_id, push.tags())
        )

    def made_of(done: Records) -> dict[str, Any]:
        return {
            "work": {r.name: [r.key, _made(r), step.evidence(r)] for r in done.values()},
            "ledger": where,
            "dirty": push.dirty,  # what was made of unsaved changes is named by their commit once there is one
        }

    return Action(
        version=step.VERSION,
        run=lambda done: step.register(
            workspace, model=model, work=_work(context, model, done, snapshots, gates), record_release=recorded
        ),
        ingredients=made_of,
        still=lambda record: step.is_whole(workspace.releases / str(record.facts["release"])),
    )


def _work(context: Context, model: Model, done: Records, snapshots: Sequence[str], gates: Sequence[str]) -> step.Work:
    views, computed = context.workspace.catalog.pinned(model)
    return step.Work(
        snapshots=tuple(done[name] for name in snapshots),
        assembled=done[f"assemble:{model.name}"],
        trained=done[f"train:{model.name}"],
        checked=done[f"check-model:{model.name}"],
        packaged=done[f"package:{model.name}"],
        gates=tuple(done[name] for name in gates),
        code=ingredients.code(context.workspace, [model])[model.name],
        features=ingredients.code(context.workspace, [*views, *computed]),
        commit=context.push.commit,
        dirty=context.push.dirty,
    )


def _made(record: Record) -> dict[str, str]:
    """A record's outputs without what people look at: what was measured under load differs each time."""
    return {name: digest for name, digest in record.outputs.items() if name != exhibits.OUTPUT}
