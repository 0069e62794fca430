"""Pictures of value skew: what each shift costs the model, and the worst columns before and now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.exhibits import Exhibit, Plot, Series
from mlops.gates.data import Ranking
from mlops.statistics.drift import EFFECT, Shift

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 15
_PICTURED = 3
_BINS = 30
_WORDS = 10
_GROUP = "Before and now"


def of_skew(
    shifts: Sequence[Shift], ranked: Ranking, before: Mapping[str, Any], now: Mapping[str, Any]
) -> tuple[Exhibit, ...]:
    """The columns by cost (by effect where the cost is not known), and distributions of the worst that moved."""
    if not shifts:
        return ()
    moved = ranked.order([shift.column for shift in shifts if shift.found])
    pictured = [_distributions(name, before[name], now[name]) for name in moved[:_PICTURED]]
    ranking = [_by_cost(ranked)] if ranked.costs else []
    return (*ranking, _by_effect(shifts), *pictured)


def _by_cost(ranked: Ranking) -> Plot:
    costs = ranked.costs[:_SHOWN]
    series = Series(
        name="cost",
        x=tuple(cost.column for cost in costs),
        y=tuple(cost.loss for cost in costs),
        low=tuple(cost.interval[0] for cost in costs),
        high=tuple(cost.interval[1] for cost in costs),
    )
    return Plot(
        title="What the shifts cost the model",
        caption=f"How much {ranked.unit} goes away when this column alone is put back as it was in training, "
        "if the answers were right then.",
        kind="bars",
        x_label="column",
        y_label=ranked.unit,
        series=(series,),
    )


def _by_effect(shifts: Sequence[Shift]) -> Plot:
    shown = shifts[:_SHOWN]
    bounds = [shift.interval or (shift.effect, shift.effect) for shift in shown]
    series = Series(
        name="effect",
        x=tuple(shift.column for shift in shown),
        y=tuple(shift.effect for shift in shown),
        low=tuple(low for low, _ in bounds),
        high=tuple(high for _, high in bounds),
    )
    return Plot(
        title="How far columns moved",
        caption=f"Standard deviations for numbers, share of the rows for words and gaps; {EFFECT:g} and more counts.",
        kind="bars",
        x_label="column",
        y_label="effect",
        series=(series,),
    )


def _distributions(name: str, before: pd.Series, now: pd.Series) -> Plot:
    import pandas as pd

    numeric = all(pd.api.types.is_numeric_dtype(values.dtype) for values in (before, now))
    series = _histograms(before, now) if numeric else _shares(before, now)
    gaps = f"{before.isna().mean():.1%} of the rows were missing, now {now.isna().mean():.1%}"
    return Plot(
        title=name,
        caption=f"In the champion's training rows and now; {gaps}.",
        kind="lines" if numeric else "bars",
        x_label=name,
        y_label="share of the rows",
        series=series,
        group=_GROUP,
    )


def _histograms(before: pd.Series, now: pd.Series) -> tuple[Series, ...]:
    sides = [values.to_numpy(dtype=np.float64, na_value=np.nan) for values in (before, now)]
    sides = [values[np.isfinite(values)] for values in sides]
    both = np.concatenate(sides)
    if not both.size:
        return ()
    # The outermost hundredths would press all else into a bin.
    low, high = np.quantile(both, [0.005, 0.995])
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    middles = tuple(float(x) for x in (edges[1:] + edges[:-1]) / 2)
    heights = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(values.size, 1) for values in sides]
    return tuple(
        Series(name=label, x=middles, y=tuple(float(y) for y in height))
        for label, height in zip(("before", "now"), heights, strict=True)
    )


def _shares(before: pd.Series, now: pd.Series) -> tuple[Series, ...]:
    shares = [
        values.astype(str).where(values.notna(), "(missing)").value_counts(normalize=True) for values in (before, now)
    ]
    words = list((shares[0].add(shares[1], fill_value=0)).sort_values(ascending=False).index[:_WORDS])
    return tuple(
        Series(name=label, x=tuple(map(str, words)), y=tuple(float(share.get(word, 0.0)) for word in words))
        for label, share in zip(("before", "now"), shares, strict=True)
    )
