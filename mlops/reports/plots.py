"""A plot as an SVG picture that takes its colours from the page around it, so that it is read in light and dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops.exhibits import Plot, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 1_000
"""Points of one series that are drawn; of more, every n-th."""

_INK, _GRID = "#010101", "#020202"
_SERIES = ("#030301", "#030302", "#030303", "#030304", "#030305", "#030306")
_ROLES = {_INK: "currentColor", _GRID: "var(--grid)"} | {c: f"var(--s{i})" for i, c in enumerate(_SERIES, 1)}
_STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1)), (0, (1, 4)))
_MARKS = ("o", "s", "^", "D", "v", "P")
_LONG = 32

_SETTINGS = {
    "svg.fonttype": "none",  # text stays text: smaller, selectable, in the page's font
    "text.parse_math": False,  # a column may be called $x$
    "font.size": 9,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
}


def svg(plot: Plot, name: str) -> str:
    """The picture as an SVG element; `name` makes what it refers to within itself unlike that of other pictures."""
    import matplotlib as mpl

    with mpl.rc_context({**_SETTINGS, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a font that lacks a letter: the page's own has it
        figure = _figure(plot)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _in_page(written.getvalue(), name)


def _figure(plot: Plot) -> Figure:
    from matplotlib.figure import Figure

    bars = max((len(one.x) for one in plot.series), default=0) if plot.kind == "bars" else 0
    height = max(1.2, 0.6 + 0.26 * bars * max(1, 0.6 * len(plot.series))) if bars else 3.1
    figure = Figure(figsize=(4.8, height), layout="constrained")
    axes = figure.subplots()
    draw = {"bars": _bars, "lines": _lines, "points": _points}[plot.kind]
    draw(axes, [_thinned(one) for one in plot.series])
    if plot.diagonal:
        low, high = axes.get_xlim()
        axes.plot([low, high], [low, high], color=_INK, alpha=0.45, linewidth=0.8, linestyle="--", zorder=1)
    labels = (plot.y_label, plot.x_label) if plot.kind == "bars" else (plot.x_label, plot.y_label)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    if len(plot.series) > 1:
        figure.legend(loc="outside upper left", ncols=3, fontsize=8)
    return figure


def _bars(axes: Axes, series: Sequence[Series]) -> None:
    """Lying bars, the first word on top; several series share a word's place."""
    words = list(dict.fromkeys(str(x) for one in series for x in one.x))
    thick = 0.76 / max(len(series), 1)
    for number, one in enumerate(series):
        places = [words.index(str(x)) + (number - (len(series) - 1) / 2) * thick for x in one.x]
        axes.barh(places, one.y, thick * 0.92, color=_SERIES[number % len(_SERIES)], label=_short(one.name))
        if one.low:
            axes.errorbar(one.y, places, xerr=_spread(one), fmt="none", ecolor=_INK, elinewidth=1, capsize=2)
    axes.set_yticks(range(len(words)), [_short(word) for word in words])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")


def _lines(axes: Axes, series: Sequence[Series]) -> None:
    for number, one in enumerate(series):
        colour = _SERIES[number % len(_SERIES)]
        few = "o" if len(one.x) <= 25 else None
        x = [_short(v) if isinstance(v, str) else v for v in one.x]
        style = _STYLES[number % len(_STYLES)]
        axes.plot(x, one.y, color=colour, linestyle=style, marker=few, markersize=3, label=_short(one.name))
        if one.low:
            axes.fill_between(x, one.low, one.high, color=colour, alpha=0.18, linewidth=0)
    _room_for_words(axes, series)


def _points(axes: Axes, series: Sequence[Series]) -> None:
    for number, one in enumerate(series):
        colour, mark = _SERIES[number % len(_SERIES)], _MARKS[number % len(_MARKS)]
        x = [_short(v) if isinstance(v, str) else v for v in one.x]
        if one.low:
            axes.errorbar(x, one.y, yerr=_spread(one), fmt="none", ecolor=colour, elinewidth=1, capsize=2)
        alpha = 0.5 if len(one.x) > 100 else 0.9
        size = 3 if len(one.x) > 100 else 5
        axes.plot(x, one.y, mark, color=colour, markersize=size, alpha=alpha, markeredgewidth=0, label=_short(one.name))
    _room_for_words(axes, series)


def _room_for_words(axes: Axes, series: Sequence[Series]) -> None:
    if any(isinstance(x, str) for one in series for x in one.x) and max(len(one.x) for one in series) > 5:
        axes.tick_params(axis="x", labelrotation=60)


def _spread(one: Series) -> list[list[float]]:
    below = [max(y - low, 0.0) for y, low in zip(one.y, one.low, strict=True)]
    return [below, [max(high - y, 0.0) for y, high in zip(one.y, one.high, strict=True)]]


def _thinned(one: Series) -> Series:
    step = -(-len(one.x) // POINTS)
    if step <= 1:
        return one
    return Series(name=one.name, x=one.x[::step], y=one.y[::step], low=one.low[::step], high=one.high[::step])


def _short(text: Any) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= _LONG else f"{line[: _LONG - 1]}…"


def _in_page(picture: str, name: str) -> str:
    """The SVG element alone, with the page's colours, and named for those who do not see it."""
    element = picture[picture.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>\s*", "", element, flags=re.DOTALL)
    element = re.sub("#0[123]0[123]0[1-6]", lambda found: _ROLES.get(found[0], found[0]), element)
    element = re.sub(r'(id="|url\(#|href="#)', lambda found: f"{found[1]}{name}-", element)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', element)[0]
    opening = f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-labelledby="{name}-caption"'
    return re.sub(r"<svg[^>]*?>", f'{opening} xmlns:xlink="http://www.w3.org/1999/xlink">', element, count=1)
