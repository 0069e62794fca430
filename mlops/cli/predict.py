"""`mlops predict`."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, complete_environments, opened, project
from mlops.reports.words import counted, seconds
from mlops.verdict import Record

if TYPE_CHECKING:
    from mlops.scoring import Tell
    from mlops.workspace import Workspace

_STDIN = "-"


@click.command("predict", short_help=SUMMARIES["predict"])
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A .csv or .parquet file.")
@click.option("--release", default=None, help="Its name, or how it begins.")
@click.option("--env", "environment", default=None, shell_complete=complete_environments, help="By what is live there.")
@click.option("--model", "family", default=None, help="Which family, where several are live.")
@click.option(
    "--as-of",
    type=click.Choice(["now", "row"]),
    default=None,
    help="Stored features as a request would get them now, or as they were known at each row's own time.",
)
@click.option("--keep", multiple=True, metavar="COLUMN", help="Copy this column too; as often as wanted.")
@click.option(
    "--skip-bad",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Write rows that are no request there, each with its reason, and predict the others.",
)
@as_json
@project
def command(
    file: str,
    out: Path,
    release: str | None,
    environment: str | None,
    family: str | None,
    as_of: Literal["now", "row"] | None,
    keep: tuple[str, ...],
    skip_bad: Path | None,
    as_json: bool,  # noqa: FBT001 - click passes flags so
    root: Path,
) -> None:
    """Predict the rows of a file by a release.

    FILE is CSV (also .gz, .bz2, .xz, .zip) or Parquet, or - for standard input. All rows are checked first; then
    answers are computed part by part and appear in one piece. A run that was killed goes on where it was.

    \b
    Examples:
      mlops predict customers.csv --out scores.parquet --env production
      mlops predict payments.parquet --out scores.csv --release fraud_v2-3f9c1a --as-of row --keep payment_id
    """
    from mlops.steps.predict import Wanted, predict

    workspace = opened(root)
    with _readable(file, workspace) as path, _progress(quiet=as_json) as tell:
        wanted = Wanted(
            file=path, out=out, shown="standard input" if file == _STDIN else file, release=release,
            environment=environment, family=family, as_of=as_of, keep=keep, skip_bad=skip_bad,
        )  # fmt: skip
        record = predict(workspace, wanted=wanted, tell=tell)
    if as_json:
        click.echo(json.dumps({"seconds": record.seconds, **record.facts}, indent=2))
    else:
        _show(record)


def _show(record: Record) -> None:
    facts = record.facts
    rate = facts["rows"] / max(record.seconds, 1e-9)
    took = f"{seconds(record.seconds)}, {rate:,.0f} a second"
    click.echo(f"{facts['out']}: {counted(facts['predicted'], 'row')} predicted by {facts['release']} in {took}")
    if facts["bad"]:
        click.echo(f"{facts['set_aside']}: {counted(facts['bad'], 'row')} set aside, each with its reason")
    if facts["resumed_after"]:
        click.echo(f"went on after row {facts['resumed_after']:,}, where the run before was stopped")
    for view, found in facts["features"].items():
        old = f", {found['expired']:,} too old" if found["expired"] else ""
        click.echo(f"{view}: {found['found']:,} found, {found['missing']:,} missing{old} (as of {facts['as_of']})")
    if facts["ignored"]:
        click.echo(f"not read: {', '.join(facts['ignored'])}")


@contextmanager
def _readable(file: str, workspace: Workspace) -> Iterator[Path]:
    """The file, or all of standard input in one."""
    if file != _STDIN:
        yield Path(file)
        return
    from mlops.adapters.batches import spooled

    with tempfile.TemporaryDirectory(prefix="stdin-", dir=workspace.scratch) as folder:
        spooled(sys.stdin.buffer, Path(folder) / "rows")
        yield Path(folder) / "rows"


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Tell]:
    """A bar on a terminal; nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=None)

        def tell(what: str, done: int, of: int) -> None:
            shown.update(task, description=what, completed=done, total=of or None)

        yield tell
