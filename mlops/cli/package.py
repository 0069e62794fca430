"""`mlops package`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, complete_models, opened, project, report_files
from mlops.cli.stage import Told, judge
from mlops.reports.words import counted

if TYPE_CHECKING:
    from mlops.verdict import Report


@click.command("package", short_help=SUMMARIES["package"])
@click.argument("models", nargs=-1, metavar="[MODEL]…", shell_complete=complete_models)
@click.option(
    "--edge",
    default=None,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also write DIR/MODEL for a device: ONNX, contract, and a program that needs onnxruntime and numpy alone.",
)
@click.option(
    "--sbom",
    default=None,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write what the bento is made of as CycloneDX JSON; {model} stands for the model's name.",
)
@report_files
@as_json
@project
def command(
    models: tuple[str, ...],
    edge: Path | None,
    sbom: Path | None,
    files: tuple[Path, ...],
    as_json: bool,  # noqa: FBT001 - click passes flags so
    root: Path,
) -> None:
    """Build the bento of a model.

    \b
    Examples:
      mlops package fraud_v2
      mlops package fraud_v2 --sbom fraud_v2.cdx.json
      mlops package meter_v1 --edge devices
    """
    _demand_one_file_each(root, models, sbom)
    report = judge("package", models, root=root, until="package", told=Told(as_json, files))
    if sbom is not None:
        _bills(root, report, sbom, quiet=as_json)
    if edge is not None:
        _for_devices(root, report, edge, quiet=as_json)


def _demand_one_file_each(root: Path, models: tuple[str, ...], file: Path | None) -> None:
    """UsageError where several models would be written to one file."""
    from mlops.errors import UsageError

    if file is not None and "{model}" not in file.name and len(models or opened(root).catalog.families()) > 1:
        raise UsageError("several models, and one file", next_step="--sbom {model}.cdx.json")


def _bills(root: Path, report: Report, file: Path, *, quiet: bool) -> None:
    from mlops.steps.package_sbom import package_sbom

    workspace = opened(root)
    records = {record.name: record for record in report.records}
    for name in [record.subject for record in report.records if record.step == "package"]:
        place = file.with_name(file.name.replace("{model}", name))
        record = package_sbom(workspace, model=workspace.catalog.model(name), records=records, file=place)
        if not quiet:
            click.echo(f"{place}: {record.facts['summary']}")


def _for_devices(root: Path, report: Report, folder: Path, *, quiet: bool) -> None:
    from mlops.steps.package_edge import package_edge

    workspace = opened(root)
    records = {record.name: record for record in report.records}
    for packaged in [record for record in report.records if record.step == "package"]:
        record = package_edge(
            workspace,
            model=workspace.catalog.model(packaged.subject),
            packaged=packaged,
            assembled=records[f"assemble:{packaged.subject}"],
            folder=folder,
            tolerance=workspace.config.package.tolerance,
        )
        facts = record.facts
        if not quiet:
            alike = f"{counted(facts['rows'], 'held-out row')} and {counted(facts['golden'], 'golden request')}"
            click.echo(
                f"{facts['folder']}: {facts['model_bytes'] / 1024:.0f} KiB; run.py answered {alike} as the bento "
                "does, with onnxruntime and numpy alone"
            )
