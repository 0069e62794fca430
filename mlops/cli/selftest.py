"""`mlops selftest`."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli import in_actions
from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, complete_models, opened, project
from mlops.reports.words import seconds

if TYPE_CHECKING:
    from mlops.faults.bench import Material
    from mlops.steps.selftest import Row
    from mlops.workspace import Workspace


@click.command("selftest", short_help=SUMMARIES["selftest"])
@click.argument("gates", nargs=-1, metavar="[GATE]…")
@click.option(
    "--model", default=None, shell_complete=complete_models, help="Whose data and model.  [default: the first]"
)
@as_json
@project
def command(gates: tuple[str, ...], model: str | None, as_json: bool, root: Path) -> None:  # noqa: FBT001 - click's way
    """Plant faults into copies of your data and model, and demand that every gate fires.

    The clean case must pass too. A gate that was loosened until it no longer fires is a wrong row, and exit code 1.

    \b
    Examples:
      mlops selftest
      mlops selftest schema model --json
    """
    from mlops.adapters.deepchecks import Deepchecks
    from mlops.steps.selftest import demand_known, needs_package, selftest

    demand_known(gates)
    workspace = opened(root)
    material = _material(workspace, model, until="package" if needs_package(gates) else "train", quiet=as_json)
    with contextlib.ExitStack() as ending:
        checks = ending.enter_context(Deepchecks(workspace.scratch)) if workspace.config.deepchecks else None
        rows = selftest(workspace, material=material, deepchecks=checks, gates=gates, progress=_told(quiet=as_json))
    _tell(rows)
    if as_json:
        click.echo(json.dumps([{**asdict(row), "right": row.right} for row in rows], indent=2))
    else:
        _show(rows, gates)
    sys.exit(0 if all(row.right for row in rows) else 1)


def _material(workspace: Workspace, name: str | None, *, until: str, quiet: bool) -> Material:
    """The newest table and model, computed now where they are not there."""
    from mlops.actions.wish import Wish
    from mlops.cli.display import Display
    from mlops.cli.stage import leave
    from mlops.faults.bench import Material
    from mlops.running import run

    families = workspace.catalog.families()
    model = workspace.catalog.model(name or next(iter(families), ""))
    with Display(quiet=quiet) as display:
        report, errors = run(workspace, Wish(command="selftest", models=(model,), until=until), display)
    records = {record.name: record for record in report.records}
    if errors or f"{until}:{model.name}" not in records:
        leave(report, errors)
    return Material(
        model=model,
        snapshots={record.subject: record for record in report.records if record.step == "snapshot"},
        assembled=records[f"assemble:{model.name}"],
        trained=records[f"train:{model.name}"],
        settings=workspace.config.settings(model.family, model.name),
        packaged=records.get(f"package:{model.name}"),
    )


def _told(*, quiet: bool) -> Callable[[str], None]:
    if quiet or not sys.stderr.isatty():
        return lambda _: None
    return lambda text: click.echo(f"\r\x1b[2K{text}", nl=False, err=True)


def _tell(rows: tuple[Row, ...]) -> None:
    """The rows in the summary of a workflow's job, the wrong ones first."""
    from mlops.reports.markdown import table

    wrong = [row for row in rows if not row.right]
    lines = [["✗", row.gate, row.fault, str(row.expected), str(row.got), row.sentence] for row in wrong]
    lines += [["", row.gate, row.fault, str(row.expected), str(row.got), ""] for row in rows if row.right]
    head = f"## {'✗' if wrong else '✓'} mlops selftest: {len(rows) - len(wrong)} of {len(rows)} right"
    in_actions.summary(
        "\n".join([head, "", *table(["", "gate", "planted fault", "must", "does", "what it said"], lines), ""])
    )


def _show(rows: tuple[Row, ...], gates: tuple[str, ...]) -> None:
    from mlops.faults import GATES

    if sys.stderr.isatty():
        click.echo("\r\x1b[2K", nl=False, err=True)
    wide = max(len(row.fault) for row in rows)
    click.echo(f"  {'gate':<12} {'planted fault':<{wide}} {'must':<9} {'does':<9} time")
    for row in rows:
        mark = click.style("✓", fg="green") if row.right else click.style("✗", fg="red", bold=True)
        line = f"{row.gate:<12} {row.fault:<{wide}} {row.expected:<9} {row.got:<9} {seconds(row.seconds)}"
        click.echo(f"{mark} {line}")
        if not row.right:
            click.echo(f"    {row.check}: {row.sentence}")
    tried = {row.gate for row in rows}
    for gate in gates or GATES:
        if gate not in tried:
            click.echo(f"- {gate:<12} no fault of this gate applies to this model")
    wrong = sum(not row.right for row in rows)
    click.echo(f"\n{len(rows) - wrong} of {len(rows)} right")
