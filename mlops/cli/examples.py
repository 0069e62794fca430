"""A request that a person can paste: the first golden request of what is live."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from mlops.cli.options import opened
from mlops.release import GOLDEN, PAYLOAD, folder


def request_line(root: Path, environment: str) -> str:
    """A `curl` command that the live release answers."""
    from mlops.targets import chosen

    workspace = opened(root)
    settings = workspace.config.environments[environment]
    target = chosen.target(workspace, environment)
    release = next(live for live in (target.standing(f).live for f in target.families()) if live)
    golden = json.loads((folder(workspace.releases, release) / PAYLOAD / GOLDEN).read_bytes())
    body = shlex.quote(json.dumps(golden[0]["request"]))
    token = f' -H "Authorization: Bearer ${settings.token_env}"' if settings.token_env else ""
    return f"curl{token} -d {body} http://{settings.host}:{settings.port}/predict"
