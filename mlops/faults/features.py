"""The user's own feature functions, wrapped so that each breaks one property."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from mlops.adapters.pytest_run import Ran, Tested
from mlops.declare import FeatureView
from mlops.faults.bench import Bench
from mlops.faults.case import Case, sound
from mlops.gates.look_ahead import DelayedLabel
from mlops.gates.on_demand import judge_on_demand
from mlops.gates.pinned import Holder
from mlops.gates.pinned import judge as judge_pinned
from mlops.gates.properties import ROWS, judge_elsewhere, judge_view, sample
from mlops.gates.tested import judge_tests
from mlops.gates.view_times import delayed_labels, event_time
from mlops.pins import Retained, changed
from mlops.release import Manifest
from mlops.verdict import Finding

if TYPE_CHECKING:
    import pandas as pd

Compute = Callable[["pd.DataFrame"], "pd.DataFrame"]


def cases(bench: Bench) -> Generator[Case]:
    """Each property broken in the first view that the model reads, a view without a test, and all views as they are."""
    views, _ = bench.workspace.catalog.pinned(bench.model)
    if not views:
        return
    models = list(bench.workspace.catalog.models.values())

    def judge(view: FeatureView, source: pd.DataFrame) -> tuple[Finding, ...]:
        time = event_time(view, models, source)
        rows = sample(source, view.entity, time)
        return judge_view(view, rows, time=time, labels=delayed_labels(view, models, source))

    first = views[0]
    source = bench.table(first.source)
    for fault, (check, broken) in faults(
        first, sample(source, first.entity, event_time(first, models, source))
    ).items():
        yield Case(fault=fault, check=f"features.{check}", judge=partial(judge, broken, source))
    yield from _of_labels(first, judge, source, delayed_labels(first, models, source))
    yield from _of_on_demands(bench)
    yield Case(
        fault="another result in another process",
        check="features.other-process",
        judge=lambda: [_judge_elsewhere(first, sample(source, first.entity, event_time(first, models, source)))],
    )
    failed = Tested(id="test_it", file="test_it.py", line=1, outcome="failed", message="planted", called=(first.name,))
    failing = partial(judge_tests, Ran(tests=(failed,)), [first], bench.config.tests_of("features"), found=True)
    yield Case(fault="a test fails", check="features.tests", judge=failing)
    untested = partial(judge_tests, Ran(), [first], bench.config.tests_of("features"), found=False)
    yield Case(fault="no test calls it", check="features.tested", judge=untested)
    yield Case(
        fault="a retained release pins other code", check="features.pinned", judge=partial(_pinned, bench, first)
    )
    yield sound(lambda: [finding for view in views for finding in judge(view, bench.table(view.source))])


def faults(view: FeatureView, rows: pd.DataFrame) -> dict[str, tuple[str, FeatureView]]:
    """By name, the property that must fail and the broken view, tried on `rows`; those it cannot show are left out."""
    import pandas as pd

    result = _result(view, rows.copy())
    features = [n for n in result.columns if n not in view.keys]
    numbers = [n for n in features if pd.api.types.is_numeric_dtype(result[n].dtype)]
    amounts = [n for n in rows.columns if pd.api.types.is_float_dtype(rows[n].dtype)]
    calls = count()
    broken: dict[str, tuple[str, Compute]] = {
        "it raises": ("runs", _raising),
        "it asks for the present time": ("clock", _asking_the_time),
        "a column of it is gone": ("columns", lambda rows: _result(view, rows).drop(columns=features[0])),
        "its rows come twice": ("duplicates", lambda rows: pd.concat([_result(view, rows)] * 2)),
        "a row without entity": ("keys", lambda rows: _without_entity(view, rows)),
    }
    for name in (view.entity, view.timestamp):
        if name in rows:
            check = "entities" if name == view.entity else "time-zone"
            broken[f"another {name}"] = (check, partial(_moved, view, name))
    if view.columns:
        broken["a column that it does not declare"] = ("columns", lambda rows: _result(view, rows).assign(__more=1.0))
    if numbers:
        changed = partial(_changed, view, numbers[0])
        broken |= {
            "another result when called again": (
                "deterministic",
                lambda rows: changed(rows, lambda v: v + next(calls)),
            ),
            "it looks ahead": ("look-ahead", lambda rows: changed(rows, lambda v: v - v.fillna(0).sum())),
            "the order of rows matters": ("row-order", lambda rows: changed(rows, lambda v: v + _first(rows))),
            "infinite values": ("values", lambda rows: changed(rows, lambda v: v.astype("float64") / 0 + np.inf)),
            "aligned by the wrong index": ("values", lambda rows: changed(rows, _misaligned)),
        }
        if view.timestamp in rows and result[view.entity].duplicated().any():
            broken["it looks back further than its window"] = ("window", partial(_counting, view, numbers[0]))
        if view.created:
            broken["it reads what is not known yet"] = ("known-ahead", broken["it looks ahead"][1])
    if amounts:
        broken["it changes the frame it is given"] = ("mutation", lambda rows: _mutating(view, rows, amounts[0]))
    short = timedelta(seconds=1)  # whatever it says: what counts all rows looks back further
    return {
        name: (check, dataclasses.replace(view, function=function, window=short if check == "window" else view.window))
        for name, (check, function) in broken.items()
    }


def _result(view: FeatureView, rows: pd.DataFrame) -> pd.DataFrame:
    result: pd.DataFrame = view.function(rows)
    return result


def _pinned(bench: Bench, view: FeatureView) -> tuple[Finding, ...]:
    """What is said of a view when a live release was made of other code."""
    empty: dict[str, dict[str, str]] = {"snapshot": {}, "metrics": {}, "params": {}, "evidence": {}, "files": {}}
    text = dict.fromkeys(("task", "metric", "commit", "code", "environment"), "")
    release, pinned = f"{bench.model.name}-planted", {view.name: "another digest"}
    values = {"release": release, "model": bench.model.name, "form": "onnx", "dirty": False, "features": pinned}
    manifest = msgspec.convert({**values, **text, **empty}, Manifest)
    holder = Holder(release=release, environment="production", live=True)
    live = Retained(holder=holder, family=bench.model.family, manifest=manifest, contract=bench.contract)
    return judge_pinned(changed(bench.workspace, [live]))


def _judge_elsewhere(view: FeatureView, rows: pd.DataFrame) -> Finding:
    """What is said when strings hash otherwise there: each row has its neighbour's value."""
    here = _result(view, rows)
    name = next(n for n in here.columns if n not in view.keys)
    return judge_elsewhere(view, here, here.assign(**{name: here[name].shift(1)}))


def _counting(view: FeatureView, name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The number of an entity's rows so far, which needs all of them."""
    result = _result(view, rows).sort_values(list(view.keys), kind="stable")
    return result.assign(**{name: result.groupby(view.entity).cumcount()})


def _raising(_: pd.DataFrame) -> pd.DataFrame:
    raise KeyError("planted")


def _asking_the_time(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(now=datetime.now(UTC).timestamp())


def _moved(view: FeatureView, name: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Entities that nobody has, or times with a zone where there was none (and the other way round)."""
    import pandas as pd

    result = _result(view, rows)
    values = result[name]
    if name == view.timestamp:
        zoned = isinstance(values.dtype, pd.DatetimeTZDtype)
        return result.assign(**{name: values.dt.tz_localize(None if zoned else "UTC")})
    numbers = pd.api.types.is_numeric_dtype(values.dtype)
    return result.assign(**{name: values.max() + 1 + np.arange(len(values)) if numbers else values.astype(str) + "?"})


def _of_labels(
    view: FeatureView,
    judge: Callable[[FeatureView, pd.DataFrame], tuple[Finding, ...]],
    source: pd.DataFrame,
    labels: Sequence[DelayedLabel],
) -> Iterator[Case]:
    """A view that reads a label that is not known yet, where there is one."""
    import pandas as pd

    for label in labels:
        name = next((n for n, v in _result(view, source.head(50)).items() if n not in view.keys), None)
        if name is None or not pd.api.types.is_numeric_dtype(source[label.column].dtype):
            continue

        def told(rows: pd.DataFrame, column: str = label.column, name: str = str(name)) -> pd.DataFrame:
            return _changed(view, name, rows, lambda values: values * 0 + float(rows[column].sum()))

        yield Case(
            fault=f"it reads {label.column} before it is known",
            check="features.label-delay",
            judge=partial(judge, dataclasses.replace(view, function=told), source),
        )


def _of_on_demands(bench: Bench) -> Iterator[Case]:
    """The first on-demand feature that the model reads, broken."""
    _, computed = bench.workspace.catalog.pinned(bench.model)
    names = [[name.partition(".")[2] or name for name in one.inputs] for one in computed]
    known = [(one, inputs) for one, inputs in zip(computed, names, strict=True) if set(inputs) <= set(bench.train)]
    if not known:
        return
    one, inputs = known[0]
    rows = [bench.train[name].head(ROWS).reset_index(drop=True) for name in inputs]
    calls = count()
    broken: dict[str, tuple[str, Callable[..., pd.Series]]] = {
        "on demand: it depends on other rows": ("row-wise", lambda *given: one.function(*given).shift(1)),
        "on demand: it gives fewer rows": ("columns", lambda *given: one.function(*given).iloc[1:]),
        "on demand: infinite values": ("values", lambda *given: one.function(*given).astype("float64") * 0 + np.inf),
        "on demand: another result again": ("deterministic", lambda *given: one.function(*given) + next(calls)),
    }
    for fault, (check, function) in broken.items():
        judge = partial(judge_on_demand, dataclasses.replace(one, function=function), rows)
        yield Case(fault=fault, check=f"features.{check}", judge=judge)
    yield sound(lambda: judge_on_demand(one, rows), "none (on demand)")


def _without_entity(view: FeatureView, rows: pd.DataFrame) -> pd.DataFrame:
    result = _result(view, rows)
    return result.assign(**{view.entity: result[view.entity].where(np.arange(len(result)) > 0)})


def _changed(
    view: FeatureView, name: str, rows: pd.DataFrame, change: Callable[[pd.Series], pd.Series]
) -> pd.DataFrame:
    result = _result(view, rows)
    return result.assign(**{name: change(result[name])})


def _first(rows: pd.DataFrame) -> float:
    """A number that depends on which row comes first."""
    import pandas as pd

    return float(pd.util.hash_pandas_object(rows.iloc[:1], index=False).iloc[0] % 1000) if len(rows) else 0.0


def _misaligned(values: pd.Series) -> pd.Series:
    return values.set_axis(values.index + 10**9)


def _mutating(view: FeatureView, rows: pd.DataFrame, name: str) -> pd.DataFrame:
    rows[name] = rows[name] * 100
    return _result(view, rows)
