"""`mlops plan`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli import in_actions
from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, complete_models, opened, project

if TYPE_CHECKING:
    from mlops.plan import Plan
    from mlops.workspace import Workspace

_MAIN = "origin/main"


@click.command("plan", short_help=SUMMARIES["plan"])
@click.argument("models", nargs=-1, metavar="[MODEL]…", shell_complete=complete_models)
@click.option(
    "--base",
    default=None,
    help=f"The revision to compare with.  [default: {_MAIN}; in Actions what the event says]",
)
@as_json
@project
def command(models: tuple[str, ...], base: str | None, as_json: bool, root: Path) -> None:  # noqa: FBT001 - click's way
    """Show what a change affects: views and models whose code, data or settings differ from a revision.

    Comments and formatting do not count; the change of one function affects only what reaches it. A MODEL that is
    named needs work whatever changed. In GitHub Actions the base is that of the pull request, or what the branch was
    before the push, and the outputs `models`, `views`, `affected` and `sign` are set.

    \b
    Examples:
      mlops plan --base HEAD~1 --json
      mlops plan fraud
    """
    import msgspec

    workspace = opened(root)
    found = planned(workspace, models, base)
    _tell(workspace, found)
    if as_json:
        whole = {**msgspec.to_builtins(found), "needed": found.needed, "sentence": found.sentence}
        click.echo(json.dumps(whole, indent=2))
        return
    click.echo(found.sentence)
    for name, reason in {**found.views, **found.models}.items():
        click.echo(f"  {name:<28} {reason}")
    for name in found.untouched:
        click.echo(f"  {name:<28} unchanged")


def planned(workspace: Workspace, models: tuple[str, ...], base: str | None) -> Plan:
    """What is to be done: the models that are named, or what differs from a revision, or from the event's base."""
    from mlops.adapters import git
    from mlops.adapters.github.event import current
    from mlops.plan import Trees, affected, everything

    event = current()
    if models:
        return everything(workspace.catalog, "asked for", models)
    if event is not None and base is None:
        if not event.base:
            return everything(workspace.catalog, f"{event.name} compares with nothing")
        if event.number is None and not git.knows(workspace.root, event.base):
            return everything(workspace.catalog, f"what was pushed over ({event.base[:12]}) is gone")
    since = base or (event.base if event else "") or _MAIN
    changed = git.changed_files(workspace.root, since)
    with git.tree_of(workspace.root, since) as base_root:
        trees = Trees(root=workspace.root, base_root=base_root, base=since, changed=changed)
        return affected(workspace.catalog, workspace.config, trees)


def _tell(workspace: Workspace, found: Plan) -> None:
    """The outputs of the step, and the plan in the job's summary."""
    from mlops.reports import markdown

    in_actions.summary(markdown.planned(found))
    in_actions.outputs(
        models=json.dumps(found.needed),
        views=json.dumps(list(found.views)),
        affected="true" if found.models else "false",
        sign="false" if workspace.config.signing.method == "none" else "true",
    )
