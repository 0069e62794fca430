"""`compare`: two releases, or two runs of the ledger, side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlops import code_diff, comparing
from mlops.adapters.index import Index
from mlops.errors import UsageError
from mlops.targets import chosen
from mlops.verdict import Record
from mlops.workspace import Workspace

VERSION = 1
_RUN = re.compile(r"[0-9a-f]{32}")
_FACTS = ("step", "subject", "commit", "dirty", "version", "executor", "verdict", "outcome", "release")
_DIGITS = 12


def compare(workspace: Workspace, *, one: str, other: str) -> Record:
    """Facts: the `names` of the two, `tables`, `code` (a unified diff) and `framework` (files of ours that differ).

    Two releases by name or how it begins, or two runs of the ledger by their ids. UsageError for one of each.
    """
    runs = [bool(_RUN.fullmatch(name)) for name in (one, other)]
    if all(runs):
        return _runs(workspace, one, other)
    if any(runs):
        raise UsageError(
            "a release and a run of the ledger have little in common", next_step="name two releases or two runs"
        )
    names = tuple(chosen.release(workspace, name) for name in (one, other))
    records = _records(workspace)
    before, after = (comparing.side(workspace, name, records) for name in names)
    facts = {
        "names": names,
        "tables": comparing.tables(before, after),
        "code": code_diff.code(before, after),
        "framework": comparing.framework(before, after),
    }
    return Record(step="compare", subject=" ".join(names), facts=facts)


def _records(workspace: Workspace) -> dict[str, Record]:
    index = Index(workspace.home / "index.db")
    try:
        return {record.key: record for record in index.records()}
    finally:
        index.close()


def _runs(workspace: Workspace, one: str, other: str) -> Record:
    from mlops.adapters.ledger import Ledger

    ledger = Ledger(workspace.home, workspace.config.name)
    before, after = (ledger.run(name) for name in (one, other))
    names = (one[:_DIGITS], other[:_DIGITS])
    tables = (
        comparing.beside("What they are", names, _what(before.tags), _what(after.tags)),
        comparing.beside("Parameters", names, before.params, after.params),
        comparing.beside("Metrics", names, before.metrics, after.metrics),
        comparing.beside("What they were given and called", names, _pointers(before.tags), _pointers(after.tags)),
    )
    facts = {"names": names, "tables": tables, "code": "", "framework": ()}
    return Record(step="compare", subject=" ".join(names), facts=facts)


def _what(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: tags[f"mlops.{name}"] for name in _FACTS if f"mlops.{name}" in tags}


def _pointers(tags: Mapping[str, str]) -> dict[str, str]:
    """Digests of inputs and of code, by what they are of."""
    found = {k.removeprefix("mlops."): v[:_DIGITS] for k, v in tags.items()}
    return {name: digest for name, digest in sorted(found.items()) if name.startswith(("input.", "code."))}
