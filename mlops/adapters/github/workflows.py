"""A repository's workflows as values: what runs in which job, with which permissions, secrets and environments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops.errors import UsageError

FOLDER = ".github/workflows"

_NAMED = r"{}(?:\.([A-Za-z_][\w-]*)|\[\s*['\"]([A-Za-z_][\w-]*)['\"]\s*\])"
_SECRET = re.compile(_NAMED.format(r"\bsecrets"))
_VARIABLE = re.compile(_NAMED.format(r"\bvars"))
_COMMAND = re.compile(r"(?:^|[;&|(]|&&)\s*(?:\S*/)?mlops\s+([^\n]*)", re.MULTILINE)
_CALLED = re.compile(r"/mlops/\.github/workflows/([\w-]+)\.ya?ml@")
_OWN = re.compile(
    r"[\w.-]+/mlops/\.github/workflows/(?P<workflow>[\w-]+)\.ya?ml@(?P<ref>[^\s'\"]+)(?P<said>[^\n]*)"
    r"|mlops\s*@\s*git\+\S+?/mlops(?:\.git)?@(?P<git>[^\s'\"#]+)"
)


_READS = {"contents": "read", "actions": "read", "pull-requests": "read"}
PRODUCTS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("pipeline", "check-features", "check-data", "train", "package"), _READS),
    "report": {"contents": "read", "pull-requests": "write", "statuses": "write"},
    "sign": {**_READS, "id-token": "write"},
    "attest": {**_READS, "id-token": "write", "attestations": "write"},
    "deploy": {**_READS, "deployments": "write"},
    "rollback": {**_READS, "deployments": "write"},
    "monitor": {**_READS, "contents": "write"},
    "retrain": {**_READS, "contents": "write", "pull-requests": "write", "deployments": "write"},
}
"""Our workflows that others call, and what a caller must grant each: GitHub refuses to start a run otherwise."""

OPTIONAL = frozenset(
    (
        "MLFLOW_TRACKING_URI",
        "MLFLOW_TRACKING_TOKEN",
        "MLOPS_ATTEST",
        "MLOPS_CANARY",
        "MLOPS_INSTALL",
        "MLOPS_PULL_REQUEST_TOKEN",
        "MLOPS_RETRAIN",
        "MLOPS_RUNNER",
        "MLOPS_SERVICE_TOKEN",
        "MLOPS_SIGNING_KEY",
        "MLOPS_SIGNING_PASSWORD",
        "MLOPS_STATE",
    )
)
"""Variables and secrets that the callers which `mlops init` writes read, and that may be left empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a job: what it uses or runs, with what, and the names of the variables that it is given."""

    uses: str = ""
    run: str = ""
    given: Mapping[str, Any]
    env: tuple[str, ...] = ()

    @property
    def commands(self) -> tuple[str, ...]:
        """What follows `mlops` in its lines: `report --comment`."""
        joined = self.run.replace("\\\n", " ")
        return tuple(found.strip() for found in _COMMAND.findall(joined))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job; `permissions` are those that hold for it, None where nothing says so, and every name is there if `all`.

    `given` are the inputs of the workflow that it calls.
    """

    name: str
    line: int
    steps: tuple[Step, ...] = ()
    uses: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)
    environment: str = ""
    permissions: Mapping[str, str] | None = None
    env: tuple[str, ...] = ()

    @property
    def product(self) -> str:
        """The name of our workflow that it calls; "" where it calls none."""
        found = _CALLED.search(self.uses)
        return found[1] if found else ""

    def may(self, name: str, access: str) -> bool:
        """Whether its token may do that, as far as the file tells."""
        if self.permissions is None:
            return True
        given = self.permissions.get(name, self.permissions.get("all", "none"))
        return given in ("write", access)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A version of ours that a workflow asks for: `ref` as it stands there, and the line."""

    ref: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """One file below .github/workflows."""

    file: str
    triggers: tuple[str, ...]
    jobs: tuple[Job, ...]
    secrets: Mapping[str, int]  # by name, the first line that reads it; those that a caller passes are not among them
    variables: Mapping[str, int]
    pins: tuple[Pinned, ...]


def workflows(root: Path) -> Iterator[Workflow]:
    """The workflows of the repository at `root`, by name; UsageError for one that is no YAML, with its line."""
    folder = root / FOLDER
    for file in sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")]):
        yield _read(file, f"{FOLDER}/{file.name}")


def _read(file: Path, name: str) -> Workflow:
    import yaml

    text = file.read_text(encoding="utf-8", errors="replace")
    try:
        whole = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark else name
        raise UsageError(f"{place}: not YAML: {getattr(error, 'problem', error)}", next_step="mend that line") from None
    document = whole if isinstance(whole, dict) else {}
    on = document.get("on", document.get(True))  # YAML 1.1 reads `on` as true
    passed = _table(_table(_table(on).get("workflow_call")).get("secrets"))
    bare = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    secrets = {key: line for key, line in _lines(_SECRET, bare).items() if key.lower() not in map(str.lower, passed)}
    return Workflow(
        file=name,
        triggers=tuple(map(str, on)) if isinstance(on, dict | list) else (str(on),),
        jobs=tuple(_job(key, one, document, text) for key, one in _table(document.get("jobs")).items()),
        secrets={key: line for key, line in secrets.items() if key != "GITHUB_TOKEN"},
        variables=_lines(_VARIABLE, bare),
        pins=tuple(_pins(bare)),
    )


def _job(name: str, one: Any, document: Mapping[str, Any], text: str) -> Job:
    job = _table(one)
    place = job.get("environment")
    return Job(
        name=str(name),
        line=_line(text, rf"  {re.escape(str(name))}\s*:"),
        steps=tuple(_step(step) for step in job.get("steps") or [] if isinstance(step, dict)),
        uses=str(job.get("uses") or ""),
        given=_table(job.get("with")),
        environment=str(place.get("name", "") if isinstance(place, dict) else place or ""),
        permissions=_permissions(job.get("permissions", document.get("permissions"))),
        env=(*_table(document.get("env")), *_table(job.get("env"))),
    )


def _step(one: Mapping[str, Any]) -> Step:
    return Step(
        uses=str(one.get("uses") or ""),
        run=str(one.get("run") or ""),
        given=_table(one.get("with")),
        env=tuple(_table(one.get("env"))),
    )


def _permissions(value: Any) -> dict[str, str] | None:
    if isinstance(value, str):  # read-all, write-all
        return {"all": value.partition("-")[0]}
    return {str(key): str(access) for key, access in value.items()} if isinstance(value, dict) else None


def _pins(text: str) -> Iterator[Pinned]:
    for number, line in enumerate(text.splitlines(), 1):
        found = _OWN.search(line)
        if found:
            said = re.search(r"#\s*(v?\d[\w.]*)", found["said"] or "")
            yield Pinned(ref=said[1] if said else found["ref"] or found["git"], line=number)


def _lines(pattern: re.Pattern[str], text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for first, second in pattern.findall(line):
            found.setdefault(first or second, number)
    return found


def _line(text: str, pattern: str) -> int:
    begins = re.compile(pattern)
    return next((number for number, line in enumerate(text.splitlines(), 1) if begins.match(line)), 1)


def _table(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
