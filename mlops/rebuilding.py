"""Makes a model again in a checkout, from data that is given, and tells what came out, digest by digest.

`python -m mlops.rebuilding ROOT MODEL DATA ANSWER` is run by `mlops reproduce` in an environment made for it. DATA is a
JSON object of sources to Parquet files; ANSWER the file to write.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from mlops import ingredients
from mlops.actions.wish import Wish
from mlops.adapters import files
from mlops.config import Source
from mlops.errors import MlopsError
from mlops.keys import environment_lock, installed
from mlops.release import BENTO
from mlops.running import run
from mlops.verdict import Record
from mlops.workspace import Workspace, open_workspace

_JUDGED = "check-model"  # the last step whose result is part of a release; booting a service is not


class _Nobody:
    def started(self, name: str) -> None: ...
    def progress(self, name: str, text: str) -> None: ...
    def finished(self, record: Record) -> None: ...


def rebuild(root: Path, model: str, data: dict[str, str]) -> dict[str, Any]:
    """The digests of all that a release of this model would be made of; `errors` where a step did not come through."""
    workspace = _given(open_workspace(root), data)
    records: dict[str, Record] = {}
    errors: list[str] = []
    for step in ("package", _JUDGED):
        wish = Wish(command="reproduce", models=(workspace.catalog.model(model),), until=step)
        report, failed = run(workspace, wish, _Nobody())
        records |= {record.name: record for record in report.records}
        errors += [str(error) for error in failed]
    return {**_made(workspace, model, records), "errors": list(dict.fromkeys(errors))}


def _given(workspace: Workspace, data: dict[str, str]) -> Workspace:
    """The project with these files in the place of its sources."""
    config = workspace.config
    given = {
        name: Source(path=data[name], schema=source.schema) if name in data else source
        for name, source in config.sources.items()
    }
    return Workspace(workspace.root, msgspec.structs.replace(config, sources=given))


def _made(workspace: Workspace, model: str, records: dict[str, Record]) -> dict[str, Any]:
    declared = workspace.catalog.model(model)
    views, computed = workspace.catalog.pinned(declared)

    def of(step: str, output: str) -> str:
        record = records.get(f"{step}:{model}")
        return "" if record is None else record.outputs.get(output, "")

    fit, judged, bento = records.get(f"train:{model}"), records.get(f"{_JUDGED}:{model}"), of("package", "bento")
    listing: dict[str, str] = workspace.objects.get_json(bento) if bento else {}
    return {
        "snapshot": {r.subject: r.outputs["data"] for r in records.values() if r.step == "snapshot"},
        "code": ingredients.code(workspace, [declared])[model],
        "features": ingredients.code(workspace, [*views, *computed]),
        "training": of("assemble", "train"),
        "params": {} if fit is None else dict(fit.params),
        "metrics": {} if judged is None else dict(judged.metrics),
        "environment": files.digest_bytes(msgspec.json.encode(environment_lock(), order="sorted")),
        "packages": installed(),
        "files": {f"{BENTO}/{name}": digest for name, digest in listing.items()},
    }


def main() -> None:
    """Rebuild as the arguments say."""
    root, model, data, answer = sys.argv[1:]
    try:
        made = rebuild(Path(root), model, json.loads(data))
    except MlopsError as error:
        made = {"errors": [str(error)]}
    files.write_atomically(Path(answer), json.dumps(made).encode())


if __name__ == "__main__":
    main()
