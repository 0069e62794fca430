"""Where the ledger is, and what is done before MLflow opens it: once for a process, once for a local database."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops.adapters.files import sync
from mlops.adapters.ledger_file import DATABASE

_VARIABLE = "MLFLOW_TRACKING_URI"


def tracking_uri(home: Path) -> str:
    """`MLFLOW_TRACKING_URI` where set, else a SQLite file in `.mlops`."""
    return os.environ.get(_VARIABLE) or f"sqlite:///{home / DATABASE}"


def quiet_and_quick() -> None:
    """Settings that MLflow reads when it is imported: fail in seconds, say nothing, call nobody."""
    for name, value in {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout holds the report, which may be JSON
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # what it logs with a traceback it raises too


def set_process_wide(uri: str) -> None:
    """The SQL registry resolves `models:/<id>` through the process-wide URI, whatever its client was given.

    MLflow puts it into the environment too, where it would look like the user's wish to us and to the next project.
    """
    from mlflow import set_tracking_uri

    wished = os.environ.get(_VARIABLE)
    set_tracking_uri(uri)
    if wished is None:
        os.environ.pop(_VARIABLE, None)
    else:
        os.environ[_VARIABLE] = wished


@contextmanager
def whole(database: Path) -> Iterator[None]:
    """A local database that is made whole in here, or made anew by the next process."""
    unfinished = database.with_name(f"{database.name}.unfinished")
    if unfinished.exists():
        for left in database.parent.glob(f"{database.name}*"):
            if left != unfinished:
                left.unlink()
    elif not database.exists():
        unfinished.touch()
        sync(database.parent)
    yield
    unfinished.unlink(missing_ok=True)
