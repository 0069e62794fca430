"""`mlops state`: the group; each verb is a command of its own below."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops.cli import in_actions
from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, complete_environments, opened, project
from mlops.reports.words import counted

if TYPE_CHECKING:
    from mlops.workspace import Workspace

_MEGABYTE = 1_000_000
_GUIDE = "https://github.com/mlops-ci/mlops/blob/main/docs/github.md#state"


@click.group("state", short_help=SUMMARIES["state"])
def command() -> None:
    """Carry what one machine has computed to another, as one file.

    A runner forgets everything when it ends. The file keeps it: the next runner, or a laptop, computes nothing of it
    again. What a fork's run wrote is never taken by any other run.

    \b
    Examples:
      mlops state export state.tar.gz
      mlops state import state.tar.gz
      mlops state fetch
    """


@command.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--environment",
    "environments",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_environments,
    help="Take this environment along: its pointers, its history, what is online. As often as wanted.",
)
@as_json
@project
def export(file: Path, environments: tuple[str, ...], as_json: bool, root: Path) -> None:  # noqa: FBT001 - click's way
    """Write what was computed here to FILE, a tar archive; compressed where its name ends in .gz.

    Records of steps with their outputs, releases, and the embedded ledger. Where MLOPS_STATE_KEY is set, the file is
    sealed with it.

    \b
    Examples:
      mlops state export state.tar.gz
      mlops state export state.tar --environment staging
    """
    from mlops.steps.state import export as write

    facts = write(opened(root), file, environments=environments).facts
    if as_json:
        click.echo(json.dumps(dict(facts), indent=2))
        return
    held = [counted(facts["records"], "record"), counted(facts["objects"], "object")]
    held += [counted(len(facts["releases"]), "release"), *(f"environment {name}" for name in facts["environments"])]
    click.echo(f"wrote {file}: {', '.join(held)}; {facts['bytes'] / _MEGABYTE:.1f} MB{', sealed' * facts['sealed']}")
    in_actions.summary(_cost(facts))
    if facts["fork"]:
        click.echo(f"  a fork's run wrote it ({facts['fork']}): no other run will take it")


def _cost(facts: Mapping[str, Any]) -> str:
    """What it costs that state travels, and how to leave that."""
    places = " and ".join(facts["environments"])
    kept = f", and what is live in {places}, for as long as the artifact is kept" if places else ""
    size = f"{facts['bytes'] / _MEGABYTE:.1f} MB"
    return f"> Handed on as an artifact: {size}{kept}. [A shared server and store]({_GUIDE}) spare each job that.\n"


@command.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@as_json
@project
def take(file: Path, as_json: bool, root: Path) -> None:  # noqa: FBT001 - click passes flags so
    """Take what another machine has computed from FILE.

    Every digest is verified before anything is taken; of a damaged file nothing is. What is here already stays. Where
    MLOPS_STATE_KEY is set, a file without the seal of that key is refused.

    \b
    Example:
      mlops state import state.tar.gz && mlops run
    """
    from mlops.steps.state import take as read

    facts = read(opened(root), file).facts
    if as_json:
        click.echo(json.dumps(dict(facts), indent=2))
        return
    _tell(str(file), facts)


@command.command("fetch")
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@as_json
@project
def fetch(folder: Path | None, as_json: bool, root: Path) -> None:  # noqa: FBT001 - click passes flags so
    """Take what other jobs and runs of a workflow have handed on.

    Out of FOLDER every state file, at any depth. In GitHub Actions also the newest artifacts of other runs: what was
    computed for this branch, for the pull request that was merged, and for the default branch, and what is live in
    each environment. What a fork's run uploaded is never taken.

    \b
    Example:
      mlops state fetch "$RUNNER_TEMP/parts"
    """
    from mlops.adapters.files import scratch_folder
    from mlops.steps.state import take as read

    workspace = opened(root)
    taken = [(file.name, read(workspace, file).facts) for file in _files_below(folder)]
    scratch = scratch_folder(workspace.scratch)
    try:
        taken += [(what, read(workspace, file).facts) for what, file in _handed_on(workspace, scratch)]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if as_json:
        click.echo(json.dumps([dict(facts) for _, facts in taken], indent=2))
        return
    for what, facts in taken:
        _tell(what, facts)
    if not taken:
        click.echo("nothing was handed on")


def _files_below(folder: Path | None) -> list[Path]:
    """State files, the newest first: a later job's holds what it took from earlier ones, and is taken at once."""
    found = [path for path in folder.rglob("*.tar*") if path.is_file()] if folder is not None else []
    return sorted(found, key=lambda path: (-path.stat().st_mtime_ns, path))


def _handed_on(workspace: Workspace, scratch: Path) -> Iterator[tuple[str, Path]]:
    """What other runs handed on, each with a name for people; nothing outside of Actions, or without a token."""
    from mlops.adapters.github import handed_on
    from mlops.adapters.github.api import client

    github = client()
    if github is None:
        return
    with github:
        missing = [name for name in workspace.config.environments if not (workspace.environments / name).exists()]
        wanted = [handed_on.environment(github, name) for name in missing]
        for artifact in (*filter(None, wanted), *handed_on.computed(github)):
            yield f"{artifact.name} of run {artifact.run}", handed_on.download(github, artifact, scratch)


def _tell(what: str, facts: Mapping[str, Any]) -> None:
    new = [counted(facts["records"], "record"), counted(facts["objects"], "object")]
    new += [counted(len(facts["releases"]), "release"), *(f"environment {name}" for name in facts["environments"])]
    new += [counted(facts["retrains"], "retrain event")] * bool(facts["retrains"])
    nothing = not any(facts[what] for what in ("records", "objects", "releases", "environments", "retrains"))
    took = "nothing new" if nothing else f"took {', '.join(new)}"
    click.echo(f"{what}, written by {facts['by']}: {took}")
    for sentence in facts["left"]:
        click.echo(f"  {sentence}")
