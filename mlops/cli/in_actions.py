"""What a command tells GitHub when it runs in Actions: the job's summary, annotations on lines, step outputs.

Elsewhere all of it does nothing, so a command calls it without asking where it is.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from mlops.adapters.github.runner import Annotation
    from mlops.errors import MlopsError
    from mlops.places import Place
    from mlops.verdict import Finding, Record, Report, Verdict
    from mlops.workspace import Workspace

_MOST = 10
"""Annotations of one level that GitHub shows of one step."""

_said: set[str] = set()
"""Errors that the summary has by now."""

_moved: dict[str, bool] = {}
"""Releases that this command has told of by now, and whether each is new where it is."""


def here() -> bool:
    """Whether a workflow runs us."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


@contextmanager
def guarded(*, as_json: bool) -> Iterator[None]:
    """While the block runs, nothing that is printed can give the runner a command, whatever the data holds."""
    if not here():
        yield
        return
    from mlops.adapters.github.runner import Log

    _said.clear()
    _moved.clear()
    before = sys.stdout, sys.stderr
    out, err = Log(sys.stdout, json=as_json), Log(sys.stderr)
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        out.flush()
        err.flush()


def tell(workspace: Workspace, report: Report, errors: tuple[MlopsError, ...] = ()) -> None:
    """Append a report to the summary, annotate what fired, and set `outcome`, `release` and `changed`."""
    if not here():
        return
    from mlops.adapters.github.runner import output, summarize
    from mlops.reports import markdown
    from mlops.steps.report import shown

    summarize(markdown.render(report, shown(workspace, report)))
    _said.update(report.errors)
    annotate(*_annotations(workspace, report))
    for error in errors:
        _annotate_error(error, workspace.root)
    moves = [record for record in report.records if record.step == "deploy"]
    output(
        {
            "outcome": report.outcome.value if not errors else "fail",
            "release": "\n".join(report.releases),
            "releases": json.dumps(report.releases),
            "changed": _word(any(record.facts.get("changed") for record in moves)),
        }
    )


def tell_moved(record: Record) -> None:
    """Append what moved to the summary, and set `release` (a line for each, where several moved) and `changed`."""
    if not here():
        return
    from mlops.adapters.github.runner import output, summarize
    from mlops.reports.markdown import moved

    summarize(moved(record))
    _moved[str(record.facts.get("release") or "")] = bool(record.facts.get("changed"))
    output({"release": "\n".join(filter(None, _moved)), "changed": _word(any(_moved.values()))})


def tell_error(error: MlopsError) -> None:
    """Append an error to the summary, and annotate the line that it names."""
    if not here():
        return
    from mlops.adapters.github.runner import summarize
    from mlops.reports.markdown import stopped

    if error.message not in _said:
        summarize(stopped(error.message, error.next_step))
    _annotate_error(error)


def outputs(**values: str) -> None:
    """Set outputs of the step."""
    if here():
        from mlops.adapters.github.runner import output

        output(values)


def summary(text: str) -> None:
    """Append Markdown to the job's summary."""
    if here():
        from mlops.adapters.github.runner import summarize

        summarize(text)


def warn(error: MlopsError) -> None:
    """Say what could not be told to GitHub, and what is missing for it; it decides nothing."""
    import click

    click.echo(f"note: {error.message}\n  next: {error.next_step}", err=True)
    if here():
        from mlops.adapters.github.runner import Annotation

        annotate(Annotation(level="warning", message=str(error), title="mlops could not tell GitHub"))


def annotate(*annotations: Annotation) -> None:
    """Write annotations past the guard; each level as far as GitHub shows it."""
    from mlops.adapters.github.runner import Log

    for level in ("error", "warning", "notice"):
        for one in [a for a in annotations if a.level == level][:_MOST]:
            if isinstance(sys.stderr, Log):
                sys.stderr.command(str(one))


def _annotations(workspace: Workspace, report: Report) -> Iterator[Annotation]:
    from mlops.places import place_of

    for verdict in report.verdicts:
        for finding in verdict.fired:
            yield _annotation(workspace, verdict, finding, place_of(workspace, verdict, finding))


def _annotation(workspace: Workspace, verdict: Verdict, finding: Finding, place: Place | None) -> Annotation:
    from mlops.adapters.github.runner import Annotation
    from mlops.reports.words import evidence, word
    from mlops.verdict import Severity

    told = [finding.message, evidence(finding), f"next: {finding.next_step}" if finding.next_step else ""]
    return Annotation(
        level="error" if finding.severity is Severity.FAIL else "warning",
        title=f"{word(finding)} {finding.check} ({verdict.gate} {verdict.subject})".replace(" )", ")"),
        message="\n".join(filter(None, told)),
        file=_within(workspace, place),
        line=place.line if place else None,
    )


def _within(workspace: Workspace, place: Place | None) -> str:
    from mlops.adapters.github.event import current

    event = current()
    return event.within(workspace.root / place.file) if event and place else ""


def _annotate_error(error: MlopsError, root: Path | None = None) -> None:
    """Annotate the line that an error names, by its path from the project, from here, or from the repository's root."""
    from mlops.adapters.github.event import current
    from mlops.adapters.github.runner import Annotation
    from mlops.places import named

    event = current()
    roots = [place.resolve() for place in (root, _asked_for(sys.argv), Path(), event and event.workspace) if place]
    found = [(place, at) for at in roots if (place := named(error.message, at))]
    file, line = "", None
    if event and found:
        file, line = event.within(found[0][1] / found[0][0].file), found[0][0].line
    annotate(Annotation(level="error", message=str(error), title=type(error).__name__, file=file, line=line))


def _asked_for(arguments: list[str]) -> Path | None:
    """The folder of `--project`."""
    words = [word for argument in arguments for word in argument.split("=", 1)]
    return Path(words[words.index("--project") + 1]) if "--project" in words[:-1] else None


def _word(value: object) -> str:
    return "true" if value else "false"
