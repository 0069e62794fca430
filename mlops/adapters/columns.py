"""Columns of any origin in the few types that a snapshot holds: int64, float64, bool, text and timestamps.

Timestamps are kept in microseconds and, where they came with an offset, in UTC without a zone, so that two
of them can always be compared. Integers with gaps become float64, as pandas would read them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlops.adapters.delimited import MISSING
from mlops.errors import GateFailed

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from mlops.config import Source

Where = Callable[[int], str]
"""From a row's position to words that say where it stands, such as `sales.csv:17`."""

NUMERIC_SHARE = 0.95
"""From this share of numbers on, a few words in a column are faults, not text."""

FEW = 20
"""So many different words at most; more of them are codes such as `C536379`."""

_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_EXACT = 2.0**53


def from_text(column: pa.ChunkedArray, name: str, source: Source, where: Where) -> pa.ChunkedArray:
    """A column of text as numbers, truth values or timestamps where all of it is that, else trimmed text."""
    if name in source.timestamps:
        return timestamps(trimmed(column), name, source.timestamps[name], where)
    if name in source.text:
        return trimmed(column)
    plain = _numbers(column, source)
    if plain is not None:
        return _without_missing(plain, source.missing)
    words = trimmed(column)
    found = _numbers(words, source)
    if found is None:
        found = _truth(words)
    if found is not None:
        return _without_missing(found, source.missing)
    _refuse_mixed(words, name, where)
    return words


def from_typed(column: pa.ChunkedArray, name: str, source: Source, where: Where) -> pa.ChunkedArray:
    """A column that has a type already (Parquet, SQL, a function) in a snapshot's types."""
    import pyarrow as pa
    import pyarrow.types as kinds

    kind = column.type
    coded = name in source.text or (name in source.timestamps and not kinds.is_temporal(kind))
    if coded and kinds.is_integer(kind):
        column, kind = column.cast(pa.string()), pa.string()
    if kinds.is_dictionary(kind):
        return from_typed(column.cast(kind.value_type), name, source, where)
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind) or kinds.is_time(kind):
        text = _without_missing(column.cast(pa.string()), source.missing)
        return timestamps(text, name, source.timestamps[name], where) if name in source.timestamps else text
    if kinds.is_boolean(kind):
        return column
    if kinds.is_timestamp(kind) or kinds.is_date(kind):
        return _utc(column)
    if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind) or kinds.is_null(kind):
        return _without_missing(_number(column), source.missing)
    raise GateFailed(
        f"column {name!r} holds {kind}, which is no number, text, truth value or time",
        next_step="leave it out or spread it over columns: in the query, or in a source that is a function",
    )


def from_objects(values: pd.Series, name: str, source: Source, where: Where) -> pa.ChunkedArray:
    """A column of Python objects; numbers beside words are judged as in a text file."""
    import pyarrow as pa

    try:
        return from_typed(pa.chunked_array([pa.array(values, from_pandas=True)]), name, source, where)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        gaps = values.isna()
        text = pa.array(values.astype(str).astype(object).mask(gaps, None), pa.string(), from_pandas=True)
        return from_text(pa.chunked_array([text]), name, source, where)


def timestamps(column: pa.ChunkedArray, name: str, form: str, where: Where) -> pa.ChunkedArray:
    """Text as timestamps by a strptime format, or ISO 8601 where `form` is empty; GateFailed names what is not."""
    import pandas as pd
    import pyarrow as pa
    from pyarrow import compute

    text = column.to_pandas()
    parsed = pd.to_datetime(text, format=form or "ISO8601", errors="coerce", utc=True)
    bad = parsed.isna().to_numpy() & text.notna().to_numpy()
    if bad.any():
        row = int(bad.argmax())
        wanted = f"the form {form}" if form else "ISO 8601"
        others = f"; {int(bad.sum()):,} of {len(text):,} values do not" if bad.sum() > 1 else ""
        raise GateFailed(
            f"{where(row)}: {name} = {text.iloc[row]!r} is not a time in {wanted}{others}",
            next_step=f'set the form that it has, such as timestamps = {{ "{name}" = "%d/%m/%Y" }} for this source, '
            "or list the value under missing",
        )
    naive = parsed.dt.tz_localize(None).astype("datetime64[us]")
    array = compute.cast(pa.array(naive.to_numpy(), from_pandas=True), pa.timestamp("us"))
    return pa.chunked_array([array])


def _numbers(column: pa.ChunkedArray, source: Source) -> pa.ChunkedArray | None:
    """Text as int64 or float64; None where it is neither, or where a number would lose digits."""
    import pyarrow as pa
    from pyarrow import compute

    if column.null_count == len(column):
        return column.cast(pa.float64())
    if source.decimal != ".":
        if compute.any(compute.match_substring(column, ".")).as_py():
            return None
        column = compute.replace_substring(column, source.decimal, ".")
    try:
        whole = compute.cast(column, pa.int64())
    except pa.ArrowInvalid:
        return _floats(column)
    hexadecimal = any(compute.any(compute.match_substring(column, mark)).as_py() for mark in "xX")
    return None if hexadecimal else _number(whole)


def _floats(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    import pyarrow as pa
    from pyarrow import compute

    try:
        floats = compute.cast(column, pa.float64())
    except pa.ArrowInvalid:
        return None
    largest = compute.max(compute.abs(floats)).as_py()
    if (
        largest is not None
        and largest >= _EXACT
        and not compute.any(compute.match_substring_regex(column, "[.eEn]")).as_py()
    ):
        return None  # identifiers of twenty digits are not to be rounded
    return _number(floats)


def _number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """int64 where every value is a whole number of a whole type, else float64 with null for NaN."""
    import pyarrow as pa
    import pyarrow.types as kinds
    from pyarrow import compute

    if kinds.is_integer(column.type) and not column.null_count:
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            pass
    floats = column.cast(pa.float64(), safe=False)
    return compute.if_else(compute.is_nan(floats), pa.scalar(None, pa.float64()), floats)


def _truth(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    import pyarrow as pa
    from pyarrow import compute

    if not compute.all(
        compute.is_in(column, pa.array(["True", "TRUE", "true", "False", "FALSE", "false", None]))
    ).as_py():
        return None
    return compute.equal(compute.utf8_lower(column), "true")


def trimmed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text without spaces around it; null where a word for "missing" stands."""
    import pyarrow as pa
    from pyarrow import compute

    words = compute.utf8_trim_whitespace(column)
    missing = compute.is_in(words, value_set=pa.array(MISSING))
    return compute.if_else(missing, pa.scalar(None, pa.string()), words)


def _without_missing(column: pa.ChunkedArray, missing: tuple[str | float | int, ...]) -> pa.ChunkedArray:
    """Null where a value is one of `missing`: numbers among numbers, words among words."""
    import pyarrow as pa
    import pyarrow.types as kinds
    from pyarrow import compute

    text = kinds.is_string(column.type)
    wanted = [str(m) if text else float(m) for m in missing if text or not isinstance(m, str)]
    if not wanted or kinds.is_boolean(column.type):
        return column
    hit = compute.is_in(column if text else column.cast(pa.float64(), safe=False), value_set=pa.array(wanted))
    if not compute.any(hit).as_py():
        return column
    cleared = compute.if_else(hit, pa.scalar(None, column.type), column)
    return cleared if text else _number(cleared)


def _utc(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    if getattr(column.type, "tz", None):
        column = column.cast(pa.timestamp(column.type.unit, "UTC")).cast(pa.timestamp(column.type.unit))
    try:
        return column.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        return column.cast(pa.timestamp("ns"))  # nanoseconds that matter are kept


def _refuse_mixed(column: pa.ChunkedArray, name: str, where: Where) -> None:
    """Raise GateFailed where a column of numbers holds a few words: each with its place."""
    from pyarrow import compute

    counts = compute.value_counts(column.drop_null())
    words, times = counts.field("values"), counts.field("counts")
    is_word = compute.invert(compute.match_substring_regex(words, _NUMBER))
    odd = words.filter(is_word).to_pylist()
    rows = len(column) - column.null_count
    wrong = compute.sum(times.filter(is_word)).as_py() or 0
    if not odd or len(odd) > FEW or wrong == rows or 1 - wrong / rows < NUMERIC_SHARE:
        return
    places = ", ".join(f"{word!r} at {where(compute.index(column, word).as_py())}" for word in odd[:3])
    listed = ", ".join(f'"{word}"' for word in odd[:3])
    raise GateFailed(
        f"column {name!r} holds numbers in {rows - wrong:,} rows and words in {wrong:,}: {places}",
        next_step=f'if they mean "missing", set missing = [{listed}] for this source; '
        f'if the column is a code, text = ["{name}"]',
    )
