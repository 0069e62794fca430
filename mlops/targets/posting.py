"""Where the workers of an environment on this machine are posted, and what they are told."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from mlops.serving.crews import Posting
from mlops.serving.host import ONLINE_VARIABLE, POINTER_VARIABLE, RELEASES_VARIABLE
from mlops.serving.packages import SHARED_VARIABLE
from mlops.targets.local import LocalTarget


def posting(
    target: LocalTarget,
    family: str,
    listener: socket.socket,
    *,
    workers: int,
    variables: Mapping[str, str],
    log: int | None = None,
) -> Posting:
    """The posting of a family's workers; `log` is a file descriptor, None this terminal."""
    folder = target.folder / family
    home = folder / "bentoml"
    told = {
        POINTER_VARIABLE: str(folder),
        RELEASES_VARIABLE: str(target.releases),
        ONLINE_VARIABLE: str(target.online),
        **({SHARED_VARIABLE: "1"} if target.shared else {}),
    }
    return Posting(
        folder=folder,
        listener=listener,
        workers=workers,
        variables={**told, **variables},
        home=Path(home),
        python_for=target.python_for,
        log=log,
    )
