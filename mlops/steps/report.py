"""`report`: what the last command that judged found, kept so that it can be written in any format later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from mlops import exhibits
from mlops.adapters import files
from mlops.errors import NothingToDo
from mlops.verdict import Report

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1
_LAST = "last.json"


def begin(workspace: Workspace) -> None:
    """Forget the last report: one that fails halfway must not leave an earlier one in its place."""
    (workspace.home / _LAST).unlink(missing_ok=True)


def keep(workspace: Workspace, report: Report) -> None:
    """Keep a report as the last one."""
    values = msgspec.to_builtins(report)
    # Python's own JSON has NaN and infinity, which a metric may be.
    files.write_atomically(workspace.home / _LAST, json.dumps(values).encode())


def last(workspace: Workspace) -> Report:
    """The last report; NothingToDo where nothing has been judged."""
    try:
        values = json.loads((workspace.home / _LAST).read_bytes())
    except FileNotFoundError:
        raise NothingToDo(
            "there is no report: nothing has been judged here, or the last command did not come to its end",
            next_step="run `mlops run`",
        ) from None
    return msgspec.convert(values, Report)


def shown(workspace: Workspace, report: Report) -> Mapping[str, tuple[exhibits.Exhibit, ...]]:
    """The exhibits of the report's records that are in the store, by the records' names."""
    found = {record.name: record.outputs.get(exhibits.OUTPUT, "") for record in report.records}
    return {
        name: exhibits.decode(workspace.objects.get(digest))
        for name, digest in found.items()
        if digest and workspace.objects.has(digest)
    }
