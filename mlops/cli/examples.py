"""Commands that a person can paste after a run: they work on what has just gone live."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.cli.options import opened
from mlops.release import GOLDEN, PAYLOAD, folder

if TYPE_CHECKING:
    from mlops.workspace import Workspace


def next_lines(root: Path, environment: str, releases: tuple[str, ...], *, myself: str) -> list[str]:
    """How to serve, to ask and to roll back what `releases` made live; what would be refused is left out."""
    from mlops.targets import chosen

    workspace = opened(root)
    target = chosen.target(workspace, environment)
    standings = {name: target.standing(name) for name in target.families()}
    live = {name: one.live for name, one in standings.items() if one.live is not None}
    family = next((name for name, release in live.items() if release in releases), None)
    if family is None:
        return []
    which = f" --model {family}" if len(standings) > 1 else ""
    lines = []
    if workspace.config.environments[environment].target == "local":
        lines += [f"{myself} serve {environment}{which}", _request_line(workspace, environment, live[family])]
    if standings[family].previous is not None:
        lines.append(f"{myself} rollback {environment}{which}")
    return lines


def _request_line(workspace: Workspace, environment: str, release: str) -> str:
    """A `curl` command with the release's first golden request."""
    settings = workspace.config.environments[environment]
    golden = json.loads((folder(workspace.releases, release) / PAYLOAD / GOLDEN).read_bytes())
    body = shlex.quote(json.dumps(golden[0]["request"]))
    token = f' -H "Authorization: Bearer ${settings.token_env}"' if settings.token_env else ""
    return f"curl{token} -d {body} http://{settings.host}:{settings.port}/predict"
