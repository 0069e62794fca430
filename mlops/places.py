"""Where in the repository one mends what a finding is about: the file and the line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mlops.pyproject import line_of
from mlops.verdict import Finding, Verdict
from mlops.workspace import Workspace

_NAMED = re.compile(r"(?<![\w./-])([\w./-]+\.(?:py|toml|ya?ml|csv|sql|ini|cfg)):(\d+)")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, by its path from the project's root."""

    file: str
    line: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def place_of(workspace: Workspace, verdict: Verdict, finding: Finding) -> Place | None:
    """Where to mend it: what the finding itself names, else the schema, declaration or settings of its subject."""
    said = f"{finding.message} {finding.detail} {finding.next_step}"
    return (
        named(said, workspace.root)
        or _test(finding, workspace.root)
        or _schema(workspace, verdict.subject, finding)
        or _declared(workspace, finding.subject)
        or _declared(workspace, verdict.subject)
        or _source(workspace, verdict.subject)
    )


def named(text: str, root: Path) -> Place | None:
    """The first `FILE:LINE` of a text that is a file of the project."""
    for file, line in _NAMED.findall(text.replace(f"{root}/", "")):
        if not Path(file).is_absolute() and ".." not in Path(file).parts and (root / file).is_file():
            return Place(file, int(line))
    return None


def _test(finding: Finding, root: Path) -> Place | None:
    """The function of a pytest test, which a check or subject names as `FILE::TEST`."""
    for text in (finding.check.removeprefix("own."), finding.subject):
        file, _, test = text.partition("::")
        if file.endswith(".py") and (root / file).is_file():
            name = re.escape(test.rpartition("::")[2].partition("[")[0])
            return Place(file, _line(root / file, rf"\s*(?:async )?def {name}\b") if name else 1)
    return None


def _schema(workspace: Workspace, source: str, finding: Finding) -> Place | None:
    """The column's line in the committed schema, for what was judged by it."""
    settings = workspace.config.sources.get(source)
    if settings is None or not finding.check.startswith("schema."):
        return None
    file = settings.schema or f"features/{source}.schema.yaml"
    if not (workspace.root / file).is_file():
        return _source(workspace, source)
    column = re.escape(finding.subject)
    return Place(file, _line(workspace.root / file, rf"\s+[\"']?{column}[\"']?\s*:") if column else 1)


def _declared(workspace: Workspace, subject: str) -> Place | None:
    catalog = workspace.catalog
    name = subject.partition(".")[0]
    for group in (catalog.views, catalog.on_demands, catalog.models, catalog.checks):
        if name in group:
            return Place(group[name].origin.file, group[name].origin.line)
    return None


def _source(workspace: Workspace, source: str) -> Place | None:
    """The source's table in pyproject.toml."""
    if source not in workspace.config.sources:
        return None
    text = (workspace.root / "pyproject.toml").read_text(encoding="utf-8")
    return Place("pyproject.toml", line_of(text, ("tool", "mlops", "sources", source)))


def _line(file: Path, pattern: str) -> int:
    """The first line of a file that begins with what the pattern says; 1 where none does."""
    begins = re.compile(pattern)
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((number for number, line in enumerate(lines, 1) if begins.match(line)), 1)
