"""Two releases side by side, in tables: parameters, metrics on the same rows, features, data, packages, gates, code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import pins
from mlops.contract import Contract
from mlops.exhibits import Table
from mlops.gates.model import coded
from mlops.release import BENTO, Manifest, folder
from mlops.statistics.comparison import compare
from mlops.statistics.influence import Answers, measure, needs_probabilities
from mlops.statistics.paired import Comparison, held_out
from mlops.verdict import Record
from mlops.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

ROW = "__row"
_SHORT = 12
SOURCES = f"{BENTO}/src"  # of a release: the code that it runs
_REQUIREMENTS = "bento/env/python/requirements.txt"
_NOTHING = "-"


@dataclass(frozen=True)
class Side:
    """A release with the records of the steps that it came of, as far as they are here."""

    workspace: Workspace
    manifest: Manifest
    contract: Contract
    records: Mapping[str, Record]

    @property
    def place(self) -> Path:
        """Its folder."""
        return folder(self.workspace.releases, self.manifest.release)

    def record(self, step: str, subject: str = "") -> Record | None:
        """The record of one of its steps."""
        return self.records.get(self.manifest.records.get(f"{step}:{subject or self.manifest.model}", ""))

    @cached_property
    def answers(self) -> pd.DataFrame | None:
        """What it said of its held-out rows, with their labels; None where one of the tables is not here."""
        judged, joined = self.record("check-model"), self.record("assemble")
        digests = [] if judged is None or joined is None else [judged.outputs["predictions"], joined.outputs["holdout"]]
        if not digests or not all(map(self.workspace.objects.has, digests)):
            return None
        said, rows = (self.workspace.frame(digest) for digest in digests)
        return said.assign(__label=rows[self.contract.label].to_numpy())


def side(workspace: Workspace, release: str, records: Mapping[str, Record]) -> Side:
    """A release, read; NotWhole where it cannot be."""
    manifest, contract = pins.read(workspace, release)
    return Side(workspace, manifest, contract, records)


def tables(one: Side, other: Side) -> tuple[Table, ...]:
    """What the two are and where they differ."""
    names = (one.manifest.release, other.manifest.release)
    return (
        beside("What they are", names, _what(one), _what(other)),
        beside("Parameters", names, one.manifest.params, other.manifest.params),
        *_metrics(one, other),
        beside("Features", names, _features(one), _features(other)),
        beside("Data", names, _data(one), _data(other)),
        beside("What they read and answer", names, _columns(one), _columns(other), differing=True),
        beside("Packages", names, _packages(one), _packages(other), differing=True),
        beside("Gates", names, _gates(one), _gates(other)),
    )


def framework(one: Side, other: Side) -> tuple[str, ...]:
    """The files of this package that differ between the two."""
    prefix = f"{SOURCES}/mlops/"
    here, there = (
        {name.removeprefix(prefix): digest for name, digest in s.manifest.files.items() if name.startswith(prefix)}
        for s in (one, other)
    )
    return tuple(sorted(name for name in {*here, *there} if here.get(name) != there.get(name)))


def beside(
    title: str, names: tuple[str, str], one: Mapping[str, Any], other: Mapping[str, Any], *, differing: bool = False
) -> Table:
    """A table of two values for each name, marked where they differ; with `differing` the others are left out."""
    rows = [(key, _cell(one, key), _cell(other, key), _mark(one, other, key)) for key in dict.fromkeys([*one, *other])]
    different = [row for row in rows if row[3]]
    told = (
        f"{len(different)} of {len(rows)} differ" if different else f"the same{f' {len(rows)}' if rows else ': none'}"
    )
    return Table(title=title, caption=told, columns=("", *names, ""), rows=tuple(different if differing else rows))


def _mark(one: Mapping[str, Any], other: Mapping[str, Any], key: str) -> str:
    if key not in one:
        return "added"
    if key not in other:
        return "gone"
    return "" if one[key] == other[key] else "changed"


def _cell(values: Mapping[str, Any], key: str) -> float | str:
    value = values.get(key, _NOTHING)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    return str(value)


def _gates(one: Side) -> dict[str, str]:
    """Outcomes by gate; the model's own by the gate's name alone, so that two versions' stand beside each other."""
    return {gate.removesuffix(f":{one.manifest.model}"): said for gate, said in one.manifest.evidence.items()}


def _what(one: Side) -> dict[str, Any]:
    manifest, fit = one.manifest, one.record("train")
    return {
        "model": manifest.model,
        "code": manifest.code[:_SHORT],
        "estimator": _NOTHING if fit is None else str(fit.facts.get("estimator", _NOTHING)),
        "form": manifest.form,
        "task": manifest.task,
        "metric": manifest.metric,
        "commit": manifest.commit[:_SHORT] + (" (with unsaved changes)" if manifest.dirty else ""),
        "judged against": manifest.champion or "nothing",
        "framework": manifest.framework,
        "trained in seconds": _NOTHING if fit is None else round(fit.seconds, 2),
    }


def _features(one: Side) -> dict[str, str]:
    return {name: digest[:_SHORT] for name, digest in sorted(one.manifest.features.items())}


def _data(one: Side) -> dict[str, Any]:
    joined = one.record("assemble")
    counted = {} if joined is None else {n: joined.metrics.get(n, _NOTHING) for n in ("train_rows", "holdout_rows")}
    found: dict[str, Any] = {}
    for name, digest in sorted(one.manifest.snapshot.items()):
        found[name] = digest[:_SHORT]
        taken = one.record("snapshot", name)
        if taken is not None:
            found[f"{name}: rows"] = taken.metrics["rows"]
    return {**found, "training table": one.manifest.training[:_SHORT], **counted}


def _columns(one: Side) -> dict[str, str]:
    read = one.contract
    fields = {f"request {f.name}": f.kind + ("" if f.nullable else ", required") for f in read.fields}
    stored = {f"column {s.name}": f"{s.kind} of {s.view}" for s in read.stored}
    return {
        **fields,
        **{f"column {c.name}": c.kind for c in read.columns},
        **stored,
        "classes": str(list(read.classes)),
    }


def _packages(one: Side) -> dict[str, str]:
    """Those that the service runs on, exactly; those that it was trained with where the release tells."""
    file = one.place / _REQUIREMENTS
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    served = dict(line.split("==", 1) for line in lines if "==" in line and not line.startswith("#"))
    return dict(sorted(served.items()))


def _metrics(one: Side, other: Side) -> Iterator[Table]:
    """The recorded metrics, and the model's own on the rows that both held out, with an interval."""
    names = (one.manifest.release, other.manifest.release)
    here, there = one.manifest.metrics, other.manifest.metrics
    keys = [key for key in dict.fromkeys([*here, *there]) if not key.startswith("train_")]
    rows = [(k, here.get(k, _NOTHING), there.get(k, _NOTHING), _less(there.get(k), here.get(k))) for k in keys]
    caption = "as recorded, each on the rows that it held out; greater is better"
    yield Table(title="Metrics", caption=caption, columns=("", *names, "difference"), rows=tuple(rows))
    yield _same_rows(one, other)


def _same_rows(one: Side, other: Side) -> Table:
    names, metric = (one.manifest.release, other.manifest.release), one.contract.metric
    title = "On the same rows"
    both = _common(one, other)
    if isinstance(both, str):
        return Table(title=title, caption=f"cannot be told: {both}", columns=("", *names, "difference"), rows=())
    before, after = both
    found = compare(metric, after, before, margin=0.01)
    ours = [_estimate(metric, answers) for answers in (before, after)]
    caption = f"{before.actual.size:,} rows that neither was trained on; {_decided(found)}"
    row = (metric, *ours, f"{found.difference:+.4f} [{found.lower:+.4f}, {found.upper:+.4f}]")
    return Table(title=title, caption=caption, columns=("", *names, "difference, 90 %"), rows=(row,))


def _estimate(metric: str, answers: Answers) -> str:
    measured = held_out(measure(metric, answers))
    return f"{measured.value:.4f} [{measured.lower:.4f}, {measured.upper:.4f}]"


def _decided(found: Comparison) -> str:
    if found.lower > 0:
        return f"the second is better ({found.method})"
    if found.upper < 0:
        return f"the second is worse ({found.method})"
    return f"these rows cannot tell them apart ({found.method})"


def _common(one: Side, other: Side) -> tuple[Answers, Answers] | str:
    """Both sides' answers on the rows that both held out; or why there are none."""
    metric, sources = one.contract.metric, (_source(one), _source(other))
    said, says = one.answers, other.answers
    if (one.contract.task, metric) != (other.contract.task, other.contract.metric):
        return "they answer different questions, or are measured by different metrics"
    if sources[0] is None or sources[0] != sources[1]:
        return "they were judged on different snapshots"
    if said is None or says is None or ROW not in said or ROW not in says:
        return "what one of them said of its held-out rows is not in this store"
    rows = said[ROW][said[ROW].isin(says[ROW])]
    answers = tuple(_coded(side, frame.set_index(ROW).loc[rows]) for side, frame in ((one, said), (other, says)))
    if not len(rows) or (needs_probabilities(metric) and any(a.probabilities is None for a in answers)):
        return "no row was held out by both" if not len(rows) else f"{metric} needs probabilities, and one gives none"
    return answers[0], answers[1]


def _source(one: Side) -> str | None:
    """The digest of the table whose rows a release's rows are."""
    joined = one.record("assemble")
    given = {} if joined is None else joined.inputs
    mains = [digest for name, digest in given.items() if name.startswith("snapshot:")]
    return mains[0] if mains else None


def _coded(one: Side, frame: pd.DataFrame) -> Answers:
    chances = [name for name in frame if str(name).startswith("probability_")]
    probabilities = frame[chances].to_numpy(dtype=float) if chances else None
    classes = one.contract.classes
    return coded(frame["__label"], frame["prediction"], probabilities, classes, classes)


def _less(after: float | None, before: float | None) -> float | str:
    if after is None or before is None or math.isnan(after - before):
        return ""
    return after - before
