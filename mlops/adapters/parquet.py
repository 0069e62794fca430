"""Tables as Parquet files whose bytes depend on the rows alone, so that equal tables have equal digests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

_ROWS_IN_A_GROUP = 1 << 17


def parquet_of(table: pa.Table) -> bytes:
    """The table as Parquet without what differs between versions of pandas or between ways of reading."""
    import pyarrow as pa
    from pyarrow import parquet

    buffer = pa.BufferOutputStream()
    plain = _same_text(table).combine_chunks().replace_schema_metadata(None)
    parquet.write_table(plain, buffer, compression="zstd", store_schema=False, row_group_size=_ROWS_IN_A_GROUP)
    content: bytes = buffer.getvalue().to_pybytes()
    return content


def sample(paths: Sequence[Path], columns: Sequence[str], most: int, *, seed: int) -> tuple[pd.DataFrame, int]:
    """At most `most` rows of the tables one after the other, in their order, and how many there are.

    Every row has the same chance, and the same seed gives the same rows.
    """
    import numpy as np

    total = sum(rows(path) for path in paths)
    chosen = np.arange(total)
    if total > most:
        chosen = np.sort(np.random.default_rng(seed).choice(total, most, replace=False, shuffle=False))
    return take(paths, columns, chosen), total


def take(paths: Sequence[Path], columns: Sequence[str], positions: NDArray[np.int64]) -> pd.DataFrame:
    """The rows at sorted positions of the tables one after the other. One row group is in memory at a time."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    files = [parquet.ParquetFile(path) for path in paths]
    kept, start = [], 0
    for file in files:
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            here = positions[np.searchsorted(positions, start) : np.searchsorted(positions, end)] - start
            if here.size:
                kept.append(file.read_row_group(group, columns=list(columns)).take(pa.array(here)))
            start = end
    table = pa.concat_tables(kept, promote_options="permissive") if kept else files[0].schema_arrow.empty_table()
    frame: pd.DataFrame = table.select(list(columns)).to_pandas()
    return frame


def rows(path: Path) -> int:
    """How many rows a table has, without reading it."""
    from pyarrow import parquet

    count: int = parquet.read_metadata(path).num_rows
    return count


def columns(path: Path) -> list[str]:
    """The names of a table's columns, without reading it."""
    from pyarrow import parquet

    names: list[str] = parquet.read_schema(path).names
    return names


def _same_text(table: pa.Table) -> pa.Table:
    """Text as `string`: pandas 3 hands it over as `large_string`."""
    import pyarrow as pa

    fields = [field.with_type(pa.string()) if field.type == pa.large_string() else field for field in table.schema]
    return table.cast(pa.schema(fields))
