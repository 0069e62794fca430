"""`mlops features`: the group; each verb is a command of its own below."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import (
    as_json,
    complete_environments,
    complete_views,
    opened,
    project,
    report_files,
    why,
)

if TYPE_CHECKING:
    from mlops.declare import FeatureView
    from mlops.verdict import Record
    from mlops.workspace import Workspace

_WIDTH = 100  # where there is no terminal


@click.group("features", short_help=SUMMARIES["features"], invoke_without_command=True)
@as_json
@project
@click.pass_context
def command(context: click.Context, as_json: bool, root: Path) -> None:  # noqa: FBT001 - click passes flags so
    """Work with the stored features.

    Without a further word it shows every feature view: its columns, what is stored of it, how fresh it is, who reads
    it, and which others say the same. Look here before you write a new one.

    \b
    Examples:
      mlops features
      mlops features diff customer_spend_v1 customer_spend_v2
      mlops features prune production
      mlops features export --to feast
    """
    if context.invoked_subcommand is not None:
        return
    from mlops.adapters.index import Index
    from mlops.errors import NothingToDo
    from mlops.reports.views import render
    from mlops.steps.features_list import features

    workspace = opened(root)
    if not workspace.catalog.views and not workspace.catalog.on_demands:
        raise NothingToDo("no feature is declared", next_step="declare one in features/: docs/declarations.md")
    facts = features(workspace, Index(workspace.home / "index.db")).facts
    click.echo(json.dumps(facts, indent=2, default=str) if as_json else render(facts, width=_width()))


@command.command("diff")
@click.argument("first", shell_complete=complete_views)
@click.argument("second", shell_complete=complete_views)
@report_files
@as_json
@project
def diff(first: str, second: str, files: tuple[Path, ...], as_json: bool, root: Path) -> None:  # noqa: FBT001 - click's
    """Compare the values of the views FIRST and SECOND on the rows that both have.

    What was not computed yet is computed first. Differences are SECOND minus FIRST.

    \b
    Example:
      mlops features diff customer_spend_v1 customer_spend_v2 --report diff.html
    """
    from mlops.cli.report import check, write
    from mlops.reports.views import difference
    from mlops.steps import features_diff as step
    from mlops.verdict import Report

    for file in files:
        check(file)
    workspace = opened(root)
    views = step.views(workspace, first, second)
    record = step.diff(workspace, first=first, second=second, built=_built(workspace, views, quiet=as_json))
    facts = record.facts
    click.echo(json.dumps(facts, indent=2, default=str) if as_json else difference(facts, width=_width()))
    for file in files:
        write(workspace, Report(command=f"features diff {first} {second}", records=(record,)), file)


@command.command("prune")
@click.argument("environments", nargs=-1, metavar="[ENVIRONMENT]…", shell_complete=complete_environments)
@click.option("--retire", multiple=True, metavar="RELEASE", help="Keep this release for a rollback no longer.")
@click.option("--yes", "agreed", is_flag=True, help="Do it; else it is only said, or asked on a terminal.")
@why
@as_json
@project
def prune(
    environments: tuple[str, ...],
    retire: tuple[str, ...],
    agreed: bool,  # noqa: FBT001 - click passes flags so
    reason: str,
    as_json: bool,  # noqa: FBT001
    root: Path,
) -> None:
    """Take the versions that no retained release reads out of the online stores.

    It says what it would remove and why it keeps the rest. What a live release reads, or one kept for a rollback, is
    never removed. Histories stay in the store: a deployment brings a version back.

    \b
    Examples:
      mlops features prune
      mlops features prune production --retire fraud_v1-3f9c1a --yes
    """
    from mlops.cli.moves import tell_the_ledger
    from mlops.reports.views import pruned
    from mlops.steps import features_prune as step

    workspace = opened(root)
    plan = step.planned(workspace, environments, retire)
    nothing = not any(one["remove"] or one["retire"] for one in plan.facts["environments"])
    if not as_json:
        click.echo(pruned(plan.facts, width=_width()))
    if not agreed and not nothing and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        agreed = click.confirm("do it?")
    done = step.prune(workspace, environments, retire, reason=reason) if agreed and not nothing else plan
    if as_json:
        click.echo(json.dumps(done.facts, indent=2))
    elif done.facts["done"]:
        click.echo(pruned(done.facts, width=_width()))
    elif not nothing:
        click.echo("nothing was removed; to do it: --yes")
    for one in done.facts["environments"] if done.facts["done"] else ():
        tell_the_ledger(workspace, one["environment"])


def _built(workspace: Workspace, views: tuple[FeatureView, ...], *, quiet: bool) -> dict[str, Record]:
    """The newest records of views, computed where they are not there yet."""
    from mlops.actions.wish import Wish
    from mlops.cli.display import Display
    from mlops.running import run

    with Display(quiet=quiet) as display:
        report, errors = run(workspace, Wish(command="features", views=views, until="build-features"), display)
    if errors:
        raise errors[0]
    return {record.subject: record for record in report.records if record.step == "build-features"}


def _width() -> int:
    return shutil.get_terminal_size((_WIDTH, 0)).columns


@command.command("export")
@click.option("--to", type=click.Choice(["feast"]), required=True, help="Whose repository to write.")
@click.argument("folder", metavar="[DIR]", default="feast_repo", type=click.Path(file_okay=False, path_type=Path))
@project
def export(to: str, folder: Path, root: Path) -> None:  # noqa: ARG001 - there is one choice
    """Write the views and models as a repository that `feast apply` accepts, into DIR (feast_repo).

    feature_definitions.py is written anew each time; feature_store.yaml only where there is none. The views' computed
    histories are copied below DIR/data.

    \b
    Example:
      mlops features export --to feast && cd feast_repo && feast apply
    """
    from mlops.adapters.index import Index
    from mlops.steps.features import export as write

    workspace = opened(root)
    facts = write(workspace, Index(workspace.home / "index.db"), folder=folder).facts
    views, services = facts["views"], facts["services"]
    click.echo(f"wrote {facts['folder']}: {len(views)} feature views, {len(services)} feature services")
    if facts["left out"]:
        click.echo(f"  on-demand functions stay with mlops: {', '.join(facts['left out'])}")
    click.echo(f"  next: cd {facts['folder']} && feast apply")
