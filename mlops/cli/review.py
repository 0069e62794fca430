"""`mlops review`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import complete_models, opened, project

if TYPE_CHECKING:
    from mlops.steps.review import Written


@click.command("review", short_help=SUMMARIES["review"])
@click.argument("model", shell_complete=complete_models)
@click.option("--most", default=100, show_default=True, type=click.IntRange(min=1), help="List so many labels at most.")
@project
def command(model: str, most: int, root: Path) -> None:
    """List the labels of MODEL that are likely wrong, in a file that people correct.

    Models that never saw a row say what its label should be; the worst contradictions go into
    reviews/labels-MODEL.csv. Write the right label into the column `corrected` there, or the same label to say
    that it is right, and open a pull request. What people wrote stays when the command runs again.

    \b
    Example:
      mlops review fraud_v2
    """
    from mlops.actions.wish import Wish
    from mlops.cli.display import Display
    from mlops.cli.stage import leave
    from mlops.running import run
    from mlops.steps.review import review

    workspace = opened(root)
    declared = workspace.catalog.model(model)
    with Display(quiet=False) as display:
        report, errors = run(workspace, Wish(command="review", models=(declared,), until="train"), display)
    records = {record.name: record for record in report.records}
    assembled = records.get(f"assemble:{declared.name}")
    if assembled is None or "contract" not in assembled.outputs:
        leave(report, errors)
        return
    written = review(
        workspace,
        model=declared,
        snapshot=records[f"snapshot:{declared.source}"],
        assembled=assembled,
        trained=records.get(f"train:{declared.name}"),
        most=most,
    )
    click.echo(_told(written))


def _told(written: Written) -> str:
    lines = [written.finding.message + "."]
    if not written.file:
        return "\n".join([*lines, f"No label is in doubt ({written.by})."])
    more = f" of {written.found:,}" if written.found > written.listed else ""
    step = "Write the right label into `corrected`, or the same label where it is right, and open a pull request"
    lines += [
        f"{written.file}: {written.listed:,}{more} labels in doubt, {written.kept:,} reviewed before ({written.by}).",
        f"{step}: the next `mlops run` learns from it.",
    ]
    return "\n".join(lines)
