"""The feature views of a project as text of a given width: what there is, before somebody writes it again."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mlops.reports.words import counted, number

_LEFT = 12  # where what is told of a view begins
_HEADS = ("column", "type", "missing", "mean", "least", "most", "what it is")


def render(facts: Mapping[str, Any], *, width: int = 100) -> str:
    """Every view, the on-demand features, what nobody reads, and what says the same as another."""
    lines: list[str] = []
    for view in facts["views"]:
        lines += [*_view(view, width), ""]
    for one in facts["on_demand"]:
        lines += [*_on_demand(one, width), ""]
    lines += _remarks(facts, width)
    return "\n".join(lines).rstrip()


def difference(facts: Mapping[str, Any], *, width: int = 100) -> str:
    """Two views beside each other."""
    found, names = facts["difference"], (facts["first"], facts["second"])
    lines = [str(facts["summary"])]
    for side, name in enumerate(names):
        alone = [counted(found["only_rows"][side], "row"), f"{found['only_entities'][side]:,} entities"]
        alone += [f"columns {', '.join(found['only_columns'][side])}"] if found["only_columns"][side] else []
        lines += _wrapped(f"only in {name}: {', '.join(alone)}", width, "  ")
    columns = found["columns"]
    if columns:
        heads = ("column", "equal", "gone", "new", "mean", "least", "5 %", "median", "95 %", "most")
        rows = [
            (
                one["name"],
                _share(one["equal"]),
                *(number(float(count)) for count in one["missing"]),
                number(one["mean"]),
                *([number(value) for value in one["quantiles"]] or [""] * 5),
            )
            for one in columns
        ]
        lines += ["", f"{names[1]} minus {names[0]}, over the rows that both have", *_table(heads, rows, width)]
    examples = [(one["name"], row) for one in columns for row in one["examples"]]
    if examples:
        rows = [(name, *(_value(row[key]) for key in ("entity", "at", "first", "second"))) for name, row in examples]
        lines += ["", "the rows that differ most", *_table(("column", "entity", "at", *names), rows, width)]
    return "\n".join(lines)


def pruned(facts: Mapping[str, Any], *, width: int = 100) -> str:
    """What a prune would do, or did, environment by environment."""
    lines = []
    for one in facts["environments"]:
        verbs = ("gave up", "removed") if facts["done"] else ("gives up", "removes")
        lines.append(str(one["environment"]))
        for release in one["retire"]:
            lines += _wrapped(f"{verbs[0]} {release}, kept for a rollback until now", width, "  ")
        lines += [f"  {verbs[1]} {view}" for view in one["remove"]] or [f"  {verbs[1]} nothing"]
        for view, readers in one["keep"].items():
            lines += _wrapped(f"keeps {view}, read by {', '.join(readers)}", width, "  ")
    return "\n".join(lines)


def _view(view: Mapping[str, Any], width: int) -> Iterator[str]:
    good = f", good for {_span(view['ttl_seconds'])}" if view["ttl_seconds"] else ""
    yield f"{view['name']}  of {view['entity']}, from {view['source']}{good}"
    if view["about"]:
        yield from _wrapped(view["about"], width, "  ")
    yield from _said("declared", view["origin"], width)
    yield from _said("read by", _readers(view), width)
    stored = view["stored"]
    told = "never computed here"
    if stored:
        told = f"{counted(stored['rows'], 'row')} of {stored['entities']:,} entities, newest {_at(stored['newest'])}"
    yield from _said("stored", told, width)
    online = [
        f"{name}: {one['entities']:,} entities, newest {_at(one['newest'])}" for name, one in view["online"].items()
    ]
    yield from _said("online", "; ".join(online) or "nowhere", width)
    rows = [
        (
            one["name"],
            one.get("type", ""),
            _share(one["missing"]) if "missing" in one else "",
            *(number(one.get(key)) for key in ("mean", "low", "high")),
            one["description"],
        )
        for one in view["columns"]
    ]
    if rows:
        yield from (f"  {line}" for line in _table(_HEADS, rows, width - 2))


def _on_demand(one: Mapping[str, Any], width: int) -> Iterator[str]:
    yield f"{one['name']}  on demand, of {', '.join(one['inputs'])}"
    if one["about"]:
        yield from _wrapped(one["about"], width, "  ")
    yield from _said("declared", one["origin"], width)
    yield from _said("read by", _readers(one), width)


def _remarks(facts: Mapping[str, Any], width: int) -> Iterator[str]:
    every = [*facts["views"], *facts["on_demand"]]
    nobody = [one["name"] for one in every if one["unused"]]
    if nobody:
        yield from _wrapped(f"nobody reads {', '.join(nobody)}", width, "")
    for like in facts["alike"]:
        why = like["why"]
        if why == "equal values":
            why = f"equal in {_share(like['equal'])} of {like['rows']:,} rows"
        elif why == "correlated values":
            why = f"correlation {like['correlation']:.4f} over {like['rows']:,} rows"
        yield from _wrapped(f"{like['first']} and {like['second']} say the same: {why}; read one of them", width, "")


def _readers(one: Mapping[str, Any]) -> str:
    return ", ".join([*one["models"], *one["releases"]]) or "nobody"


def _said(what: str, text: str, width: int) -> list[str]:
    """`  read by   fraud_v1, …`, with further lines below the first one's text."""
    head = f"  {what:<{_LEFT - 3}} "
    return textwrap.wrap(text, width, initial_indent=head, subsequent_indent=" " * _LEFT, break_on_hyphens=False)


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Columns as wide as they need, without empty ones; the last one, where it is words, is folded at the width."""
    told = [place for place in range(len(heads)) if any(row[place] for row in rows)]
    heads, rows = [heads[place] for place in told], [[row[place] for place in told] for row in rows]
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(len(heads))]
    numeric = [all(_is_number(row[place]) for row in rows) for place in range(len(heads))]
    left = sum(widths[:-1]) + 2 * (len(heads) - 1)
    for row in (heads, *rows):
        cells = [
            cell.rjust(room) if right else cell.ljust(room)
            for cell, room, right in zip(row[:-1], widths, numeric, strict=False)
        ]
        if numeric[-1]:
            yield "  ".join([*cells, row[-1].rjust(widths[-1])]).rstrip()
            continue
        first, *more = textwrap.wrap(row[-1], max(width - left, 20)) or [""]
        yield "  ".join([*cells, first]).rstrip()
        yield from (" " * left + line for line in more)


def _is_number(cell: str) -> bool:
    return (
        not cell
        or cell.replace(",", "").rstrip("% ").lstrip("-").replace(".", "", 1).replace("e", "").strip("-+0123456789")
        == ""
    )


def _share(value: float) -> str:
    """A share in percent, never rounded to all or nothing."""
    percent = 100 * value
    if percent in (0.0, 100.0):
        return f"{percent:g} %"
    return f"{min(max(percent, 0.01), 99.99):.4g} %"


def _value(value: object) -> str:
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _at(seconds: float | None) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC" if seconds is not None else "none"


def _span(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds % unit == 0:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
