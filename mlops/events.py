"""Brings the ledger up to date with what happened to an environment while it may have been down.

`python -m mlops.events ROOT ENVIRONMENT` does so for a command that does not wait for it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.errors import MlopsError, OutsideError
from mlops.release import Event
from mlops.targets import chosen, history
from mlops.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from mlops.adapters.ledger import Ledger


def write_events(workspace: Workspace, environment: str, ledger: Ledger | None = None) -> int:
    """Write the events that the ledger lacks, in order; gives how many it still lacks, when it does not answer."""
    place = workspace.environments / environment  # what concerns no family lies in the environment's own folder
    folders = [*(place / f for f in chosen.target(workspace, environment).families()), place]
    waiting = [folder for folder in folders if history.unrecorded(folder)]
    if not waiting:
        return 0
    try:
        opened = ledger or _opened(workspace)
    except OutsideError:
        return sum(len(history.unrecorded(folder)) for folder in waiting)

    def into(event: Event) -> bool:
        try:
            opened.event(event)
        except OutsideError:
            return False
        return True

    for folder in waiting:
        history.record(folder, into)
    return sum(len(history.unrecorded(folder)) for folder in waiting)


def _opened(workspace: Workspace) -> Ledger:
    from mlops.adapters.ledger import Ledger

    return Ledger(workspace.home, workspace.config.name)


if __name__ == "__main__":
    try:
        write_events(open_workspace(Path(sys.argv[1])), sys.argv[2])
    except MlopsError as error:
        sys.exit(error.exit_code)
