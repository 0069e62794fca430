"""`mlops retrain`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlops.cli import in_actions
from mlops.cli.group import SUMMARIES
from mlops.cli.options import as_json, complete_environments, complete_models, opened, project, report_files
from mlops.cli.stage import Told, leave, unexplained

if TYPE_CHECKING:
    from mlops.declare import Model
    from mlops.reports.proposal import Proposal
    from mlops.steps.retrain import Made, Wanted
    from mlops.verdict import Record
    from mlops.workspace import Workspace


@click.command("retrain", short_help=SUMMARIES["retrain"])
@click.argument("model", shell_complete=complete_models)
@click.option("--because", required=True, metavar="TEXT|FILE", help="Why; or the JSON report of `mlops monitor`.")
@click.option(
    "--to",
    "environment",
    default=None,
    shell_complete=complete_environments,
    help="Whose live release is to be followed.  [default: production, else where the model is live]",
)
@click.option("--anyway", is_flag=True, help="A person says so: without a rest, and after failures.")
@click.option("--leave-deploy", "leaves", is_flag=True, help="Leave a deployment to the workflow, by outputs.")
@report_files
@as_json
@project
def command(
    model: str,
    because: str,
    environment: str | None,
    anyway: bool,  # noqa: FBT001 - click passes flags so
    leaves: bool,  # noqa: FBT001 - click passes flags so
    files: tuple[Path, ...],
    as_json: bool,  # noqa: FBT001
    root: Path,
) -> None:
    """Train anew on today's data for a reason, and propose or deploy what passes.

    Sources are read anew, whatever their `max_age`; every gate judges the challenger beside the champion. By `then` of
    [tool.mlops.retrain] a pull request proposes what passed, or it is deployed. One at a time, with a rest after each;
    after three failures in a row a person is asked.

    \b
    Examples:
      mlops retrain fraud --because "new terminals since June"
      mlops retrain fraud --because monitor.json --to production
    """
    from mlops.steps import retrain as step

    workspace, told = opened(root), Told(as_json, files)
    declared = workspace.catalog.model(model)
    wanted = step.Wanted(
        environment=step.environment_of(workspace, declared.family, environment),
        family=declared.family,
        reason=step.reason_of(because, Path()),
        anyway=anyway,
    )
    waiting = _open_pull_request(workspace, wanted)
    if waiting:
        _not_begun({"family": wanted.family, "said": "running", "why": waiting, "release": ""}, as_json=as_json)
        return
    record, made = step.retrain(workspace, wanted, lambda: _trained(workspace, declared, wanted, told, leaves=leaves))
    if made is None:
        _not_begun(record.facts, as_json=as_json)
        return
    _tell(workspace, record, made, told)
    to_deploy = leaves and _deploys(workspace) and bool(record.facts["changed"])
    in_actions.outputs(deploy="true" if to_deploy else "false")
    if to_deploy:
        _say(f"retrain  {record.facts['release']} passed, and is left to be deployed", told)
    leave(*made)


def _deploys(workspace: Workspace) -> bool:
    return workspace.config.retrain.then == "deploy"


def _trained(workspace: Workspace, model: Model, wanted: Wanted, told: Told, *, leaves: bool) -> Made:
    from mlops.actions.wish import Wish
    from mlops.cli.display import Display
    from mlops.cli.report import check
    from mlops.running import run
    from mlops.steps.report import begin

    for file in told.files:
        check(file)
        file.unlink(missing_ok=True)  # an earlier report must not be taken for this run's
    begin(workspace)
    wish = Wish(
        command="retrain",
        models=(model,),
        until="deploy" if _deploys(workspace) and not leaves else "register",
        environment=wanted.environment,
        reason=f"retrain: {wanted.reason}",
        anew=frozenset({"snapshot"}),
    )
    with Display(quiet=told.as_json) as display:
        return run(workspace, wish, display)


def _tell(workspace: Workspace, record: Record, made: Made, told: Told) -> None:
    from mlops.cli.moves import tell_the_ledger
    from mlops.cli.report import write
    from mlops.reports import as_json, text
    from mlops.steps.report import keep

    report, errors = made
    keep(workspace, report)
    for file in told.files:
        write(workspace, report, file)
    if not told.as_json:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
        click.echo(text.render(report, width=width))
    in_actions.tell(workspace, report, errors if not unexplained(report, errors) else ())
    followed = _follow(workspace, record, made, told)
    if told.as_json and not unexplained(report, errors):
        plain = {"retrain": {**record.facts, **followed}, **as_json.plain(report)}
        click.echo(json.dumps(plain, indent=2, default=str))
    tell_the_ledger(workspace, str(record.facts["environment"]))


def _follow(workspace: Workspace, record: Record, made: Made, told: Told) -> dict[str, str]:
    """Propose what passed, where that is the policy; says what was done."""
    facts = record.facts
    if not facts["release"]:
        return {}
    if not facts["changed"]:
        _say(f"retrain  {facts['release']} is what is live already: the data have not changed", told)
        return {}
    if _deploys(workspace):
        return {}
    proposed = _proposal(workspace, record, made)
    url = _opened(workspace, proposed)
    if url:
        _say(f"retrain  proposed by {url}", told)
        return {"pull_request": url}
    _say(
        f"retrain  {facts['release']} passed. On GitHub this opens the pull request {proposed.title!r} from "
        f"{proposed.branch}, which writes {proposed.path}.\n"
        f"  next: mlops deploy {facts['environment']} {facts['release']}",
        told,
    )
    return {"would_write": proposed.path, "content": proposed.content}


def _proposal(workspace: Workspace, record: Record, made: Made) -> Proposal:
    from mlops.recording import executor
    from mlops.reports.proposal import proposal
    from mlops.steps.report import shown

    report = made[0]
    asked = datetime.now(UTC).isoformat(timespec="seconds")
    return proposal(record.facts, report, asked=asked, by=executor(), shown=shown(workspace, report))


def _opened(workspace: Workspace, proposed: Proposal) -> str:
    """The page of the pull request; "" outside of Actions."""
    from mlops.adapters.github.api import client
    from mlops.adapters.github.pulls import open_pull_request

    if not in_actions.here():
        return ""
    github = client()
    if github is None:
        raise _no_token("open the pull request")
    with github:
        path = github.event.within(workspace.root / proposed.path)
        files = {path: proposed.content.encode()}
        answer = open_pull_request(
            github, branch=proposed.branch, title=proposed.title, body=proposed.body, files=files
        )
        return str(answer.get("html_url", ""))


def _open_pull_request(workspace: Workspace, wanted: Wanted) -> str:
    """Which pull request proposes a retrain of the family already, in words; "" where none does."""
    if _deploys(workspace) or not in_actions.here():
        return ""
    from mlops.adapters.github.api import client
    from mlops.adapters.github.pulls import PULLS
    from mlops.reports.proposal import branch_of

    github = client()
    if github is None:
        raise _no_token("look for an open pull request")
    with github:
        owner = github.event.repository.partition("/")[0]
        head = f"{owner}:{branch_of(wanted.family, wanted.environment)}"
        found: list[Mapping[str, Any]] = github.get("/pulls", needs=PULLS, head=head, state="open")
    return f"pull request #{found[0]['number']} waits for a person: {found[0]['html_url']}" if found else ""


def _no_token(what: str) -> Exception:
    from mlops.errors import OutsideError

    return OutsideError(
        f"nobody can {what}: this job has no token",
        next_step="give the step `env: GITHUB_TOKEN: ${{ github.token }}`",
    )


def _not_begun(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Say why nothing was trained; GateFailed where a person has to look first."""
    from mlops.errors import GateFailed

    in_actions.outputs(release="", changed="false")
    if facts["said"] == "a person":
        raise GateFailed(
            f"{facts['family']} is not trained anew: {facts['why']}",
            next_step=f"look at why; then say so: `mlops retrain {facts['family']} --because … --anyway`",
        )
    if as_json:
        click.echo(json.dumps({"retrain": dict(facts)}, indent=2))
        return
    click.echo(f"{facts['family']} is not trained anew: {facts['why']}")
    in_actions.summary(f"{facts['family']} is not trained anew: {facts['why']}")


def _say(text: str, told: Told) -> None:
    if not told.as_json:
        click.echo(text)
