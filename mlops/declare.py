"""What users decorate their functions with: `feature_view`, `on_demand`, `model`, `check`.

Each decorator returns a frozen value that is still callable like the plain function, so a unit test
calls it with a small frame and no framework runs. Nothing is registered: `discover` finds the values.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from mlops.errors import DeclarationError, nearest

Task = Literal["binary", "multiclass", "regression"]
CheckOn = Literal["data", "features", "model", "service"]

ASKED: dict[CheckOn, tuple[str, ...]] = {
    "data": (),
    "features": ("view", "features", "rows"),
    "model": ("rows", "predictions", "predict", "model"),
    "service": ("ask", "requests", "contract", "url"),
}
"""What a check of one's own may ask for by its parameters' names; beside them, names of sources and views."""

_VERSIONED = re.compile(r"^(?P<family>[a-z][a-z0-9_]*)_v(?P<version>[1-9][0-9]*)$")
_DURATION = re.compile(r"^(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>s|m|h|d|w)$")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

METRICS: dict[str, tuple[Task, ...]] = {
    "roc_auc": ("binary", "multiclass"),
    "average_precision": ("binary",),
    "f1": ("binary",),
    "accuracy": ("binary", "multiclass"),
    "balanced_accuracy": ("binary", "multiclass"),
    "f1_macro": ("binary", "multiclass"),
    "neg_log_loss": ("binary", "multiclass"),
    "r2": ("regression",),
    "neg_mean_absolute_error": ("regression",),
    "neg_root_mean_squared_error": ("regression",),
}
"""Metrics a model can be judged by, greater is better, in scikit-learn's names, and their tasks."""

_called: set[str] = set()
"""Names of the views and on-demand features called so far in this process; `check-features` reads it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a declaration stands; in a catalog `file` is relative to the project's root, alike on any machine."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What all declarations share: the function, its versioned name, its module and its origin."""

    function: Callable[..., Any]
    name: str
    module: str
    origin: Origin

    @property
    def family(self) -> str:
        """`fraud` of `fraud_v2`."""
        return split_version(self.name)[0]

    @property
    def version(self) -> int:
        """2 of `fraud_v2`."""
        return split_version(self.name)[1]

    @property
    def doc(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def code_file(self) -> str:
        """The file of the function's code on this machine, as tracebacks name it."""
        return str(inspect.unwrap(self.function).__code__.co_filename)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the plain function."""
        _called.add(self.name)
        return self.function(*args, **kwargs)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureView(Declared):
    """A versioned function from a source to stored features of an entity.

    It takes the source's frame and returns a frame with the columns `entity`, `timestamp`, `created` where that is
    declared, and one per feature. `created` names the time from which a row was known; None: its own time.
    `window` is the look-back: no source row older than that before a row's time matters to it; None: the whole past
    of the entity does. `columns` names the features and describes them; empty: whatever the function returns.
    """

    source: str
    entity: str
    timestamp: str
    created: str | None = None
    window: timedelta | None = None
    ttl: timedelta | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that are no feature: the entity, the time and, where it is declared, the known time."""
        return (self.entity, self.timestamp, *((self.created,) if self.created else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemand(Declared):
    """A versioned function of request fields and stored features, alike in training and at the request.

    `inputs` are request fields (`amount`) and stored columns (`customer_spend_v1.mean_7d`), passed as
    Series in that order; it returns one Series, named as the function.
    """

    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Declared):
    """A versioned training function `(X, y, params) -> fitted estimator` and what it reads.

    `request` are the fields that a caller sends and the model reads as they are; None: every column of
    the source but the label, the timestamp and `ignore`. `features` pins views and on-demand features,
    by object or by name. `search` maps a parameter to `("int" | "float" | "log", low, high)` or a list.
    """

    source: str
    label: str
    features: tuple[str, ...] = ()
    request: tuple[str, ...] | None = None
    timestamp: str | None = None
    label_delay: timedelta = timedelta(0)
    metric: str | None = None
    task: Task | None = None
    segments: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Declared):
    """A user's own check; it returns findings, or a bool, or asserts."""

    on: CheckOn


def split_version(name: str) -> tuple[str, int]:
    """`("fraud", 2)` of `fraud_v2`; raises ValueError without a `_vN` ending."""
    match = _VERSIONED.match(name)
    if match is None:
        raise ValueError(name)
    return match["family"], int(match["version"])


def duration(text: str) -> timedelta:
    """`7d`, `12h`, `30m`, `45s` or `2w` as a timedelta; raises ValueError otherwise."""
    match = _DURATION.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as '7d', '12h', '30m' or '45s'")
    return timedelta(seconds=float(match["number"]) * _UNITS[match["unit"]])


def feature_view(
    *,
    source: str,
    entity: str,
    timestamp: str,
    created: str | None = None,
    window: str | None = None,
    ttl: str | None = None,
    columns: Mapping[str, str] | Sequence[str] = (),
) -> Callable[[Callable[..., Any]], FeatureView]:
    """Declare a function `source frame -> frame of entity, timestamp and features` as a feature view.

    `created` is the column with the time from which a row was known, where that is not its `timestamp`: it arrived
    late, or corrects an earlier one. `window` is how far the function looks back, as `"7d"`; `ttl` is how long a value
    is good for, as `"30d"`. `columns` names the features, best with a description each:
    `{"mean_7d": "mean amount of the last 7 days"}`.
    """

    def declare(function: Callable[..., Any]) -> FeatureView:
        described = columns if isinstance(columns, Mapping) else dict.fromkeys(columns, "")
        where = _located(function)
        _distinct_keys((entity, timestamp, *((created,) if created else ())), described, where)
        return FeatureView(
            **where,
            source=source,
            entity=entity,
            timestamp=timestamp,
            created=created,
            window=_duration(window, where["origin"]) if window else None,
            ttl=_duration(ttl, where["origin"]) if ttl else None,
            columns=dict(described),
        )

    return declare


def on_demand(*, inputs: Sequence[str]) -> Callable[[Callable[..., Any]], OnDemand]:
    """Declare a function of Series, one per input, as a feature computed at the request and in training."""

    def declare(function: Callable[..., Any]) -> OnDemand:
        where = _located(function)
        wanted = len(inspect.signature(function).parameters)
        if wanted != len(inputs):
            raise DeclarationError(
                f"{where['origin']}: {where['name']} takes {wanted} arguments, but declares {len(inputs)} inputs",
                next_step="declare one input for each argument, in the same order",
            )
        return OnDemand(**where, inputs=tuple(inputs))

    return declare


def model(
    *,
    source: str,
    label: str,
    features: Sequence[FeatureView | OnDemand | str] = (),
    request: Sequence[str] | None = None,
    timestamp: str | None = None,
    label_delay: str = "0s",
    metric: str | None = None,
    task: Task | None = None,
    segments: Sequence[str] = (),
    protected: Sequence[str] = (),
    ignore: Sequence[str] = (),
    params: Mapping[str, Any] | None = None,
    search: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., Any]], Model]:
    """Declare a training function `(X: DataFrame, y: Series, params: Mapping) -> fitted estimator`."""

    def declare(function: Callable[..., Any]) -> Model:
        where = _located(function)
        _known_metric(metric, task, where["origin"])
        return Model(
            **where,
            source=source,
            label=label,
            features=tuple(f if isinstance(f, str) else f.name for f in features),
            request=None if request is None else tuple(request),
            timestamp=timestamp,
            label_delay=_duration(label_delay, where["origin"]),
            metric=metric,
            task=task,
            segments=tuple(segments),
            protected=tuple(protected),
            ignore=tuple(ignore),
            params=dict(params or {}),
            search=dict(search or {}),
        )

    return declare


def check(*, on: CheckOn) -> Callable[[Callable[..., Any]], Check]:
    """Declare a check of one's own on data, features, model or service; its name needs no version."""

    def declare(function: Callable[..., Any]) -> Check:
        return Check(**_located(function, versioned=False), on=on)

    return declare


def called() -> frozenset[str]:
    """The views and on-demand features that were called in this process."""
    return frozenset(_called)


@contextmanager
def recording() -> Iterator[set[str]]:
    """A set that, when the block is over, holds the names of what was called inside it."""
    before = set(_called)
    _called.clear()
    inside: set[str] = set()
    try:
        yield inside
    finally:
        inside |= _called
        _called.update(before)


def _located(function: Callable[..., Any], *, versioned: bool = True) -> dict[str, Any]:
    plain = inspect.unwrap(function)
    name = plain.__name__
    origin = Origin(plain.__code__.co_filename, plain.__code__.co_firstlineno)
    if versioned and not _VERSIONED.match(name):
        raise DeclarationError(
            f"{origin}: the name {name!r} carries no version",
            next_step=f"call it {_unversioned(name)}_v1; version 2 will be a new function beside it",
        )
    return {"function": function, "name": name, "module": plain.__module__, "origin": origin}


def _unversioned(name: str) -> str:
    return re.sub(r"_?v?[0-9]*$", "", name.lower()) or "name"


def _duration(text: str, origin: Origin) -> timedelta:
    try:
        return duration(text)
    except ValueError as error:
        raise DeclarationError(f"{origin}: {error}", next_step="write a number and one of s, m, h, d, w") from None


def _distinct_keys(keys: Sequence[str], columns: Mapping[str, str], where: Mapping[str, Any]) -> None:
    names = [*keys, *columns]
    double = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if double:
        raise DeclarationError(
            f"{where['origin']}: {where['name']} names the column {double[0]!r} twice",
            next_step="entity, timestamp, created and each feature are columns of their own",
        )


def _known_metric(metric: str | None, task: Task | None, origin: Origin) -> None:
    if metric is None:
        return
    if metric not in METRICS:
        raise DeclarationError(f"{origin}: unknown metric {metric!r}", next_step=nearest(metric, METRICS))
    if task is not None and task not in METRICS[metric]:
        fitting = [name for name, tasks in METRICS.items() if task in tasks]
        raise DeclarationError(
            f"{origin}: the metric {metric!r} does not judge a {task} model",
            next_step=f"choose one of {', '.join(fitting)}",
        )
