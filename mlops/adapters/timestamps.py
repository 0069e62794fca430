"""The form in which a column writes its times, found out by trying the usual ones on every value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_DAYS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y"),
    *("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%y"),
)
_TIMES = ("", " %H:%M:%S", " %H:%M", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %H.%M.%S", ", %H:%M", ":%H:%M:%S")
FORMS = ("", *(day + time for time in _TIMES for day in _DAYS))
"""strptime formats; the empty one is ISO 8601."""

_SAMPLE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The best form for a column: `share` of the values it reads; `others` read every value as well.

    `bad` is the position of the first value that it does not read, None where it reads all.
    """

    form: str
    share: float
    bad: int | None = None
    others: tuple[str, ...] = ()


def form_of(values: pd.Series) -> Form:
    """The form that reads most of a text column; where two read all, the one by which the rows are in order.

    A table of events is written in the order of time, so 1/2, 1/3, 1/4 are days of January if the rows
    around them are, and months if not. Where that does not tell either, `others` names the rest.
    """
    import pandas as pd

    present = values.dropna().astype(str)
    distinct = pd.Series(present.unique())
    step = max(1, len(distinct) // _SAMPLE)
    shares = {form: _share(distinct.iloc[::step], form) for form in FORMS}
    best = max(shares.values(), default=0.0)
    reading = [form for form, share in shares.items() if share == best and share > 0]
    whole = [form for form in reading if _share(distinct, form) == 1.0]
    if not whole:
        form = max(reading or [""], key=lambda f: _share(distinct, f))
        unread = _parsed(present, form).isna().to_numpy()
        return Form(
            form=form, share=float(1 - unread.mean()), bad=int(values.notna().to_numpy().nonzero()[0][unread.argmax()])
        )
    orders = {form: _in_order(present, form) for form in whole}
    chosen = max(whole, key=lambda form: orders[form])
    swapped = chosen.translate({ord("d"): "m", ord("m"): "d"})
    ties = (swapped,) if swapped != chosen and orders.get(swapped) == orders[chosen] else ()
    return Form(form=chosen, share=1.0, others=ties)


def looks_like_time(values: pd.Series) -> bool:
    """Whether a text column holds dates or times of day and nothing else."""
    import pandas as pd

    distinct = pd.Series(values.dropna().astype(str).unique()[:_SAMPLE])
    if distinct.empty or not distinct.str.contains(r"\d[-/:.]\d").all():
        return False
    return any(_share(distinct, form) == 1.0 for form in FORMS)


def _share(values: pd.Series, form: str) -> float:
    return float(_parsed(values, form).notna().mean()) if len(values) else 0.0


def _parsed(values: pd.Series, form: str) -> pd.Series:
    import pandas as pd

    return pd.to_datetime(values, format=form or "ISO8601", errors="coerce", utc=True)


def _in_order(values: pd.Series, form: str) -> float:
    """The share of neighbours that do not go back in time."""
    steps = _parsed(values, form).diff().dropna()
    return float((steps.dt.total_seconds() >= 0).mean()) if len(steps) else 1.0
