"""`deploy`: a release is brought live with what it reads, unless it stands there or a person took it back."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

from mlops import unsaved
from mlops.actions.context import Action, Context
from mlops.declare import Model
from mlops.publishing import Fresh, publish_features, publish_retained
from mlops.steps import deploy as step
from mlops.targets import chosen
from mlops.targets.protocol import MOVES
from mlops.verdict import Record


def action(context: Context, model: Model, environment: str) -> Action:
    """Bring the release live, unless it stands there."""
    release, began = f"register:{model.name}", time.time()
    return Action(
        version=step.VERSION,
        run=lambda done: _live(
            context, model, environment, str(done[release].facts["release"]), Fresh(done, context.read_at(done, began))
        ),
        ingredients=None,
        recorded=False,
    )


def _live(context: Context, model: Model, environment: str, release: str, fresh: Fresh) -> Record:
    workspace, wish = context.workspace, context.wish
    why = _left_alone(context, model, environment, release)
    if why:
        facts = {"environment": environment, "release": "", "changed": False}
        said = f"{environment}: {why}{_stale(_refreshed(context, environment, fresh))}"
        return Record(step="deploy", subject=model.name, facts={**facts, "summary": said})
    left: dict[str, str] = {}
    record = step.deploy(
        workspace,
        environment=environment,
        release=release,
        reason=unsaved.reason(workspace, environment, release, wish.reason, allowed=wish.allow_dirty),
        prepare=lambda manifest, online: left.update(
            publish_features(workspace, context.index, manifest, online, fresh=fresh)
        ),
    )
    if not record.facts["changed"]:
        left = _refreshed(context, environment, fresh)
    how = "is live" if record.facts["changed"] else "was live already"
    facts = {**record.facts, "summary": f"{environment}: {release} {how}{_stale(left)}"}
    return dataclasses.replace(record, subject=model.name, facts=facts)


def _left_alone(context: Context, model: Model, environment: str, release: str) -> str:
    """Why a release that has been live is not brought back by a run; "" where it is to go live.

    What a person rolled back stays so until a person deploys it again, and of several versions of one
    wish only the newest returns.
    """
    history = chosen.target(context.workspace, environment).history(model.family)
    events = [e for e in history if e.outcome == "done" and e.action in MOVES]
    if not any(event.to == release for event in events) or events[-1].to == release:
        return ""
    if events[-1].action == "rollback":
        who = f"{events[-1].who} rolled back to {events[-1].to}"
        return f"{who}; to bring {release} back: mlops deploy {environment} {release}"
    if model.version < max(m.version for m in context.wish.models if m.family == model.family):
        return f"{release} was live before a newer version"
    return ""


def _refreshed(context: Context, environment: str, fresh: Fresh) -> dict[str, str]:
    """Bring what an environment's releases read up to date, though none of them moves."""
    online = chosen.local(context.workspace, environment).online
    return publish_retained(context.workspace, context.index, online, fresh=fresh)


def _stale(left: Mapping[str, str]) -> str:
    """What is to be said of features that stay online as they are."""
    return "".join(f"; {name} {why} and stays as it is online" for name, why in left.items())
