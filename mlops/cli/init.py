"""`mlops init`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from mlops.cli.group import SUMMARIES

if TYPE_CHECKING:
    from mlops.steps.init import Started


@click.command("init", short_help=SUMMARIES["init"])
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--data", required=True, metavar="FILE", help="A CSV or Parquet file, folder, glob or URL.")
@click.option("--label", required=True, metavar="COLUMN", help="The column to predict.")
@click.option("--timestamp", metavar="COLUMN", help="When a row happened; splits past from future.")
@click.option("--task", type=click.Choice(["binary", "multiclass", "regression"]), help="Instead of inferring it.")
@click.option("--name", help="The model's name.  [default: the folder's]")
@click.option("--ignore", multiple=True, metavar="COLUMN", help="A column that the model must not see; repeatable.")
@click.option("--missing", multiple=True, metavar="VALUE", help='A further value that means "missing"; repeatable.')
@click.option("--text", multiple=True, metavar="COLUMN", help="A code that only looks like a number; repeatable.")
@click.option("--timestamp-format", metavar="FORM", help="Such as %d/%m/%Y, where the values leave it open.")
@click.option("--delimiter", help="Instead of finding it out.")
@click.option("--decimal", help="The decimal point.  [default: .]")
@click.option("--encoding", help="The encoding of a CSV file.  [default: utf-8]")
@click.option("--owner", metavar="@TEAM", help="Whom GitHub asks to review features, labels and thresholds.")
@click.option("--no-github", is_flag=True, help="Leave GitHub's workflows out.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def command(
    folder: Path,
    data: str,
    label: str,
    timestamp: str | None,
    task: Literal["binary", "multiclass", "regression"] | None,
    name: str | None,
    ignore: tuple[str, ...],
    missing: tuple[str, ...],
    text: tuple[str, ...],
    timestamp_format: str | None,
    delimiter: str | None,
    decimal: str | None,
    encoding: str | None,
    owner: str | None,
    no_github: bool,  # noqa: FBT001 - click passes flags so
    as_json: bool,  # noqa: FBT001 - click passes flags so
) -> None:
    """Write a project around a table: model, tests, schema, thresholds, workflows, a README; it runs at once.

    \b
    Examples:
      mlops init churn --data customers.csv --label left
      mlops init bikes --data bike.csv --label cnt --timestamp dteday --ignore casual --ignore registered
    """
    from mlops.steps.init import init

    dated = timestamp is not None and timestamp_format is not None
    given: dict[str, Any] = {
        "delimiter": delimiter,
        "decimal": decimal,
        "encoding": encoding,
        "text": list(text) or None,
        "timestamps": {timestamp: timestamp_format} if dated else None,
        "missing": [_number(value) for value in missing] or None,
    }
    started = init(
        folder,
        data=data,
        label=label,
        timestamp=timestamp,
        task=task,
        name=name,
        ignore=ignore,
        settings={key: value for key, value in given.items() if value is not None},
        github=not no_github,
        owner=owner,
    )
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(started, enc_hook=str)))
        return
    click.echo(_told(started))


def _told(started: Started) -> str:
    place = os.path.relpath(started.folder)
    enter = [] if place == os.curdir else [f"  cd {shlex.quote(place)}"]
    lines = [
        f"{started.folder.resolve().name}: a {started.task} model, {started.model}",
        *(f"  - {note}" for note in started.notes),
        "",
        "next:",
        *enter,
        "  mlops run",
    ]
    if any(name.startswith(".github/workflows/") for name in started.files):
        lines.append("and on GitHub: push it; `mlops doctor` says what the repository's settings lack")
    return "\n".join(lines)


def _number(value: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
