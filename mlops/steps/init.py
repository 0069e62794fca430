"""`init`: a project around a table that runs at once, with what was found out about the table written down."""

from __future__ import annotations

import os
import re
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlops import survey
from mlops.adapters import scaffold, schema_files, sources
from mlops.adapters.files import write_atomically
from mlops.config import Source
from mlops.contract import Column, Contract, model_inputs
from mlops.declare import Task
from mlops.errors import GateFailed, UsageError
from mlops.statistics import profile, schema_inference

if TYPE_CHECKING:
    import pandas as pd

VERSION = 1

METRIC: dict[str, str] = {"binary": "roc_auc", "multiclass": "balanced_accuracy", "regression": "r2"}

_OWNER = re.compile(r"@[\w.-]+(/[\w.-]+)?|[\w.+-]+@[\w-]+(\.[\w-]+)+")
_ROWS_TO_MEASURE = 20_000
_HOLDOUT = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The new project, and in `notes` one sentence for each thing that was found out or decided."""

    folder: Path
    files: tuple[str, ...]
    model: str
    task: Task
    floor: float
    notes: tuple[str, ...]


def init(
    folder: Path,
    *,
    data: str,
    label: str,
    timestamp: str | None = None,
    task: Task | None = None,
    name: str | None = None,
    ignore: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    github: bool = True,
    owner: str | None = None,
) -> Started:
    """Write a project into `folder` whose `mlops run` goes through: model, tests, schema, thresholds, workflows.

    `data` is whatever a source's path may be, relative to the current folder. `settings` are further settings
    of the source (delimiter, decimal, encoding, missing, text, timestamps). Workflows of the project's own, in
    `.github`, stay as they are, and `owner` is whom CODEOWNERS names. The folder appears whole or not at all.
    Raises UsageError for what cannot be asked (a column that is not there, a folder in use) and GateFailed for a
    label or a timestamp that no model can be trained with.
    """
    _demand_owner(owner)
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  # resolve() would replace links that the user chose
    place = None if "://" in data else Path(os.path.abspath(data))  # noqa: PTH100
    with scaffold.placed(folder, data=place) as temporary:
        source, table = survey.read(str(place or data), timestamp, settings or {}, root=temporary)
        frame = table.rows.to_pandas()
        found, why = survey.task_of(frame, label, task, table)
        project = scaffold.Project(
            name=folder.name,
            model=scaffold.named(name or folder.name),
            source=_source_name(data),
            **_settings(source, data, folder),
            **_parts(survey.columns_of(frame, label=label, timestamp=timestamp, ignore=ignore)),
            label=label,
            labels=profile.classes_of(frame[label]) if found != "regression" else (),
            timestamp=timestamp,
            task=found,
            why=why,
            metric=METRIC[found],
        )
        workflows = github and not (folder / ".github").exists()
        _write(temporary, scaffold.sources_of(project, github=workflows))
        if workflows:
            _write(temporary, scaffold.github_of(owner=owner))
        floor, reason = _floor(_measured(frame, project, temporary), project)
        _write(temporary, {"pyproject.toml": scaffold.pyproject(project, floor=floor, reason=reason)})
        _write(temporary, {f"features/{project.source}.schema.yaml": _schema(frame, project.source)})
        notes = (*_notes(project, table, reason), *(_notes_for_github(folder, place) if github else ()))
        written = tuple(sorted(p.relative_to(temporary).as_posix() for p in temporary.rglob("*") if p.is_file()))
    return Started(
        folder=folder,
        files=written,
        model=f"{project.model}_v1",
        task=found,
        floor=floor,
        notes=notes,
    )


def _demand_owner(owner: str | None) -> None:
    if owner is not None and not _OWNER.fullmatch(owner):
        raise UsageError(
            f"--owner {owner!r} names nobody that GitHub can ask",
            next_step="give @PERSON, @ORGANISATION/TEAM or an address",
        )


def _source_name(data: str) -> str:
    last = data.rstrip("/").rpartition("/")[2].lstrip("*")
    return scaffold.named(last.split(".")[0] or "table")


def _settings(source: Source, data: str, folder: Path) -> dict[str, Any]:
    """The source's settings that are not the defaults, with a path that holds from `folder`."""
    fixed = "://" in data or Path(data).is_absolute()
    path = data if fixed else Path(os.path.relpath(data, folder)).as_posix()
    plain, defaults = msgspec.structs.asdict(source), msgspec.structs.asdict(Source())
    changed = {key: value for key, value in plain.items() if key != "path" and value != defaults[key]}
    return {"data": path, "settings": {"path": path, **changed}}


def _parts(columns: tuple[profile.Column, ...]) -> dict[str, Any]:
    """The columns by their part: name to examples, or to why it is ignored."""
    of: dict[str, dict[str, scaffold.Values]] = {"number": {}, "category": {}, "code": {}}
    for column in columns:
        if column.role != "ignore":
            of[column.role][column.name] = column.examples
    ignored = {column.name: column.why for column in columns if column.role == "ignore"}
    return {"numbers": of["number"], "categories": of["category"], "codes": of["code"], "ignored": ignored}


def _measured(frame: pd.DataFrame, project: scaffold.Project, folder: Path) -> float:
    """The metric of the new model on the newest, or else on random, rows of a sample; it also proves that it runs."""
    from sklearn.metrics import get_scorer

    known = frame.dropna(subset=[project.label])
    known = known.sort_values(project.timestamp) if project.timestamp else known.sample(frac=1.0, random_state=0)
    known = known.iloc[:: max(1, len(known) // _ROWS_TO_MEASURE)]
    contract = Contract(
        model=f"{project.model}_v1",
        task=project.task,  # type: ignore[arg-type]  # a Task, which the templates know as a word
        metric=project.metric,
        label=project.label,
        classes=(),
        fields=(),
        stored=(),
        computed=(),
        columns=(
            *(Column(name=name, kind="number") for name in project.numbers),
            *(Column(name=name, kind="string") for name in (*project.categories, *project.codes)),
        ),
    )
    inputs, label = model_inputs(known, contract), known[project.label]
    cut = round(len(known) * (1 - _HOLDOUT))
    train = runpy.run_path(str(folder / "models" / f"{project.model}.py"))[contract.model]
    try:
        fitted = train(inputs.iloc[:cut], label.iloc[:cut], {})
        return float(get_scorer(project.metric)(fitted, inputs.iloc[cut:], label.iloc[cut:]))
    except ValueError as error:  # such as one class only in the newest rows
        raise GateFailed(
            f"the default model cannot be judged on the newest fifth of {len(known):,} rows: {error}",
            next_step="give a table with more rows of each class, or leave --timestamp out",
        ) from error


def _floor(measured: float, project: scaffold.Project) -> tuple[float, str]:
    """A floor that a guess does not reach and the default model does, and the comment that says so."""
    guess = {"binary": 0.5, "multiclass": 1 / max(1, len(project.labels)), "regression": 0.0}[project.task]
    metric = project.metric
    if measured <= guess + 0.02:
        return round(guess + 0.01, 3), (
            f"Of {metric} on the held-out rows. A guess has {guess:.2g}, and the default model no more "
            f"({measured:.2f}): it will not pass. Give it better columns or features."
        )
    floor = int((guess + (measured - guess) / 2) * 100) / 100
    return max(floor, round(guess + 0.01, 3)), (
        f"Of {metric} on the held-out rows: halfway between a guess ({guess:.2g}) and what the default model measured "
        f"on a sample of this table ({measured:.2f}). Raise it to what your use needs."
    )


def _schema(frame: pd.DataFrame, source: str) -> str:
    return schema_files.text(schema_inference.infer(frame, source=source), source=source)


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())


def _notes_for_github(folder: Path, data: Path | None) -> tuple[str, ...]:
    """What a runner will miss, and what was left alone."""
    notes = []
    if (folder / ".github").exists():
        notes.append(
            ".github is there already and stays as it is: docs/github.md says what to call from your workflows"
        )
    if data is not None and not data.is_relative_to(folder):
        notes.append("GitHub's runners cannot read the table where it is: put it into the repository, or name a URL")
    return tuple(notes)


def _notes(project: scaffold.Project, table: sources.Table, reason: str) -> tuple[str, ...]:
    rows = table.rows
    read = ", ".join(f"{k} {v}" for k, v in project.settings.items() if k != "path")
    return (
        f"{rows.num_rows:,} rows and {rows.num_columns} columns" + (f", read with {read}" if read else ""),
        f"the task is {project.task}: {project.why}",
        *(f"{name} is not read: it {why}" for name, why in project.ignored.items()),
        f"floor: {reason}",
    )
