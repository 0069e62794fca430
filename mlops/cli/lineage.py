"""`mlops lineage`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, opened, project


@click.command("lineage", short_help=SUMMARIES["lineage"])
@click.argument("subject", metavar="RELEASE|MODEL|FEATURE|SNAPSHOT")
@click.option("--mermaid", "form", flag_value="mermaid", help="Print a flowchart in mermaid's language.")
@click.option("--openlineage", "form", flag_value="openlineage", help="Print OpenLineage events, one a line.")
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Draw a page.")
@as_json
@project
def command(subject: str, form: str | None, page: Path | None, as_json: bool, root: Path) -> None:  # noqa: FBT001 - click's way
    """Show what made a thing, and what it touched.

    A release, a model, a feature, a source, an environment or a commit is meant by its name, a release or a digest also
    by how it begins; where a name is that of several things, `snapshot:payments` says which.

    \b
    Examples:
      mlops lineage fraud_v2
      mlops lineage payments                 which releases saw this data?
      mlops lineage snapshot:a1669435 --html lineage.html
      mlops lineage fraud --openlineage > events.ndjson
    """
    from mlops.errors import UsageError
    from mlops.reports import lineage as told
    from mlops.steps.lineage import lineage

    if as_json and form:
        raise UsageError(f"--json and --{form} both say how it is printed", next_step="leave one of them out")
    workspace = opened(root)
    record = lineage(workspace, subject=subject)
    if page is not None:
        from mlops.adapters.files import write_atomically
        from mlops.reports.lineage_page import render

        write_atomically(page, render(record).encode())
        click.echo(str(page), err=bool(form or as_json))
    if as_json:
        click.echo(json.dumps(told.values(record), indent=2, default=str))
    elif form == "mermaid":
        click.echo(told.mermaid(record), nl=False)
    elif form == "openlineage":
        from mlops.reports.openlineage import events

        for event in events(record, project=workspace.config.name):
            click.echo(json.dumps(event))
    elif page is None:
        for line in told.tree(record):
            click.secho(line, bold=line[:1] not in "│├└")
