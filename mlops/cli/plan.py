"""`mlops plan`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, opened, project


@click.command("plan", short_help=SUMMARIES["plan"])
@click.option("--base", default="origin/main", show_default=True, help="The revision to compare with.")
@as_json
@project
def command(base: str, as_json: bool, root: Path) -> None:  # noqa: FBT001 - click passes flags so
    """Show what a change affects: views and models whose code, schema or settings differ from a revision.

    Comments and formatting do not count; the change of one function affects only what reaches it.

    \b
    Example:
      mlops plan --base HEAD~1 --json
    """
    import msgspec

    from mlops.adapters import git
    from mlops.plan import Trees, affected

    workspace = opened(root)
    changed = git.changed_files(workspace.root, base)
    with git.tree_of(workspace.root, base) as base_root:
        trees = Trees(root=workspace.root, base_root=base_root, base=base, changed=changed)
        found = affected(workspace.catalog, workspace.config.sources, trees)
    if as_json:
        click.echo(json.dumps({**msgspec.to_builtins(found), "sentence": found.sentence}, indent=2))
        return
    click.echo(found.sentence)
    for name, reason in {**found.views, **found.models}.items():
        click.echo(f"  {name:<28} {reason}")
    for name in found.untouched:
        click.echo(f"  {name:<28} unchanged")
