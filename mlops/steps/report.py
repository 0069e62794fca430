"""`report`: what the last command that judged found, kept so that it can be written in any format later."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlops import exhibits
from mlops.adapters import files
from mlops.errors import NothingToDo, OutsideError, UsageError
from mlops.reports import as_json
from mlops.reports.mermaid import Box, Mark
from mlops.reports.words import Shown
from mlops.verdict import STEPS, Finding, Outcome, Record, Report, Verdict

if TYPE_CHECKING:
    from mlops.workspace import Workspace

VERSION = 1
_LAST = "last.json"
_WORSE = (
    Outcome.SKIPPED,
    Outcome.PASS,
    Outcome.OVERRIDDEN,
    Outcome.INSUFFICIENT,
    Outcome.NOT_RUN,
    Outcome.FAIL,
)


def begin(workspace: Workspace) -> None:
    """Forget the last report: one that fails halfway must not leave an earlier one in its place."""
    (workspace.home / _LAST).unlink(missing_ok=True)


def keep(workspace: Workspace, report: Report) -> None:
    """Keep a report as the last one."""
    keep_in(workspace.home, report)


def keep_in(home: Path, report: Report) -> None:
    """Keep a report as the last one of the project whose state is in `home`."""
    values = msgspec.to_builtins(report)
    # Python's own JSON has NaN and infinity, which a metric may be.
    files.write_atomically(home / _LAST, json.dumps(values).encode())


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


def merged(places: Sequence[Path], expected: Sequence[str] = ()) -> tuple[Report, Shown]:
    """One report of several, which jobs side by side wrote as JSON; folders are searched for `*.json`.

    Of records of one name the worst verdict counts. A model that is expected and that no report judges has *not run*:
    a job that died must not be missing from the verdict. NothingToDo where there is no report at all, and none is
    expected.
    """
    read = [_read(file) for place in places for file in _files_of(place)]
    if not read and not expected:
        where = ", ".join(map(str, places))
        raise NothingToDo(
            f"there is no report in {where}", next_step="let each job write one: `mlops run --report report.json`"
        )
    records: dict[str, Record] = {}
    for report, _ in read:
        for record in report.records:
            if record.name not in records or _rank(record) > _rank(records[record.name]):
                records[record.name] = record
    records |= {f"report:{name}": _missing(name) for name in expected if not _judged(records.values(), name)}
    reports = [report for report, _ in read]
    commands = {report.command for report in reports}
    whole = Report(
        command=commands.pop() if len(commands) == 1 else "run",
        records=tuple(sorted(records.values(), key=_place)),
        releases=tuple(dict.fromkeys(name for one in reports for name in one.releases)),
        deployed={name: place for one in reports for name, place in one.deployed.items()},
        about=reports[0].about if reports else {},
        errors=tuple(dict.fromkeys(error for one in reports for error in one.errors)),
    )
    return whole, {name: exhibit for _, shown in read for name, exhibit in shown.items()}


def _files_of(place: Path) -> list[Path]:
    """A file, or the reports in a folder; none in a folder that no job has made."""
    if place.is_dir() or (not place.exists() and place.suffix != ".json"):
        return sorted(place.rglob("*.json"))
    return [place]


def boxes(workspace: Workspace, report: Report, changed: Container[str] = ()) -> tuple[Box, ...]:
    """What the models of a report are made of, and the releases and places that they became."""
    catalog = workspace.catalog
    made: list[Box] = []
    for model in (catalog.models[name] for name in catalog.models if _judged(report.records, name)):
        views, computed = catalog.pinned(model)
        made += [
            Box(name=source, kind="source") for source in dict.fromkeys([*(v.source for v in views), model.source])
        ]
        marks: dict[str, Mark] = {one.name: "changed" for one in (*views, *computed) if one.name in changed}
        made += [Box(name=v.name, kind="view", reads=(v.source,), mark=marks.get(v.name)) for v in views]
        for one in computed:
            read = tuple(name.partition(".")[0] for name in one.inputs)
            made.append(Box(name=one.name, kind="on-demand", reads=read, mark=marks.get(one.name)))
        about = tuple(r for r in report.records if r.subject == model.name and r.verdict is not None)
        fine = all(record.verdict.accepted for record in about if record.verdict)
        reads = tuple(dict.fromkeys([model.source, *(name.partition(".")[0] for name in model.features)]))
        made.append(Box(name=model.name, kind="model", reads=reads, mark="passed" if fine else "refused"))
    made += [Box(name=name, kind="release", reads=(name.rpartition("-")[0],)) for name in report.releases]
    for place in dict.fromkeys(report.deployed.values()):
        held = tuple(name for name, where in report.deployed.items() if where == place)
        made.append(Box(name=place, kind="environment", reads=held))
    return tuple(made)


def _read(file: Path) -> tuple[Report, Shown]:
    try:
        return as_json.read(file.read_bytes())
    except OSError as error:
        raise OutsideError(f"{file} cannot be read: {error.strerror}", next_step="check the name") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise UsageError(
            f"{file} is no report of mlops: {error}", next_step="write one with `mlops run --report report.json`"
        ) from None


def _place(record: Record) -> int:
    """Where people read of it, in whatever order jobs came to their end."""
    return STEPS.index(record.step) if record.step in STEPS else len(STEPS)


def _rank(record: Record) -> int:
    return _WORSE.index(record.verdict.outcome) if record.verdict else -1


def _judged(records: Iterable[Record], model: str) -> bool:
    return any(record.subject == model and record.verdict is not None for record in records)


def _missing(model: str) -> Record:
    found = Finding(
        check="report.missing",
        outcome=Outcome.NOT_RUN,
        message=f"no job reported on {model}: it died, or was cancelled",
        subject=model,
        next_step=f"see the logs of the jobs of {model}, and run them again",
    )
    return Record(step="report", subject=model, verdict=Verdict(gate="report", subject=model, findings=(found,)))
