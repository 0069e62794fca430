"""What a retrain proposes: the file that a pull request puts into the repository, and its text; pure functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops.reports import markdown
from mlops.reports.words import Shown, number
from mlops.verdict import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A pull request: its branch, title and text, and the file that it changes, by its path from the project's root."""

    branch: str
    title: str
    body: str
    path: str
    content: str


def path_of(family: str) -> str:
    """The file that names the last accepted retrain of a family."""
    return f"models/{family}.retrain.toml"


def branch_of(family: str, environment: str) -> str:
    """The one branch on which retrains of a family are proposed: a second one cannot be open beside it."""
    return f"retrain/{environment}/{family}"


def proposal(facts: Mapping[str, Any], report: Report, *, asked: str, by: str, shown: Shown | None = None) -> Proposal:
    """The pull request for an accepted retrain; `asked` is when, `by` whoever ran it."""
    family, release = str(facts["family"]), str(facts["release"])
    return Proposal(
        branch=branch_of(family, str(facts["environment"])),
        title=f"Retrain {family}: {release}",
        body=_body(facts, report, shown),
        path=path_of(family),
        content=_content(facts, report, asked=asked, by=by),
    )


def _content(facts: Mapping[str, Any], report: Report, *, asked: str, by: str) -> str:
    """TOML, with what made the release: the data are not in the repository, their digests are."""
    words = {
        "release": facts["release"],
        "champion": facts["champion"],
        "environment": facts["environment"],
        "because": facts["reason"],
        "at": asked,
        "by": by,
    }
    now, before = _metrics(report)
    snapshots = {record.subject: record.outputs["data"] for record in report.records if record.step == "snapshot"}
    lines = ["# Written by `mlops retrain`. Merging it lets the pipeline take this release on; do not edit it by hand."]
    lines += [f"{name} = {_text(str(value))}" for name, value in words.items()]
    lines += ["", "[snapshots]", *(f"{_text(name)} = {_text(digest)}" for name, digest in sorted(snapshots.items()))]
    lines += ["", "[metrics]", *(f"{_text(name)} = {value!r}" for name, value in sorted(now.items()))]
    if before:
        lines += ["", "[champion_metrics]", *(f"{_text(name)} = {value!r}" for name, value in sorted(before.items()))]
    return "\n".join(lines) + "\n"


_MERGING = """The rows are not in the repository; their digests are in the file that this changes. Merging runs the
pipeline on the main branch, which finds by their keys that all of this has been computed, and takes the same release
on; where the data have moved on meanwhile, it is computed and judged anew. Closing it lets the champion stay.
"""


def _body(facts: Mapping[str, Any], report: Report, shown: Shown | None) -> str:
    now, before = _metrics(report)
    names = [name for name in now if not name.startswith("train_")]
    rows = [f"| {name} | {number(now[name])} | {number(before.get(name))} |" for name in names]
    text = [
        f"**Why:** {markdown.cell(str(facts['reason']))}",
        "",
        f"`{facts['release']}` was trained on today's data and passed every gate.",
        f"It would follow `{facts['champion'] or 'nothing'}` in {facts['environment']}.",
        "",
        "| metric | now | champion, when it was judged, on older rows |",
        "|---|---|---|",
        *rows,
        "",
        "`model.champion` below compares both on the same rows.",
        "",
        _MERGING,
    ]
    return "\n".join(text) + markdown.render(report, shown)


def _metrics(report: Report) -> tuple[dict[str, float], dict[str, float]]:
    """What the challenger and the champion measured when each was judged."""
    for record in report.records:
        if record.step == "check-model":
            return dict(record.metrics), dict(record.facts.get("champion_metrics", {}))
    return {}, {}


def _text(value: str) -> str:
    """A TOML string: JSON's escapes are TOML's, but for one character that JSON leaves as it is."""
    return json.dumps(value).replace("\x7f", "\\u007f")
