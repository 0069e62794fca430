"""`check-service`: a bento is booted and asked, and put under load in turn with the champion's."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import threading
from pathlib import Path

from mlops import champion, ingredients
from mlops.actions.context import Action, Context
from mlops.declare import Model
from mlops.execution import Records
from mlops.release import Manifest
from mlops.steps import check_service as step
from mlops.verdict import Record
from mlops.workspace import Workspace

_MEASURING = threading.Lock()  # one load test at a time: two beside each other measure each other


def action(context: Context, model: Model) -> Action:
    """Boot the bento and ask it, and put it under load in turn with the champion's."""
    workspace, bento = context.workspace, f"package:{model.name}"
    views, _ = workspace.catalog.pinned(model)

    def rival(done: Records) -> Manifest | None:
        return champion.beside(workspace, model.family, context.wish.environment, done[bento])

    def run(done: Records) -> Record:
        built = {view.name: done[f"build-features:{view.name}"] for view in views}
        training = step.Training(assembled=done[f"assemble:{model.name}"], views=tuple(views), features=built)
        return _booted(workspace, done[bento], training, rival(done))

    return Action(
        version=step.VERSION,
        run=run,
        ingredients=lambda done: ingredients.booted(workspace, done.values(), champion.named(rival(done))),
    )


def _booted(workspace: Workspace, packaged: Record, training: step.Training, live: Manifest | None) -> Record:
    """Judge the bento in a copy of its own: a server writes into its folder, and the stored one stays as it is."""
    with _MEASURING, tempfile.TemporaryDirectory(prefix="bento-", dir=workspace.scratch) as folder:
        bento = Path(folder) / "bento"
        workspace.objects.get_tree(packaged.outputs["bento"], bento)
        rival = None
        if live is not None:
            copied = shutil.copytree(champion.bento(workspace, live), Path(folder) / "champion")
            rival = step.Rival(release=live.release, bento=copied)
        record = step.check_service(
            workspace, bento=bento, limits=workspace.config.load, training=training, rival=rival
        )
    facts = {**record.facts, "champion": champion.named(live)}
    return dataclasses.replace(record, subject=packaged.subject, facts=facts)
