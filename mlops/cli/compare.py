"""`mlops compare`."""

from __future__ import annotations

from pathlib import Path

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, opened, project, report_files


@click.command("compare", short_help=SUMMARIES["compare"])
@click.argument("one")
@click.argument("other")
@report_files
@as_json
@project
def command(one: str, other: str, files: tuple[Path, ...], as_json: bool, root: Path) -> None:  # noqa: FBT001 - click's way
    """Show two releases or runs side by side.

    ONE and OTHER are releases, by name or how it begins, or ids of runs in the ledger. Parameters, metrics with
    intervals on the rows that both held out, features, data, packages, gates, and the diff of their code.

    \b
    Examples:
      mlops compare fraud_v1 fraud_v2
      mlops compare fraud_v1-448a fraud_v2-163c --report compared.html
    """
    from mlops.adapters.files import write_atomically
    from mlops.reports import compare as told
    from mlops.steps.compare import compare

    formats = [told.format_of(file) for file in files]
    record = compare(opened(root), one=one, other=other)
    for file, form in zip(files, formats, strict=True):
        write_atomically(file, form(record).encode())
    click.echo(told.as_json(record) if as_json else told.text(record), nl=not as_json)
