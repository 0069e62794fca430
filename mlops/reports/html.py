"""A report as one HTML file that needs no network and no script: verdict, what fired, every check, plots and tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.exhibits import Exhibit, Plot, Table
from mlops.reports.plots import POINTS, svg
from mlops.reports.words import (
    MARKS,
    Shown,
    counted,
    counts,
    evidence,
    let_pass,
    moment,
    number,
    remark,
    seconds,
    told,
    verdict_word,
    word,
)
from mlops.verdict import Finding, Record, Report, Verdict

if TYPE_CHECKING:
    from jinja2 import Template

LIMIT = 2_000_000
_PICTURES = 1_200_000  # of these bytes; more plots than that are told by their captions
_ROWS = (300, 100, 30, 10, 0)  # of a table, as many as fit; failures come first, and the JSON has all
_NUMBERS = 60  # values of a plot that are worth a table beside it


@dataclass(frozen=True, slots=True)
class _Picture:
    """A plot that is drawn, or `svg` empty where there was no room."""

    name: str
    plot: Plot
    svg: str
    note: str
    numbers: Table | None


def render(report: Report, shown: Shown | None = None) -> str:
    """The page, below LIMIT bytes."""
    from markupsafe import Markup

    groups = list(_groups(shown or {}))
    pictures = {p.name: p for p in _pictures(groups)}
    page = ""
    for rows in _ROWS:
        page = _template().render(
            report=report,
            groups=groups,
            pictures=pictures,
            markup=Markup,  # for pictures alone, whose texts matplotlib escapes
            told=[(verdict, found) for verdict in report.verdicts for found in told(verdict)],
            rows=rows,
        )
        if len(page.encode()) < LIMIT:
            break
    return page


def _groups(shown: Shown) -> Iterator[tuple[str, list[tuple[str, list[tuple[str, Exhibit]]]]]]:
    """The exhibits with names: by record, and within it by their group."""
    for place, (record, exhibits) in enumerate(shown.items()):
        named = [(f"x{place}-{i}", exhibit) for i, exhibit in enumerate(exhibits)]
        together = [(group, list(some)) for group, some in groupby(named, key=lambda one: _group(one[1]))]
        if together:
            yield record, together


def _group(exhibit: Exhibit) -> str:
    return exhibit.group if isinstance(exhibit, Plot) else ""


def _pictures(groups: list[tuple[str, list[tuple[str, list[tuple[str, Exhibit]]]]]]) -> Iterator[_Picture]:
    room = _PICTURES
    for _, together in groups:
        for name, exhibit in (one for _, some in together for one in some):
            if not isinstance(exhibit, Plot):
                continue
            drawn = svg(exhibit, name) if room > 0 else ""
            room -= len(drawn.encode())
            fits = bool(drawn) and room > 0
            yield _Picture(name, exhibit, drawn if fits else "", _note(exhibit, drawn=fits), _numbers(exhibit))


def _note(plot: Plot, *, drawn: bool) -> str:
    if not drawn:
        return "Not drawn, so that this file stays small; its numbers are in the JSON report."
    most = max((len(one.x) for one in plot.series), default=0)
    return f"Drawn are {POINTS:,} of {most:,} points at most." if most > POINTS else ""


def _numbers(plot: Plot) -> Table | None:
    if sum(len(one.x) for one in plot.series) > _NUMBERS:
        return None
    bounded = any(one.low for one in plot.series)
    columns = ("series", plot.x_label or "x", plot.y_label or "y", *(("from", "to") if bounded else ()))
    rows = []
    for one in plot.series:
        for i, (x, y) in enumerate(zip(one.x, one.y, strict=True)):
            bounds = ((one.low[i], one.high[i]) if one.low else (None, None)) if bounded else ()
            rows.append((one.name, x, y, *bounds))
    return Table(title=plot.title, caption="", columns=columns, rows=tuple(rows))


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "number": number,
        "seconds": seconds,
        "word": word,
        "evidence": evidence,
        "let_pass": let_pass,
        "remark": remark,
        "counted": counted,
        "moment": moment,
        "tone": _tone,
        "ordered": _ordered,
        "numeric": lambda value: isinstance(value, int | float),
        "threshold": _threshold,
        "measured": _measured,
    }
    environment.globals |= {"MARKS": MARKS, "verdict_word": verdict_word, "counts": counts, "made": _made}
    return environment.from_string(Path(__file__).with_name("page.html.jinja").read_text(encoding="utf-8"))


def _tone(said: str) -> str:
    """The colour of a word such as `PASS`, `FAIL` or `NOT RUN`."""
    return {"pass": "good", "fail": "bad", "not run": "bad", "stopped": "bad", "skipped": "quiet"}.get(
        said.lower(), "warn"
    )


def _ordered(verdict: Verdict) -> list[Finding]:
    """What a person should read first, then the rest in the order of the checks."""
    first = told(verdict)
    return [*first, *(f for f in verdict.findings if f not in first)]


def _measured(found: Finding) -> str:
    interval = f" [{number(found.interval[0])}, {number(found.interval[1])}]" if found.interval else ""
    return f"{number(found.measured)}{interval}" if found.measured is not None else ""


def _threshold(found: Finding) -> str:
    return number(found.threshold)


def _made(record: Record) -> list[tuple[str, Any]]:
    """What a record made, with the digests' beginnings."""
    return [(name, digest[:12]) for name, digest in record.outputs.items()]
