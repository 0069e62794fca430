"""Pictures of a live release over time: its metric by window, and how far its columns moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlops.exhibits import Exhibit, Plot, Series, Table
from mlops.statistics.decline import Level
from mlops.statistics.drift import EFFECT

_LINES = 6  # colours that a page has


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One window: when it began and ended in words, its rows, the metric where there are labels, effects by column.

    `instant` is when it ended in seconds since 1970, None where its rows have no time.
    """

    first: str
    last: str
    rows: int
    instant: float | None = None
    level: Level | None = None
    effects: Mapping[str, float] = field(default_factory=dict)


def of_metric(seen: Sequence[Seen], metric: str, then: Level, floor: float | None) -> tuple[Exhibit, ...]:
    """The metric by window beside what it was when it was judged."""
    shown = [(one, one.level) for one in seen if one.level is not None]
    if not shown:
        return ()
    x = tuple(one.last for one, _ in shown)
    low, high = then.interval
    series = [
        Series(
            name=metric,
            x=x,
            y=tuple(at.value for _, at in shown),
            low=tuple(at.interval[0] for _, at in shown),
            high=tuple(at.interval[1] for _, at in shown),
        ),
        Series(
            name="when it was judged",
            x=x,
            y=(then.value,) * len(x),
            low=(low,) * len(x),
            high=(high,) * len(x),
        ),
    ]
    if floor is not None:
        series.append(Series(name="floor", x=x, y=(floor,) * len(x)))
    rows = tuple((one.first, one.last, at.n, at.value, *at.interval) for one, at in shown)
    return (
        Plot(
            title=f"{metric} over time",
            caption="On labelled rows that came after the release's own, by the end of each window, with its 95 % "
            "interval. The newest window is judged.",
            kind="lines",
            x_label="end of the window",
            y_label=metric,
            series=tuple(series),
        ),
        Table(
            title="Windows with labels",
            caption="The bounds are those of the 95 % interval.",
            columns=("from", "to", "rows", metric, "low", "high"),
            rows=rows,
        ),
    )


def of_drift(seen: Sequence[Seen]) -> tuple[Exhibit, ...]:
    """How far the columns that moved farthest moved, by window."""
    shown = [one for one in seen if one.effects]
    if not shown:
        return ()
    farthest = {name: max(one.effects.get(name, 0.0) for one in shown) for name in shown[-1].effects}
    names = sorted(farthest, key=lambda name: -farthest[name])
    x = tuple(one.last for one in shown)
    lines = tuple(Series(name=name, x=x, y=tuple(one.effects[name] for one in shown)) for name in names[:_LINES])
    rows = tuple((one.first, one.last, one.rows, *_most(one)) for one in shown)
    return (
        Plot(
            title="How far columns moved over time",
            caption="From the release's training rows: Wasserstein's distance in standard deviations for numbers, "
            f"share of the rows for words and gaps; {EFFECT:g} and more counts. The {len(lines)} that moved farthest.",
            kind="lines",
            x_label="end of the window",
            y_label="effect",
            series=lines,
        ),
        Table(
            title="Windows of inputs",
            caption="What moved farthest in each.",
            columns=("from", "to", "rows", "column", "effect"),
            rows=rows,
        ),
    )


def _most(one: Seen) -> tuple[str, float]:
    name = max(one.effects, key=lambda column: one.effects[column])
    return name, one.effects[name]
